//! Counters as a recorder of the crate `metrics` gets them.
#![cfg(feature = "metrics")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use moorline_protocol::register_message;
use moorline_service::{Identity, Peers, Service};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Add(u32, u32);
#[derive(Serialize, Deserialize)]
struct Sum(u32);
register_message!(Add => Sum);

#[derive(Default)]
struct Kept(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Recorder for &'static Kept {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let mut all = self.0.lock().unwrap();
        Counter::from_arc(Arc::clone(all.entry(key.name().to_owned()).or_default()))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test(flavor = "current_thread")]
async fn two_services_of_a_process_add_up_under_the_names_of_gofast() {
    let kept: &'static Kept = Box::leak(Box::default());
    assert!(metrics::set_global_recorder(kept).is_ok());
    let server = Service::builder().identity(Identity::generate().unwrap());
    let server = server.peers(Peers::anyone()).build().unwrap();
    server.handle_now(|_, Add(a, b)| Ok(Sum(a + b)));
    let at = server.accept("mem://metrics", "msgpack").await.unwrap();
    let client = Service::builder().identity(Identity::generate().unwrap()).build().unwrap();
    let session = client.connect(&at.url().to_string(), "msgpack").await.unwrap();
    for _ in 0..5 {
        let Sum(sum) = session.request(Add(2, 3)).await.unwrap();
        assert_eq!(sum, 5);
    }
    client.shutdown().await.unwrap();
    server.shutdown().await.unwrap();
    let all = kept.0.lock().unwrap();
    let count = |name: &str| all.get(name).map_or(0, |count| count.load(Ordering::Relaxed));
    for name in ["n_tx", "n_rx"] {
        assert_eq!(count(&format!("moorline_{name}")), 10, "{name}");
    }
    for name in ["n_txreq", "n_rxreq", "n_txresp", "n_rxresp"] {
        assert_eq!(count(&format!("moorline_{name}")), 5, "{name}");
    }
    assert!(count("moorline_n_txbyte") > 0 && count("moorline_n_flushes") > 0);
    assert_eq!(count("moorline_n_mdrops"), 0);
}
