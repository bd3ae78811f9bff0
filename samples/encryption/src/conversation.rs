//! A conversation in plain and in sealed bytes, and what tampering gets.

use std::error::Error;

use moorline_noise::{Identity, Provider, RecordError, Suite, Transport};

use crate::pair::Pair;

const LINES: [&str; 3] = ["transfer 100 to bob", "transfer 100 to bob", "thanks"];
const TAG_LEN: usize = 16;

type Outcome = Result<(), Box<dyn Error>>;

pub(crate) fn plain_and_sealed() -> Outcome {
    let pair = Pair::new(Provider::pure())?;
    let (mut ours, mut theirs) = pair.shake_hands(Suite::IkHfsChaCha)?;
    println!("The same conversation, plain and sealed ({})", Suite::IkHfsChaCha);
    println!("  dialer   {:?}\n  listener {:?}\n", pair.dialing, pair.listening);
    for line in LINES {
        let record = seal(&mut ours, line)?;
        println!("  {line:?}\n    plain   {}", hex(line.as_bytes()));
        println!("    sealed  {}", hex(&record));
        assert_eq!(open(&mut theirs, record)?, line);
    }
    println!("  Equal lines give different records, and each is {TAG_LEN} bytes longer.\n");
    Ok(())
}

pub(crate) fn tampered() -> Outcome {
    let pair = Pair::new(Provider::pure())?;
    println!("What tampering gets");

    let (mut ours, mut theirs) = pair.shake_hands(Suite::IkHfsChaCha)?;
    let mut record = seal(&mut ours, LINES[0])?;
    record[9] ^= 1;
    say("one bit of a record flipped", open(&mut theirs, record));
    let next = seal(&mut ours, LINES[1])?;
    say("the next record, untouched", open(&mut theirs, next));

    let (mut ours, mut theirs) = pair.shake_hands(Suite::IkHfsChaCha)?;
    let record = seal(&mut ours, LINES[0])?;
    say("a record", open(&mut theirs, record.clone()));
    say("the same record once more", open(&mut theirs, record));

    let (mut ours, _) = pair.shake_hands(Suite::IkHfsChaCha)?;
    let (_, mut strangers) = Pair::new(Provider::pure())?.shake_hands(Suite::IkHfsChaCha)?;
    let record = seal(&mut ours, LINES[0])?;
    say("a record opened with the key of another session", open(&mut strangers, record));

    let expected = Identity::generate(&Provider::pure())?;
    let refused = pair.dial(Suite::IkHfsChaCha, &expected).map(|_session| "a session".to_owned());
    say("dialing a listener that has another key than expected", refused);
    println!();
    Ok(())
}

/// A record without a header: the line and its tag.
fn seal(side: &mut Transport, line: &str) -> Result<Vec<u8>, RecordError> {
    let (mut record, mut tag) = (line.as_bytes().to_vec(), [0; TAG_LEN]);
    side.sealer.seal(b"", &mut record, &mut tag)?;
    record.extend_from_slice(&tag);
    Ok(record)
}

fn open(side: &mut Transport, mut record: Vec<u8>) -> Result<String, RecordError> {
    let len = side.opener.open(b"", &mut record)?;
    Ok(String::from_utf8_lossy(&record[..len]).into_owned())
}

fn say<E: Error>(what: &str, outcome: Result<String, E>) {
    match outcome {
        Ok(line) => println!("  {what}: {line:?}"),
        Err(error) => println!("  {what}: refused. {error}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
