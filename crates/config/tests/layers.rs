//! Files, environment and command line: what counts, and what is said of mistakes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;

use moorline_config::Layers;
use moorline_service::Service;
use moorline_service::config::{Knob, Source};
use proptest::prelude::*;

fn toml(text: &str) -> Result<Layers, String> {
    let mut layers = Layers::new();
    layers.toml("moor.toml", text).map_err(|error| error.to_string())?;
    Ok(layers)
}

fn json(text: &str) -> Result<Layers, String> {
    let mut layers = Layers::new();
    layers.json("moor.json", text).map_err(|error| error.to_string())?;
    Ok(layers)
}

fn shown(layers: Layers, knob: &str) -> (String, String) {
    let all = Service::builder().config(layers.into_config()).explain();
    let one = all.into_iter().find(|one| one.knob == knob).unwrap();
    (one.value.to_string(), one.source.to_string())
}

fn pair(value: &str, source: &str) -> (String, String) {
    (value.to_owned(), source.to_owned())
}

const TOML: &str = "# how long\ntimeout = \"10s\"\n\nmessage_max = 1_048_576\nflush = 'manual'\n";
const JSON: &str =
    "{\n  \"timeout\": \"10s\",\n  \"message_max\": 1048576,\n \"flush\": \"manual\"\n}";

#[test]
fn both_formats_say_the_same_and_where() {
    let (of_toml, of_json) = (toml(TOML).unwrap(), json(JSON).unwrap());
    assert_eq!(shown(of_toml.clone(), "timeout"), pair("10s", "moor.toml:2"));
    assert_eq!(shown(of_json.clone(), "timeout"), pair("10s", "moor.json:2"));
    assert_eq!(shown(of_toml.clone(), "message_max"), pair("1MiB", "moor.toml:4"));
    assert_eq!(shown(of_json.clone(), "message_max"), pair("1MiB", "moor.json:3"));
    assert_eq!(shown(of_toml, "flush"), pair("manual", "moor.toml:5"));
    assert_eq!(shown(of_json, "flush"), pair("manual", "moor.json:4"));
}

#[test]
fn the_command_line_counts_more_than_the_environment_and_that_more_than_files() {
    let variable = |value: &str| [("MOORLINE_TIMEOUT".into(), value.into())];
    let mut layers = Layers::new();
    layers.assign("timeout=1s").unwrap();
    layers.environment(variable("2s")).unwrap();
    layers.toml("a.toml", "timeout = '3s'\nheartbeat = '3s'").unwrap();
    layers.toml("b.toml", "heartbeat = '4s'").unwrap();
    assert_eq!(shown(layers.clone(), "timeout"), pair("1s", "command line"));
    assert_eq!(shown(layers, "heartbeat"), pair("4s", "b.toml:1"));
    let mut layers = toml("timeout = '3s'").unwrap();
    layers.environment(variable("2s")).unwrap();
    assert_eq!(shown(layers, "timeout"), pair("2s", "environment MOORLINE_TIMEOUT"));
}

#[test]
fn a_mistake_in_a_file_is_told_with_file_line_and_knob() {
    for (text, told) in [
        (
            "\nmesage_max = '1MiB'",
            "moor.toml:2: `mesage_max` is no knob: did you mean `message_max`?",
        ),
        (
            "timeout = '10s'\n\nheartbeat = 10",
            "moor.toml:3: `heartbeat` is 10: a time with its unit",
        ),
        ("outbox_bytes = '64 KB'", "moor.toml:1: `outbox_bytes` is \"64 KB\": a number of bytes"),
        ("a = 1\n", "moor.toml:1: `a` is no knob"),
        ("timeout = true", "moor.toml:1: `timeout` is true or false: a time with its unit"),
        ("shards = -1", "moor.toml:1: `shards` is a negative number: a number"),
        ("\n[service]\nshards = 1", "moor.toml:2: `service` is no knob"),
        ("\n\n shards = 2000", "moor.toml:3: `shards` is 2000, it must be at most 1024"),
        ("timeout = ", "moor.toml:1: "),
        ("timeout = '1s'\ntimeout = '2s'", "moor.toml:2: "),
    ] {
        let error = toml(text).unwrap_err();
        assert!(error.starts_with(told), "{text:?}: {error}");
    }
    for (text, told) in [
        ("{\n\"mesage_max\": 1}", "moor.json:2: `mesage_max` is no knob"),
        ("{\"timeout\": null}", "moor.json:1: `timeout` is null: "),
        ("{\n\n\"shards\": [1]}", "moor.json:3: `shards` is a list: a number"),
        ("{\"shards\": {}}", "moor.json:1: `shards` is a table: a number"),
        ("{\"shards\": 1.5}", "moor.json:1: `shards` is a fraction: a number"),
        ("{\"shards\": 1,\n\"shards\": 2}", "moor.json:2: `shards` is set twice"),
        ("{\"shards\": 1\n,}", "moor.json:2: "),
        ("[]", "moor.json:1: "),
    ] {
        let error = json(text).unwrap_err();
        assert!(error.starts_with(told), "{text:?}: {error}");
    }
}

#[test]
fn a_mistake_elsewhere_is_told_with_its_place() {
    let mut layers = Layers::new();
    let variables = |name: &str, value: &str| [(name.into(), value.into())];
    let told = layers.environment(variables("MOORLINE_TIMEOUTS", "1s")).unwrap_err().to_string();
    assert_eq!(
        told,
        "environment MOORLINE_TIMEOUTS: `timeouts` is no knob: did you mean `timeout`?"
    );
    layers.environment(variables("PATH", "1s")).unwrap();
    layers.environment(variables("MOORLINE_CONFIG", "moor.toml")).unwrap();
    let told = layers.assign("timeout").unwrap_err().to_string();
    assert_eq!(told, "command line: \"timeout\" is not KNOB=VALUE");
    assert!(
        layers.assign("timeout=soon").unwrap_err().to_string().starts_with("command line: `tim")
    );
}

#[test]
fn a_file_is_read_by_its_ending_and_not_when_it_is_endless() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let mut layers = Layers::new();
    layers.file(write("moor.toml", TOML)).unwrap();
    layers.file(write("moor.JSON", JSON)).unwrap();
    assert!(
        matches!(&*shown(layers.clone(), "timeout").1, source if source.ends_with("moor.JSON:2"))
    );
    for (path, told) in [
        (write("moor.yaml", ""), "moor.yaml: a configuration file ends in .toml or .json"),
        (folder.path().join("none.toml"), "none.toml: No such file"),
        (write("long.toml", &"#".repeat(1024 * 1024 + 1)), "the limit of a configuration file is"),
    ] {
        let error = layers.file(path).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_is_explained_can_be_read_again(picks in prop::collection::vec(any::<u64>(), 24)) {
        let text: String = Knob::all()
            .zip(picks)
            .filter(|(_, pick)| pick.is_multiple_of(2))
            .map(|(knob, _)| format!("{} = {:?}\n", knob.name(), written(knob)))
            .collect();
        let config = toml(&text).unwrap().into_config();
        for one in Service::builder().config(config).explain() {
            prop_assert_eq!(&one.value, &one.default);
            let known = matches!(one.source, Source::Default | Source::File { .. });
            prop_assert!(known, "{}", one.source);
        }
    }

    #[test]
    fn no_text_makes_a_reader_panic(text: String) {
        let _ = toml(&text);
        let _ = json(&text);
        let _ = Layers::new().assign(&text);
    }
}

fn written(knob: &Knob) -> String {
    let text = knob.default_value().to_string();
    text.trim_matches('"').to_owned()
}
