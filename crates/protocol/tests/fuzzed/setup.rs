//! What a peer says first.

use moorline_protocol::{Format, limits};

use super::plain;

/// The bytes are the payload of a SETUP. Where it is taken, it was one map, and what it allows is
/// within the bounds that hold without any SETUP. Returns whether it was taken.
pub(crate) fn setup(data: &[u8]) -> bool {
    let Ok(len) = u16::try_from(data.len()) else { return false };
    let (mut dialer, mut listener) = plain::unopened(false);
    let hello = dialer.take_wire();
    listener.receive(&hello, usize::MAX, &mut |_, _| {}).unwrap();
    let [high, low] = len.to_be_bytes();
    let unit = [&[0xC8, high, low, 0x1E], data].concat();
    let heard = listener.receive(&unit, usize::MAX, &mut |_, _| {});
    let Some(opened) = listener.opened else {
        heard.expect_err("a whole SETUP is taken or refused");
        return false;
    };
    assert!(data.len() <= limits::SETUP_MAX && matches!(data[0], 0x80..=0x8F | 0xDE | 0xDF));
    assert_eq!(Format::MessagePack.walk(data), Ok(()));
    let of_peer = opened.limits;
    assert!((limits::WINDOW_MIN..=limits::MESSAGE_MAX_MAX).contains(&of_peer.message_max));
    for window in [of_peer.initiation_window, of_peer.stream_window] {
        assert!((limits::WINDOW_MIN..=limits::WINDOW_MAX).contains(&window));
    }
    assert!(of_peer.in_flight_max >= limits::IN_FLIGHT_MIN);
    assert!(of_peer.streams_max >= limits::STREAMS_MIN);
    let agent = &opened.peer.agent;
    assert!(agent.len() <= limits::AGENT_MAX && !agent.contains(char::is_control));
    true
}
