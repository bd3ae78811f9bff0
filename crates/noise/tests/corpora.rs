//! The corpora of the fuzz targets, replayed, and then altered a little in many ways: what a fuzzer
//! would begin with, on any toolchain.
#![expect(clippy::unwrap_used, reason = "a failure here is the failure of the test that called")]

mod dialogue;
mod fuzzed;

use std::fs;
use std::path::PathBuf;

use dialogue::next_byte;
use moorline_noise::Suite;

fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target)
}

/// Runs every file of a corpus, and `variants` altered forms of each.
fn replay(target: &str, run: fn(&[u8]), variants: u32) {
    let mut paths: Vec<_> =
        fs::read_dir(folder(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 4, "{target} has a corpus");
    let mut state = 1;
    for path in paths {
        let genuine = fs::read(path).unwrap();
        run(&genuine);
        for _ in 0..variants {
            run(&altered(&genuine, &mut state));
        }
    }
}

/// A few bytes changed, put in or taken out.
fn altered(genuine: &[u8], state: &mut u64) -> Vec<u8> {
    let mut bytes = genuine.to_vec();
    for _ in 0..=next_byte(state) % 4 {
        let place = usize::from(next_byte(state)) << 8 | usize::from(next_byte(state));
        let at = place % (bytes.len() + 1);
        match next_byte(state) % 4 {
            0 => bytes.insert(at, next_byte(state)),
            1 => bytes.truncate(at),
            _ if at < bytes.len() => bytes[at] ^= 1 << (next_byte(state) % 8),
            _ => bytes.push(next_byte(state)),
        }
    }
    bytes
}

#[test]
fn noise_responder() {
    replay("noise_responder", fuzzed::noise_responder, 40);
}

#[test]
fn noise_initiator() {
    replay("noise_initiator", fuzzed::noise_initiator, 40);
}

#[test]
fn records_with_known_keys() {
    replay("records_with_known_keys", fuzzed::records_with_known_keys, 40);
}

#[test]
fn peers_file() {
    replay("peers_file", fuzzed::peers_file, 2_000);
}

/// Genuine messages, which a fuzzer would never find by itself.
#[test]
#[ignore = "writes the first files of the corpora, after a change of what is on the wire"]
fn write_the_first_files() {
    for target in ["noise_responder", "noise_initiator", "records_with_known_keys", "peers_file"] {
        fs::create_dir_all(folder(target)).unwrap();
    }
    let put =
        |target, name: String, bytes: &[u8]| fs::write(folder(target).join(name), bytes).unwrap();
    for (number, suite) in (0_u8..).zip(Suite::ALL) {
        let name = format!("suite-{:02x}", suite.id());
        let (mut initiator, mut responder) = fuzzed::pair(suite);
        let first = fuzzed::write(&mut initiator);
        put("noise_responder", name.clone(), &[&[number], &first[..]].concat());
        dialogue::read(&mut responder, &first).unwrap();
        let second = fuzzed::write(&mut responder);
        put("noise_initiator", name.clone(), &[&[number], &second[..]].concat());
        if suite.messages() == 3 {
            dialogue::read(&mut initiator, &second).unwrap();
            let third = fuzzed::write(&mut initiator);
            // The highest bit asks for the last message; the number of the suite is what remains.
            let first = (0x80..=0xff_u8).find(|byte| byte % 9 == number).unwrap();
            put("noise_responder", format!("{name}-last"), &[&[first], &third[..]].concat());
        }
    }
    let scripts: [&[u8]; 4] = [
        b"\x00\x04\x05hello\x00\x05\x05again\x01\x02\x06\x00\x07\x01x",
        b"\x01\x04\x03abc\x00\x00\x04\x03abc\x4c\x03abc\x04\x03abc",
        b"\x00\x04\x05hello\xfb0123456789abcdefghijklmnopqrstuvwxyz\x04\x01x",
        b"\x01\x07\x20aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\x02\x01\x00\x07\x02bb",
    ];
    for (number, script) in scripts.iter().enumerate() {
        put("records_with_known_keys", format!("script-{number}"), script);
    }
    let identity = dialogue::identity(7);
    let (public, bare) = (identity.public().to_line(), identity.public().to_string());
    let texts = [
        format!(
            "# who\nann {public} role=admin,user not_after=2030-12-31 addr=10.0.0.0/8 services=a,b\n"
        ),
        format!("probe\t{bare} role=device addr=2001:db8::/32,192.168.1.7 # here\n\n"),
        format!("a {bare} role=x\r\nb {bare} role=y\n"),
        identity.to_line().to_string(),
        public,
    ];
    for (number, text) in texts.iter().enumerate() {
        put("peers_file", format!("text-{number}"), text.as_bytes());
    }
}
