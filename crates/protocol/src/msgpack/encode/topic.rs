//! What is subscribed to, and what is published.

use moorline_buffers::SendBuffer;

use super::place::Parts;
use super::stream::{NAME_LEN_MAX, checked};
use super::{Flow, MsgpackEncoder, UINT_LEN_MAX, number_of, put_meta};
use crate::frame::{Kind, Meta};
use crate::msgpack::meta::META_LEN_MAX;
use crate::msgpack::put::Put;
use crate::msgpack::unit::{Flags, Op};
use crate::seam::{EncodeError, Lane};

/// The longest SUBSCRIBE.
const SUBSCRIBE_LEN_MAX: usize = 2 * UINT_LEN_MAX + NAME_LEN_MAX + META_LEN_MAX;

impl MsgpackEncoder {
    //= docs/PROTOCOL.md#1
    pub(super) fn subscribe(
        &self,
        (id, alias): (u32, u64),
        (topic, retained): (&str, bool),
        meta: &Meta,
        out: &mut SendBuffer,
    ) -> Result<u64, EncodeError> {
        let mut payload = [0; SUBSCRIBE_LEN_MAX];
        let mut put = Put::new(&mut payload);
        put.uint(id.into());
        put.uint(alias);
        put.str(checked(topic)?);
        let ty = Op::Subscribe.ty() | flag(retained) | put_meta(meta, &mut put);
        let len = put.len();
        let too_long = "a subscription longer than a unit of this peer";
        self.whole(ty, true, Parts([&payload[..len], &[]]), too_long, out)
    }

    pub(super) fn publish(
        &self,
        alias: u64,
        kind: &Kind,
        (body, retained): (&[u8], bool),
        lane: Lane,
        out: &mut SendBuffer,
    ) -> Result<u64, EncodeError> {
        let mut head = [0; 2 * UINT_LEN_MAX];
        let mut put = Put::new(&mut head);
        put.uint(alias);
        put.uint(number_of(kind)?.into());
        let len = put.len();
        let ty = Op::Publish.ty() | flag(retained);
        self.message(ty, Flow::Posts, Parts([&head[..len], body]), lane, out)
    }

    //= docs/PROTOCOL.md#1
    /// A PUBLISH of no type: it stands among the others, so it costs what they do.
    pub(super) fn lagged(
        &self,
        alias: u64,
        count: u64,
        out: &mut SendBuffer,
    ) -> Result<u64, EncodeError> {
        let mut payload = [0; 3 * UINT_LEN_MAX];
        let mut put = Put::new(&mut payload);
        put.uint(alias);
        put.uint(0);
        put.uint(count);
        let len = put.len();
        let too_long = "a number longer than a unit of this peer";
        self.whole(Op::Publish.ty(), true, Parts([&payload[..len], &[]]), too_long, out)
    }
}

fn flag(retained: bool) -> u8 {
    if retained { Flags::X } else { 0 }
}
