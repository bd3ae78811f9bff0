//! One name registered twice in a process: in a test of its own, because no other registry can be
//! had in this process any more.

#![forbid(unsafe_code)]

use moorline_protocol::{MessageRegistry, register_message};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Move;

mod elsewhere {
    #[derive(serde::Serialize, serde::Deserialize)]
    pub(super) struct Move;
}

register_message!(Move);
register_message!(elsewhere::Move);

//= docs/PROTOCOL.md#4
#[test]
fn a_name_registered_twice_fails_at_start_with_both_lines_and_every_time() {
    let lines: Vec<_> = include_str!("registration_twice.rs")
        .lines()
        .zip(1..)
        .filter(|(line, _)| line.starts_with("register_message!("))
        .map(|(_, number)| number)
        .collect();
    let (_, _) = (Move, elsewhere::Move);
    for _ in 0..2 {
        let text = MessageRegistry::process().unwrap_err().to_string();
        assert!(text.starts_with("two messages are named \"Move\""), "{text}");
        for line in &lines {
            assert!(text.contains(&format!("tests/registration_twice.rs:{line}")), "{text}");
        }
    }
}
