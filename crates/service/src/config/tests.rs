use std::time::Duration;

use super::*;
use crate::Service;

fn in_file(line: usize) -> Source {
    Source::File { path: Path::new("moor.toml").into(), line }
}

fn explained(builder: &ServiceBuilder, knob: &str) -> (String, Source) {
    let all = builder.explain();
    let one = all.into_iter().find(|one| one.knob == knob).unwrap();
    (one.value.to_string(), one.source)
}

#[test]
fn the_later_source_counts_in_whichever_order_they_are_read() {
    let mut config = Config::new();
    let variable = || Source::Environment { variable: "MOORLINE_TIMEOUT".into() };
    config.set_text("timeout", "3s", Source::CommandLine).unwrap();
    config.set_text("timeout", "2s", variable()).unwrap();
    config.set_text("timeout", "1s", in_file(1)).unwrap();
    config.set_text("heartbeat", "2s", variable()).unwrap();
    config.set_text("heartbeat", "1s", in_file(2)).unwrap();
    config.set_text("dead_after", "1s", in_file(3)).unwrap();
    let builder = Service::builder()
        .config(config)
        .timeout(Duration::from_secs(9))
        .dead_after(Duration::from_secs(9))
        .close_wait(Duration::from_secs(9));
    assert_eq!(explained(&builder, "timeout"), ("3s".into(), Source::CommandLine));
    assert_eq!(explained(&builder, "heartbeat"), ("2s".into(), variable()));
    assert_eq!(explained(&builder, "dead_after"), ("1s".into(), in_file(3)));
    assert_eq!(explained(&builder, "close_wait"), ("9s".into(), Source::Builder));
    assert_eq!(explained(&builder, "connect_timeout"), ("10s".into(), Source::Default));
    let limits = builder.build().unwrap().snapshot().service.limits;
    assert_eq!((limits.timeout_ms, limits.heartbeat_ms), (Some(3_000), Some(2_000)));
    assert_eq!((limits.dead_after_ms, limits.close_wait_ms), (1_000, 9_000));
}

#[test]
fn a_mistake_is_told_with_its_place_its_knob_and_what_to_write() {
    let mut config = Config::new();
    for (name, text, told) in [
        ("time_out", "3s", "moor.toml:7: `time_out` is no knob: did you mean `timeout`?"),
        (
            "colour",
            "red",
            "moor.toml:7: `colour` is no knob: `moor config explain` tells which there are",
        ),
        (
            "timeout",
            "10 parsecs",
            "moor.toml:7: `timeout` is \"10 parsecs\": a time with its unit, or never: \"250ms\", \
             \"10s\", \"never\"",
        ),
        ("message_max", "1KiB", "moor.toml:7: `message_max` is 1KiB, it must be at least 64KiB"),
        ("shards", "5000", "moor.toml:7: `shards` is 5000, it must be at most 1024"),
        ("heartbeat", "0s", "moor.toml:7: `heartbeat` is 0us, it must be at least 1ms"),
        (
            "evil\u{1b}[2J",
            "",
            "moor.toml:7: `evil\\u{1b}[2J` is no knob: `moor config explain` tells which there are",
        ),
    ] {
        let error = config.set_text(name, text, in_file(7)).unwrap_err();
        assert_eq!(error.to_string(), told);
    }
    let error = config.set_number("timeout", 30, Source::CommandLine).unwrap_err();
    assert!(error.to_string().starts_with("command line: `timeout` is 30: a time with its unit"));
    config.set_number("message_max", 65_536, in_file(1)).unwrap();
}

#[test]
fn values_that_cannot_be_together_are_told_with_both_places() {
    let mut config = Config::new();
    config.set_text("keep_alive", "1min", in_file(2)).unwrap();
    config.set_text("idle_timeout", "30s", in_file(3)).unwrap();
    let error = Service::builder().config(config).build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "moor.toml:3: `idle_timeout` is 30s and `keep_alive` is 1min (moor.toml:2): `keep_alive` \
         must be shorter than `idle_timeout`, a session at rest would end before its peer is asked"
    );
    // A program says what it likes.
    let (ask, end) = (Duration::from_secs(60), Duration::from_secs(30));
    drop(Service::builder().keep_alive(ask).idle_timeout(end).build().unwrap());
    let mut config = Config::new();
    config.set_text("idle_timeout", "30s", Source::CommandLine).unwrap();
    let error = Service::builder().keep_alive(ask).config(config).build().unwrap_err().to_string();
    assert!(
        error.starts_with("command line: `idle_timeout` is 30s and `keep_alive` is 1min (program)")
    );
}
