use std::time::Duration;

use moorline_buffers::{BlockPool, BlockPoolConfig};

use super::*;
use crate::frame::{Body, Opening, Overflow};
use crate::limits::BLOCK_COST_MAX;
use crate::registry::MessageIndex;

fn pool(payload: usize) -> BlockPool {
    BlockPool::new(BlockPoolConfig { payload, ..BlockPoolConfig::messages() })
}

fn encoder(block_max: usize) -> MsgpackEncoder {
    MsgpackEncoder::new(MessageRegistry::empty(), block_max)
}

/// The blocks that `frames` become, with their weights.
fn blocks(frames: &[Frame<'_>], block_max: usize) -> (Vec<(Vec<u8>, u32)>, u64) {
    blocks_of(frames, Lane::Normal, block_max)
}

fn blocks_of(frames: &[Frame<'_>], lane: Lane, block_max: usize) -> (Vec<(Vec<u8>, u32)>, u64) {
    let mut out = SendBuffer::with_block_max(&pool(block_max), block_max);
    let mut cost = 0;
    for frame in frames {
        cost += encoder(block_max).encode(frame, lane, &mut out).unwrap();
    }
    let mut blocks = Vec::new();
    while let Some(block) = out.pop_block() {
        blocks.push((block.bytes().to_vec(), block.weight()));
    }
    (blocks, cost)
}

fn bytes(frame: &Frame<'_>) -> Vec<u8> {
    let (mut blocks, _) = blocks(std::slice::from_ref(frame), 4_096);
    assert_eq!(blocks.len(), 1);
    blocks.remove(0).0
}

fn post(body: &[u8]) -> Frame<'_> {
    let kind = Kind::Known(MessageIndex::new(4));
    Frame::Post { kind, meta: Meta::default(), body: Body::Borrowed(body) }
}

fn request(meta: Meta) -> Frame<'static> {
    let kind = Kind::Known(MessageIndex::new(5));
    Frame::Request { id: 9, kind, meta, body: Body::Borrowed(b"\x93\x01\x02\x03") }
}

fn error<'a>(text: &'a str, detail: &'a [u8]) -> Frame<'a> {
    let detail = Body::Borrowed(detail);
    Frame::Error { id: 9, code: ErrorCode::OVERLOADED, message: text.into(), detail }
}

//= docs/PROTOCOL.md#1
#[test]
fn the_examples_of_the_protocol_are_these_bytes() {
    assert_eq!(bytes(&post(b"\x93\x01\x02\x03")), b"\xc7\x05\x00\x05\x93\x01\x02\x03");
    assert_eq!(bytes(&request(Meta::default())), b"\xc7\x06\x01\x09\x06\x93\x01\x02\x03");
    let meta = Meta { deadline: Some(Duration::from_millis(1_500)), ..Meta::default() };
    let expected = b"\xc7\x0b\x21\x09\x06\x81\x00\xcd\x05\xdc\x93\x01\x02\x03";
    assert_eq!(bytes(&request(meta)), expected);
    let response = Frame::Response { id: 9, body: Body::Borrowed(b"\xa2ok") };
    assert_eq!(bytes(&response), b"\xc7\x04\x02\x09\xa2ok");
    assert_eq!(bytes(&error("late", &[])), b"\xc7\x07\x03\x09\xfb\xa4late");
    let credit = Frame::Credit { stream: 0, total: 1_572_864 };
    assert_eq!(bytes(&credit), b"\xc7\x06\x09\x00\xce\x00\x18\x00\x00");
}

#[test]
fn the_other_units_are_these_bytes() {
    let idempotent = Meta { idempotent: true, ..Meta::default() };
    assert_eq!(bytes(&request(idempotent)), b"\xc7\x06\x41\x09\x06\x93\x01\x02\x03");
    assert_eq!(bytes(&Frame::Cancel { id: 200 }), b"\xc7\x02\x04\xcc\xc8");
    assert_eq!(bytes(&Frame::Ping { nonce: 1 }), b"\xc7\x01\x0e\x01");
    assert_eq!(bytes(&Frame::Pong { nonce: 1 }), b"\xc7\x01\x0f\x01");
    let (code, message) = (ErrorCode::APPLICATION, "".into());
    assert_eq!(bytes(&Frame::GoAway { code, message, obeyed: true }), b"\xc7\x01\x50\x00");
    let message = "bye".into();
    assert_eq!(bytes(&Frame::Close { code, message }), b"\xc7\x05\x14\x00\xa3bye");
}

fn open(opening: Opening<'_>) -> Frame<'_> {
    Frame::Open { stream: 2, opening, credit: 65_536, meta: Meta::default() }
}

fn data(stream: u32, body: &[u8], acknowledge: bool) -> Frame<'_> {
    Frame::Data { stream, body: Body::Borrowed(body), acknowledge }
}

fn publish(body: &[u8], retained: bool) -> Frame<'_> {
    let kind = Kind::Known(MessageIndex::new(4));
    Frame::Publish { alias: 1, kind, body: Body::Borrowed(body), retained }
}

//= docs/PROTOCOL.md#1
#[test]
fn the_examples_of_streams_are_these_bytes() {
    let kind = Kind::Known(MessageIndex::new(4));
    let body = b"\x93\x01\x02\x03";
    let typed = || Opening::Typed { kind, body: Body::Borrowed(body) };
    let expected = b"\xc7\x0b\x05\x02\x05\xce\x00\x01\x00\x00\x93\x01\x02\x03";
    assert_eq!(bytes(&open(typed())), expected);
    let raw = Opening::Raw { name: "logs".into() };
    assert_eq!(bytes(&open(raw)), b"\xc7\x0c\x45\x02\x00\xce\x00\x01\x00\x00\xa4logs");
    let meta = Meta { priority: Some(7), idempotent: true, ..Meta::default() };
    let hurried = Frame::Open { stream: 3, opening: typed(), credit: 0, meta };
    assert_eq!(bytes(&hurried), b"\xc7\x0a\x25\x03\x05\x00\x81\x02\x07\x93\x01\x02\x03");
    assert_eq!(bytes(&data(2, body, false)), b"\xc7\x05\x06\x02\x93\x01\x02\x03");
    assert_eq!(bytes(&data(2, body, true)), b"\xc7\x05\x46\x02\x93\x01\x02\x03");
    let end = |trailer| Frame::End { stream: 2, trailer: Body::Borrowed(trailer) };
    assert_eq!(bytes(&end(b"")), b"\xc7\x01\x07\x02");
    assert_eq!(bytes(&end(b"\xa2ok")), b"\xc7\x04\x07\x02\xa2ok");
    let reset = |message: &'static str| Frame::Reset {
        stream: 2,
        code: ErrorCode::OVERLOADED,
        message: message.into(),
    };
    assert_eq!(bytes(&reset("late")), b"\xc7\x07\x08\x02\xfb\xa4late");
    assert_eq!(bytes(&reset("")), b"\xc7\x02\x08\x02\xfb");
    let credit = Frame::Credit { stream: 2, total: 262_144 };
    assert_eq!(bytes(&credit), b"\xc7\x06\x09\x02\xce\x00\x04\x00\x00");
    assert_eq!(bytes(&Frame::Ack { stream: 2, count: 3 }), b"\xc7\x02\x0a\x02\x03");
}

//= docs/PROTOCOL.md#1
#[test]
fn the_examples_of_topics_are_these_bytes() {
    let subscribe = |retained, meta| Frame::Subscribe {
        id: 9,
        alias: 1,
        topic: "prices".into(),
        retained,
        meta,
    };
    let plain = bytes(&subscribe(false, Meta::default()));
    assert_eq!(plain, b"\xc7\x09\x0b\x09\x01\xa6prices");
    let meta = Meta { priority: Some(1), ..Meta::default() };
    let with_meta = bytes(&subscribe(true, meta));
    assert_eq!(with_meta, b"\xc7\x0c\x6b\x09\x01\xa6prices\x81\x02\x01");
    assert_eq!(bytes(&Frame::Unsubscribe { alias: 1 }), b"\xc7\x01\x0c\x01");
    let body = b"\x93\x01\x02\x03";
    assert_eq!(bytes(&publish(body, false)), b"\xc7\x06\x0d\x01\x05\x93\x01\x02\x03");
    assert_eq!(bytes(&publish(body, true)), b"\xc7\x06\x4d\x01\x05\x93\x01\x02\x03");
    assert_eq!(bytes(&Frame::Lagged { alias: 1, count: 7 }), b"\xc7\x03\x0d\x01\x00\x07");
    let meta = Meta { overflow: Overflow::Close, ..Meta::default() };
    let closing = bytes(&subscribe(false, meta));
    assert_eq!(closing, b"\xc7\x0c\x2b\x09\x01\xa6prices\x81\x08\x02");
}

//= docs/PROTOCOL.md#8
#[test]
fn each_flow_of_each_lane_has_its_number_for_pieces() {
    let body = vec![7; 5_000];
    let call = |id| Frame::Request {
        id,
        kind: Kind::Known(MessageIndex::new(4)),
        meta: Meta::default(),
        body: Body::Borrowed(&body),
    };
    let response = Frame::Response { id: 9, body: Body::Borrowed(&body) };
    let cases = [
        (post(&body), [0, 2, 4]),
        (publish(&body, false), [0, 2, 4]),
        (call(1), [1, 3, 4]),
        (data(2, &body, true), [5, 6, 7]),
        (response, [8, 9, 10]),
        (error("late", &body), [8, 9, 10]),
    ];
    for (frame, numbers) in &cases {
        for (lane, number) in Lane::ALL.into_iter().zip(numbers) {
            let (blocks, _) = blocks_of(std::slice::from_ref(frame), lane, 4_096);
            assert_eq!(blocks.len(), 2);
            assert!(blocks.iter().all(|(bytes, _)| bytes[4] == *number), "{frame:?} {lane:?}");
        }
    }
}

//= docs/PROTOCOL.md#8
#[test]
fn data_costs_what_a_post_does_and_what_ends_a_stream_nothing() {
    let body = vec![7; 10_000];
    let (in_blocks, cost) = blocks(&[data(2, &body, true)], 4_096);
    // c8 n16 type | fid type total | the payload begins with its stream
    assert_eq!(in_blocks[0].0[..10], *b"\xc8\x0f\xfc\x51\x06\x46\xcd\x27\x11\x02");
    let units: usize = in_blocks.iter().map(|(bytes, _)| bytes.len() + 32).sum();
    let weights: u64 = in_blocks.iter().map(|(_, weight)| u64::from(*weight)).sum();
    assert_eq!((weights, cost), (units as u64, units as u64));
    let raw = Opening::Raw { name: "logs".into() };
    let (in_blocks, cost) = blocks(&[open(raw)], 4_096);
    assert_eq!((in_blocks[0].1, cost), (15 + 32, 15 + 32));
    let end = Frame::End { stream: 2, trailer: Body::Borrowed(b"\xa2ok") };
    let reset = Frame::Reset { stream: 2, code: ErrorCode::FLOW, message: "".into() };
    let rest = [end, reset, Frame::Ack { stream: 2, count: 1 }, Frame::Unsubscribe { alias: 1 }];
    let (in_blocks, cost) = blocks(&rest, 4_096);
    assert_eq!((in_blocks[0].1, cost), (0, 0));
}

#[test]
fn what_cannot_be_said_is_an_error_and_leaves_nothing() {
    let kind = Kind::Unknown { tid: 3, hash: None };
    let unknown = Frame::Post { kind, meta: Meta::default(), body: Body::EMPTY };
    let nobodys = Frame::Publish { alias: 1, kind, body: Body::EMPTY, retained: false };
    let opening = open(Opening::Typed { kind, body: Body::EMPTY });
    let mut out = SendBuffer::new(&pool(4_096));
    for frame in [&unknown, &nobodys, &opening, &Frame::Partial] {
        assert!(encoder(4_096).encode(frame, Lane::Normal, &mut out).is_err());
        assert!(out.is_empty());
    }
}

#[test]
fn a_text_is_cut_at_a_character() {
    let long = "é".repeat(400);
    let unit = bytes(&error(&long, b"\xc0"));
    let text = &unit[4 + 2 + 3..unit.len() - 1];
    assert_eq!(std::str::from_utf8(text).unwrap(), "é".repeat(256));
}

//= docs/PROTOCOL.md#8
#[test]
fn a_message_longer_than_a_unit_goes_out_in_fragments() {
    let body = vec![7; 10_000];
    let (blocks, cost) = blocks(&[post(&body)], 4_096);
    assert_eq!(blocks.len(), 3);
    // c8 n16 type | fid type total | the payload begins with its tid
    assert_eq!(blocks[0].0[..9], *b"\xc8\x0f\xfc\x51\x02\x00\xcd\x27\x11");
    assert_eq!(blocks[0].0[9..11], *b"\x05\x07");
    assert_eq!(blocks[1].0[..6], *b"\xc8\x0f\xfc\x11\x02\x07");
    assert!(blocks.iter().all(|(bytes, _)| bytes.len() <= 4_096));
    let overhead = [9, 5, 5];
    let chunks: usize =
        blocks.iter().zip(overhead).map(|((bytes, _), overhead)| bytes.len() - overhead).sum();
    assert_eq!(chunks, 10_001);
    let weights: u64 = blocks.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let units: usize = blocks.iter().map(|(bytes, _)| bytes.len() + 32).sum();
    assert_eq!((weights, cost), (units as u64, units as u64));
}

#[test]
fn answers_have_a_number_of_their_own_and_cost_nothing() {
    let body = vec![7; 5_000];
    let response = Frame::Response { id: 9, body: Body::Borrowed(&body) };
    let (in_blocks, cost) = blocks(&[response], 4_096);
    assert_eq!((in_blocks.len(), cost), (2, 0));
    assert_eq!(in_blocks[0].0[4..6], *b"\x09\x02");
    assert!(in_blocks.iter().all(|(_, weight)| *weight == 0));
    let (in_blocks, cost) = blocks(&[error("late", &body)], 4_096);
    assert_eq!((in_blocks.len(), cost), (2, 0));
    assert_eq!(in_blocks[0].0[4..6], *b"\x09\x03");
}

//= docs/PROTOCOL.md#8
#[test]
fn a_block_is_closed_before_it_costs_too_much() {
    let posts: Vec<_> = (0..2_000).map(|_| post(b"\xc0")).collect();
    let (blocks, cost) = blocks(&posts, 16_384);
    let weights: Vec<u32> = blocks.iter().map(|(_, weight)| *weight).collect();
    assert_eq!(cost, 2_000 * 37);
    assert_eq!(weights.iter().sum::<u32>(), 2_000 * 37);
    assert_eq!(weights[0], BLOCK_COST_MAX / 37 * 37);
    assert!(weights.iter().all(|weight| *weight <= BLOCK_COST_MAX));
}

#[test]
fn the_cost_said_beforehand_is_never_too_low_and_little_too_high() {
    for block_max in [4_096, 16_384] {
        for len in [0, 1, 100, 255, 4_000, 4_095, 4_096, 16_300, 16_384, 100_000, 1_000_000] {
            let body = vec![0; len];
            let (_, cost) = blocks(&[post(&body)], block_max);
            let said = encoder(block_max).cost(len);
            assert!(said >= cost, "{len} in {block_max}: said {said}, costs {cost}");
            assert!(said <= cost + 256, "{len} in {block_max}: said {said}, costs {cost}");
        }
    }
}

#[test]
fn want_of_memory_in_the_middle_leaves_nothing_behind() {
    let config = BlockPoolConfig { payload: 4_096, blocks_max: 2, ..BlockPoolConfig::messages() };
    let mut out = SendBuffer::new(&BlockPool::new(config));
    let body = vec![7; 10_000];
    let refused = encoder(4_096).encode(&post(&body), Lane::Normal, &mut out);
    assert!(matches!(refused, Err(EncodeError::Exhausted(_))));
    assert!(out.is_empty() && out.blocks() == 0);
}
