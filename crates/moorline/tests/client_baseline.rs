//! What a hundred connections that came and went leave behind at the server: nothing. Alone in its file,
//! because it counts the descriptors of the whole process.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![cfg(target_os = "linux")]

#[path = "client/server.rs"]
#[expect(dead_code, reason = "other tests of clients use the rest")]
mod server;
mod support;

use moorline::{ClientState, Service};
use server::{Home, client_of, dialer, end, kill, until, up_again};
use support::{Ask, Note, Told, note, run, within};

/// Descriptors, tasks, sessions, and bytes of buffers that are in use.
fn holds(server: &Service) -> [usize; 4] {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let [received, sent] = server.pool_stats().map(|pool| pool.in_use_bytes);
    [descriptors, tasks, server.sessions().len(), received + sent]
}

#[test]
fn a_hundred_connections_leave_nothing_behind() {
    run(async {
        let home = Home::new("tcp");
        let server = home.service();
        server.handle(|_, ask: Ask| async move { Ok(Told { number: ask.number }) });
        server.on(|_, _: Note| {});
        server.topic("notes").allow_all();
        let acceptor = home.open(&server).await;
        let service = dialer();
        let (builder, mut states) = client_of(&service, &acceptor);
        let client = within(builder.connect()).await.unwrap();
        let mut notes = within(client.subscribe::<Note>("notes")).await.unwrap();
        let reader =
            tokio::spawn(async move { while !notes.recv().await.is_err_and(|e| e.is_over()) {} });
        let mut baseline = None;
        for epoch in 1..=110 {
            assert_eq!(within(client.request(Ask { number: epoch })).await.unwrap().number, epoch);
            within(client.send_wait(&note(epoch))).await.unwrap();
            match epoch % 4 {
                0 => kill(&server),
                1 => client.reset(),
                2 => assert!(client.session().unwrap().close()),
                _ => assert!(server.sessions()[0].close()),
            }
            up_again(&client, &mut states, epoch).await;
            if epoch == 10 {
                // By then everything is there that is made once.
                baseline = Some(holds(&server));
            }
        }
        assert_eq!(client.state(), ClientState::Up { epoch: 111 });
        let baseline = baseline.unwrap();
        until(|| holds(&server).iter().zip(baseline).all(|(now, before)| *now <= before)).await;
        assert_eq!(server.sessions().len(), 1);
        within(service.shutdown()).await.unwrap();
        within(reader).await.unwrap();
        end(&server).await;
    });
}
