//! Looks for the keys of a session in the whole writable memory of its own process, while the session
//! lives and after it has ended.
//!
//! Keys are learned from a cipher that stands between: every key that is ever expanded passes there
//! and is kept under a mask, so that what is looked for is not itself in memory. Linux only, where
//! `/proc/self/mem` is a file that safe code can read.
#![expect(clippy::unwrap_used, reason = "a failure here is the failure of the test that called")]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::Mutex;

use moorline_noise::provider::{Aead, AeadContext, Cipher};
use moorline_noise::{Handshake, HandshakeConfig, Identity, Provider, Suite, Transport};
use zeroize::Zeroize;

pub(crate) const MASK: u8 = 0xa5;
const CHUNK: usize = 1 << 20;

/// Runs a whole session with `base` and says where keys were found: while it lived, and after.
pub(crate) fn found_in_a_session(suite: Suite, base: Provider) -> [Vec<String>; 2] {
    let masked: &'static Learning = Box::leak(Box::new(Learning {
        inner: base.aead,
        masked: Mutex::new(Vec::with_capacity(1_000)),
    }));
    let sides = a_session(suite, Provider { aead: masked, ..base });
    let alive = scan(&masked.masked.lock().unwrap());
    drop(sides);
    [alive, scan(&masked.masked.lock().unwrap())]
}

fn a_session(suite: Suite, provider: Provider) -> (Transport, Transport) {
    let (one, two) =
        (Identity::generate(&provider).unwrap(), Identity::generate(&provider).unwrap());
    let config = |local, remote| HandshakeConfig { suite, prologue: b"", local, remote, provider };
    let local = suite.initiator_has_key().then_some(&one);
    let remote = suite.responder_is_known().then(|| two.public());
    let mut initiator = Handshake::initiator(config(local, remote)).unwrap();
    let mut responder = Handshake::responder(config(Some(&two), None)).unwrap();
    let (mut wire, mut payload) = ([0; 2_048], [0; 2_048]);
    while !initiator.is_finished() {
        let (writer, reader) = if initiator.is_my_turn() {
            (&mut initiator, &mut responder)
        } else {
            (&mut responder, &mut initiator)
        };
        let len = writer.write(b"payload", &mut wire).unwrap();
        reader.read(&wire[..len], &mut payload, &mut |_| true).unwrap();
    }
    let (mut one, mut two) = (initiator.finish().unwrap(), responder.finish().unwrap());
    for _epoch in 0..3 {
        for _record in 0..3 {
            exchange(&mut one, &mut two);
            exchange(&mut two, &mut one);
        }
        one.sealer.rekey();
        two.opener.rekey();
        two.sealer.rekey();
        one.opener.rekey();
        exchange(&mut one, &mut two);
        exchange(&mut two, &mut one);
    }
    (one, two)
}

fn exchange(from: &mut Transport, to: &mut Transport) {
    let mut record = [7; 116];
    let (body, tag) = record.split_last_chunk_mut::<16>().unwrap();
    from.sealer.seal(b"header", body, tag).unwrap();
    to.opener.open(b"header", &mut record).unwrap();
}

/// Remembers every key that is expanded, masked.
struct Learning {
    inner: &'static dyn Aead,
    masked: Mutex<Vec<[u8; 32]>>,
}

impl Aead for Learning {
    fn context(&self, cipher: Cipher, key: &[u8; 32]) -> Box<dyn AeadContext> {
        let mut masked = self.masked.lock().unwrap();
        assert!(masked.len() < masked.capacity());
        masked.push([0; 32]);
        let last = masked.last_mut().unwrap();
        for (to, from) in last.iter_mut().zip(key) {
            *to = *from ^ MASK;
        }
        self.inner.context(cipher, key)
    }
}

/// The mappings in which one of these stands, once for each time it does.
pub(crate) fn scan(masked: &[[u8; 32]]) -> Vec<String> {
    let mut starts = vec![false; 1 << 16];
    for key in masked {
        starts[usize::from(u16::from_le_bytes([key[0] ^ MASK, key[1] ^ MASK]))] = true;
    }
    let memory = File::open("/proc/self/mem").unwrap();
    let mut buffer = vec![0; CHUNK + 31];
    let mut found = Vec::new();
    for mapping in fs::read_to_string("/proc/self/maps").unwrap().lines() {
        let Some((start, end)) = writable(mapping) else { continue };
        let mut at = start;
        while at < end {
            let len = (CHUNK + 31).min(usize::try_from(end - at).unwrap());
            // A page may have gone since the list was read, or never have been there.
            if memory.read_exact_at(&mut buffer[..len], at).is_ok() {
                for _ in 0..hits(&buffer[..len], masked, &starts) {
                    found.push(mapping.split_whitespace().last().unwrap().to_owned());
                }
            }
            at += u64::try_from(CHUNK).unwrap();
        }
    }
    buffer.zeroize();
    found
}

/// Start and end of a mapping that the process may write to.
fn writable(mapping: &str) -> Option<(u64, u64)> {
    let (range, rest) = mapping.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    if rest.starts_with("rw") { Some((address(start)?, address(end)?)) } else { None }
}

fn hits(memory: &[u8], masked: &[[u8; 32]], starts: &[bool]) -> usize {
    let stands = |window: &&[u8]| {
        starts[usize::from(u16::from_le_bytes([window[0], window[1]]))]
            && masked.iter().any(|key| key.iter().zip(*window).all(|(k, byte)| k ^ MASK == *byte))
    };
    memory.windows(32).filter(stands).count()
}
