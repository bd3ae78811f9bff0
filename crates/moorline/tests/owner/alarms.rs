//! Alarms of sessions and streams.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use moorline::{Alarm, Context, Owner, OwnerError, Stream, register_message};
use serde::{Deserialize, Serialize};

use crate::support::{Ask, Told, Wire, hear, run, within};

#[derive(Serialize, Deserialize)]
struct Watched;
register_message!(stream Watched as "e2e.owner.Watched": u64 => ());

const MS: Duration = Duration::from_millis(1);
/// More than any test waits.
const LONG: Duration = Duration::from_secs(3_600);

#[test]
fn an_alarm_rings_as_often_as_it_says_and_never_early() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        let pair = wire.open(&server, &client).await;
        let (tell, mut heard) = hear();
        let mut count = 0;
        let begun = Instant::now();
        let ring = move |cx: &Context| {
            cx.with_state(|rings: &mut u32| *rings += 1).unwrap();
            count += 1;
            tell.send(Instant::now()).unwrap();
            (count < 5).then_some(10 * MS)
        };
        let alarm = Owner::of(&pair.there).alarm(20 * MS, ring).unwrap();
        let mut earliest = begun + 20 * MS;
        for _ in 0..5 {
            let rang = heard.next().await;
            assert!(rang >= earliest, "early by {:?}", earliest - rang);
            earliest = rang + 10 * MS;
        }
        // It may still be ringing.
        alarm.stop();
        let again = Instant::now();
        alarm.set(5 * MS);
        assert!(heard.next().await >= again + 5 * MS);
        pair.end().await;
    });
}

/// Set anew before its time: later, earlier, not at all. It is done by a task, while which none can ring.
#[test]
fn an_alarm_is_set_anew_and_stopped() {
    run(async {
        let wire = Wire::new("mem", "msgpack");
        let (server, client) = (wire.service(), wire.service());
        let pair = wire.open(&server, &client).await;
        let owner = Owner::of(&pair.there);
        let (tell, mut heard) = hear();
        let (keep, mut kept) = hear();
        let task = move |cx: &Context| {
            let alarm = |name: &'static str, after| {
                let tell = tell.clone();
                let ring = move |_: &Context| tell.send(name).map_or(None, |()| None);
                cx.owner().alarm(after, ring).unwrap()
            };
            let earlier = alarm("earlier", LONG);
            let later = alarm("later", MS);
            let stopped = alarm("stopped", MS);
            drop(alarm("dropped", MS));
            assert!(stopped.stop() && !stopped.stop());
            later.set(LONG);
            earlier.set(2 * MS);
            alarm("left", 10 * MS).leave();
            keep.send([earlier, later, stopped, alarm("last", 20 * MS)]).unwrap();
        };
        owner.run(task).unwrap();
        let alarms = kept.next().await;
        for name in ["earlier", "left", "last"] {
            assert_eq!(heard.next().await, name);
        }
        assert_eq!(alarms.map(|alarm| alarm.stop())[..3], [false, true, false]);
        pair.end().await;
    });
}

/// What is said from within, for each that may be said.
#[test]
fn an_alarm_is_ended_within_itself() {
    type Place = Arc<Mutex<Option<Alarm>>>;
    type End = fn(&Place);
    let table: [(&str, End); 2] = [
        ("stopped", |place| assert!(place.lock().unwrap().as_ref().unwrap().stop())),
        ("dropped", |place| drop(place.lock().unwrap().take())),
    ];
    run(async move {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        let pair = wire.open(&server, &client).await;
        let owner = Owner::of(&pair.there);
        for (what, end) in table {
            let (tell, mut heard) = hear();
            let place = Place::default();
            let (inside, rings) = (Arc::clone(&place), tell.clone());
            let ring = move |_: &Context| {
                rings.send("rang").unwrap();
                end(&inside);
                Some(MS)
            };
            *place.lock().unwrap() = Some(owner.alarm(LONG, ring).unwrap());
            place.lock().unwrap().as_ref().unwrap().set(MS);
            assert_eq!(heard.next().await, "rang", "{what}");
            let check = owner.alarm(30 * MS, move |_| tell.send("check").map_or(None, |()| None));
            assert_eq!(heard.next().await, "check", "{what}");
            drop(check);
        }
        pair.end().await;
    });
}

#[test]
fn an_alarm_that_panics_rings_no_more_and_hurts_nobody() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
        let pair = wire.open(&server, &client).await;
        let owner = Owner::of(&pair.there);
        let bad = owner.alarm(MS, |_| panic!("on purpose")).unwrap();
        let (tell, mut heard) = hear();
        let good = owner.alarm(20 * MS, move |_| tell.send(()).map_or(None, |()| None)).unwrap();
        heard.next().await;
        assert!(!bad.stop());
        within(pair.here.request(Ask { number: 1 })).await.unwrap();
        drop((bad, good));
        pair.end().await;
    });
}

/// A watchdog: it ends with the stream it watches, and with the session.
#[test]
fn an_alarm_ends_with_its_stream_and_with_its_session() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        let held = Arc::new(());
        let holding = Arc::clone(&held);
        server.handle_stream(move |cx, _: Watched, mut stream: Stream<(), u64>| {
            let held = Arc::clone(&holding);
            async move {
                let watch = move |_: &Context| Arc::strong_count(&held).eq(&0).then_some(MS);
                stream.keep(cx.owner().alarm(LONG, watch).unwrap());
                while let Ok(Some(_)) = stream.recv().await {}
                stream.finish().unwrap();
            }
        });
        let pair = wire.open(&server, &client).await;
        let mut stream = pair.here.open(&Watched).unwrap();
        while Arc::strong_count(&held) < 3 {
            tokio::task::yield_now().await;
        }
        stream.finish().unwrap();
        within(stream.recv()).await.unwrap();
        while Arc::strong_count(&held) > 2 {
            tokio::task::yield_now().await;
        }
        let holding = Arc::clone(&held);
        let ring = move |_: &Context| Arc::strong_count(&holding).eq(&0).then_some(MS);
        let alarm = Owner::of(&pair.there).alarm(LONG, ring).unwrap();
        assert_eq!(Arc::strong_count(&held), 3);
        pair.end().await;
        assert_eq!(
            Arc::strong_count(&held),
            1,
            "neither the handle nor the service keeps anything"
        );
        assert!(!alarm.stop());
        alarm.set(MS);
        let late = Owner::of(alarm_session(&alarm)).alarm(MS, |_| None);
        assert_eq!(late.map(drop), Err(OwnerError::Over));
    });
}

fn alarm_session(alarm: &Alarm) -> &moorline::SessionRef {
    alarm.owner().session()
}

#[test]
fn a_session_has_so_many_alarms() {
    run(async {
        let wire = Wire::new("mem", "msgpack");
        let (server, client) = (wire.service(), wire.service());
        let pair = wire.open(&server, &client).await;
        let owner = Owner::of(&pair.there);
        let limit = 4_096;
        let mut alarms: Vec<_> = (0..limit).map(|_| owner.alarm(LONG, |_| None).unwrap()).collect();
        assert_eq!(owner.alarm(LONG, |_| None).map(drop), Err(OwnerError::Alarms { limit }));
        alarms.pop();
        alarms.push(owner.alarm(LONG, |_| None).unwrap());
        pair.end().await;
    });
}

/// A hundred thousand of them on 25 sessions: each rings once and not early, and there is no task for
/// any of them.
#[test]
fn a_hundred_thousand_alarms_need_no_task() {
    const SESSIONS: u32 = 25;
    const EACH: u32 = 4_000;
    run(async {
        let wire = Wire::new("mem", "msgpack");
        let (server, client) = (wire.service(), wire.service());
        let pair = wire.open(&server, &client).await;
        let mut sessions = vec![pair.here.clone()];
        for _ in 1..SESSIONS {
            sessions.push(wire.connect(&client, &pair.acceptor).await);
        }
        let metrics = tokio::runtime::Handle::current().metrics();
        let tasks = metrics.num_alive_tasks();
        let (rung, early) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut alarms = Vec::new();
        for number in 0..SESSIONS * EACH {
            let session = &sessions[usize::try_from(number % SESSIONS).unwrap()];
            let after = 100 * MS + MS * (number.wrapping_mul(2_654_435_761) % 400);
            let due = Instant::now() + after;
            let (rung, early) = (Arc::clone(&rung), Arc::clone(&early));
            let ring = move |_: &Context| {
                rung.fetch_add(1, Ordering::Relaxed);
                early.fetch_add(u64::from(Instant::now() < due), Ordering::Relaxed);
                None
            };
            alarms.push(Owner::of(session).alarm(after, ring).unwrap());
        }
        assert_eq!(metrics.num_alive_tasks(), tasks);
        let all = u64::from(SESSIONS * EACH);
        while rung.load(Ordering::Relaxed) < all {
            tokio::time::sleep(5 * MS).await;
        }
        assert_eq!(early.load(Ordering::Relaxed), 0);
        let set = alarms.iter().filter(|alarm| alarm.stop()).count();
        assert!(set <= sessions.len(), "none is set any more, but one of a session may be ringing");
        assert_eq!(rung.load(Ordering::Relaxed), all);
        drop(alarms);
        pair.end().await;
    });
}
