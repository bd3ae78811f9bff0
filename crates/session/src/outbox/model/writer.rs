//! Senders that write by themselves, beside a driver that does as well.

use super::*;

fn send_and_write(scene: &Scene) -> bool {
    let sent = scene.append(post).is_ok();
    scene.write();
    sent
}

#[test]
fn whoever_writes_nothing_stays_behind() {
    check(3, || {
        let scene = Scene::new(outbox());
        Scene::beside_a_driver(&scene, send_and_write, send_and_write);
        assert_eq!(scene.wire(), b"pp");
    });
}

/// A sender that meets a full kernel leaves the rest to the driver.
#[test]
fn what_the_kernel_does_not_take_is_left_to_a_driver_that_is_awake() {
    check(3, || {
        let scene = Scene::with_room(outbox(), 1);
        Scene::beside_a_driver(&scene, send_and_write, send_and_write);
        assert_eq!(scene.wire(), b"pp");
    });
}

/// The driver hears that the farewell has left, whoever wrote it: then it shuts the socket down.
#[test]
fn a_driver_hears_that_somebody_else_has_written_the_farewell() {
    check(3, || {
        let scene = Scene::new(outbox());
        let close = |scene: &Scene| scene.append(|outbox| outbox.begin_close(Farewell::ordinary()));
        let (sent, _) = Scene::beside_a_driver(&scene, send_and_write, close);
        assert_eq!(scene.wire(), if sent { &b"pC"[..] } else { b"C" });
        assert!(scene.is_shut_down());
    });
}

/// A session that drains is over once nothing is left, whoever has written it.
#[test]
fn a_driver_hears_that_somebody_else_has_emptied_a_queue_that_drains() {
    check(3, || {
        let mut outbox = outbox();
        outbox.append_goaway("").unwrap();
        let scene = Scene::new(outbox);
        Scene::beside_a_driver(&scene, send_and_write, send_and_write);
        assert_eq!(scene.wire(), b"?pp");
    });
}

/// The time for closing runs even where nothing can leave.
#[test]
fn a_driver_hears_that_somebody_closes_although_no_credit_is_left() {
    check(3, || {
        let mut outbox = outbox();
        outbox.credit = SendCredit::new(0);
        let scene = Scene::new(outbox);
        let close = |scene: &Scene| scene.append(|outbox| outbox.begin_close(Farewell::ordinary()));
        Scene::beside_a_driver(&scene, send_and_write, close);
    });
}
