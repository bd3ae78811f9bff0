//! Whether the client sees through a server that does not tell the truth.

use moorline::{Identity, Peers, Service};

use super::super::PROTOCOL;
use super::super::files::DemoFile;
use super::super::part::all_parts;
use super::*;
use crate::handlers;
use crate::messages::{Confirm, Digested, Verdict, Welcome};
use crate::tally::sha256_hex;

const CONTENT: &[u8] = b"what is sent";

/// A session with a server that `install` makes, and one part to be sent on it.
struct Scene {
    speaker: Arc<Speaker>,
    parts: Vec<Arc<Part>>,
    _services: [Service; 2],
}

impl Scene {
    async fn with(name: &str, install: impl FnOnce(&Service)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part");
        std::fs::write(&path, CONTENT).unwrap();
        let file = DemoFile { label: "part".into(), path, size: CONTENT.len() as u64 };
        let parts = all_parts(&[file]).unwrap();

        let client = Identity::generate().unwrap();
        let peers = Peers::nobody().with("demo-client", client.public());
        let server = Identity::generate().unwrap();
        let server = Service::builder().identity(server).peers(peers).build().unwrap();
        install(&server);
        let acceptor = server.accept(&format!("mem://{name}"), PROTOCOL).await.unwrap();

        let client = Service::builder().identity(client).build().unwrap();
        let tallies = Tallies::default();
        tallies.follow(&client, PROTOCOL);
        let counted = tallies.clone();
        client.handle_now(move |cx, confirm: Confirm| {
            let ours = counted.totals(cx.session().id()).expect("the session is open");
            Ok(Verdict { difference: ours.difference(&confirm.totals) })
        });
        let session = client.connect(&acceptor.url().to_string(), PROTOCOL).await.unwrap();
        let counters = Arc::<Counters>::default();
        let speaker = Speaker::new("test".into(), session, tallies, counters, Stop::never());
        Self { speaker: Arc::new(speaker), parts, _services: [server, client] }
    }

    /// What is wrong with the answers, in words.
    async fn found_wrong(&self) -> Vec<String> {
        let mut answers = self.speaker.speak(&self.parts).await.unwrap();
        self.speaker.finish(&mut answers).await.unwrap();
        answers.wrong
    }
}

/// A server that tells the truth, but for what `answer` says of a digest and `echo` of an echo.
fn liar(
    service: &Service,
    answer: impl Fn() -> Digested + Send + Sync + 'static,
    echo: impl Fn(Echo) -> Echo + Send + Sync + 'static,
) {
    service.handle_now(move |_, _: Digest| Ok(answer()));
    service.handle_now(move |_, asked: Echo| Ok(echo(asked)));
    service.handle_now(|_, _: Finish| Ok(Verdict { difference: String::new() }));
    service.on(|_, _: Note| {});
}

fn truth() -> Digested {
    Digested { sha256: sha256_hex(CONTENT), size: CONTENT.len() as u64 }
}

#[tokio::test]
async fn an_honest_server_is_believed() {
    let scene = Scene::with("honest", |service| handlers::install(service, PROTOCOL)).await;
    scene.speaker.login().await.unwrap();
    assert_eq!(scene.found_wrong().await, Vec::<String>::new());
    let told = Scene::with("told", |service| liar(service, truth, |echo| echo)).await;
    assert_eq!(told.found_wrong().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_wrong_digest_a_wrong_size_and_a_wrong_echo_are_seen() {
    let sha256 = || Digested { sha256: sha256_hex(b"another"), ..truth() };
    let scene = Scene::with("sha256", |service| liar(service, sha256, |echo| echo)).await;
    let wrong = scene.found_wrong().await;
    assert!(wrong.len() == 1 && wrong[0].contains(&sha256_hex(b"another")), "{wrong:?}");

    let size = || Digested { size: 7, ..truth() };
    let scene = Scene::with("size", |service| liar(service, size, |echo| echo)).await;
    let wrong = scene.found_wrong().await;
    assert!(wrong.len() == 1 && wrong[0].contains("the server has 7"), "{wrong:?}");

    let change: [fn(&mut Echo); 3] =
        [|echo| echo.id += 1, |echo| echo.name.push('.'), |echo| echo.data.0[0] ^= 1];
    for (number, change) in change.into_iter().enumerate() {
        let echo = move |mut echo: Echo| {
            change(&mut echo);
            echo
        };
        let name = format!("echo-{number}");
        let scene = Scene::with(&name, |service| liar(service, truth, echo)).await;
        let wrong = scene.found_wrong().await;
        assert!(wrong.len() == 1 && wrong[0].contains("echo of part"), "{wrong:?}");
    }
}

#[tokio::test]
async fn a_note_that_was_not_counted_is_seen_when_both_sides_compare() {
    let scene = Scene::with("notes", |service| handlers::install(service, PROTOCOL)).await;
    let id = scene.speaker.session.id();
    scene.speaker.tallies.note(id, "this one was never sent");
    let wrong = scene.found_wrong().await;
    assert!(wrong.len() == 1 && wrong[0].contains("notes: 2 here, 1 there"), "{wrong:?}");
}

#[tokio::test]
async fn a_server_that_takes_us_for_another_is_refused() {
    let scene = Scene::with("another", |service| {
        service.handle_now(|_, login: Login| {
            let greeting = format!("welcome, {}", login.name);
            Ok(Welcome { greeting, listed_as: "somebody-else".into() })
        });
    })
    .await;
    let refused = scene.speaker.login().await.unwrap_err();
    assert!(refused.contains("somebody-else"), "{refused}");
}

#[test]
fn percentiles_are_times_that_were_measured() {
    let mut answers = Answers::default();
    assert!(answers.percentile(50).abs() < f64::EPSILON);
    answers.latencies_us = (1..=200).rev().map(f64::from).collect();
    for (of_hundred, expected) in [(50, 100.0), (99, 198.0), (100, 200.0)] {
        assert!((answers.percentile(of_hundred) - expected).abs() < f64::EPSILON);
    }
}

#[test]
fn what_is_under_way_fits_into_the_outbox() {
    const OUTBOX_BYTES_DEFAULT: u64 = 32 * 1024 * 1024;
    const { assert!(BYTES_MAX >= PART_BYTES_MAX && BYTES_MAX < OUTBOX_BYTES_DEFAULT) };
}
