//! What is held back by a [`Flush`]: nothing sleeps for ever that time, somebody's word or the end of
//! the session is to let out.

use std::time::Duration;

use super::*;

fn held(flush: Flush) -> Outbox {
    let mut outbox = outbox();
    outbox.set_flush(flush);
    outbox
}

const EVERY: Flush = Flush::Every(Duration::from_millis(5));

fn send(scene: &Scene) {
    scene.append(post).unwrap();
}

/// As `SessionRef::flush`.
fn flush(scene: &Scene) {
    scene.append(Outbox::release);
    scene.write();
}

fn send_and_flush(scene: &Scene) {
    send(scene);
    flush(scene);
}

/// As `SessionRef::barrier`.
fn send_behind_a_barrier(scene: &Scene) {
    send(scene);
    scene.append(|outbox| outbox.append_ping()).unwrap();
}

#[test]
fn what_waits_for_the_time_leaves_when_it_comes() {
    check(2, || {
        let scene = Scene::new(held(EVERY));
        Scene::beside_a_driver(&scene, send, send);
        assert_eq!(scene.wire(), b"pp");
    });
}

#[test]
fn time_and_a_flush_by_hand_do_not_take_each_others_work_away() {
    check(2, || {
        let scene = Scene::new(held(EVERY));
        Scene::beside_a_driver(&scene, send, send_and_flush);
        assert_eq!(scene.wire(), b"pp");
    });
}

#[test]
fn time_and_a_barrier_do_not_take_each_others_work_away() {
    check(2, || {
        let scene = Scene::new(held(EVERY));
        Scene::beside_a_driver(&scene, send, send_behind_a_barrier);
        let wire = scene.wire();
        assert!([&b"pp!"[..], b"p!p"].contains(&&*wire), "{wire:?}");
    });
}

#[test]
fn who_flushes_by_hand_lets_out_what_was_sent_before() {
    check(2, || {
        let scene = Scene::new(held(Flush::Manual));
        Scene::beside_a_driver(&scene, send_and_flush, send_and_flush);
        assert_eq!(scene.wire(), b"pp");
    });
}

#[test]
fn a_barrier_lets_out_what_was_sent_before_and_follows_it() {
    check(2, || {
        let scene = Scene::new(held(Flush::Manual));
        Scene::beside_a_driver(&scene, send_and_flush, send_behind_a_barrier);
        let wire = scene.wire();
        assert!([&b"pp!"[..], b"p!p"].contains(&&*wire), "{wire:?}");
    });
}

#[test]
fn who_takes_the_gate_away_lets_out_everything() {
    check(3, || {
        let scene = Scene::new(held(Flush::Manual));
        let take_away = |scene: &Scene| scene.append(|outbox| outbox.set_flush(Flush::Auto));
        Scene::beside_a_driver(&scene, send, take_away);
        assert_eq!(scene.wire(), b"p");
    });
}

#[test]
fn who_ends_the_session_lets_out_everything() {
    check(3, || {
        let scene = Scene::new(held(Flush::Manual));
        let send = |scene: &Scene| scene.append(post).is_ok();
        let close = |scene: &Scene| scene.append(|outbox| outbox.begin_close(Farewell::ordinary()));
        let (sent, _) = Scene::beside_a_driver(&scene, send, close);
        assert_eq!(scene.wire(), if sent { &b"pC"[..] } else { b"C" });
        assert!(scene.is_shut_down());
    });
}
