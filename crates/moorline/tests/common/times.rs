//! Deadlines and cancellation. Time itself is tested here, so the limits are generous one way.

use std::time::{Duration, Instant};

use moorline::{CallError, Executed};
use tokio::sync::mpsc::UnboundedSender;

use crate::support::{Ask, Late, Told, Wire, hear, within};

/// Tells when its handler is dropped.
struct Dropped(UnboundedSender<&'static str>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

/// A handler that starts, and never ends by itself.
fn endless(tell: UnboundedSender<&'static str>, service: &moorline::Service) {
    service.handle(move |_, _: Late| {
        tell.send("started").unwrap();
        let dropped = Dropped(tell.clone());
        async move {
            let _dropped = dropped;
            std::future::pending::<()>().await;
            Ok(Told { number: 0 })
        }
    });
    service.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
}

pub(crate) async fn a_call_gives_up_in_time(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    let (tell, mut heard) = hear();
    endless(tell, &server);
    let pair = wire.open(&server, &client).await;
    for time in [Duration::from_millis(30), Duration::from_millis(90)] {
        let begun = Instant::now();
        let error = within(pair.here.request(Late { number: 1 }).timeout(time)).await.unwrap_err();
        let took = begun.elapsed();
        assert_eq!(error, CallError::Timeout { limit: time });
        assert_eq!(error.executed(), Executed::Maybe);
        assert!(took >= time && took < time + Duration::from_secs(5), "{took:?}");
        assert_eq!((heard.next().await, heard.next().await), ("started", "dropped"));
    }
    // The slot that timed out and its late answer disturb nobody.
    assert_eq!(within(pair.here.request(Ask { number: 3 })).await.unwrap().number, 3);
    pair.end().await;
}

pub(crate) async fn the_default_time_of_a_service_holds(wire: &Wire) {
    let time = Duration::from_millis(60);
    let (server, client) = (wire.service(), wire.builder().timeout(time).build().unwrap());
    let (tell, mut heard) = hear();
    endless(tell, &server);
    let pair = wire.open(&server, &client).await;
    let begun = Instant::now();
    let error = within(pair.here.request(Late { number: 1 })).await.unwrap_err();
    assert_eq!(error, CallError::Timeout { limit: time });
    assert!(begun.elapsed() >= time);
    assert_eq!((heard.next().await, heard.next().await), ("started", "dropped"));
    // A call may wait longer than its service usually does.
    let session = pair.here.clone();
    let patient =
        tokio::spawn(async move { session.request(Late { number: 2 }).no_timeout().await });
    assert_eq!(heard.next().await, "started");
    tokio::time::sleep(2 * time).await;
    assert!(!patient.is_finished());
    patient.abort();
    assert_eq!(heard.next().await, "dropped");
    pair.end().await;
}

pub(crate) async fn a_dropped_call_drops_its_handler(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    let (tell, mut heard) = hear();
    endless(tell, &server);
    let pair = wire.open(&server, &client).await;
    for _ in 0..3 {
        {
            let mut call = std::pin::pin!(pair.here.request(Late { number: 1 }).into_future());
            tokio::select! {
                biased;
                answer = &mut call => panic!("{answer:?}"),
                event = heard.next() => assert_eq!(event, "started"),
            }
        }
        assert_eq!(heard.next().await, "dropped");
    }
    assert_eq!(within(pair.here.request(Ask { number: 3 })).await.unwrap().number, 3);
    pair.end().await;
}

pub(crate) async fn a_slow_handler_holds_nobody_up(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    let slow = Duration::from_millis(300);
    server.handle(move |_, late: Late| async move {
        tokio::time::sleep(slow).await;
        Ok(Told { number: late.number })
    });
    server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
    let pair = wire.open(&server, &client).await;
    let (session, begun) = (pair.here.clone(), Instant::now());
    let late = tokio::spawn(async move { session.request(Late { number: 1 }).await });
    for number in 0..20 {
        assert_eq!(within(pair.here.request(Ask { number })).await.unwrap().number, number);
    }
    assert!(!late.is_finished() || begun.elapsed() >= slow);
    assert_eq!(within(late).await.unwrap().unwrap().number, 1);
    assert!(begun.elapsed() >= slow);
    pair.end().await;
}
