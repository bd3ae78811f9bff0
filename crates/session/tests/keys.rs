//! Keys that change below two sessions: neither notices.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use moorline_protocol::Settings;
use moorline_protocol::msgpack::Msgpack;
use support::{OUTBOX, Pair, Task, echo, encoded, log, note};

//= docs/PROTOCOL.md#3
#[test]
fn two_sessions_talk_on_while_keys_change_before_every_block_in_both_directions() {
    const ROUNDS: u64 = 200;
    let mut pair = Pair::over(&Msgpack::sealed(), Settings::default(), OUTBOX);
    let (there, heard_there) = log();
    let (here, heard_here) = log();
    pair.b.on_post = Box::new(move |body| there.lock().unwrap().push(body.to_vec()));
    pair.a.on_post = Box::new(move |body| here.lock().unwrap().push(body.to_vec()));
    pair.a.renews = true;
    pair.b.renews = true;
    let mut notes = Vec::new();
    for round in 0..ROUNDS {
        // The larger ones travel in pieces.
        let note = note(round, if round % 4 == 0 { 40_000 } else { 100 });
        pair.a.session.send(&note).unwrap();
        pair.b.session.send(&note).unwrap();
        notes.push(encoded(&note));
        let asks =
            [&pair.a, &pair.b].map(|side| Task::start(side.session.request(echo(round, 50))));
        pair.settle();
        for ask in asks {
            assert_eq!(ask.done().unwrap().0, round);
        }
        // A peer may change its key 64 times a minute.
        pair.now += Duration::from_secs(20);
    }
    assert_eq!(*heard_there.lock().unwrap(), notes);
    assert_eq!(*heard_here.lock().unwrap(), notes);
    for side in [&pair.a, &pair.b] {
        assert!(side.ended.is_none());
        assert!(side.renewed >= 400, "{} changes", side.renewed);
    }
}
