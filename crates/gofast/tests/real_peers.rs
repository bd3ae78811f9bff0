//! What a real gofast peer reads and writes, byte for byte where bytes of running peers are known.
//= docs/PROTOCOL.md#11

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use moorline_buffers::SendBuffer;
use moorline_gofast::{Dialect, GofastSettings};
use moorline_protocol::{
    Body, EncodeError, ErrorCode, Format, Frame, Lane, Meta, Opening, Settings,
};
use support::{
    Ask, AskOther, Note, Numberless, Ours, REAL, Seen, Talk, Who, end, frame, hex, id_of, kind_of,
    peers, ping, whoami,
};

/// Ours, unless set.
const BUFFERSIZE: u64 = 16 * 1024 * 1024 + 53;

const BOTH: [Dialect; 2] = [Dialect::Y2016, Dialect::Y2017];

fn met(dialect: Dialect) -> Ours {
    Ours::met(dialect, GofastSettings::default(), REAL)
}

fn post(body: &[u8]) -> Frame<'_> {
    Frame::Post { kind: kind_of::<Note>(), meta: Meta::default(), body: Body::Borrowed(body) }
}

fn request(id: u32, body: &[u8]) -> Frame<'_> {
    let (kind, meta) = (kind_of::<Ask>(), Meta::default());
    Frame::Request { id, kind, meta, body: Body::Borrowed(body) }
}

fn open(stream: u32) -> Frame<'static> {
    let opening = Opening::Typed { kind: kind_of::<Talk>(), body: Body::Borrowed(b"open") };
    Frame::Open { stream, opening, credit: 0, meta: Meta::default() }
}

fn data(stream: u32) -> Frame<'static> {
    Frame::Data { stream, body: Body::Borrowed(b"data"), acknowledge: false }
}

fn end_of(stream: u32) -> Frame<'static> {
    Frame::End { stream, trailer: Body::EMPTY }
}

/// Our opaque for pings, and those of the first request and stream.
fn pings(dialect: Dialect) -> u64 {
    if dialect == Dialect::Y2016 { 1001 } else { 1004 }
}

/// What we ask a real peer only to hear an answer, and its answer.
fn question(dialect: Dialect, text: &str) -> Vec<u8> {
    let name = b"tests";
    match dialect {
        Dialect::Y2016 => {
            let mut out = Vec::new();
            let mut writer = minicbor::Encoder::new(&mut out);
            writer.begin_array().unwrap().bytes(name).unwrap().u64(1).unwrap();
            writer.u64(BUFFERSIZE).unwrap().bytes(text.as_bytes()).unwrap().end().unwrap();
            out
        }
        Dialect::Y2017 => {
            let len = u16::try_from(text.len()).unwrap().to_be_bytes();
            let size = BUFFERSIZE.to_be_bytes();
            [b"\x05tests\x01", &size[..], &len, text.as_bytes()].concat()
        }
    }
}

fn echo(dialect: Dialect) -> Vec<u8> {
    frame(dialect, 0x81, pings(dialect), id_of(dialect, 2), &whoami(dialect, REAL))
}

fn first_request(dialect: Dialect) -> u64 {
    pings(dialect) + 1
}

fn first_stream(dialect: Dialect) -> u64 {
    first_request(dialect) + 4096
}

#[test]
fn the_meeting_of_2017_is_that_of_running_peers() {
    // We are their server, under its name, without a word of our own.
    let settings = GofastSettings {
        name: Some("server-0".into()),
        buffersize: Some(4096),
        extension: false,
        opaque_start: Some(1000),
        opaque_end: Some(5000),
        ..GofastSettings::default()
    };
    let mut ours = Ours::new(Dialect::Y2017, false, settings, Settings::default());
    let asked = Seen::read(Dialect::Y2017, &ours.said());
    assert_eq!((asked.kind, asked.opaque, asked.id), (0x81, 4999, 0x1002));
    assert_eq!(asked.body, hex("087365727665722d300100000000000010000000"));
    ours.hear(&hex(
        "d9d9f7815825da00027100581ed82bbfd82c191002d82d5206636c69656e740100000000000010000000ff",
    ))
    .unwrap();
    assert_eq!(
        ours.said(),
        hex(
            "d9d9f7815827da000271005820d82bbfd82c191002d82d54087365727665722d300100000000000010000000ff"
        )
    );
    assert!(ours.opened.is_none(), "we have no answer yet");
    ours.hear(&frame(
        Dialect::Y2017,
        0x81,
        4999,
        0x1002,
        &hex("06636c69656e740100000000000010000000"),
    ))
    .unwrap();
    let opened = ours.opened.as_ref().unwrap();
    assert_eq!((&*opened.peer.agent, opened.limits.message_max), ("client/1", 4096 - 53));
    let abilities = opened.encoder.abilities();
    assert!(abilities.streams && abilities.pings && !abilities.credit && !abilities.topics);
    assert!(!abilities.cancel && !abilities.typed_errors && !abilities.farewell);
    assert!(!abilities.deadlines && !abilities.dictionary);
}

#[test]
fn the_meeting_of_2016_is_that_of_running_peers() {
    let settings = GofastSettings { extension: false, ..GofastSettings::default() };
    let mut ours = Ours::new(Dialect::Y2016, false, settings, Settings::default());
    let asked = Seen::read(Dialect::Y2016, &ours.said());
    assert_eq!((asked.kind, asked.opaque, asked.id), (0x81, 5998, 2));
    // Its whoami, moved from opaque 2000 to one of its own here.
    ours.hear(&hex("d9d9f781581dd975305818d825bf18270218284e9f46636c69656e740119040040ffff"))
        .unwrap();
    let answer = Seen::read(Dialect::Y2016, &ours.said());
    assert_eq!((answer.kind, answer.opaque, answer.id), (0x81, 30_000, 2));
    assert_eq!(answer.body[..6], hex("9f4574657374"), "our name: tests");
    ours.hear(&frame(Dialect::Y2016, 0x81, 5998, 2, &whoami(Dialect::Y2016, REAL))).unwrap();
    assert!(ours.opened.is_some());
}

#[test]
fn posts_and_requests_are_written_and_their_answers_read() {
    for dialect in BOTH {
        let mut ours = met(dialect);
        let said = Seen::read(dialect, &ours.say(&post(b"aaaaa")).unwrap());
        assert_eq!(said, Seen { kind: 0xc6, opaque: 1000, id: 111, body: b"aaaaa".to_vec() });
        for id in [0, 1] {
            let said = Seen::read(dialect, &ours.say(&request(id, b"?")).unwrap());
            let opaque = first_request(dialect) + u64::from(id);
            assert_eq!(said, Seen { kind: 0x81, opaque, id: 112, body: b"?".to_vec() });
        }
        // Out of order, and whatever id it has.
        let (one, two) = (first_request(dialect), first_request(dialect) + 1);
        assert_eq!(ours.hear(&frame(dialect, 0x81, two, 112, b"two")).unwrap(), ["response 1 3"]);
        assert_eq!(ours.hear(&frame(dialect, 0x81, one, 999, b"one!")).unwrap(), ["response 0 4"]);
        let again = ours.say(&request(0, b"?")).unwrap();
        assert_eq!(Seen::read(dialect, &again).opaque, one, "the slot serves again");
        let counts = ours.counts();
        assert_eq!((counts.n_txpost, counts.n_rxresp), (1, 3), "whoami was answered, too");
        assert_eq!((counts.n_txreq, counts.n_txresp, counts.n_tx), (4, 1, 6));
    }
}

#[test]
fn requests_of_the_peer_are_answered_on_their_opaque() {
    for dialect in BOTH {
        let mut ours = met(dialect);
        let opaque = peers(dialect, 4);
        assert_eq!(
            ours.hear(&frame(dialect, 0x81, opaque, 112, b"??")).unwrap(),
            ["request 0 test.Ask 2"]
        );
        let other = frame(dialect, 0x81, opaque + 1, 115, b"");
        assert_eq!(ours.hear(&other).unwrap(), ["request 1 test.AskOther 0"]);
        let answer = |id| Frame::Response { id, body: Body::Borrowed(b"!") };
        let said = Seen::read(dialect, &ours.say(&answer(1)).unwrap());
        assert_eq!(said, Seen { kind: 0x81, opaque: opaque + 1, id: 116, body: b"!".to_vec() });
        let said = Seen::read(dialect, &ours.say(&answer(0)).unwrap());
        assert_eq!(said, Seen { kind: 0x81, opaque, id: 112, body: b"!".to_vec() });
        assert!(ours.say(&answer(0)).unwrap().is_empty(), "it is answered once");
        // The opaque serves again at once, the slot when the session has done with it.
        assert_eq!(
            ours.hear(&frame(dialect, 0x81, opaque, 112, b"")).unwrap(),
            ["request 2 test.Ask 0"]
        );
        ours.opened.as_ref().unwrap().encoder.finished(0);
        assert_eq!(
            ours.hear(&frame(dialect, 0x81, opaque + 7, 112, b"")).unwrap(),
            ["request 0 test.Ask 0"]
        );
    }
}

#[test]
fn an_error_is_counted_and_not_said() {
    for dialect in BOTH {
        let mut ours = met(dialect);
        ours.hear(&frame(dialect, 0x81, peers(dialect, 4), 112, b"")).unwrap();
        let (code, message) = (ErrorCode::UNIMPLEMENTED, "nobody here".into());
        let error = Frame::Error { id: 0, code, message, detail: Body::EMPTY };
        assert!(ours.say(&error).unwrap().is_empty());
        assert_eq!(ours.counts().errors_unsaid, 1);
    }
}

#[test]
fn pings_are_answered_with_their_text_and_whoamis_again() {
    for dialect in BOTH {
        let mut ours = met(dialect);
        let (ping_id, whoami_id) = (id_of(dialect, 1), id_of(dialect, 2));
        let asks = [
            frame(dialect, 0x81, peers(dialect, 2), ping_id, &ping(dialect, "hello")),
            frame(dialect, 0x81, peers(dialect, 3), whoami_id, &whoami(dialect, REAL)),
            frame(dialect, 0x81, peers(dialect, 4), ping_id, &ping(dialect, "")),
        ];
        assert_eq!(ours.hear(&asks.concat()).unwrap(), ["ping 1", "ping 2", "ping 3"]);
        // A session answers the youngest, for all.
        let said = Seen::read_all(dialect, &ours.say(&Frame::Pong { nonce: 3 }).unwrap());
        let opaques: Vec<_> = said.iter().map(|seen| (seen.opaque, seen.id)).collect();
        let base = peers(dialect, 0);
        assert_eq!(opaques, [(base + 2, ping_id), (base + 3, whoami_id), (base + 4, ping_id)]);
        assert_eq!(said[0].body, ping(dialect, "hello"));
        assert!(ours.say(&Frame::Pong { nonce: 3 }).unwrap().is_empty());
        // Ours, and their answers: it is asked who it is, because it would keep the echo of a ping.
        for nonce in [77, 78] {
            let said = Seen::read(dialect, &ours.say(&Frame::Ping { nonce }).unwrap());
            assert_eq!((said.kind, said.opaque, said.id), (0x81, pings(dialect), whoami_id));
            assert_eq!(said.body, question(dialect, &format!("p{nonce}")));
        }
        assert_eq!(ours.hear(&echo(dialect)).unwrap(), ["pong 77"]);
        assert_eq!(ours.hear(&echo(dialect)).unwrap(), ["pong 78"]);
        assert!(ours.breaks(&echo(dialect)).contains("echo"));
    }
}

#[test]
fn what_a_peer_is_asked_fits_the_smallest_buffer() {
    for dialect in BOTH {
        let settings = GofastSettings {
            name: Some("x".repeat(255)),
            version: u64::MAX,
            tags: "gzip,lzw".into(),
            opaque_start: Some(*dialect.opaques().end() - 100),
            opaque_end: Some(*dialect.opaques().end()),
            ..GofastSettings::default()
        };
        let mut ours = Ours::met(dialect, settings, Who { buffersize: 128, ..REAL });
        let said = ours.say(&Frame::Ping { nonce: u64::MAX }).unwrap();
        assert!(said.len() <= 128, "{} bytes", said.len());
        let asked = Seen::read(dialect, &said);
        let answer = frame(dialect, 0x81, asked.opaque, asked.id, &whoami(dialect, REAL));
        assert_eq!(ours.hear(&answer).unwrap(), [format!("pong {}", u64::MAX)]);
    }
}

#[test]
fn heartbeats_are_posted_at_their_time_and_silence_is_known() {
    for dialect in BOTH {
        let period = Duration::from_secs(2);
        let settings = GofastSettings { heartbeat: Some(period), ..GofastSettings::default() };
        let mut ours = Ours::met(dialect, settings, REAL);
        for count in 0..3 {
            assert_eq!(ours.protocol.deadline(), Some(ours.now + period));
            assert!(ours.protocol.owed().is_none());
            ours.pass(period).unwrap();
            let frame = ours.protocol.owed().unwrap();
            assert!(ours.protocol.owed().is_none());
            let said = Seen::read(dialect, &ours.say(&frame).unwrap());
            assert_eq!((said.kind, said.opaque, said.id), (0xc6, 1000, id_of(dialect, 3)));
            let body = match dialect {
                Dialect::Y2016 => vec![0x9f, count, 0xff],
                Dialect::Y2017 => vec![0, 0, 0, 0, 0, 0, 0, count],
            };
            assert_eq!(said.body, body);
        }
        let connection = ours.gofast.stats().connections().pop().unwrap();
        assert_eq!((connection.peer(), connection.silent_since(ours.now)), ("client", None));
        let beat = frame(
            dialect,
            0xc6,
            peers(dialect, 6),
            id_of(dialect, 3),
            match dialect {
                Dialect::Y2016 => &[0x9f, 0, 0xff],
                Dialect::Y2017 => &[0; 8],
            },
        );
        assert_eq!(ours.hear(&beat).unwrap(), ["heartbeat 0"]);
        assert_eq!((ours.counts().n_rxbeats, ours.counts().n_rxpost), (1, 1));
        ours.pass(period).unwrap();
        assert_eq!(connection.silent_since(ours.now), Some(period));
    }
}

#[test]
fn a_stream_of_ours_ends_both_ways_when_the_peer_has_heard_its_end() {
    for dialect in BOTH {
        let mut ours = met(dialect);
        let opaque = first_stream(dialect);
        let said = Seen::read(dialect, &ours.say(&open(3)).unwrap());
        assert_eq!(said, Seen { kind: 0x9f, opaque, id: 113, body: b"open".to_vec() });
        let said = Seen::read(dialect, &ours.say(&data(3)).unwrap());
        assert_eq!(said, Seen { kind: 0xc7, opaque, id: 113, body: b"data".to_vec() });
        let said = ours.say(&end_of(3)).unwrap();
        let bytes = end(dialect, opaque);
        assert_eq!(said[..bytes.len()], bytes);
        let asked = Seen::read(dialect, &said[bytes.len()..]);
        assert_eq!((asked.opaque, asked.id), (pings(dialect), id_of(dialect, 2)));
        assert_eq!(asked.body, question(dialect, "s3"));
        // What it sent before it heard ours is heard, what comes later is not.
        let late = frame(dialect, 0xc7, opaque, 113, b"late");
        assert_eq!(ours.hear(&late).unwrap(), ["data 3 4"]);
        assert_eq!(ours.hear(&echo(dialect)).unwrap(), ["end 3 0"]);
        assert!(ours.hear(&late).unwrap().is_empty());
        assert!(ours.hear(&end(dialect, opaque)).unwrap().is_empty(), "some peers say so, too");
        assert_eq!((ours.counts().n_mdrops, ours.counts().n_rxfin), (1, 1));
        // The next one rests on another opaque.
        assert_eq!(Seen::read(dialect, &ours.say(&open(5)).unwrap()).opaque, opaque + 1);
    }
}

#[test]
fn a_stream_that_a_peer_of_2017_ends_is_answered_to_our_end() {
    let dialect = Dialect::Y2017;
    let mut ours = met(dialect);
    let opaque = peers(dialect, 5);
    let start = frame(dialect, 0x9f, opaque, 113, b"open");
    // It says all, closes and reads the answer; its opaque serves again when it has heard our end.
    for stream in [2, 4] {
        assert_eq!(ours.hear(&start).unwrap(), [format!("open {stream} test.Talk 4")]);
        assert_eq!(ours.hear(&end(dialect, opaque)).unwrap(), [format!("end {stream} 0")]);
        let said = Seen::read(dialect, &ours.say(&data(stream)).unwrap());
        assert_eq!(said, Seen { kind: 0xc7, opaque, id: 113, body: b"data".to_vec() });
        assert_eq!(ours.say(&end_of(stream)).unwrap(), end(dialect, opaque), "and no question");
    }
    assert_eq!((ours.counts().n_mdrops, ours.counts().n_txfin), (0, 2));
    // One of ours that its server has closed: what we still say is heard there.
    let opaque = first_stream(dialect);
    ours.say(&open(3)).unwrap();
    assert_eq!(ours.hear(&end(dialect, opaque)).unwrap(), ["end 3 0"]);
    assert_eq!(Seen::read(dialect, &ours.say(&data(3)).unwrap()).opaque, opaque);
    assert_eq!(ours.say(&end_of(3)).unwrap(), end(dialect, opaque));
}

#[test]
fn a_stream_that_a_peer_of_2016_ends_is_over_and_nothing_is_said_on_it() {
    let dialect = Dialect::Y2016;
    let mut ours = met(dialect);
    let opaque = peers(dialect, 5);
    let start = frame(dialect, 0x9f, opaque, 113, b"open");
    assert_eq!(ours.hear(&start).unwrap(), ["open 2 test.Talk 4"]);
    assert_eq!(Seen::read(dialect, &ours.say(&data(2)).unwrap()).opaque, opaque);
    assert_eq!(ours.hear(&end(dialect, opaque)).unwrap(), ["end 2 0"]);
    assert!(ours.say(&data(2)).unwrap().is_empty());
    // It begins the next one on the same opaque before we have ended ours.
    assert_eq!(ours.hear(&start).unwrap(), ["open 4 test.Talk 4"]);
    assert!(ours.say(&end_of(2)).unwrap().is_empty());
    assert_eq!(ours.counts().n_mdrops, 1);
}

#[test]
fn a_peer_that_has_heard_our_end_may_begin_the_next_stream_on_its_opaque() {
    for dialect in BOTH {
        let mut ours = met(dialect);
        let opaque = peers(dialect, 5);
        let start = frame(dialect, 0x9f, opaque, 113, b"open");
        assert_eq!(ours.hear(&start).unwrap(), ["open 2 test.Talk 4"]);
        let said = ours.say(&end_of(2)).unwrap();
        assert_eq!(said[..end(dialect, opaque).len()], end(dialect, opaque));
        // Before the echo of what is behind it: the session hears the end first.
        assert_eq!(ours.hear(&start).unwrap(), ["end 2 0", "open 4 test.Talk 4"]);
    }
}

#[test]
fn a_reset_is_an_end_and_what_comes_later_is_dropped() {
    for dialect in BOTH {
        let mut ours = met(dialect);
        let opaque = peers(dialect, 5);
        ours.hear(&frame(dialect, 0x9f, opaque, 113, b"open")).unwrap();
        let reset = Frame::Reset { stream: 2, code: ErrorCode(7), message: "no".into() };
        let said = ours.say(&reset).unwrap();
        assert_eq!(said[..end(dialect, opaque).len()], end(dialect, opaque));
        assert!(ours.hear(&frame(dialect, 0xc7, opaque, 113, b"late")).unwrap().is_empty());
        assert!(ours.hear(&end(dialect, opaque)).unwrap().is_empty());
        assert!(ours.say(&reset).unwrap().is_empty());
        assert_eq!((ours.counts().n_mdrops, ours.counts().n_rxfin), (2, 0), "it is forgotten");
    }
}

#[test]
fn there_are_as_many_streams_as_opaques_for_them() {
    for dialect in BOTH {
        let settings = GofastSettings {
            opaque_start: Some(1000),
            opaque_end: Some(1100),
            ..GofastSettings::default()
        };
        let mut ours = Ours::met(dialect, settings, REAL);
        let limit = ours.opened.as_ref().unwrap().limits.streams_max;
        assert!((20..=25).contains(&limit), "{limit}");
        for nth in 0..limit {
            ours.say(&open(3 + 2 * nth)).unwrap();
        }
        let number = 3 + 2 * limit;
        assert_eq!(ours.say(&open(number)).unwrap_err(), EncodeError::Streams { limit });
        // One is over.
        ours.say(&end_of(3)).unwrap();
        let opaque =
            first_request(dialect) + u64::from(ours.opened.as_ref().unwrap().limits.in_flight_max);
        assert_eq!(ours.hear(&end(dialect, opaque)).unwrap(), ["end 3 0"]);
        assert_eq!(Seen::read(dialect, &ours.say(&open(number)).unwrap()).opaque, opaque);
    }
}

#[test]
fn nothing_longer_than_the_peers_buffer_is_sent() {
    for dialect in BOTH {
        let mut ours =
            Ours::met(dialect, GofastSettings::default(), Who { buffersize: 512, ..REAL });
        let fits = (0..600).rev().find(|len| ours.say(&post(&vec![7; *len])).is_ok()).unwrap();
        assert_eq!(ours.say(&post(&vec![7; fits])).unwrap().len(), 512);
        let above = ours.say(&post(&vec![7; fits + 1])).unwrap_err();
        assert_eq!(above, EncodeError::TooLarge { size: 513, limit: 512 });
        assert!(ours.said().is_empty());
        let told = ours.opened.as_ref().unwrap().limits.message_max;
        assert!(
            usize::try_from(told).unwrap() <= fits,
            "a session refuses earlier, or exactly then"
        );
        // An answer that is too long is refused too, and one that is not still can be said.
        ours.hear(&frame(dialect, 0x81, peers(dialect, 4), 112, b"")).unwrap();
        let long = vec![7; 600];
        let answer = Frame::Response { id: 0, body: Body::Borrowed(&long) };
        assert!(matches!(ours.say(&answer), Err(EncodeError::TooLarge { .. })));
        let answer = Frame::Response { id: 0, body: Body::Borrowed(b"!") };
        assert!(!ours.say(&answer).unwrap().is_empty());
        // A request that was not sent is not waited for.
        assert!(matches!(ours.say(&request(0, &long)), Err(EncodeError::TooLarge { .. })));
        let opaque = first_request(dialect);
        assert!(ours.breaks(&frame(dialect, 0x81, opaque, 112, b"")).contains("overlap"));
    }
}

#[test]
fn echoes_and_opening_messages_may_be_longer_than_a_block() {
    for dialect in BOTH {
        let wide = GofastSettings { buffersize: Some(1 << 20), ..GofastSettings::default() };
        let mut ours = Ours::met(dialect, wide, Who { buffersize: 1 << 20, ..REAL });
        let text = "x".repeat(65_535);
        let (ping_id, opaque) = (id_of(dialect, 1), peers(dialect, 2));
        let asks = frame(dialect, 0x81, opaque, ping_id, &ping(dialect, &text));
        assert_eq!(ours.hear(&asks).unwrap(), ["ping 1"]);
        assert_eq!(ours.say(&Frame::Pong { nonce: 1 }).unwrap(), asks);
        let body = vec![7; 100_000];
        let opening = Opening::Typed { kind: kind_of::<Talk>(), body: Body::Borrowed(&body) };
        let long = Frame::Open { stream: 3, opening, credit: 0, meta: Meta::default() };
        let said = Seen::read(dialect, &ours.say(&long).unwrap());
        assert_eq!((said.kind, said.opaque, said.id), (0x9f, first_stream(dialect), 113));
        assert_eq!(said.body, body);
        assert_eq!(ours.counts().n_txstart, 1);
        // An echo on its way does not meet an answer on its way.
        let blocks = |frame: &Frame<'_>, ours: &Ours| {
            let mut chain = SendBuffer::new(&ours.local.blocks);
            let opened = ours.opened.as_ref().unwrap();
            opened.encoder.encode(frame, Lane::High, &mut chain).unwrap();
            std::iter::from_fn(move || chain.pop_block())
        };
        ours.hear(&asks).unwrap();
        ours.hear(&frame(dialect, 0x81, opaque, 112, b"")).unwrap();
        let mut answer = blocks(&Frame::Response { id: 0, body: Body::Borrowed(&body) }, &ours);
        let mut echo = blocks(&Frame::Pong { nonce: 2 }, &ours);
        loop {
            let both = [answer.next(), echo.next()];
            if both.iter().all(Option::is_none) {
                break;
            }
            for block in both.into_iter().flatten() {
                ours.opened.as_mut().unwrap().sealing.seal(block, &mut ours.wire).unwrap();
            }
        }
        let said = Seen::read_all(dialect, &ours.said());
        let lens: Vec<_> = said.iter().map(|seen| (seen.id, seen.body.len())).collect();
        assert_eq!(lens, [(ping_id, ping(dialect, &text).len()), (112, 100_000)]);
    }
}

#[test]
fn what_gofast_cannot_express_is_refused_at_the_call() {
    for dialect in BOTH {
        let mut ours = met(dialect);
        let meta = Meta { idempotency_key: Some(Box::new([7; 16])), ..Meta::default() };
        let keyed = Frame::Request { id: 0, kind: kind_of::<Ask>(), meta, body: Body::EMPTY };
        let kind = kind_of::<Numberless>();
        let numberless = Frame::Post { kind, meta: Meta::default(), body: Body::EMPTY };
        let raw = Frame::Open {
            stream: 3,
            opening: Opening::Raw { name: "files".into() },
            credit: 0,
            meta: Meta::default(),
        };
        ours.say(&open(5)).unwrap();
        let acknowledged = Frame::Data { stream: 5, body: Body::EMPTY, acknowledge: true };
        let trailer = Frame::End { stream: 5, trailer: Body::Borrowed(b"last") };
        let subscribe = Frame::Subscribe {
            id: 0,
            alias: 1,
            topic: "news".into(),
            retained: false,
            meta: Meta::default(),
        };
        for (frame, part) in [
            (keyed, "idempotent"),
            (numberless, "id = .."),
            (raw, "streams of bytes"),
            (acknowledged, "acknowledged"),
            (trailer, "last value"),
            (subscribe, "topics"),
        ] {
            let error = ours.say(&frame).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
            assert!(ours.said().is_empty());
        }
        // What only helps is left out.
        let meta = Meta {
            deadline: Some(Duration::from_secs(1)),
            priority: Some(7),
            trace: Some(Box::new([1; 25])),
            idempotent: true,
            ..Meta::default()
        };
        let helped = Frame::Request { id: 0, kind: kind_of::<AskOther>(), meta, body: Body::EMPTY };
        assert_eq!(Seen::read(dialect, &ours.say(&helped).unwrap()).id, 115);
        assert!(ours.say(&Frame::Cancel { id: 0 }).unwrap().is_empty());
        assert!(ours.say(&Frame::Credit { stream: 0, total: 7 }).unwrap().is_empty());
    }
}

#[test]
fn a_peer_that_asks_for_it_is_sent_compressed_messages() {
    for (dialect, tags) in BOTH
        .into_iter()
        .flat_map(|dialect| ["gzip", "lzw", "lzw,snappy,gzip"].map(|tags| (dialect, tags)))
    {
        let mut ours = Ours::met(dialect, GofastSettings::default(), Who { tags, ..REAL });
        let body = [b'a'; 2000];
        let said = ours.say(&post(&body)).unwrap();
        assert!(said.len() < 500, "{tags}: {} bytes", said.len());
        // Whoever asked for it reads it.
        let reads = GofastSettings {
            tags: "gzip,lzw".into(),
            opaque_start: Some(20_000),
            ..GofastSettings::default()
        };
        let mut other = Ours::met(dialect, reads, REAL);
        assert_eq!(other.hear(&said).unwrap(), ["post test.Note 2000"], "{tags}");
        // Who we are is never compressed.
        let asks =
            frame(dialect, 0x81, peers(dialect, 8), id_of(dialect, 2), &whoami(dialect, REAL));
        ours.hear(&asks).unwrap();
        Seen::read(dialect, &ours.say(&Frame::Pong { nonce: 1 }).unwrap());
    }
}

#[test]
fn bodies_are_what_both_sides_have_agreed_on() {
    for format in [Format::Cbor, Format::MessagePack, Format::Raw] {
        let settings = GofastSettings { format, ..GofastSettings::default() };
        let ours = Ours::met(Dialect::Y2017, settings, REAL);
        assert_eq!(ours.opened.unwrap().encoder.format(), format);
    }
}
