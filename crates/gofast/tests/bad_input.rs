//! What a peer can send that it should not, and what it gets. Each with a real peer of either dialect.
//= docs/PROTOCOL.md#11

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use moorline_gofast::{Dialect, GofastSettings};
use moorline_protocol::{
    CloseReason, Ending, ErrorCode, Frame, HandshakeFailure, HandshakeRefusal, Settings,
};
use support::{Ours, REAL, Who, around, end, frame, hex, id_of, message, peers, ping, whoami};

const BOTH: [Dialect; 2] = [Dialect::Y2016, Dialect::Y2017];

fn settings() -> GofastSettings {
    GofastSettings { buffersize: Some(4096), tags: "gzip,lzw".into(), ..GofastSettings::default() }
}

fn met(dialect: Dialect) -> Ours {
    Ours::met(dialect, settings(), REAL)
}

fn post(dialect: Dialect) -> Vec<u8> {
    frame(dialect, 0xc6, peers(dialect, 3), 111, b"aaaaa")
}

#[test]
fn every_frame_split_at_every_byte_is_heard_once_whole() {
    for dialect in BOTH {
        let mut bytes = post(dialect);
        bytes.extend(frame(dialect, 0x81, peers(dialect, 4), 112, b""));
        bytes.extend(frame(dialect, 0x9f, peers(dialect, 5), 113, &[7; 300]));
        bytes.extend(frame(dialect, 0xc7, peers(dialect, 5), 113, b"s1"));
        bytes.extend(end(dialect, peers(dialect, 5)));
        bytes.extend(frame(
            dialect,
            0xc6,
            peers(dialect, 6),
            id_of(dialect, 3),
            match dialect {
                Dialect::Y2016 => &[0x9f, 5, 0xff],
                Dialect::Y2017 => &[0, 0, 0, 0, 0, 0, 0, 5],
            },
        ));
        bytes.extend(frame(
            dialect,
            0x81,
            peers(dialect, 7),
            id_of(dialect, 1),
            &ping(dialect, "hello"),
        ));
        let whole = met(dialect).hear(&bytes).unwrap();
        assert_eq!(
            whole,
            [
                "post test.Note 5",
                "request 0 test.Ask 0",
                "open 2 test.Talk 300",
                "data 2 2",
                "end 2 0",
                "heartbeat 5",
                "ping 1"
            ]
        );
        for at in 0..=bytes.len() {
            let mut ours = met(dialect);
            let mut told = ours.hear(&bytes[..at]).unwrap();
            told.extend(ours.hear(&bytes[at..]).unwrap());
            assert_eq!(told, whole, "split at {at}");
        }
        let mut ours = met(dialect);
        let told: Vec<_> = bytes.iter().flat_map(|byte| ours.hear(&[*byte]).unwrap()).collect();
        assert_eq!(told, whole);
    }
}

#[test]
fn a_wrong_prefix_ends_the_connection_with_its_first_byte() {
    for dialect in BOTH {
        for bytes in ["00", "d9d8", "d9d9f8", "474554202f"] {
            assert!(met(dialect).breaks(&hex(bytes)).contains("begins with d9d9f7"), "{bytes}");
        }
    }
}

#[test]
fn a_kind_that_does_not_exist_ends_the_connection() {
    for dialect in BOTH {
        for kind in [0x00, 0x80, 0x82, 0xc5, 0xc9, 0xff] {
            let mut bytes = post(dialect);
            bytes[3] = kind;
            assert!(met(dialect).breaks(&bytes).contains("kind of frame"), "{kind:02x}");
        }
    }
}

#[test]
fn a_wrong_major_type_ends_the_connection() {
    for dialect in BOTH {
        let good = post(dialect);
        // The packet as text, as an array; the opaque as a number; the message as text.
        for (at, flip) in [
            (4, 0x20),
            (4, 0xc0),
            (5, 0xc0),
            (if dialect == Dialect::Y2016 { 8 } else { 10 }, 0x20),
        ] {
            let mut bytes = good.clone();
            bytes[at] ^= flip;
            assert!(met(dialect).breaks(&bytes).contains("what stands there"), "byte {at}");
        }
        // A packet of indefinite length.
        let mut bytes = good.clone();
        bytes[4] = 0x5f;
        met(dialect).breaks(&bytes);
    }
}

#[test]
fn inner_lengths_that_do_not_fit_end_the_connection() {
    for dialect in BOTH {
        let opaque = peers(dialect, 3);
        let inner = message(dialect, 111, b"aaaaa");
        let mut long = around(0xc6, opaque, &inner);
        let at = long.len() - inner.len() - 1;
        long[at] += 1;
        assert!(met(dialect).breaks(&long).contains("fills its packet"));
        let mut short = around(0xc6, opaque, &inner);
        short[at] -= 1;
        assert!(met(dialect).breaks(&short).contains("fills its packet"));
        assert!(met(dialect).breaks(&hex("d9d9f7c64000000000")).contains("begins with its opaque"));
        let mut torn = end(dialect, opaque);
        *torn.last_mut().unwrap() ^= 1;
        met(dialect).breaks(&torn);
    }
}

#[test]
fn what_is_no_message_goes_on_as_one_of_no_known_type() {
    for dialect in BOTH {
        let whole = message(dialect, 111, b"aaaaa");
        let no_bf = [&whole[..2], &[0xa2], &whole[3..whole.len() - 1]].concat();
        let no_data = [&whole[..7], &[0xff]].concat();
        for (what, inner) in [
            ("bf missing", no_bf),
            ("id 0", message(dialect, 0, b"aaaaa")),
            ("data missing", no_data),
            ("nothing at all", whole[..2].to_vec()),
        ] {
            let mut ours = met(dialect);
            let bytes = around(0xc6, peers(dialect, 3), &inner);
            assert_eq!(ours.hear(&bytes).unwrap(), ["post unknown 0 0"], "{what}");
            assert_eq!((ours.counts().invalid, ours.counts().n_rxpost), (1, 1), "{what}");
            assert_eq!(ours.hear(&post(dialect)).unwrap(), ["post test.Note 5"], "it goes on");
        }
        let unknown = frame(dialect, 0x81, peers(dialect, 3), 77_777, b"abc");
        assert_eq!(met(dialect).hear(&unknown).unwrap(), ["request 0 unknown 77777 3"]);
    }
}

#[test]
fn an_unknown_tag_ends_the_connection_and_so_does_one_we_did_not_ask_for() {
    for dialect in BOTH {
        for tag in [99, 6, if dialect == Dialect::Y2016 { 46 } else { 41 }] {
            let mut inner = vec![0xd8, tag, 0x43];
            inner.extend_from_slice(b"abc");
            let rule = met(dialect).breaks(&around(0xc6, peers(dialect, 3), &inner));
            assert!(rule.contains("not asked for"), "{rule}");
        }
        let gzip = if dialect == Dialect::Y2016 { 41 } else { 46 };
        let bytes = around(0xc6, peers(dialect, 3), &[0xd8, gzip, 0x43, 1, 2, 3]);
        assert!(met(dialect).breaks(&bytes).contains("header of its format"));
        let plain = GofastSettings { tags: String::new(), ..settings() };
        let rule = Ours::met(dialect, plain, REAL).breaks(&bytes);
        assert!(rule.contains("not asked for"), "{rule}");
    }
}

#[test]
fn a_length_above_our_buffer_ends_the_connection_before_anything_is_waited_for() {
    for dialect in BOTH {
        let fits = frame(dialect, 0xc6, peers(dialect, 3), 111, &[7; 4000]);
        assert_eq!(met(dialect).hear(&fits).unwrap(), ["post test.Note 4000"]);
        let above = frame(dialect, 0xc6, peers(dialect, 3), 111, &[7; 4090]);
        let mut ours = met(dialect);
        let reason = ours.hear(&above[..9]).unwrap_err();
        assert_eq!(reason.ending(), Ending::Close(ErrorCode::TOO_LARGE));
        assert_eq!(ours.counts().n_dropped, 9);
    }
}

#[test]
fn five_gigabytes_are_refused_and_four_that_are_allowed_are_not_allocated() {
    for dialect in BOTH {
        let mut ours = met(dialect);
        let reason = ours.hear(&hex("d9d9f7c65b000000012a05f200")).unwrap_err();
        assert!(reason.to_string().contains("longer than the buffer"), "{reason}");
        let wide = GofastSettings { buffersize: Some((1 << 32) - 1), ..GofastSettings::default() };
        let mut ours = Ours::met(dialect, wide, REAL);
        let head = hex("d9d9f7c65afffffff0da000271035affffffe6");
        assert!(ours.hear(&head).unwrap().is_empty());
        assert!(ours.input.capacity() <= 128 * 1024, "{} bytes", ours.input.capacity());
        // It grows as more of it comes, by doubling.
        for _ in 0..20 {
            assert!(ours.hear(&[0x5a; 16 * 1024]).unwrap().is_empty());
        }
        assert!(ours.input.capacity() <= 1 << 20, "{} bytes", ours.input.capacity());
    }
}

#[test]
fn a_bomb_of_nested_tags_and_one_of_zeros_end_the_connection() {
    for dialect in BOTH {
        let lzw = if dialect == Dialect::Y2016 { 42 } else { 47 };
        let layer = |plain: &[u8]| {
            let packed =
                weezl::encode::Encoder::new(weezl::BitOrder::Lsb, 8).encode(plain).unwrap();
            let mut out = vec![0xd8, lzw];
            minicbor::Encoder::new(&mut out).bytes(&packed).unwrap();
            out
        };
        let mut nested = message(dialect, 111, b"aaaaa");
        for _ in 0..4 {
            nested = layer(&nested);
        }
        let four = around(0xc6, peers(dialect, 3), &nested);
        assert_eq!(met(dialect).hear(&four).unwrap(), ["post test.Note 5"]);
        let five = around(0xc6, peers(dialect, 3), &layer(&nested));
        assert!(met(dialect).breaks(&five).contains("more than four times"));
        let zeros = layer(&message(dialect, 111, &vec![0; 500_000]));
        assert!(zeros.len() < 4000);
        let rule = met(dialect).breaks(&around(0xc6, peers(dialect, 3), &zeros));
        assert!(rule.contains("longer than our buffer"), "{rule}");
    }
}

#[test]
fn an_end_or_a_message_of_an_unknown_stream_is_dropped_and_counted() {
    for dialect in BOTH {
        let mut ours = met(dialect);
        let unknown = peers(dialect, 9);
        assert!(ours.hear(&end(dialect, unknown)).unwrap().is_empty());
        assert!(ours.hear(&frame(dialect, 0xc7, unknown, 113, b"late")).unwrap().is_empty());
        // One of ours, long over or never begun.
        assert!(ours.hear(&end(dialect, 1500)).unwrap().is_empty());
        assert!(ours.hear(&frame(dialect, 0xc7, 5300, 113, b"late")).unwrap().is_empty());
        assert_eq!((ours.counts().n_mdrops, ours.counts().n_rxfin), (4, 0));
        assert_eq!(ours.hear(&post(dialect)).unwrap(), ["post test.Note 5"]);
    }
}

#[test]
fn overlapping_opaques_are_found_out_at_the_meeting() {
    for dialect in BOTH {
        // The very same range, and one of ours in the middle.
        for opaque in [1000, 1500, 5999] {
            let mut ours = Ours::new(dialect, false, settings(), Settings::default());
            let bytes = frame(dialect, 0x81, opaque, id_of(dialect, 2), &whoami(dialect, REAL));
            let rule = ours.breaks(&bytes);
            assert!(rule.contains("overlap") && rule.contains("opaque_start"), "{rule}");
        }
        // Two of ours with one range.
        let range = GofastSettings {
            opaque_start: Some(2000),
            opaque_end: Some(3000),
            ..GofastSettings::default()
        };
        let mut dials = Ours::new(dialect, true, range.clone(), Settings::default());
        let mut listens = Ours::new(dialect, false, range, Settings::default());
        assert!(listens.breaks(&dials.said()).contains("overlap"));
        assert!(dials.breaks(&listens.said()).contains("overlap"));
    }
}

#[test]
fn overlapping_opaques_are_found_out_with_the_first_frame_that_shows_them() {
    for dialect in BOTH {
        // What is not begun has no answer, and what is ours nobody else may begin.
        for (kind, opaque) in
            [(0x81, 1010), (0x81, 1000), (0x81, 5999), (0xc6, 1000), (0xc6, 2000), (0x9f, 5200)]
        {
            let rule = met(dialect).breaks(&frame(dialect, kind, opaque, 112, b""));
            assert!(rule.contains("overlap"), "{kind:02x} on {opaque}: {rule}");
        }
    }
}

#[test]
fn an_opaque_in_use_cannot_be_used_again() {
    for dialect in BOTH {
        let request = frame(dialect, 0x81, peers(dialect, 4), 112, b"");
        let mut ours = met(dialect);
        ours.hear(&request).unwrap();
        assert!(ours.breaks(&request).contains("not answered yet"));
        let start = frame(dialect, 0x9f, peers(dialect, 5), 113, b"");
        let mut ours = met(dialect);
        ours.hear(&start).unwrap();
        assert!(ours.breaks(&start).contains("stands for one"));
    }
}

#[test]
fn more_requests_than_we_take_are_dropped_or_end_the_connection_and_so_do_too_many_pings() {
    for dialect in BOTH {
        let few = Settings { in_flight_max: 16, ..Settings::default() };
        let mut ours = Ours::met_with(dialect, settings(), REAL, few);
        for nth in 0..16 {
            ours.hear(&frame(dialect, 0x81, peers(dialect, 100 + nth), 112, b"")).unwrap();
        }
        let one_more = frame(dialect, 0x81, peers(dialect, 99), 112, b"");
        assert!(ours.hear(&one_more).unwrap().is_empty(), "it does not know how many we take");
        assert_eq!(ours.counts().errors_unsaid, 1);
        let one_of_us = Who { tags: "moorline.32.16", ..REAL };
        let mut ours = Ours::met_with(dialect, settings(), one_of_us, few);
        for nth in 0..16 {
            ours.hear(&frame(dialect, 0x81, peers(dialect, 100 + nth), 112, b"")).unwrap();
        }
        let rule = ours.breaks(&one_more);
        assert!(rule.contains("in flight"), "{rule}");
        let mut ours = met(dialect);
        let long = frame(
            dialect,
            0x81,
            peers(dialect, 1),
            id_of(dialect, 1),
            &ping(dialect, &"x".repeat(3000)),
        );
        let taken = (0..1000).take_while(|_| ours.hear(&long).is_ok()).count();
        assert_eq!(taken, 256 * 1024 / 3064);
    }
}

#[test]
fn last_values_are_short_and_kept_only_for_streams_that_somebody_hears() {
    for dialect in BOTH {
        let one_of_us = Who { tags: "moorline.32.16", ..REAL };
        let wide = GofastSettings { buffersize: Some(1 << 20), ..settings() };
        let mut ours = Ours::met(dialect, wide.clone(), one_of_us);
        let word = |nth: u64, value: &[u8]| {
            let body = [&[4], value].concat();
            frame(dialect, 0xc7, peers(dialect, nth), id_of(dialect, 15), &body)
        };
        let start = |nth: u64| frame(dialect, 0x9f, peers(dialect, nth), 113, b"");
        let in_use = |ours: &Ours| ours.local.recv.stats().in_use;
        let before = in_use(&ours);
        // Reset by the peer, ended by it after a reset of ours, and never ended at all.
        for nth in 0..30_u32 {
            let opaque = 100 + u64::from(nth);
            ours.hear(&start(opaque)).unwrap();
            ours.hear(&word(opaque, &[7; 16 * 1024])).unwrap();
            assert_eq!(in_use(&ours), before + 1, "stream {nth}");
            if nth % 3 == 0 {
                let reset = frame(
                    dialect,
                    0xc7,
                    peers(dialect, opaque),
                    id_of(dialect, 15),
                    &[3, 0, 0, 0, 7, 0, 0],
                );
                assert_eq!(ours.hear(&reset).unwrap().len(), 1);
                assert_eq!(in_use(&ours), before);
                continue;
            }
            let (stream, message) = (2 + 2 * nth, "no".into());
            ours.say(&Frame::Reset { stream, code: ErrorCode(7), message }).unwrap();
            if nth % 3 == 1 {
                ours.hear(&end(dialect, peers(dialect, opaque))).unwrap();
                assert_eq!(in_use(&ours), before);
            }
        }
        assert!(in_use(&ours) <= before + 1);
        ours.hear(&start(5)).unwrap();
        let rule = ours.breaks(&word(5, &[7; 16 * 1024 + 1]));
        assert!(rule.contains("last value"), "{rule}");
    }
}

#[test]
fn an_echo_that_was_never_said_ends_the_connection() {
    for dialect in BOTH {
        let echo = |text| {
            frame(
                dialect,
                0x81,
                if dialect == Dialect::Y2016 { 1001 } else { 1004 },
                id_of(dialect, 1),
                &ping(dialect, text),
            )
        };
        for text in ["", "p", "x1", "p-1", "s99999999999", "p18446744073709551616"] {
            assert!(met(dialect).breaks(&echo(text)).contains("echo"), "{text}");
            let one_of_us = Who { tags: "moorline.32.16", ..REAL };
            let mut ours = Ours::met(dialect, settings(), one_of_us);
            assert!(ours.breaks(&echo(text)).contains("echo"), "{text}");
        }
        // A stream that is not there: nothing.
        let one_of_us = Who { tags: "moorline.32.16", ..REAL };
        let mut ours = Ours::met(dialect, settings(), one_of_us);
        assert!(ours.hear(&echo("s77")).unwrap().is_empty());
    }
}

#[test]
fn what_is_no_whoami_ends_the_meeting() {
    for dialect in BOTH {
        for (bytes, refused, failed) in [
            (hex("474554202f"), HandshakeRefusal::NotOurProtocol, HandshakeFailure::NotOurProtocol),
            (post(dialect), HandshakeRefusal::Misplaced, HandshakeFailure::NotOurProtocol),
            (
                frame(dialect, 0x81, peers(dialect, 90_000), id_of(dialect, 2), b"\x30short"),
                HandshakeRefusal::Caps,
                HandshakeFailure::Caps,
            ),
            (
                frame(
                    dialect,
                    0x81,
                    peers(dialect, 90_000),
                    id_of(dialect, 2),
                    &whoami(dialect, Who { buffersize: 127, ..REAL }),
                ),
                HandshakeRefusal::Caps,
                HandshakeFailure::Caps,
            ),
        ] {
            let mut listens = Ours::new(dialect, false, settings(), Settings::default());
            assert_eq!(listens.hear(&bytes).unwrap_err(), CloseReason::HandshakeRefused(refused));
            let mut dials = Ours::new(dialect, true, settings(), Settings::default());
            assert_eq!(dials.hear(&bytes).unwrap_err(), CloseReason::HandshakeFailed(failed));
        }
    }
}

#[test]
fn before_the_meeting_is_over_there_is_one_question_and_there_are_few_heartbeats() {
    for dialect in BOTH {
        let (whoami_id, beat_id) = (id_of(dialect, 2), id_of(dialect, 3));
        // In nobody's range.
        let asks = frame(dialect, 0x81, 20_000, whoami_id, &whoami(dialect, REAL));
        let body: &[u8] = if dialect == Dialect::Y2016 { &[0x9f, 0, 0xff] } else { &[0; 8] };
        let beat = frame(dialect, 0xc6, 20_001, beat_id, body);
        for (dials, end) in [
            (false, CloseReason::HandshakeRefused(HandshakeRefusal::Misplaced)),
            (true, CloseReason::HandshakeFailed(HandshakeFailure::NotOurProtocol)),
        ] {
            // It never reads, and never says who it is.
            let mut ours = Ours::new(dialect, dials, settings(), Settings::default());
            ours.hear(&asks).unwrap();
            assert_eq!(ours.hear(&asks).unwrap_err(), end);
            let mut ours = Ours::new(dialect, dials, settings(), Settings::default());
            let taken = (0..1000).take_while(|_| ours.hear(&beat).is_ok()).count();
            assert_eq!(taken, 64);
            let mut ours = Ours::new(dialect, dials, settings(), Settings::default());
            let asks = frame(dialect, 0x81, 20_000, id_of(dialect, 1), &ping(dialect, "hello"));
            assert_eq!(ours.hear(&asks).unwrap_err(), end);
        }
    }
}

#[test]
fn a_meeting_has_its_time_and_an_end_in_the_middle_is_none() {
    for dialect in BOTH {
        for dials in [false, true] {
            let mut ours = Ours::new(dialect, dials, settings(), Settings::default());
            assert_eq!(ours.protocol.deadline(), Some(ours.now + Duration::from_secs(5)));
            assert!(ours.pass(Duration::from_millis(4999)).is_ok());
            let late = ours.pass(Duration::from_millis(1)).unwrap_err();
            assert!(late.to_string().contains("handshake_timeout"), "{late}");
            let mut ours = Ours::new(dialect, dials, settings(), Settings::default());
            assert!(!ours.protocol.handle_eof().is_ordinary());
        }
        let mut ours = met(dialect);
        assert_eq!(ours.protocol.deadline(), None);
        assert!(ours.protocol.handle_eof().is_ordinary(), "gofast has no other farewell");
        let mut ours = met(dialect);
        ours.hear(&post(dialect)[..5]).unwrap();
        assert_eq!(ours.protocol.handle_eof(), CloseReason::Truncated);
    }
}
