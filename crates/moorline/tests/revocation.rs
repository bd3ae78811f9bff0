//! The peer list changes while sessions are open.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::Path;

use moorline::{CloseReason, Error, ErrorCode, Identity, Peers, Service, SessionRef};
use support::{Ask, Told, hear, run, within};

struct Fleet {
    server: Service,
    url: String,
}

impl Fleet {
    async fn new(peers: Peers) -> Self {
        let identity = Identity::generate().unwrap();
        let server = Service::builder().identity(identity).peers(peers).build().unwrap();
        server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
        let at = server.accept("tcp://127.0.0.1:0", "msgpack").await.unwrap();
        Self { server, url: at.url().to_string() }
    }

    async fn join(&self, identity: &Identity) -> Result<SessionRef, Error> {
        let client = Service::builder().identity(identity.clone()).build().unwrap();
        within(client.connect(&self.url, "msgpack")).await
    }
}

/// A list as an editor or a deployment writes it: a new file in the place of the old one.
fn write(path: &Path, listed: &[&Identity]) {
    let line = |identity: &&Identity| format!("peer {} role=member\n", identity.public().to_line());
    let next = path.with_extension("next");
    std::fs::write(&next, listed.iter().map(line).collect::<String>()).unwrap();
    std::fs::rename(next, path).unwrap();
}

async fn reason_of_end(session: &SessionRef) -> CloseReason {
    let (tell, mut heard) = hear();
    session.on_close(move |end| tell.send(end.reason.clone()).unwrap());
    // Too late a subscription hears no reason: then the status has it.
    match within(heard.next()).await {
        Some(reason) => reason,
        None => match session.status() {
            moorline::SessionStatus::Closed(reason) => reason,
            other => panic!("{other:?}"),
        },
    }
}

async fn answers(session: &SessionRef) -> bool {
    within(session.request(Ask { number: 7 })).await.is_ok()
}

fn assert_revoked(reason: &CloseReason) {
    match reason {
        CloseReason::ByPeer(farewell) => assert_eq!(farewell.code, ErrorCode::REVOKED),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_that_is_taken_off_the_list_loses_its_session_and_nobody_else_does() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peers");
        let [ada, bob] = [(); 2].map(|()| Identity::generate().unwrap());
        write(&path, &[&ada]);
        let fleet = Fleet::new(Peers::file(&path).unwrap()).await;
        let here = fleet.join(&ada).await.unwrap();
        assert!(fleet.join(&bob).await.is_err());
        write(&path, &[&ada, &bob]);
        let there = loop {
            if let Ok(session) = fleet.join(&bob).await {
                break session;
            }
        };
        write(&path, &[&bob]);
        assert_revoked(&reason_of_end(&here).await);
        assert!(answers(&there).await);
        assert!(fleet.join(&ada).await.is_err());
        within(fleet.server.shutdown()).await.unwrap();
    });
}

#[test]
fn a_list_that_is_broken_for_a_while_lets_nobody_in_and_throws_nobody_out() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peers");
        let ada = Identity::generate().unwrap();
        write(&path, &[&ada]);
        let fleet = Fleet::new(Peers::file(&path).unwrap()).await;
        let session = fleet.join(&ada).await.unwrap();
        std::fs::write(&path, "ada, and whoever she brings\n").unwrap();
        while fleet.join(&ada).await.is_ok() {}
        assert!(answers(&session).await);
        write(&path, &[&ada]);
        while fleet.join(&ada).await.is_err() {}
        assert!(answers(&session).await);
        within(fleet.server.shutdown()).await.unwrap();
    });
}

#[test]
fn a_program_changes_its_list_without_a_file() {
    run(async {
        let ada = Identity::generate().unwrap();
        let peers = Peers::nobody().with("ada", ada.public());
        let fleet = Fleet::new(peers.clone()).await;
        let session = fleet.join(&ada).await.unwrap();
        peers.replace(&Peers::nobody());
        assert_revoked(&reason_of_end(&session).await);
        within(fleet.server.shutdown()).await.unwrap();
    });
}
