//! Peer lists: who gets in, and every mistake of a line.

use super::*;
use crate::limits::{ATTRIBUTE_VALUES_MAX, NAME_LEN_MAX, PEER_LINE_LEN_MAX};
use crate::public_key::PublicKeyError;

fn key(byte: u8) -> PublicKey {
    PublicKey::from_bytes([byte; 32])
}

fn parse(text: &str) -> Peers {
    Peers::parse(text).unwrap()
}

#[test]
fn nobody_is_the_default_and_what_an_empty_list_says() {
    for peers in [Peers::default(), Peers::nobody(), parse(""), parse("# remark\n\n  \t\n")] {
        assert!(peers.is_empty());
        assert_eq!(peers.admit(Some(&key(1)), None, 0), Err(Refusal::NotListed));
        assert_eq!(peers.admit(None, None, 0), Err(Refusal::NoKey));
    }
}

#[test]
fn anyone_needs_a_key_and_anonymous_does_not() {
    let peer = Peers::anyone().admit(Some(&key(1)), None, 0).unwrap();
    assert_eq!(*peer.name, *key(1).fingerprint().to_string());
    assert!(peer.may_use("everything") && !peer.has_role("admin"));
    assert_eq!(Peers::anyone().admit(None, None, 0), Err(Refusal::NoKey));

    let peers = Peers::anonymous();
    assert_eq!(&*peers.admit(None, None, 0).unwrap().name, "anonymous");
    assert!(peers.admit(Some(&key(1)), None, 0).is_ok());

    let peers = Peers::nobody().and_anonymous();
    assert!(peers.admit(None, None, 0).is_ok());
    assert_eq!(peers.admit(Some(&key(1)), None, 0), Err(Refusal::NotListed));
}

#[test]
fn a_program_can_list_keys_itself() {
    let peers = Peers::nobody().with("ann", key(1)).with("bob", key(2));
    assert_eq!(peers.len(), 2);
    assert_eq!(&*peers.admit(Some(&key(2)), None, 0).unwrap().name, "bob");
    assert_eq!(peers.admit(Some(&key(3)), None, 0), Err(Refusal::NotListed));
}

#[test]
fn a_full_line_gives_name_roles_and_services() {
    let peers = parse(&format!("ann\t{}  role=admin,ops services=log,files\r\n", key(1).to_line()));
    let peer = peers.admit(Some(&key(1)), None, 0).unwrap();
    assert_eq!(&*peer.name, "ann");
    assert!(peer.has_role("admin") && peer.has_role("ops") && !peer.has_role("adm"));
    assert!(peer.may_use("log") && peer.may_use("files") && !peer.may_use("mail"));
}

#[test]
fn a_key_expires_after_its_last_second() {
    let peers = parse(&format!("ann {} role=a not_after=1970-01-02", key(1)));
    assert!(peers.admit(Some(&key(1)), None, 2 * 86_400 - 1).is_ok());
    assert_eq!(peers.admit(Some(&key(1)), None, 2 * 86_400), Err(Refusal::Expired));
}

#[test]
fn an_expired_line_stays_shut_where_anybody_else_gets_in() {
    let mut peers = parse(&format!("ann {} role=a not_after=1970-01-01", key(1)));
    peers.unlisted = true;
    assert_eq!(peers.admit(Some(&key(1)), None, 1 << 40), Err(Refusal::Expired));
    assert!(peers.admit(Some(&key(2)), None, 1 << 40).is_ok());
}

#[test]
fn an_address_rule_holds_for_every_carrier() {
    let peers = parse(&format!("ann {} role=a addr=10.0.0.0/8,::1", key(1)));
    let from = |text: &str| peers.admit(Some(&key(1)), Some(text.parse().unwrap()), 0);
    assert!(from("10.1.2.3").is_ok() && from("::1").is_ok() && from("::ffff:10.1.2.3").is_ok());
    assert_eq!(from("192.0.2.1"), Err(Refusal::Address));
    assert_eq!(peers.admit(Some(&key(1)), None, 0), Err(Refusal::Address));
}

#[test]
fn a_name_may_stand_twice_and_a_key_may_not() {
    assert_eq!(parse(&format!("ann {} role=a\nann {} role=a", key(1), key(2))).len(), 2);
    let error = Peers::parse(&format!("ann {} role=a\n\nbob {} role=a", key(1), key(1).to_line()));
    assert_eq!(error.unwrap_err(), PeersError { line: 3, error: PeerLineError::Duplicate });
}

#[test]
fn every_mistake_has_its_own_error_and_its_line() {
    let error = |line: &str| {
        let error = Peers::parse(&format!("# list\n{line}\n")).unwrap_err();
        assert_eq!(error.line, 2);
        error.error
    };
    let ann = format!("ann {}", key(1));
    let long = "x".repeat(PEER_LINE_LEN_MAX + 1);
    assert_eq!(error(&long), PeerLineError::TooLong(PEER_LINE_LEN_MAX + 1));
    assert_eq!(error(&"x".repeat(NAME_LEN_MAX + 1)), PeerLineError::Name);
    assert_eq!(error(&format!("\u{e9}va {} role=a", key(1))), PeerLineError::Name);
    assert_eq!(error("ann"), PeerLineError::NoKey);
    assert_eq!(error("ann role=a"), PeerLineError::Key(PublicKeyError::Encoding));
    assert_eq!(error(&ann), PeerLineError::NoRole);
    assert_eq!(error(&format!("{ann} services=a")), PeerLineError::NoRole);
    assert_eq!(error(&format!("{ann} role")), PeerLineError::Attribute);
    assert_eq!(error(&format!("{ann} role=a color=red")), PeerLineError::Attribute);
    assert_eq!(error(&format!("{ann} role=a # remark")), PeerLineError::Attribute);
    assert_eq!(error(&format!("{ann} role=a role=b")), PeerLineError::Twice);
    assert_eq!(error(&format!("{ann} role=")), PeerLineError::Value);
    assert_eq!(error(&format!("{ann} role=a,,b")), PeerLineError::Value);
    assert_eq!(error(&format!("{ann} role=a services=a/b")), PeerLineError::Value);
    assert_eq!(error(&format!("{ann} role=a not_after=soon")), PeerLineError::Date);
    assert_eq!(error(&format!("{ann} role=a addr=10.0.0.1/8")), PeerLineError::Address);
    let many = vec!["a"; ATTRIBUTE_VALUES_MAX + 1].join(",");
    assert_eq!(error(&format!("{ann} role={many}")), PeerLineError::TooManyValues);
}

#[test]
fn errors_say_where_and_what_to_do() {
    let error = Peers::parse("ann").unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("line 1 of the peer list: "), "{text}");
}
