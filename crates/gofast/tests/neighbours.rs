//! Connections of one service share its memory and its statistics, and nothing else: whatever one peer
//! sends, the other peers go on, and what it has taken is given back.
//= docs/PROTOCOL.md#11

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use moorline_gofast::{Dialect, GofastSettings};
use moorline_protocol::{Body, Frame};
use support::{Ours, REAL, Seen, around, end, frame, hex, id_of, message, peers, ping, whoami};

/// What ends the connection of whoever sends it, once it is met.
fn bad_inputs(dialect: Dialect) -> Vec<(&'static str, Vec<u8>)> {
    let y2016 = dialect == Dialect::Y2016;
    let peer = |nth| peers(dialect, nth);
    let post = frame(dialect, 0xc6, peer(3), 111, b"aaaaa");
    let altered = |at: usize, flip: u8| {
        let mut bytes = post.clone();
        bytes[at] ^= flip;
        bytes
    };
    let lzw = |plain: &[u8]| {
        let packed = weezl::encode::Encoder::new(weezl::BitOrder::Lsb, 8).encode(plain).unwrap();
        let mut out = vec![0xd8, if y2016 { 42 } else { 47 }];
        minicbor::Encoder::new(&mut out).bytes(&packed).unwrap();
        out
    };
    let nested = (0..5).fold(message(dialect, 111, b"aaaaa"), |inner, _| lzw(&inner));
    let mut torn = end(dialect, peer(5));
    *torn.last_mut().unwrap() ^= 1;
    let request = frame(dialect, 0x81, peer(4), 112, b"");
    let start = frame(dialect, 0x9f, peer(5), 113, b"");
    let long = ping(dialect, &"x".repeat(3000));
    let pings: Vec<u8> = (0..100)
        .flat_map(|nth| frame(dialect, 0x81, peer(100 + nth), id_of(dialect, 1), &long))
        .collect();
    vec![
        ("wrong prefix", hex("474554202f20485454502f312e31")),
        ("wrong kind", altered(3, 0x10)),
        ("wrong major type", altered(4, 0x20)),
        ("wrong inner length", altered(if y2016 { 8 } else { 10 }, 1)),
        ("torn end", torn),
        ("5 GB", hex("d9d9f7c65b000000012a05f200")),
        ("above the buffer", frame(dialect, 0xc6, peer(3), 111, &[7; 5000])),
        ("unknown tag", around(0xc6, peer(3), &hex("d86343616263"))),
        ("broken gzip", around(0xc6, peer(3), &[0xd8, if y2016 { 41 } else { 46 }, 0x41, 1])),
        ("nested tags", around(0xc6, peer(3), &nested)),
        ("bomb", around(0xc6, peer(3), &lzw(&message(dialect, 111, &vec![0; 500_000])))),
        ("overlap", frame(dialect, 0x81, 1010, 112, b"")),
        ("echo of nothing", frame(dialect, 0x81, if y2016 { 1001 } else { 1004 }, 112, b"")),
        ("request on a live opaque", [&request[..], &request].concat()),
        ("start on a live opaque", [&start[..], &start].concat()),
        ("pings whose echoes are not read", pings),
    ]
}

/// The peer's request is answered and its stream goes on.
fn goes_on(ours: &mut Ours, nth: u64) {
    let dialect = ours.dialect;
    let asks = frame(dialect, 0x81, peers(dialect, 10 + nth), 112, b"?");
    assert_eq!(ours.hear(&asks).unwrap(), ["request 0 test.Ask 1"]);
    let said = ours.say(&Frame::Response { id: 0, body: Body::Borrowed(b"!") }).unwrap();
    assert_eq!(Seen::read(dialect, &said).opaque, peers(dialect, 10 + nth));
    ours.opened.as_ref().unwrap().encoder.finished(0);
    let data = frame(dialect, 0xc7, peers(dialect, 5), 113, b"data");
    assert_eq!(ours.hear(&data).unwrap(), ["data 2 4"]);
    let data = Frame::Data { stream: 2, body: Body::Borrowed(b"data"), acknowledge: false };
    assert_eq!(Seen::read(dialect, &ours.say(&data).unwrap()).opaque, peers(dialect, 5));
}

#[test]
fn no_bad_input_harms_another_connection_of_the_same_service() {
    for dialect in [Dialect::Y2016, Dialect::Y2017] {
        let settings = GofastSettings {
            buffersize: Some(4096),
            tags: "gzip,lzw".into(),
            ..GofastSettings::default()
        };
        let mut ours = Ours::met(dialect, settings, REAL);
        let start = frame(dialect, 0x9f, peers(dialect, 5), 113, b"");
        assert_eq!(ours.hear(&start).unwrap(), ["open 2 test.Talk 0"]);
        goes_on(&mut ours, 0);
        let held = |ours: &Ours| {
            let (blocks, recv) = (ours.local.blocks.stats(), ours.local.recv.stats());
            (blocks.in_use, recv.in_use_bytes, ours.gofast.stats().connections().len())
        };
        let before = held(&ours);
        for (nth, (what, bytes)) in (1..).zip(bad_inputs(dialect)) {
            let mut other = ours.beside().meet(REAL);
            assert_eq!(ours.gofast.stats().connections().len(), 2);
            goes_on(&mut ours, nth);
            assert!(other.hear(&bytes).is_err(), "{what}");
            goes_on(&mut ours, nth);
            drop(other);
            assert_eq!(held(&ours), before, "{what}");
            // The same before it has said who it is.
            let mut other = ours.beside();
            let known = other.hear(&bytes).is_ok() && other.hear(&post_of(dialect)).is_ok();
            assert!(!known, "{what}");
            drop(other);
            goes_on(&mut ours, nth);
            assert_eq!(held(&ours), before, "{what}");
        }
        // And who asks for our name without end.
        let asks =
            frame(dialect, 0x81, peers(dialect, 0), id_of(dialect, 2), &whoami(dialect, REAL));
        let mut other = ours.beside();
        assert!(other.hear(&asks).is_ok() && other.hear(&asks).is_err());
        drop(other);
        goes_on(&mut ours, 99);
        assert_eq!(held(&ours), before);
    }
}

fn post_of(dialect: Dialect) -> Vec<u8> {
    frame(dialect, 0xc6, peers(dialect, 3), 111, b"aaaaa")
}
