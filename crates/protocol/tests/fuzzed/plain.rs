//! Two open connections of `msgpack-plain` in memory, quick to make.

use std::sync::Arc;
use std::time::Instant;

use moorline_buffers::{RecvBuffer, SendBuffer};
use moorline_noise::{Peers, Suite};
use moorline_protocol::msgpack::Msgpack;
use moorline_protocol::{
    CloseReason, Cost, EncodeError, Frame, HandledTypes, Lane, Local, Opened, Protocol,
    ProtocolFactory, Registration, Step,
};

use super::{List, dialers, listeners, local};

/// Types that both sides have.
static TYPES: [Registration; 2] = [
    Registration::new("fuzz.One", false, file!(), line!()),
    Registration::new("fuzz.Two", false, file!(), line!()),
];

/// One side: a connection, and what it has received and is about to send.
pub(crate) struct Side {
    pub(crate) protocol: Box<dyn Protocol>,
    pub(crate) local: Arc<Local>,
    pub(crate) opened: Option<Box<Opened>>,
    input: RecvBuffer,
    out: SendBuffer,
}

impl Side {
    fn new(protocol: Box<dyn Protocol>, local: Arc<Local>) -> Self {
        let (input, out) = (local.recv.acquire(2_048).unwrap(), SendBuffer::new(&local.blocks));
        let mut side = Self { protocol, local, opened: None, input, out };
        side.protocol.start(Instant::now(), &mut side.out).unwrap();
        side
    }

    pub(crate) fn take_wire(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(block) = self.out.pop_block() {
            bytes.extend_from_slice(block.bytes());
        }
        bytes
    }

    /// Receives `bytes`, so many at a time.
    pub(crate) fn receive(
        &mut self,
        mut bytes: &[u8],
        chunk: usize,
        heard: &mut dyn FnMut(&Frame<'_>, Cost),
    ) -> Result<(), CloseReason> {
        loop {
            match self.protocol.next(Instant::now(), &mut self.input, &mut self.out)? {
                Step::Opened(opened) => self.opened = Some(opened),
                Step::Frame(frame, cost) => heard(&frame, cost),
                Step::NeedBytes if bytes.is_empty() => return Ok(()),
                Step::NeedBytes => {
                    let room = self.protocol.read_capacity().saturating_sub(self.input.len());
                    let want = room.max(1).min(chunk).min(bytes.len());
                    self.input.reserve(want)?;
                    let len = want.min(self.input.spare_mut().len());
                    self.input.spare_mut()[..len].copy_from_slice(&bytes[..len]);
                    self.input.commit(len);
                    bytes = &bytes[len..];
                }
            }
        }
    }

    /// What `frame` is on the wire, and what it costs.
    pub(crate) fn say(
        &mut self,
        frame: &Frame<'_>,
        lane: Lane,
    ) -> Result<(Vec<u8>, u64), EncodeError> {
        let opened = self.opened.as_mut().expect("the connection is open");
        let mut chain = SendBuffer::with_block_max(&self.local.blocks, opened.block_max);
        let cost = opened.encoder.encode(frame, lane, &mut chain)?;
        while let Some(block) = chain.pop_block() {
            opened.sealing.seal(block, &mut self.out).unwrap();
        }
        Ok((self.take_wire(), cost))
    }
}

/// A dialer and a listener before the first byte.
pub(crate) fn unopened(types: bool) -> (Side, Side) {
    let factory = Msgpack::plain();
    let [ours, theirs] = [dialers(), listeners()].map(|provider| {
        let local = local(provider, Suite::IkHfsAes);
        TYPES.iter().filter(|_| types).for_each(|of| _ = local.registry.add(of).unwrap());
        local
    });
    let any = || HandledTypes::new().with_any(true);
    let dialer = factory.initiator(Arc::clone(&ours), any(), None.into()).unwrap();
    let admission = Box::new(List(Peers::anonymous()));
    let listener = factory.responder(Arc::clone(&theirs), any(), admission).unwrap();
    (Side::new(dialer, ours), Side::new(listener, theirs))
}

pub(crate) fn open() -> (Side, Side) {
    let (mut dialer, mut listener) = unopened(true);
    while dialer.opened.is_none() || listener.opened.is_none() {
        listener.receive(&dialer.take_wire(), usize::MAX, &mut |_, _| {}).unwrap();
        dialer.receive(&listener.take_wire(), usize::MAX, &mut |_, _| {}).unwrap();
    }
    (dialer, listener)
}
