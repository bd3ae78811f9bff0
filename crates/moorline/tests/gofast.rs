//! gofast as an application has it: settings, statistics, heartbeats, and strangers at the door.
#![cfg(feature = "gofast")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use moorline::gofast::{Dialect, Format, Gofast, GofastSettings};
use moorline::{CallError, Error, Peers, SendError, Service, register_message};
use serde::{Deserialize, Serialize};
use support::{Ask, Note, Told, hear, note, run, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A message without a number.
#[derive(Debug, Serialize, Deserialize)]
struct Numberless;
register_message!(Numberless as "e2e.Numberless" => ());

/// What an application has encoded by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Packet(String);
register_message!(Packet as "e2e.Packet", id = 131 => Packet);

fn service(gofast: &Gofast) -> Service {
    Service::builder().peers(Peers::anonymous()).protocol(Arc::new(gofast.clone())).build().unwrap()
}

fn with(settings: GofastSettings) -> Gofast {
    Gofast::with(Dialect::Y2017, settings).unwrap()
}

#[test]
fn settings_and_statistics_are_those_of_the_application() {
    run(async {
        let settings = GofastSettings {
            name: Some("ada".into()),
            version: 7,
            tags: "gzip,lzw".into(),
            format: Format::Raw,
            ..GofastSettings::default()
        };
        let (here, there) = (with(settings.clone()), with(settings));
        let (server, client) = (service(&there), service(&here));
        server.handle_now(|_, packet: Packet| Ok(packet));
        let at = server.accept("tcp://127.0.0.1:0", "gofast").await.unwrap();
        let session = within(client.connect(&at.url().to_string(), "gofast")).await.unwrap();
        assert_eq!(&*session.peer().agent, "ada/7");
        let packet = Packet("over and over ".repeat(200));
        for _ in 0..10 {
            assert_eq!(within(session.request(packet.clone())).await.unwrap(), packet);
        }
        let (sent, received) = (here.stats().statistics(), there.stats().statistics());
        assert_eq!((sent.n_txreq, sent.n_rxresp), (11, 11), "with one whoami");
        assert_eq!((received.n_rxreq, received.n_txresp), (11, 11));
        assert!(sent.n_txbyte < 10 * 1000, "it was packed: {} bytes", sent.n_txbyte);
        let open = here.stats().connections();
        assert_eq!((open.len(), open[0].peer(), open[0].peer_version()), (1, "ada", Some(7)));
        within(client.shutdown()).await.unwrap();
        within(server.shutdown()).await.unwrap();
        drop((session, open));
        assert!(here.stats().connections().is_empty());
        assert!(here.stats().statistics().n_txreq >= 11, "what is over stays in the sum");
    });
}

#[test]
fn heartbeats_come_at_their_time_and_keep_nobody_busy() {
    run(async {
        let period = Some(Duration::from_millis(20));
        let beats = with(GofastSettings { heartbeat: period, ..GofastSettings::default() });
        let hears = with(GofastSettings::default());
        let (server, client) = (service(&hears), service(&beats));
        let at = server.accept("mem://gofast-beats", "gofast").await.unwrap();
        let session = within(client.connect(&at.url().to_string(), "gofast")).await.unwrap();
        let heard = async {
            while hears.stats().statistics().n_rxbeats < 5 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within(heard).await;
        let connection = hears.stats().connections().pop().unwrap();
        assert!(connection.silent_since(Instant::now()).is_some());
        assert_eq!(beats.stats().statistics().n_rxbeats, 0);
        session.close();
        within(client.shutdown()).await.unwrap();
        within(server.shutdown()).await.unwrap();
    });
}

#[test]
fn what_gofast_cannot_express_is_said_at_the_call() {
    run(async {
        let gofast = with(GofastSettings { extension: false, ..GofastSettings::default() });
        let (server, client) = (service(&gofast), service(&gofast));
        server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
        let at = server.accept("tcp://127.0.0.1:0", "gofast").await.unwrap();
        let session = within(client.connect(&at.url().to_string(), "gofast")).await.unwrap();
        let error = within(session.request(Numberless)).await.unwrap_err();
        let CallError::NotSent(SendError::Unsupported(why)) = error else { panic!("{error:?}") };
        assert!(why.contains("id = .."), "{why}");
        let error = within(session.request(Ask { number: 1 }).idempotent()).await.unwrap_err();
        assert!(matches!(error, CallError::NotSent(SendError::Unsupported(_))), "{error:?}");
        let error = within(session.subscribe::<Note>("news").into_future()).await.unwrap_err();
        assert!(error.to_string().contains("topics"), "{error}");
        let refused = session.open_raw("files").unwrap_err();
        assert!(matches!(refused, SendError::Unsupported(_)), "{refused:?}");
        // Nobody handles it there, and nobody can say so: time is the guard.
        let time = Duration::from_millis(50);
        let error = within(session.request(support::Late { number: 1 }).timeout(time)).await;
        assert_eq!(error.unwrap_err(), CallError::Timeout { limit: time });
        assert_eq!(gofast.stats().statistics().errors_unsaid, 1);
        let answer = within(session.request(Ask { number: 3 })).await.unwrap();
        assert_eq!(answer.number, 3, "the session goes on");
        within(client.shutdown()).await.unwrap();
        within(server.shutdown()).await.unwrap();
    });
}

#[test]
fn a_peer_that_breaks_rules_harms_no_other() {
    run(async {
        let gofast = with(GofastSettings { buffersize: Some(4096), ..GofastSettings::default() });
        let (server, client) = (service(&gofast), service(&gofast));
        let (tell, mut heard) = hear();
        server.on(move |_, note: Note| tell.send(note.number).unwrap());
        let at = server.accept("tcp://127.0.0.1:0", "gofast").await.unwrap();
        let session = within(client.connect(&at.url().to_string(), "gofast")).await.unwrap();
        let place = at.url().to_string().replace("tcp://", "");
        let whoami: &[u8] = b"\xd9\xd9\xf7\x81\x58\x25\xda\x00\x02\x71\x00\x58\x1e\xd8\x2b\xbf\
            \xd8\x2c\x19\x10\x02\xd8\x2d\x52\x06client\x01\0\0\0\0\0\0\x10\0\0\0\xff";
        for (number, bad) in (0..).zip([
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"\xd9\xd9\xf7\xc6\x5b\0\0\0\x01\x2a\x05\xf2\0",
            b"\xd9\xd9\xf7\x00",
            b"\xd9\xd9\xf7\xc6\x46\xda\0\x02\x71\x03\x40",
            &[0xff; 5000],
        ]) {
            for greeting in [&b""[..], whoami] {
                let mut stranger = TcpStream::connect(&place).await.unwrap();
                stranger.write_all(greeting).await.unwrap();
                // It may be gone before it has taken all of it.
                let _ = stranger.write_all(bad).await;
                let mut rest = Vec::new();
                let _ = within(stranger.read_to_end(&mut rest)).await;
            }
            session.send(&note(number)).unwrap();
            assert_eq!(heard.next().await, number);
        }
        assert_eq!(server.sessions().len(), 1);
        within(client.shutdown()).await.unwrap();
        within(server.shutdown()).await.unwrap();
    });
}

#[test]
fn mistakes_are_said_at_the_start() {
    run(async {
        let why = Gofast::with(
            Dialect::Y2016,
            GofastSettings { tags: "snappy".into(), ..GofastSettings::default() },
        );
        assert!(why.unwrap_err().to_string().contains("\"snappy\""));
        // Who is on a list has a key, and gofast has none.
        let closed = Service::builder().build().unwrap();
        let error = closed.accept("tcp://127.0.0.1:0", "gofast").await.unwrap_err();
        assert!(error.to_string().contains("Peers::anonymous()"), "{error}");
        let key = moorline::Identity::generate().unwrap().public();
        let error = closed.connect(&format!("tcp://{key}@127.0.0.1:1"), "gofast").await;
        assert!(matches!(error.unwrap_err(), Error::Setup(_)));
    });
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().map(|digit| digit.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

/// `cargo test --release -p moorline --features gofast --test gofast -- --ignored`; it takes 5 GiB of
/// memory.
#[test]
#[ignore = "gigabytes"]
fn a_packet_of_more_than_a_gigabyte_arrives() {
    const BODY: u32 = 1_200_000_000;
    run(async {
        let wide = with(GofastSettings { format: Format::Raw, ..GofastSettings::default() });
        let builder = Service::builder().peers(Peers::anonymous()).protocol(Arc::new(wide));
        let server = builder.message_max((1 << 32) - 1).build().unwrap();
        let (tell, mut heard) = hear();
        server.on(move |_, packet: Packet| tell.send(packet.0.len()).unwrap());
        let at = server.accept("tcp://127.0.0.1:0", "gofast").await.unwrap();
        let mut peer = TcpStream::connect(at.url().authority()).await.unwrap();
        // Our question, and the same words as an answer to theirs.
        let whoami = hex("d9d9f7815825da000dbba058\
             1ed82bbfd82c191002d82d5206636c69656e740100000000000010000000ff");
        peer.write_all(&whoami).await.unwrap();
        let mut question = [0; 11];
        peer.read_exact(&mut question).await.unwrap();
        let mut answer = whoami.clone();
        answer[6..11].copy_from_slice(&question[6..11]);
        peer.write_all(&answer).await.unwrap();
        let message = [hex("d82bbfd82c1883d82d5a"), BODY.to_be_bytes().to_vec()].concat();
        let inner = u32::try_from(message.len()).unwrap() + BODY + 1;
        let opaque = hex("da000dbba15a");
        let content = u32::try_from(opaque.len()).unwrap() + 4 + inner;
        let head = [hex("d9d9f7c65a"), content.to_be_bytes().to_vec(), opaque];
        peer.write_all(&[head.concat(), inner.to_be_bytes().to_vec(), message].concat())
            .await
            .unwrap();
        let piece = vec![b'a'; 1_000_000];
        for _ in 0..BODY / 1_000_000 {
            peer.write_all(&piece).await.unwrap();
        }
        peer.write_all(&[0xff]).await.unwrap();
        assert_eq!(heard.next().await, BODY as usize);
        drop(peer);
        within(server.shutdown()).await.unwrap();
    });
}
