//! Messages without an answer.

use moorline::{NewSession, SendError, topic};
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::support::{Ask, Chat, Gate, Note, Score, Told, Wire, hear, note, registry_of, within};

pub(crate) async fn posts_go_both_ways(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    let (tell_server, mut at_server) = hear();
    let (tell_client, mut at_client) = hear();
    server.on(move |cx, note: Note| tell_server.send((cx.session().id(), note)).unwrap());
    client.on(move |cx, note: Note| tell_client.send((cx.session().id(), note)).unwrap());
    let pair = wire.open(&server, &client).await;
    pair.here.send(&note(1)).unwrap();
    pair.there.send(&note(2)).unwrap();
    assert_eq!(at_server.next().await, (pair.there.id(), note(1)));
    assert_eq!(at_client.next().await, (pair.here.id(), note(2)));
    pair.end().await;
}

pub(crate) async fn a_borrowed_message_is_seen_where_it_lies(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    let (tell, mut heard) = hear();
    server.on_view::<Chat<'static>, _>(move |_, chat: Chat<'_>| {
        tell.send((chat.from.to_owned(), chat.text.to_owned())).unwrap();
    });
    let pair = wire.open(&server, &client).await;
    let text = String::from("good morning");
    pair.here.send(&Chat { from: "ada", text: &text }).unwrap();
    assert_eq!(heard.next().await, ("ada".to_owned(), text));
    pair.end().await;
}

pub(crate) async fn ten_thousand_posts_arrive_in_their_order(wire: &Wire) {
    const POSTS: u64 = 10_000;
    let (server, client) = (wire.service(), wire.service());
    let (tell, mut heard) = hear();
    server.on(move |_, note: Note| tell.send(note.number).unwrap());
    let pair = wire.open(&server, &client).await;
    for number in 0..POSTS {
        pair.here.send_wait(&note(number)).await.unwrap();
    }
    within(pair.here.barrier()).await.unwrap();
    assert_eq!(heard.so_far(), (0..POSTS).collect::<Vec<_>>());
    pair.end().await;
}

/// The first post may lie in the same bytes as the end of the handshake.
pub(crate) async fn a_post_that_welcomes_a_new_session_arrives(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    let (tell, mut heard) = hear();
    client.on(move |_, note: Note| tell.send(note.number).unwrap());
    let greeter = server.clone();
    server.subscribe(topic(wire.protocol, NewSession), move |news: &NewSession| {
        let session = greeter.acquire(news.id).expect("a session that is told of is there");
        session.send(&note(7)).unwrap();
    });
    let acceptor = wire.accept(&server).await;
    for _ in 0..8 {
        let session = wire.connect(&client, &acceptor).await;
        assert_eq!(heard.next().await, 7);
        session.close();
    }
    within(client.shutdown()).await.unwrap();
    within(server.shutdown()).await.unwrap();
}

pub(crate) async fn a_full_outbox_says_so_and_loses_nothing(wire: &Wire) {
    const LIMIT: usize = 64 * 1024;
    let (server, client) = (wire.service(), wire.builder().outbox_bytes(LIMIT).build().unwrap());
    let gate = Gate::default();
    let (tell, mut heard) = hear();
    // On one thread nobody reads before we wait; otherwise the reader is held up.
    if Handle::current().runtime_flavor() != RuntimeFlavor::CurrentThread {
        let gate = gate.clone();
        server.on(move |_, note: Note| {
            gate.pass();
            tell.send(note.number).unwrap();
        });
    } else {
        server.on(move |_, note: Note| tell.send(note.number).unwrap());
    }
    let pair = wire.open(&server, &client).await;
    let text = "x".repeat(1_000);
    let mut sent = 0;
    let error = loop {
        match pair.here.send(&Note { number: sent, text: text.clone() }) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 1_000_000, "there is a limit");
    };
    let SendError::Full { queued, limit } = error else { panic!("{error}") };
    assert!(limit == LIMIT && queued <= limit && queued + 1_100 > limit, "{error:?}");
    assert!(error.to_string().contains("`outbox_bytes`"), "{error}");
    gate.open();
    for _ in 0..200 {
        within(pair.here.send_wait(&Note { number: sent, text: text.clone() })).await.unwrap();
        sent += 1;
    }
    within(pair.here.barrier()).await.unwrap();
    assert_eq!(heard.so_far(), (0..sent).collect::<Vec<_>>());
    pair.end().await;
}

/// Several tasks send and ask at once, in both directions: nothing is lost, nobody waits for ever.
pub(crate) async fn a_crowd_of_senders_shares_a_session(wire: &Wire) {
    const SENDERS: u64 = 4;
    const POSTS: u64 = 1_500;
    let (server, client) = (wire.service(), wire.service());
    let (tell, mut heard) = hear();
    for service in [&server, &client] {
        let tell = tell.clone();
        service.on(move |_, note: Note| tell.send((note.text, note.number)).unwrap());
        service.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
    }
    let pair = wire.open(&server, &client).await;
    let mut crowd = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        for session in [pair.here.clone(), pair.there.clone()] {
            crowd.spawn(async move {
                let text = format!("{sender} {:?} {}", session.direction(), "x".repeat(60));
                for number in 0..POSTS {
                    session.send_wait(&Note { number, text: text.clone() }).await.unwrap();
                    if number % 100 == sender {
                        assert_eq!(session.request(Ask { number }).await.unwrap().number, number);
                    }
                }
                session.barrier().await.unwrap();
            });
        }
    }
    within(crowd.join_all()).await;
    let mut expected = std::collections::HashMap::new();
    for (sender, number) in heard.so_far() {
        let next = expected.entry(sender).or_insert(0);
        assert_eq!(number, *next, "each sender's posts keep their order");
        *next += 1;
    }
    assert_eq!(expected.len() as u64, 2 * SENDERS);
    assert!(expected.values().all(|count| *count == POSTS));
    pair.end().await;
}

pub(crate) async fn a_barrier_says_that_all_before_it_was_dispatched(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    let (tell, mut heard) = hear();
    server.on(move |_, note: Note| tell.send(note.number).unwrap());
    let pair = wire.open(&server, &client).await;
    for round in 0..20 {
        pair.here.send(&note(round)).unwrap();
        let (one, two) =
            within(async { tokio::join!(pair.here.barrier(), pair.here.barrier()) }).await;
        one.unwrap();
        two.unwrap();
        assert_eq!(heard.so_far(), [round]);
    }
    pair.end().await;
}

pub(crate) async fn a_handler_that_panics_costs_one_post(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    let (tell, mut heard) = hear();
    server.on(move |_, note: Note| {
        assert!(note.number != 1, "this panic is part of a test");
        tell.send(note.number).unwrap();
    });
    let pair = wire.open(&server, &client).await;
    for number in 0..3 {
        pair.here.send(&note(number)).unwrap();
    }
    assert_eq!((heard.next().await, heard.next().await), (0, 2));
    pair.end().await;
}

pub(crate) async fn what_no_handler_takes_goes_to_the_default_one(wire: &Wire) {
    let known_there = registry_of(&[<Note as moorline::Message>::registration()]);
    let server = wire.builder().registry(known_there).build().unwrap();
    let client = wire.service();
    let (tell, mut heard) = hear();
    server.default_handler(move |_, message| {
        tell.send((message.name, message.hash.is_some(), message.is_request)).unwrap();
        None
    });
    let pair = wire.open(&server, &client).await;
    pair.here.send(&note(1)).unwrap();
    assert_eq!(heard.next().await, (Some("e2e.Note"), false, false), "known, but not handled");
    pair.here.send(&Score { points: 1 }).unwrap();
    assert_eq!(heard.next().await, (None, true, false), "not known at all");
    pair.end().await;
}

pub(crate) async fn a_handler_of_later_reaches_the_peer(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
    let pair = wire.open(&server, &client).await;
    let refused = pair.here.send(&note(1)).unwrap_err();
    assert_eq!(refused, SendError::NotHandledByPeer("e2e.Note"));
    assert_eq!(refused.to_string(), "the peer does not handle \"e2e.Note\"");
    let (tell, mut heard) = hear();
    server.on(move |_, note: Note| tell.send(note.number).unwrap());
    // What is handled now is told before the ping of a barrier.
    within(pair.there.barrier()).await.unwrap();
    pair.here.send(&note(2)).unwrap();
    assert_eq!(heard.next().await, 2);
    pair.end().await;
}
