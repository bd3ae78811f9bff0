//! Two connections back to back: whatever one says, the other hears.

mod support;

use std::borrow::Cow;
use std::time::Duration;

use moorline_buffers::SendBuffer;
use moorline_noise::{Suite, Suites};
use moorline_protocol::msgpack::Msgpack;
use moorline_protocol::{Body, ErrorCode, Frame, Kind, MessageIndex, Meta, Unsupported};
use support::{Chunks, Pair, local, no_frame, pattern, post, registry, request, response, told};

const BOTH: [Msgpack; 2] = [Msgpack::sealed(), Msgpack::plain()];

#[test]
fn a_connection_opens_and_carries_a_post_a_request_and_its_answer() {
    for factory in BOTH {
        let mut pair = Pair::open(factory);
        let wire = pair.dialer.say(&[post(0, b"\x93\x01\x02\x03"), request(9, 1, b"\xa2hi")]);
        let mut heard = Vec::new();
        pair.listener
            .receive(&wire, Chunks::Whole, &mut |frame, cost| heard.push((told(frame), cost)))
            .unwrap();
        let expected = [
            (told(&post(0, b"\x93\x01\x02\x03")), 8 + 32),
            (told(&request(9, 1, b"\xa2hi")), 8 + 32),
        ];
        assert_eq!(heard, expected);
        let wire = pair.listener.say(&[response(9, b"\xa2ok")]);
        let mut heard = Vec::new();
        pair.dialer
            .receive(&wire, Chunks::Whole, &mut |frame, cost| heard.push((told(frame), cost)))
            .unwrap();
        assert_eq!(heard, [(told(&response(9, b"\xa2ok")), 0)]);
    }
}
