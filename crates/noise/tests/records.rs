//! Records: what opens, what kills, and keys that change on the way.

mod dialogue;

use dialogue::{pair, run, seal, session};
use moorline_noise::{Opener, RecordError, Suite, Transport};
use proptest::prelude::*;

/// One suite for each cipher.
const CIPHERS: [Suite; 2] = [Suite::Ik, Suite::IkHfsAes];

fn open(opener: &mut Opener, record: &[u8]) -> Result<Vec<u8>, RecordError> {
    let mut buffer = record.to_vec();
    match opener.open(b"", &mut buffer) {
        Ok(len) => {
            buffer.truncate(len);
            Ok(buffer)
        }
        Err(error) => {
            assert!(buffer.iter().all(|byte| *byte == 0), "a refused record is wiped");
            assert!(opener.is_dead());
            Err(error)
        }
    }
}

/// A session in which the initiator has sealed nothing yet; always the same keys.
fn fresh() -> (Transport, Transport) {
    session(Suite::Ik)
}

#[test]
fn records_open_in_order_in_both_directions() {
    for suite in CIPHERS {
        let (mut one, mut two) = session(suite);
        for len in [1, 2, 15, 16, 17, 1_000, 16_384, 65_519] {
            let body = vec![0xab; len];
            let (forth, back) = (seal(&mut one, &body), seal(&mut two, &body));
            assert_ne!(forth, back, "each direction has a key of its own");
            assert_eq!(open(&mut two.opener, &forth).unwrap(), body);
            assert_eq!(open(&mut one.opener, &back).unwrap(), body);
        }
        assert_eq!((one.sealer.records(), two.opener.records()), (8, 8));
        assert_eq!(one.sealer.bytes(), 82_954);
        assert_eq!(two.opener.bytes(), 82_954);
    }
}

#[test]
fn any_flipped_bit_kills() {
    let record = seal(&mut fresh().0, b"body");
    for bit in 0..record.len() * 8 {
        let (_, mut two) = fresh();
        let mut forged = record.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open(&mut two.opener, &forged), Err(RecordError::Tag));
        assert_eq!(open(&mut two.opener, &record), Err(RecordError::Dead));
    }
}

//= docs/PROTOCOL.md#3
#[test]
fn the_header_is_authenticated() {
    for (ad, opens) in [(&b"head"[..], true), (b"heat", false), (b"hea", false), (b"", false)] {
        let (mut one, mut two) = fresh();
        let (mut record, mut tag) = (b"body".to_vec(), [0; 16]);
        one.sealer.seal(b"head", &mut record, &mut tag).unwrap();
        record.extend_from_slice(&tag);
        assert_eq!(two.opener.open(ad, &mut record).is_ok(), opens, "{ad:?}");
    }
}

#[test]
fn dropped_repeated_and_reordered_records_kill() {
    let orders: [&[usize]; 4] = [&[1], &[0, 0], &[0, 2], &[0, 1, 0]];
    for order in orders {
        let (mut one, mut two) = fresh();
        let records: Vec<_> = (0..3).map(|_| seal(&mut one, b"body")).collect();
        let (last, before) = order.split_last().unwrap();
        for index in before {
            open(&mut two.opener, &records[*index]).unwrap();
        }
        assert_eq!(open(&mut two.opener, &records[*last]), Err(RecordError::Tag), "{order:?}");
    }
}

#[test]
fn records_of_the_other_direction_session_or_suite_kill() {
    let (mut one, mut two) = fresh();
    let own = seal(&mut two, b"body");
    assert_eq!(open(&mut two.opener, &own), Err(RecordError::Tag));

    let (initiator, responder) = pair(Suite::Ik, 8);
    let (mut other, _) = run(initiator, responder);
    assert_eq!(open(&mut one.opener, &seal(&mut other, b"body")), Err(RecordError::Tag));

    let (mut aes, _) = session(Suite::IkHfsAes);
    let (_, mut two) = fresh();
    assert_eq!(open(&mut two.opener, &seal(&mut aes, b"body")), Err(RecordError::Tag));
}

#[test]
fn a_record_cut_anywhere_kills() {
    let record = seal(&mut fresh().0, b"body");
    for len in 0..record.len() {
        let (_, mut two) = fresh();
        let expected = if len <= 16 { RecordError::Length { len } } else { RecordError::Tag };
        assert_eq!(open(&mut two.opener, &record[..len]), Err(expected));
    }
    let (_, mut two) = fresh();
    let long = vec![0; 65_536];
    assert_eq!(open(&mut two.opener, &long), Err(RecordError::Length { len: 65_536 }));
}

#[test]
fn a_sealer_refuses_what_is_no_record_and_goes_on() {
    let (mut one, mut two) = fresh();
    let mut tag = [0; 16];
    let empty = one.sealer.seal(b"", &mut [], &mut tag);
    assert_eq!(empty, Err(RecordError::Length { len: 16 }));
    let long = one.sealer.seal(b"", &mut vec![0; 65_520], &mut tag);
    assert_eq!(long, Err(RecordError::Length { len: 65_536 }));
    let record = seal(&mut one, b"body");
    assert_eq!(open(&mut two.opener, &record).unwrap(), b"body");
}

//= docs/PROTOCOL.md#3
#[test]
fn each_direction_changes_its_key_by_itself() {
    for suite in CIPHERS {
        let (mut one, mut two) = session(suite);
        for round in 0..40 {
            let record = seal(&mut one, b"forth");
            assert_eq!(open(&mut two.opener, &record).unwrap(), b"forth");
            let record = seal(&mut two, b"back");
            assert_eq!(open(&mut one.opener, &record).unwrap(), b"back");
            if round % 2 == 0 {
                one.sealer.rekey();
                two.opener.rekey();
                assert_eq!((one.sealer.records(), two.opener.records()), (0, 0));
            }
            if round % 3 == 0 {
                two.sealer.rekey();
                one.opener.rekey();
            }
        }
    }
}

/// Before the first record, after any, several in a row, in one direction, the other, both at once, and
/// beside records of every awkward length.
//= docs/PROTOCOL.md#3
#[test]
fn ten_thousand_key_changes_at_every_boundary() {
    const LENGTHS: [usize; 9] = [1, 15, 16, 17, 63, 64, 65, 255, 256];
    for suite in CIPHERS {
        let (mut one, mut two) = session(suite);
        let mut changes = 0;
        for round in 0_usize.. {
            for repeat in 0..=round % 3 {
                if round % 4 != 1 {
                    one.sealer.rekey();
                    two.opener.rekey();
                    changes += 1;
                }
                if round % 4 != 2 && repeat < 2 {
                    two.sealer.rekey();
                    one.opener.rekey();
                    changes += 1;
                }
            }
            for record in 0..round % 5 {
                let body = vec![0xab; LENGTHS[(round + record) % LENGTHS.len()]];
                // Records that are under way in both directions while keys change.
                let (forth, back) = (seal(&mut one, &body), seal(&mut two, &body));
                assert_eq!(open(&mut two.opener, &forth).unwrap(), body);
                assert_eq!(open(&mut one.opener, &back).unwrap(), body);
            }
            if changes > 10_000 {
                break;
            }
        }
        assert_eq!(one.sealer.records(), two.opener.records());
    }
}

/// A record that is sealed before a change of keys opens before it, whatever the other direction does
/// meanwhile.
#[test]
fn both_directions_change_keys_while_records_are_under_way() {
    for suite in CIPHERS {
        let (mut one, mut two) = session(suite);
        for _round in 0..100 {
            let (forth, back) = (seal(&mut one, b"old"), seal(&mut two, b"old"));
            one.sealer.rekey();
            two.sealer.rekey();
            let (forth_new, back_new) = (seal(&mut one, b"new"), seal(&mut two, b"new"));
            assert_eq!(open(&mut two.opener, &forth).unwrap(), b"old");
            two.opener.rekey();
            assert_eq!(open(&mut two.opener, &forth_new).unwrap(), b"new");
            assert_eq!(open(&mut one.opener, &back).unwrap(), b"old");
            one.opener.rekey();
            assert_eq!(open(&mut one.opener, &back_new).unwrap(), b"new");
        }
    }
}

#[test]
fn a_key_change_on_one_side_alone_kills() {
    let (mut one, mut two) = fresh();
    one.sealer.rekey();
    let record = seal(&mut one, b"body");
    assert_eq!(open(&mut two.opener, &record), Err(RecordError::Tag));
    two.opener.rekey();
    assert_eq!(open(&mut two.opener, &record), Err(RecordError::Dead));
}

/// The counter goes on over a change of keys: the first record of one epoch is not the first of all.
#[test]
fn the_same_body_is_never_the_same_record() {
    let (mut one, _) = fresh();
    let mut records: Vec<Vec<u8>> = Vec::new();
    for _ in 0..4 {
        records.extend((0..4).map(|_| seal(&mut one, b"body")));
        one.sealer.rekey();
    }
    records.sort();
    records.dedup();
    assert_eq!(records.len(), 16);
}

#[test]
fn exports_agree_and_differ_by_label_context_and_session() {
    let (one, two) = fresh();
    let export = one.exporter.export("label", b"context");
    assert_eq!(export, two.exporter.export("label", b"context"));
    let (initiator, responder) = pair(Suite::Ik, 8);
    let (other, _) = run(initiator, responder);
    for different in [
        one.exporter.export("label", b""),
        one.exporter.export("labe", b"context"),
        one.exporter.export("", b"label\0context"),
        other.exporter.export("label", b"context"),
        one.binding,
    ] {
        assert_ne!(export, different);
    }
    assert_ne!(one.binding, other.binding);
}

#[test]
#[should_panic(expected = "no zero byte")]
fn a_label_cannot_reach_into_its_context() {
    let _ = fresh().0.exporter.export("label\0", b"");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any mixture of records, key changes and parking opens as long as both sides do the same.
    #[test]
    fn parking_and_key_changes_are_invisible(steps in prop::collection::vec(0_u8..5, 1..60)) {
        for suite in CIPHERS {
            let (mut one, mut two) = session(suite);
            for step in &steps {
                match step {
                    0 => one.sealer.park(),
                    1 => two.opener.park(),
                    2 => {
                        one.sealer.rekey();
                        two.opener.rekey();
                    }
                    _ => {
                        let record = seal(&mut one, b"body");
                        prop_assert_eq!(open(&mut two.opener, &record).unwrap(), b"body");
                    }
                }
                prop_assert_eq!(one.sealer.records(), two.opener.records());
            }
        }
    }
}
