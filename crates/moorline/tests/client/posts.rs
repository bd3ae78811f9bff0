//! Posts of clients: while there is a connection, and while there is none.

use moorline::{Error, SendError, SessionDown, SessionUp, WhileDown, topic};

use super::server::{Home, client_of, dialer, end, kill, until, up_again};
use crate::support::{Heard, Note, blob, hear, note, run, within};

#[test]
fn without_a_connection_a_post_fails_unless_it_is_to_wait_or_to_be_dropped() {
    run(async {
        let home = Home::new("mem");
        let server = home.service();
        let (tell, mut heard) = hear();
        let serve = |server: &moorline::Service| {
            let tell = tell.clone();
            server.on(move |_, note: Note| tell.send(note.number).unwrap());
        };
        let acceptor = home.open(&server).await;
        end(&server).await;

        let service = dialer();
        let (mut ups, _) = Heard::<SessionUp>::topic(&service, topic("msgpack", SessionUp));
        let client = |rule| client_of(&service, &acceptor).0.while_down(rule).start().unwrap();
        let fails = client(WhileDown::Fail);
        let error = fails.send(&note(0)).unwrap_err();
        assert_eq!(error, SendError::Down { waited: std::time::Duration::ZERO });
        assert!(error.to_string().contains("while_down"), "{error}");
        assert!(fails.open_raw("log").is_err() && fails.session().is_none());
        within(async {
            fails.close();
            fails.closed().await
        })
        .await;
        assert!(matches!(fails.send(&note(0)), Err(SendError::Closed(_))));

        let drops = client(WhileDown::Drop);
        (0..3).for_each(|number| drops.send(&note(number)).unwrap());
        assert_eq!(drops.dropped_posts(), 3);

        let waits = client(WhileDown::Queue { bytes: 4096 });
        let mut queued = 0;
        let full = loop {
            match waits.send_with_priority(queued % 8, &note(queued.into())) {
                Ok(()) => queued += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(full, SendError::DownFull { limit: 4096, .. }), "{full}");
        assert!(queued > 30 && waits.queued_bytes() > 0);

        let server = home.service();
        serve(&server);
        home.open(&server).await;
        let mut dropped = [(ups.next().await), (ups.next().await)];
        dropped.sort_by_key(|up| up.dropped);
        assert_eq!(dropped.map(|up| (up.dropped, up.epoch)), [(0, 1), (3, 1)]);
        waits.send_with_priority(4, &note(1004)).unwrap();
        let mut arrived = Vec::new();
        while arrived.len() <= queued.into() {
            arrived.push(heard.next().await);
        }
        // Those of one third of priorities keep their order; the others may overtake them.
        for third in [0..=1_u64, 2..=5, 6..=7] {
            let of_third: Vec<_> = arrived.iter().filter(|n| third.contains(&(*n % 8))).collect();
            assert!(of_third.is_sorted(), "{of_third:?}");
        }
        assert_eq!((waits.queued_bytes(), drops.dropped_posts()), (0, 3));
        within(service.shutdown()).await.unwrap();
        end(&server).await;
    });
}

#[test]
fn more_than_a_session_takes_is_not_let_wait() {
    run(async {
        let builder = moorline::Service::builder().outbox_bytes(1000);
        let service = builder.identity(moorline::Identity::generate().unwrap()).build().unwrap();
        let client = service.client("mem://nobody", "msgpack");
        let error = client.while_down(WhileDown::Queue { bytes: 501 }).start().unwrap_err();
        assert!(matches!(error, Error::QueueAboveOutbox { bytes: 501, limit: 500 }), "{error}");
        assert!(error.to_string().contains("outbox_bytes") && service.clients().is_empty());
    });
}

/// Each connection that is lost is told with the posts that nobody knows about.
#[test]
fn a_lost_connection_says_which_posts_are_in_doubt() {
    run(async {
        let home = Home::new("tcp");
        let server = home.service();
        let (tell, mut heard) = hear();
        server.on(move |_, note: Note| tell.send(note.number).unwrap());
        let acceptor = home.open(&server).await;
        let service = dialer();
        let (mut downs, _) = Heard::<SessionDown>::topic(&service, topic("msgpack", SessionDown));
        let (builder, mut states) = client_of(&service, &acceptor);
        let client = within(builder.connect()).await.unwrap();
        let session = client.session().unwrap();
        (0..5).for_each(|number| client.send(&note(number)).unwrap());
        within(session.barrier()).await.unwrap();
        (5..8).for_each(|number| client.send(&note(number)).unwrap());
        for number in 0..8 {
            assert_eq!(heard.next().await, number);
        }
        session.set_flush(moorline::Flush::Manual);
        (8..10).for_each(|number| client.send(&note(number)).unwrap());
        kill(&server);
        let down = downs.next().await;
        assert_eq!((down.unsent, down.unknown), (2, 3));
        up_again(&client, &mut states, 1).await;
        assert!(heard.so_far().is_empty(), "what is in doubt is not sent again");
        client.close();
        let down = downs.next().await;
        assert_eq!((down.epoch, down.unsent, down.unknown), (2, 0, 0));
        end(&service).await;
        end(&server).await;
    });
}

/// What still waits when everything ends is reported like all that did not get out.
#[test]
fn what_waits_at_the_end_is_reported() {
    run(async {
        let home = Home::new("mem");
        let server = home.service();
        let acceptor = home.open(&server).await;
        end(&server).await;
        let service = dialer();
        let builder = client_of(&service, &acceptor).0;
        let client = builder.while_down(WhileDown::Queue { bytes: 1000 }).start().unwrap();
        client.send(&note(1)).unwrap();
        let bytes = client.queued_bytes();
        let Error::NotDrained(report) = within(service.shutdown()).await.unwrap_err() else {
            panic!("it is not drained");
        };
        assert_eq!((report.left.bytes, report.sessions), (bytes, 0));
    });
}

/// What had to wait leaves before what is sent by whoever hears of the connection first.
#[test]
fn what_waited_leaves_first() {
    run(async {
        let home = Home::new("tcp");
        let server = home.service();
        let (tell, mut heard) = hear();
        server.on(move |_, note: Note| tell.send(note.number).unwrap());
        let acceptor = home.open(&server).await;
        let service = dialer();
        let ours = service.clone();
        service.subscribe(topic("msgpack", SessionUp), move |up: &SessionUp| {
            ours.client_of(up.id).unwrap().send(&note(100 + up.epoch)).unwrap();
        });
        let builder = client_of(&service, &acceptor).0;
        let builder = builder.while_down(WhileDown::Queue { bytes: 1 << 20 });
        let client = within(builder.connect()).await.unwrap();
        assert_eq!(heard.next().await, 101);
        acceptor.close();
        kill(&server);
        until(|| client.session().is_none()).await;
        client.send(&note(2)).unwrap();
        let acceptor = home.open(&server).await;
        assert_eq!([heard.next().await, heard.next().await], [2, 102]);
        // What nobody handles is not taken when it is handed over, and that is told.
        acceptor.close();
        kill(&server);
        until(|| client.session().is_none()).await;
        client.send(&blob(1)).unwrap();
        client.send(&note(3)).unwrap();
        home.open(&server).await;
        assert_eq!([heard.next().await, heard.next().await], [3, 103]);
        assert_eq!((client.dropped_posts(), client.queued_bytes()), (1, 0));
        within(service.shutdown()).await.unwrap();
        end(&server).await;
        assert!(client.send(&blob(1)).is_err(), "it is over");
    });
}
