//! Dialing an address without a key: trust on first use, and what happens when the key changes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::Path;
use std::sync::{Arc, Mutex};

use moorline::{Error, Identity, KnownPeers, Peers, Service, Suite, Suites};
use support::{Ask, Told, run, within};

/// A listener that lets itself be asked for its key.
async fn listener(identity: &Identity, at: &str) -> (Service, String) {
    let suites = Suites::default().also(Suite::XxHfsChaCha).also(Suite::XxHfsAes);
    let builder = Service::builder().identity(identity.clone()).suites(suites);
    let server = builder.peers(Peers::anyone()).build().unwrap();
    server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
    let at = server.accept(at, "msgpack").await.unwrap();
    (server, at.url().clone().without_key().to_string())
}

fn client(known: KnownPeers) -> Service {
    Service::builder().identity(Identity::generate().unwrap()).known_peers(known).build().unwrap()
}

#[test]
fn a_peer_is_asked_about_once_and_known_from_then_on() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known_peers");
        let identity = Identity::generate().unwrap();
        let (server, url) = listener(&identity, "tcp://127.0.0.1:0").await;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let known = || {
            let asked = Arc::clone(&asked);
            KnownPeers::file(&path).ask(move |contact| {
                asked.lock().unwrap().push(contact.fingerprint());
                async { true }
            })
        };
        for _ in 0..2 {
            let session = within(client(known()).connect(&url, "msgpack")).await.unwrap();
            assert_eq!(within(session.request(Ask { number: 7 })).await.unwrap().number, 7);
            assert_eq!(session.peer().key, Some(identity.public()));
            session.close();
        }
        assert_eq!(*asked.lock().unwrap(), [identity.public().fingerprint()]);
        within(server.shutdown()).await.unwrap();
    });
}

#[test]
fn nobody_is_trusted_unless_somebody_says_so() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known_peers");
        let identity = Identity::generate().unwrap();
        let (server, url) = listener(&identity, "tcp://127.0.0.1:0").await;
        let error = within(client(KnownPeers::file(&path)).connect(&url, "msgpack")).await;
        let error = error.unwrap_err();
        assert!(matches!(error, Error::NotTrusted { key, .. } if key == identity.public()));
        assert!(error.to_string().contains(&identity.public().fingerprint().to_string()));
        assert!(!path.exists());
        assert!(server.sessions().is_empty());
        within(server.shutdown()).await.unwrap();
    });
}

#[test]
fn a_key_that_changed_is_an_error_and_never_a_question() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known_peers");
        let socket = format!("uds://{}", folder.path().join("moorline.sock").display());
        let known = |path: &Path| KnownPeers::file(path).ask(|_| async { true });
        let [before, after] = [(); 2].map(|()| Identity::generate().unwrap());

        let (server, url) = listener(&before, &socket).await;
        within(client(known(&path)).connect(&url, "msgpack")).await.unwrap();
        within(server.shutdown()).await.unwrap();

        let (server, url) = listener(&after, &socket).await;
        let error = within(client(known(&path)).connect(&url, "msgpack")).await.unwrap_err();
        assert!(
            matches!(error, Error::KeyChanged { known, now, .. }
                if known == before.public() && now == after.public()),
            "{error}"
        );
        within(server.shutdown()).await.unwrap();
    });
}

#[test]
fn a_listener_that_is_not_for_enrolment_stays_silent() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::generate().unwrap();
        let server = Service::builder().identity(identity).peers(Peers::anyone()).build().unwrap();
        let at = server.accept("tcp://127.0.0.1:0", "msgpack").await.unwrap();
        let url = at.url().clone().without_key().to_string();
        let known = KnownPeers::file(folder.path().join("known")).ask(|_| async { true });
        let error = within(client(known).connect(&url, "msgpack")).await.unwrap_err();
        assert!(matches!(error, Error::Handshake { .. }), "{error}");
        within(server.shutdown()).await.unwrap();
    });
}
