//! Who comes over one protocol sees what was said over the other.

#![forbid(unsafe_code)]

use std::time::Duration;

use gofast_bridge::{Board, Score, Scored, service};
use moorline::{Identity, Service};

#[tokio::test]
async fn one_board_for_peers_of_every_protocol() {
    let bridge = service().unwrap();
    let client = Service::builder().identity(Identity::generate().unwrap()).build().unwrap();
    let mut sessions = Vec::new();
    for protocol in ["msgpack", "msgpack-plain", "gofast", "gofast-2016"] {
        let at = bridge.accept("tcp://127.0.0.1:0", protocol).await.unwrap();
        sessions.push(client.connect(&at.url().to_string(), protocol).await.unwrap());
    }
    for (points, session) in (1..).zip(&sessions) {
        session.send(&Scored { player: "ada".into(), points }).unwrap();
        session.barrier().await.unwrap();
    }
    for session in &sessions {
        let look = async {
            let total = session.request(Score { player: "ada".into() }).await.unwrap();
            assert_eq!(total.points, 10, "{}", session.protocol());
            let mut board = session.open(&Board {}).unwrap();
            board.finish().unwrap();
            let ada = Scored { player: "ada".into(), points: 10 };
            assert_eq!(board.recv().await.unwrap(), Some(ada));
            assert_eq!(board.recv().await.unwrap(), None);
        };
        tokio::time::timeout(Duration::from_secs(20), look).await.unwrap();
    }
    client.shutdown().await.unwrap();
    bridge.shutdown().await.unwrap();
}
