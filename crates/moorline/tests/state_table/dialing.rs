//! Seen from the side that dials: what whoever listens may answer, and what comes of it.

use moorline::{CloseReason, Error, ErrorCode, Service, Suite, Suites};
use moorline_noise::{Handshake, HandshakeConfig, Identity, Provider, Role, prologue};
use moorline_protocol::{Ending, HandshakeFailure};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::hand::{RECORD, read_unit, record, setup, unit, wide_unit};
use crate::rows;
use crate::support::within;

rows! {
    "the pinned key is not the peer's" => "`NotLetIn`: who listens cannot read our message 1, stays \
        silent and closes, which is all there is to see from here; no other suite is tried" {
        pinned_key_is_not_the_peers: {
            fails(HandshakeFailure::NotLetIn, |call| call.answer_of(&generate(), &[]))
        };
        listener_says_nothing_and_closes: fails(HandshakeFailure::NotLetIn, |_| Some(vec![]));
    }
    "an answer that is forged, or was changed on the way" => "`PeerUnverified`, and no other suite is \
        tried" {
        answer_forged: fails(HandshakeFailure::PeerUnverified, |_| Some(wide_unit(0x1d, &[7; 1_184])));
        answer_changed: fails(HandshakeFailure::PeerUnverified, |call| {
            let mut answer = call.answer(&[])?;
            answer[600] ^= 1;
            Some(answer)
        });
        answer_of_another_length: fails(HandshakeFailure::PeerUnverified, |call| {
            Some(wide_unit(0x1d, &call.answer(&[])?[5..]))
        });
        answer_of_another_key_in_a_suite_that_shows_it: xx_shows_another_key();
    }
    "bytes that are no unit, or another unit than the one that is due" => "`NotOurProtocol`" {
        answer_in_http: fails(HandshakeFailure::NotOurProtocol, |_| {
            Some(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())
        });
        answer_in_tls: fails(HandshakeFailure::NotOurProtocol, |_| {
            Some(b"\x15\x03\x01\x00\x02\x02\x46".to_vec())
        });
        answer_is_a_hello: fails(HandshakeFailure::NotOurProtocol, |_| Some(unit(0x1c, &[7; 200])));
        answer_is_a_record: {
            fails(HandshakeFailure::NotOurProtocol, |_| Some(wide_unit(RECORD, &[7; 40])))
        };
    }
    "CAPS malformed, or without a version in common" => "`Caps`" {
        answer_with_malformed_caps: fails(HandshakeFailure::Caps, |call| call.answer(&[(0, 2)]));
        answer_with_other_versions: {
            fails(HandshakeFailure::Caps, |call| call.answer(&[(1, 9), (2, 2)]))
        };
    }
    "a required feature we do not have" => "CLOSE(UNSUPPORTED)" {
        listener_requires_a_feature: closes(ErrorCode::UNSUPPORTED, |call| call.answer(&[(11, 1)]));
    }
    "a first record that does not verify" => "dead" {
        first_record_forged: is_dead(|call| {
            Some([call.answer(&[])?, wide_unit(RECORD, &[7; 40])].concat())
        });
        first_record_in_clear: is_dead(|call| Some([call.answer(&[])?, setup()].concat()));
    }
    "something else than SETUP first" => "CLOSE(PROTOCOL)" {
        ping_before_setup: closes(ErrorCode::PROTOCOL, |call| call.answer_and(b"\xc7\x01\x0e\x01"));
        padding_before_setup: closes(ErrorCode::PROTOCOL, |call| call.answer_and(&[0; 9]));
        change_of_keys_before_setup: {
            closes(ErrorCode::PROTOCOL, |call| call.answer_and(b"\xc7\x00\x15"))
        };
    }
    "nothing at all" => "`Timeout` when 5 s are over" {
        no_answer: fails(HandshakeFailure::Timeout, |_| None);
    }
}

fn generate() -> Identity {
    Identity::generate(&Provider::pure()).unwrap()
}

/// What a listener by hand has heard, and who it is.
struct Call<'a> {
    hello: &'a [u8],
    identity: &'a Identity,
}

impl Call<'_> {
    /// The good answer, but for some bytes of its capabilities.
    fn answer(&self, caps: &[(usize, u8)]) -> Option<Vec<u8>> {
        self.answer_of(self.identity, caps)
    }

    /// The same, and these units in a record behind it.
    fn answer_and(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let (answer, handshake) = self.shake(self.identity, &[])?;
        Some([answer, record(&mut handshake.finish().unwrap().sealer, plain)].concat())
    }

    /// What the owner of this key answers. Who cannot read the message sends nothing.
    fn answer_of(&self, identity: &Identity, caps: &[(usize, u8)]) -> Option<Vec<u8>> {
        Some(self.shake(identity, caps).map_or(Vec::new(), |(answer, _)| answer))
    }

    fn shake(&self, identity: &Identity, changes: &[(usize, u8)]) -> Option<(Vec<u8>, Handshake)> {
        let (preamble, message) = self.hello.split_first_chunk().unwrap();
        let mut handshake = Handshake::responder(HandshakeConfig {
            suite: Suite::from_id(preamble[6]).unwrap(),
            prologue: &prologue(preamble, "", None),
            local: Some(identity),
            remote: None,
            provider: Provider::pure(),
        })
        .unwrap();
        let (mut caps, mut answer) = ([0; 32], vec![0; 2_048]);
        handshake.read(message, &mut caps, &mut |_| true).ok()?;
        for (at, byte) in changes {
            caps[*at] = *byte;
        }
        let len = handshake.write(&caps, &mut answer).unwrap();
        Some((wide_unit(0x1d, &answer[..len]), handshake))
    }
}

/// A listener that says this, nothing (`None`), or closes without a word (no bytes): so it ends.
async fn fails(expected: HandshakeFailure, says: impl Fn(Call<'_>) -> Option<Vec<u8>>) {
    let reason = outcome(Suites::default(), says).await;
    assert_eq!(reason, CloseReason::HandshakeFailed(expected));
}

async fn is_dead(says: impl Fn(Call<'_>) -> Option<Vec<u8>>) {
    let reason = outcome(Suites::default(), says).await;
    assert_eq!((reason.ending(), reason), (Ending::Dead, CloseReason::Tampered));
}

async fn closes(code: ErrorCode, says: impl Fn(Call<'_>) -> Option<Vec<u8>>) {
    let reason = outcome(Suites::default(), says).await;
    assert!(matches!(&reason, CloseReason::Violation(v) if v.code == code), "{reason}");
}

/// A service dials, once: why that came to nothing.
async fn outcome(suites: Suites, says: impl Fn(Call<'_>) -> Option<Vec<u8>>) -> CloseReason {
    let identity = generate();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("tcp://{}@{}", identity.public(), listener.local_addr().unwrap());
    let key = moorline::Identity::generate().unwrap();
    let client = Service::builder().identity(key).suites(suites).build().unwrap();
    let mut attempts = 0;
    let listening = async {
        let mut open: Vec<TcpStream> = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            attempts += 1;
            let (ty, hello) = read_unit(&mut stream).await;
            assert_eq!(ty, 0x1c);
            let bytes = says(Call { hello: &hello, identity: &identity });
            if bytes.as_ref().is_some_and(Vec::is_empty) {
                continue;
            }
            stream.write_all(&bytes.unwrap_or_default()).await.unwrap();
            open.push(stream);
        }
    };
    let failed = within(async {
        tokio::select! {
            () = listening => unreachable!("it listens for ever"),
            failed = client.connect(&url, "msgpack") => failed,
        }
    })
    .await;
    assert_eq!(attempts, 1, "no other suite is tried");
    assert!(client.sessions().is_empty());
    match failed {
        Err(Error::Handshake { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

/// In pattern XX who listens shows its key, and who dials has pinned another one.
async fn xx_shows_another_key() {
    let suites = Suites::only(&[Suite::XxHfsChaCha]);
    assert_eq!(Suite::XxHfsChaCha.caps_message(Role::Responder), 1);
    let reason = outcome(suites, |call| call.answer_of(&generate(), &[])).await;
    assert_eq!(reason, CloseReason::HandshakeFailed(HandshakeFailure::PeerUnverified));
}
