//! What a peer sends that was let in.

use moorline_protocol::{Cost, Frame, Lane};

use super::plain::{self, Side};

/// The first byte says how the rest is cut and which lane answers; the rest is units of an open
/// connection. Whatever they are, memory follows what arrived; and what was heard can be said again,
/// sounds the same then, and costs what it was said to. Returns how many frames that were.
pub(crate) fn frames(data: &[u8]) -> usize {
    let Some((first, wire)) = data.split_first() else { return 0 };
    let chunk = [usize::MAX, 1, 7, 64][usize::from(*first) % 4];
    let lane = Lane::ALL[usize::from(*first >> 2) % 3];
    let (_dialer, mut listener) = plain::open();
    let (mut speaker, mut hearer) = plain::open();
    let (mut heard, mut closed) = (0, false);
    let mut hear = |frame: &Frame<'_>, cost| {
        assert!(!closed, "nothing is heard behind a CLOSE");
        closed = matches!(frame, Frame::Close { .. });
        check_window(frame, cost);
        heard += 1;
        check_again((&mut speaker, &mut hearer), frame, lane);
    };
    // Why it ends, if it does, is for other tests.
    drop(listener.receive(wire, chunk, &mut hear));
    let held = listener.local.recv.stats().in_use_bytes;
    assert!(held <= (256 << 10) + 4 * wire.len(), "{held} bytes for {}", wire.len());
    heard
}

fn check_window(frame: &Frame<'_>, cost: Cost) {
    let fits = match frame {
        Frame::Post { .. }
        | Frame::Request { .. }
        | Frame::Open { .. }
        | Frame::Subscribe { .. }
        | Frame::Publish { .. }
        | Frame::Lagged { .. } => matches!(cost, Cost::Session(32..)),
        Frame::Data { stream, .. } => {
            matches!(cost, Cost::Stream(of, 32..) if of == *stream && of >= 2)
        }
        // A piece, or a refusal at one, takes what its message does.
        Frame::Partial | Frame::Piece { .. } | Frame::Refused(_) => true,
        _ => cost == Cost::Exempt,
    };
    assert!(fits, "{frame:?} takes {cost:?}");
}

/// What is said of `frame` is, when heard, said with the same bytes.
fn check_again((speaker, hearer): (&mut Side, &mut Side), frame: &Frame<'_>, lane: Lane) {
    // What only a receiver sees, what has no number here, or what was in a longer unit than ours.
    let Ok((wire, cost)) = speaker.say(frame, lane) else { return };
    let (mut again, mut costs) = (Vec::new(), 0);
    let mut hear = |frame: &Frame<'_>, cost| {
        costs += match cost {
            Cost::Exempt => 0,
            Cost::Session(cost) | Cost::Stream(_, cost) => cost,
        };
        if !matches!(frame, Frame::Partial | Frame::Piece { .. }) {
            again.extend(speaker.say(frame, lane).expect("it was said before").0);
        }
    };
    hearer.receive(&wire, usize::MAX, &mut hear).expect("we keep to the rules");
    assert_eq!(again, wire);
    assert_eq!(costs, cost);
}
