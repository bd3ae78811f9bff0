//! `docs/LIMITS.md` says what the code does: each knob's default, and the numbers that are fixed.

use std::time::Duration;

use moorline::config::{Kind, Knob, Value};
use moorline_protocol::limits as protocol;
use moorline_service::limits as service;
use moorline_session::limits as session;

const LIMITS: &str = include_str!("../../../docs/LIMITS.md");

/// Knobs that are no limits, and have no row.
const NO_LIMITS: [&str; 3] = ["realm", "agent", "flush"];

struct Row<'a> {
    limit: &'a str,
    default: &'a str,
    knob: &'a str,
}

fn rows() -> Vec<Row<'static>> {
    let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim);
    let rows = LIMITS.lines().filter(|line| line.starts_with("| "));
    rows.filter_map(|line| {
        let [limit, default, _, knob] = cells(line).collect::<Vec<_>>()[..] else { return None };
        Some(Row { limit, default, knob })
    })
    .collect()
}

/// `16 MiB (64 KiB to 4 GiB)` or `never; give or take`: what stands before the explanation.
fn value_of(kind: Kind, default: &str) -> Option<Value> {
    let plain = default.replace(',', "\u{1f}");
    let plain = plain.split(['(', ';']).next()?;
    // A comma within a number, or one before an explanation.
    let mut digits = String::new();
    for (at, part) in plain.split('\u{1f}').enumerate() {
        let continues = part.len() >= 3 && part.bytes().take(3).all(|byte| byte.is_ascii_digit());
        if at > 0 && !continues {
            break;
        }
        digits.push_str(part);
    }
    let text = digits.trim().trim_end_matches("bytes").trim();
    match text.split_once('^') {
        Some((base, power)) => {
            let number = base.parse::<u64>().ok()?.checked_pow(power.parse().ok()?)?;
            kind.number(number)
        }
        None => kind.parse(text),
    }
}

fn row_of(limit: &str) -> Row<'static> {
    let mut found = rows().into_iter().filter(|row| row.limit == limit);
    let row = found.next().unwrap_or_else(|| panic!("no row \"{limit}\""));
    assert!(found.next().is_none(), "two rows \"{limit}\"");
    row
}

#[test]
fn the_default_of_every_knob_is_the_one_in_the_table() {
    for knob in Knob::all().filter(|knob| !NO_LIMITS.contains(&knob.name())) {
        let name = knob.name();
        let (own, field) = (format!("`{name}`"), format!("`Settings::{name}`"));
        let rows: Vec<_> =
            rows().into_iter().filter(|row| row.knob == own || row.knob == field).collect();
        assert!(!rows.is_empty(), "`{name}` has no row in docs/LIMITS.md");
        for row in rows {
            if name == "record_log2" {
                assert!(row.default.contains(&format!("log2 is {}", knob.default_value())));
                continue;
            }
            let told = value_of(knob.kind(), row.default);
            assert_eq!(told, Some(knob.default_value()), "`{name}`: {}", row.default);
        }
    }
}

#[test]
fn numbers_that_are_fixed_are_the_ones_in_the_table() {
    let sizes = [
        ("first record", protocol::FIRST_RECORD_MAX as u64),
        ("SETUP", protocol::SETUP_MAX as u64),
        ("agent in SETUP", protocol::AGENT_MAX as u64),
        ("text in ERROR, RESET, GOAWAY, CLOSE", protocol::TEXT_MAX as u64),
        ("cost of a unit beside its length", protocol::UNIT_COST),
        ("cost at which a block is closed", protocol::BLOCK_COST_MAX.into()),
        ("cost of a post that waits, beside its length", service::QUEUED_POST_COST as u64),
        ("answers the peer does not read", session::ANSWERS_BYTES_MAX as u64),
        ("what goes by before a lower lane gets a block", session::LANE_WAIT_BYTES as u64),
    ];
    for (limit, number) in sizes {
        assert_eq!(
            value_of(Kind::Size, row_of(limit).default),
            Some(Value::Size(number)),
            "{limit}"
        );
    }
    let counts = [
        ("handshakes at once", service::HANDSHAKES_MAX as u64),
        ("depth of a body", protocol::DEPTH_MAX as u64),
        ("message types of one process or peer", protocol::TYPES_MAX.into()),
        ("subscriptions of the peer", session::SUBSCRIPTIONS_MAX as u64),
        ("tasks that wait for the owner of a session", service::OWNER_TASKS_MAX as u64),
        ("alarms of a session", service::ALARMS_MAX as u64),
        ("ended sessions that a snapshot tells of", service::ENDS_KEPT_MAX as u64),
        ("tasks a shard runs until it looks at its sockets", service::SHARD_EVENT_INTERVAL.into()),
    ];
    for (limit, number) in counts {
        let told = value_of(Kind::Count, row_of(limit).default);
        assert_eq!(told, Some(Value::Count(number)), "{limit}");
    }
    let times = [
        ("tick at which refused connections are closed", service::SILENCE_TICK),
        (
            "sessions cut short at the drain deadline, until they have said goodbye",
            service::CUT_WAIT,
        ),
        (
            "a connection of a client that lasts, so that the next wait begins at 50 ms again",
            service::STEADY_AFTER,
        ),
    ];
    for (limit, time) in times {
        let told = value_of(Kind::Time, row_of(limit).default);
        assert_eq!(told, Some(Value::Time(Some(time))), "{limit}");
    }
}

#[test]
fn defaults_are_read_as_they_are_written() {
    let size = |text| value_of(Kind::Size, text);
    assert_eq!(size("16 MiB (64 KiB to 4 GiB less one byte)"), Some(Value::Size(16 << 20)));
    assert_eq!(size("2,048 bytes"), Some(Value::Size(2_048)));
    assert_eq!(size("32 MiB, or half of it and one message"), Some(Value::Size(32 << 20)));
    assert_eq!(value_of(Kind::Count, "2^20"), Some(Value::Count(1 << 20)));
    assert_eq!(value_of(Kind::Count, "4,096 (at least 16)"), Some(Value::Count(4_096)));
    let time = |text| value_of(Kind::TimeOrNever, text);
    assert_eq!(time("never; give or take a tenth"), Some(Value::Time(None)));
    assert_eq!(time("500 ms; then"), Some(Value::Time(Some(Duration::from_millis(500)))));
    assert_eq!(time("as you say"), None);
}
