//! Whatever can be said is heard: every frame, in every lane, of every size, in blocks of every size,
//! with the bytes split anywhere and messages in pieces among each other.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::VecDeque;
use std::time::Duration;

use moorline_buffers::SendBuffer;
use moorline_protocol::msgpack::Msgpack;
use moorline_protocol::{
    Body, Cost, EncodeError, ErrorCode, Frame, Kind, Lane, MessageIndex, Meta, Opening, Overflow,
};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use support::{Chunks, Pair, local, pattern, post, request, response, told};

prop_compose! {
    fn any_meta()(
        deadline in option::of(any::<u64>()),
        priority in option::of(0_u8..8),
        idempotent: bool,
        attempt: u32,
        trace in option::of(any::<[u8; 25]>()),
        idempotency_key in option::of(any::<[u8; 16]>()),
        codec: u8,
        overflow in select(&[Overflow::DropOldest, Overflow::DropNewest, Overflow::Close]),
    ) -> Meta {
        Meta {
            deadline: deadline.map(Duration::from_millis),
            priority,
            idempotent,
            attempt,
            trace: trace.map(Box::new),
            idempotency_key: idempotency_key.map(Box::new),
            codec,
            overflow,
            unsupported: None,
        }
    }
}

/// What frames of all kinds are made of.
#[derive(Debug, Clone)]
struct Material {
    id: u32,
    stream: u32,
    number: u64,
    kind: Kind,
    meta: Meta,
    code: ErrorCode,
    text: String,
    flag: bool,
    body: Vec<u8>,
}

prop_compose! {
    fn material()(
        id: u32,
        stream in 2_u32..,
        number: u64,
        at in 0_u32..3,
        meta in any_meta(),
        code: i32,
        text in "[^\\p{C}]{0,600}",
        flag: bool,
        len in prop_oneof![0_usize..300, 3_900_usize..4_200, 16_200_usize..16_500, 0_usize..70_000],
    ) -> Material {
        let kind = Kind::Known(MessageIndex::new(at));
        let (code, body) = (ErrorCode(code), pattern(len));
        Material { id, stream, number, kind, meta, code, text, flag, body }
    }
}

impl Material {
    /// A frame of each kind.
    fn frames(&self) -> Vec<Frame<'_>> {
        let &Material { id, stream, number, kind, code, flag, .. } = self;
        let body = || Body::Borrowed(&self.body);
        // What must fit a unit of the smallest record, beside all that can stand before it.
        let short = || Body::Borrowed(&self.body[..self.body.len().min(3_900)]);
        let text = |max| &self.text[..self.text.floor_char_boundary(max)];
        let meta = || Meta { idempotent: false, ..self.meta.clone() };
        let typed = Opening::Typed { kind, body: short() };
        // A trailer is one value: a binary of what there is.
        let trailer = Body::Borrowed(if flag { b"\xc4\x02ab" } else { b"" });
        vec![
            Frame::Post { kind, meta: meta(), body: body() },
            Frame::Request { id, kind, meta: self.meta.clone(), body: body() },
            Frame::Response { id, body: body() },
            Frame::Error { id, code, message: text(512).into(), detail: body() },
            Frame::Cancel { id },
            Frame::Credit { stream, total: number },
            Frame::Ping { nonce: number },
            Frame::Pong { nonce: number },
            Frame::GoAway { code, message: text(512).into(), obeyed: flag },
            Frame::Open { stream, opening: typed, credit: number, meta: meta() },
            Frame::Open {
                stream,
                opening: Opening::Raw { name: text(256).into() },
                credit: number,
                meta: meta(),
            },
            Frame::Data { stream, body: body(), acknowledge: flag },
            Frame::End { stream, trailer },
            Frame::Reset { stream, code, message: text(512).into() },
            Frame::Ack { stream, count: number },
            Frame::Subscribe {
                id,
                alias: number,
                topic: text(256).into(),
                retained: flag,
                meta: meta(),
            },
            Frame::Unsubscribe { alias: number },
            Frame::Publish { alias: number, kind, body: body(), retained: flag },
            Frame::Lagged { alias: id.into(), count: number.max(1) },
            Frame::Close { code, message: text(512).into() },
        ]
    }
}

/// What a frame takes of which window, all its pieces together.
fn window(frame: &Frame<'_>, sum: u64) -> Cost {
    match frame {
        Frame::Post { .. }
        | Frame::Request { .. }
        | Frame::Open { .. }
        | Frame::Subscribe { .. }
        | Frame::Publish { .. }
        | Frame::Lagged { .. } => Cost::Session(sum),
        Frame::Data { stream, .. } => Cost::Stream(*stream, sum),
        _ => Cost::Exempt,
    }
}

/// Adds what the pieces of one message take, which is all of the same window.
fn add(to: &mut Option<Cost>, cost: Cost) {
    *to = Some(match (*to, cost) {
        (None, cost) => cost,
        (Some(Cost::Exempt), Cost::Exempt) => Cost::Exempt,
        (Some(Cost::Session(a)), Cost::Session(b)) => Cost::Session(a + b),
        (Some(Cost::Stream(a, n)), Cost::Stream(b, m)) if a == b => Cost::Stream(a, n + m),
        (Some(of), cost) => panic!("a message takes of {of:?} and of {cost:?}"),
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn whatever_can_be_said_is_heard_and_costs_the_same_on_both_sides(
        material in material(),
        lane in select(&Lane::ALL[..]),
        log2 in 12_u8..=16,
        seed: u64,
        max in prop_oneof![20_usize..200, 1_000_usize..100_000],
    ) {
        let mut listener = local(2);
        listener.settings.record_log2 = log2;
        let mut pair = Pair::with(Msgpack::plain(), local(1), listener);
        pair.settle(Chunks::Whole).unwrap();
        let opened = pair.dialer.opened.as_ref().unwrap();
        let mut chain = SendBuffer::with_block_max(&pair.dialer.local.blocks, opened.block_max);
        let frames = material.frames();
        let mut said = Vec::new();
        for frame in &frames {
            let sum = opened.encoder.encode(frame, lane, &mut chain).unwrap();
            said.push((told(frame), window(frame, sum)));
            prop_assert!(said.last().unwrap().1 != Cost::Exempt || sum == 0);
        }
        let wire = pair.dialer.seal(chain);
        let (mut heard, mut cost) = (Vec::new(), None);
        pair.listener
            .receive(&wire, Chunks::Random(seed, max), &mut |frame, of_frame| {
                add(&mut cost, of_frame);
                if !matches!(frame, Frame::Partial | Frame::Piece { .. }) {
                    heard.push((told(frame), cost.take().unwrap()));
                }
            })
            .unwrap();
        prop_assert_eq!(heard, said);
    }

    #[test]
    fn long_messages_of_all_flows_and_lanes_may_go_out_among_each_other(
        lens in proptest::collection::vec(0_usize..60_000, 12),
        order in proptest::collection::vec(any::<usize>(), 64),
        log2 in 12_u8..=16,
    ) {
        let mut listener = local(2);
        listener.settings.record_log2 = log2;
        let mut pair = Pair::with(Msgpack::plain(), local(1), listener);
        pair.settle(Chunks::Whole).unwrap();
        let bodies: Vec<_> = lens.iter().map(|len| pattern(*len)).collect();
        let frames = one_of_each_flow(&bodies);
        let opened = pair.dialer.opened.as_ref().unwrap();
        let mut queues: Vec<_> = frames
            .iter()
            .map(|(frame, lane)| {
                let mut chain =
                    SendBuffer::with_block_max(&pair.dialer.local.blocks, opened.block_max);
                opened.encoder.encode(frame, *lane, &mut chain).unwrap();
                let blocks = std::iter::from_fn(|| chain.pop_block()).collect::<VecDeque<_>>();
                (told(frame), blocks)
            })
            .collect();
        let mut expected = Vec::new();
        let mut wire = SendBuffer::with_block_max(&pair.dialer.local.blocks, opened.block_max);
        let mut turns = order.into_iter().cycle();
        while !queues.is_empty() {
            let at = turns.next().unwrap() % queues.len();
            let (told, blocks) = &mut queues[at];
            wire.push_block(blocks.pop_front().unwrap());
            if blocks.is_empty() {
                expected.push(told.clone());
                queues.remove(at);
            }
        }
        let wire = pair.dialer.seal(wire);
        let mut heard = Vec::new();
        pair.listener
            .receive(&wire, Chunks::Random(1, 30_000), &mut |frame, _| {
                if !matches!(frame, Frame::Partial | Frame::Piece { .. }) {
                    heard.push(told(frame));
                }
            })
            .unwrap();
        prop_assert_eq!(heard, expected);
        prop_assert_eq!(pair.listener.local.recv.stats().in_use, 1, "only the input is held");
    }
}

/// A message for each number that our side uses: of each flow one in each lane, but for posts and
/// requests in bulk, which share one.
fn one_of_each_flow(bodies: &[Vec<u8>]) -> Vec<(Frame<'_>, Lane)> {
    let mut frames = Vec::new();
    for (at, lane) in Lane::ALL.into_iter().enumerate() {
        let body = |flow: usize| &bodies[at * 4 + flow][..];
        let id = u32::try_from(at).unwrap();
        let data = Body::Borrowed(body(2));
        frames.push((request(id, 1, body(1)), lane));
        frames.push((Frame::Data { stream: 2 + id, body: data, acknowledge: true }, lane));
        frames.push((response(id, body(3)), lane));
        if lane != Lane::Bulk {
            frames.push((post(0, body(0)), lane));
        }
    }
    frames
}

//= docs/PROTOCOL.md#8
#[test]
fn an_open_or_a_trailer_fits_a_unit_or_is_not_said() {
    for log2 in [12, 14, 16] {
        let mut listener = local(2);
        listener.settings.record_log2 = log2;
        let mut pair = Pair::with(Msgpack::plain(), local(1), listener);
        pair.settle(Chunks::Whole).unwrap();
        let opened = pair.dialer.opened.as_ref().unwrap();
        let unit_max = opened.block_max.min(16_384);
        let mut chain = SendBuffer::with_block_max(&pair.dialer.local.blocks, opened.block_max);
        let body = pattern(unit_max);
        // Header 4; sid, tid and credit one byte each; and the body.
        for (len, fits) in [(unit_max - 4 - 3, true), (unit_max - 4 - 2, false)] {
            let opening = Opening::Typed {
                kind: Kind::Known(MessageIndex::new(0)),
                body: Body::Borrowed(&body[..len]),
            };
            let open = Frame::Open { stream: 2, opening, credit: 0, meta: Meta::default() };
            let said = opened.encoder.encode(&open, Lane::Bulk, &mut chain);
            assert_eq!(said.is_ok(), fits, "{len}");
            assert_eq!(matches!(said, Err(EncodeError::Unsupported(_))), !fits, "{len}");
        }
        for (len, fits) in [(unit_max - 4 - 1, true), (unit_max - 4, false)] {
            let end = Frame::End { stream: 2, trailer: Body::Borrowed(&body[..len]) };
            let said = opened.encoder.encode(&end, Lane::High, &mut chain);
            assert_eq!(said.is_ok(), fits, "{len}");
        }
        assert_eq!(chain.len(), 2 * unit_max, "what was refused left nothing");
    }
}

#[test]
fn names_that_the_peer_would_not_take_are_not_said() {
    let pair = Pair::open(Msgpack::plain());
    let encoder = &pair.dialer.opened.as_ref().unwrap().encoder;
    let mut chain = SendBuffer::new(&pair.dialer.local.blocks);
    for name in ["x".repeat(257), "é".repeat(129), "a\nb".to_owned(), "\u{7f}".to_owned()] {
        let opening = Opening::Raw { name: (&*name).into() };
        let open = Frame::Open { stream: 2, opening, credit: 0, meta: Meta::default() };
        let meta = Meta::default();
        let topic = (&*name).into();
        let subscribe = Frame::Subscribe { id: 1, alias: 1, topic, retained: false, meta };
        for frame in [open, subscribe] {
            let said = encoder.encode(&frame, Lane::Normal, &mut chain);
            assert!(matches!(said, Err(EncodeError::Unsupported(_))), "{name:?}");
        }
    }
    assert!(chain.is_empty());
}
