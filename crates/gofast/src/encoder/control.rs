//! Frames about the session itself.

use moorline_buffers::SendBuffer;
use moorline_protocol::{EncodeError, Frame, Lane, Pieces};

use super::{GofastEncoder, Target};
use crate::decoder::ECHO_OF_PING;
use crate::dialect::{HEARTBEAT, PING, WHOAMI};
use crate::exchanges::Owed;
use crate::extension::Word;
use crate::packet::Kind;
use crate::pieces::{self, Flow, Way};
use crate::stats::Counters;
use crate::whoami::{heartbeat_body, ping_body};

impl GofastEncoder {
    //= docs/PROTOCOL.md#11
    pub(super) fn control(
        &self,
        frame: &Frame<'_>,
        lane: Lane,
        out: &mut SendBuffer,
    ) -> Result<(), EncodeError> {
        let ours = self.shared.ours;
        match frame {
            Frame::Ping { nonce } => self.ping(ECHO_OF_PING, *nonce, out),
            Frame::Pong { nonce } => self.echo(*nonce, out),
            Frame::Heartbeat { count } => {
                let mut body = Vec::with_capacity(16);
                heartbeat_body(self.shared.dialect, *count, &mut body);
                let id = self.shared.dialect.id_of(HEARTBEAT);
                self.message(Target { id, ..self.posted() }, [&body, &[]], out)
            }
            Frame::Cancel { id } if ours => {
                let opaque = self.shared.opaques.request(*id);
                self.word(Target { opaque, ..self.posted() }, Word::Cancel, out)
            }
            Frame::GoAway { code, message, obeyed } if ours => {
                let word = Word::GoAway { obeyed: *obeyed, code: *code, text: self.cut(message) };
                self.word(self.posted(), word, out)
            }
            Frame::Close { code, message } if ours => {
                self.word(self.posted(), Word::Close { code: *code, text: self.cut(message) }, out)
            }
            Frame::Aborted(pieces) => {
                let flow = if *pieces == Pieces::Data { Flow::Data } else { Flow::Requests };
                Ok(pieces::append_forget(Way::of(flow, lane), out)?)
            }
            // What nobody counts need not be told.
            Frame::Credit { .. } | Frame::Cancel { .. } => Ok(()),
            Frame::Subscribe { .. }
            | Frame::Unsubscribe { .. }
            | Frame::Publish { .. }
            | Frame::Lagged { .. } => Err(EncodeError::Unsupported("topics")),
            Frame::Ack { .. } => Err(EncodeError::Unsupported("messages that are acknowledged")),
            Frame::GoAway { .. } | Frame::Close { .. } => {
                Err(EncodeError::Unsupported("a farewell"))
            }
            _ => Err(EncodeError::Unsupported("what only a receiver sees")),
        }
    }

    /// A post that has no id yet.
    fn posted(&self) -> Target {
        Target { kind: Kind::Post, opaque: self.shared.opaques.posts(), id: 0, way: None }
    }

    /// Answers all pings and whoamis up to this number.
    fn echo(&self, number: u64, out: &mut SendBuffer) -> Result<(), EncodeError> {
        let dialect = self.shared.dialect;
        loop {
            let Some((opaque, owed)) = self.shared.lock().owed.next(number) else { return Ok(()) };
            // The text of a ping may have 65,535 bytes.
            let way = Some(Way::CONTROL);
            let target = Target { kind: Kind::Request, opaque, id: 0, way };
            match owed {
                Owed::Ping(said) => {
                    let mut body = Vec::with_capacity(said.len() + 8);
                    ping_body(dialect, &said, &mut body);
                    let target = Target { id: dialect.id_of(PING), ..target };
                    match self.message(target, [&body, &[]], out) {
                        // It has asked for more than it says it takes.
                        Err(EncodeError::TooLarge { .. }) => {
                            Counters::add(&self.shared.counters.n_mdrops, 1);
                        }
                        result => result?,
                    }
                }
                Owed::Whoami => {
                    let packet = crate::packet::Packet {
                        dialect,
                        kind: Kind::Request,
                        opaque,
                        inner: crate::packet::Inner::Message {
                            id: dialect.id_of(WHOAMI),
                            body: [&self.shared.whoami, &[]],
                        },
                    };
                    // Never compressed: who asks may not know yet how we would.
                    self.append(&packet, None, out)?;
                }
            }
        }
    }
}
