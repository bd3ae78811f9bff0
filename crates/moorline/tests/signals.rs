//! A process that is told to stop. Alone in its file, because it sends signals to itself.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![cfg(unix)]

mod support;

use std::process::Command;
use std::time::Duration;

use moorline::{Error, SessionStatus};
use support::{Late, Wire, hear, run, within};

fn signal(name: &str) {
    let itself = std::process::id().to_string();
    assert!(Command::new("kill").args([name, &itself]).status().unwrap().success());
}

#[test]
fn the_first_signal_drains_and_the_second_one_cuts() {
    run(async {
        let wire = Wire::usual();
        // Far longer than a test may take.
        let server = wire.builder().drain_deadline(Duration::from_secs(3_600)).build().unwrap();
        let client = wire.service();
        let (tell, mut started) = hear();
        server.handle(move |_, _: Late| {
            tell.send(()).unwrap();
            std::future::pending()
        });
        let pair = wire.open(&server, &client).await;
        let session = pair.here.clone();
        let call = tokio::spawn(async move { session.request(Late { number: 1 }).await });
        started.next().await;
        let mut serving = Box::pin(server.run());
        tokio::select! {
            biased;
            _ = &mut serving => unreachable!("nobody has asked it to stop"),
            () = std::future::ready(()) => {}
        }
        signal("-TERM");
        let told = async {
            while pair.here.status() == SessionStatus::Open {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            result = &mut serving => panic!("it did not wait for its handler: {result:?}"),
            () = told => {}
        }
        assert!(!call.is_finished());
        signal("-INT");
        let Err(Error::NotDrained(report)) = within(serving).await else { panic!() };
        assert_eq!((report.sessions, report.left.handlers), (1, 1));
        assert!(within(call).await.unwrap().is_err());
        within(client.shutdown()).await.unwrap();
    });
}
