//! Mistakes of who uses the library are said at the start, in words that help.

use moorline::{Error, Peers, Service};

use crate::support::{Note, Wire, within};

async fn accept(service: &Service, url: &str, protocol: &str) -> String {
    service.accept(url, protocol).await.unwrap_err().to_string()
}

async fn connect(service: &Service, url: &str, protocol: &str) -> String {
    service.connect(url, protocol).await.unwrap_err().to_string()
}

pub(crate) async fn two_handlers_of_one_message_stop_the_start(wire: &Wire) {
    let service = wire.service();
    service.on(|_, _: Note| {});
    service.on(|_, _: Note| {});
    let error = service.accept(&wire.place(), wire.protocol).await.unwrap_err();
    assert!(matches!(error, Error::DuplicateHandler("e2e.Note")));
    assert!(error.to_string().starts_with("two handlers for \"e2e.Note\""), "{error}");
    let error = connect(&service, "mem://nobody", wire.protocol).await;
    assert!(error.starts_with("two handlers for \"e2e.Note\""), "{error}");
}

pub(crate) async fn unknown_names_are_answered_with_the_known_ones(wire: &Wire) {
    let service = wire.service();
    let place = wire.place();
    let protocols = if cfg!(feature = "gofast") {
        "no protocol is named \"msgpak\"; there are: gofast, gofast-2016, msgpack, msgpack-plain"
    } else {
        "no protocol is named \"msgpak\"; there are: msgpack, msgpack-plain"
    };
    assert_eq!(accept(&service, &place, "msgpak").await, protocols);
    assert_eq!(connect(&service, &place, "msgpak").await, protocols);
    let schemes = "no transport for \"udp://\"; there are: mem, tcp, uds";
    assert_eq!(accept(&service, "udp://127.0.0.1:1", wire.protocol).await, schemes);
    assert_eq!(connect(&service, "udp://127.0.0.1:1", wire.protocol).await, schemes);
}

pub(crate) async fn addresses_that_cannot_be_are_explained(wire: &Wire) {
    let service = wire.service();
    let text = accept(&service, "127.0.0.1:4000", wire.protocol).await;
    assert_eq!(
        text,
        "\"127.0.0.1:4000\" is no address: it does not begin with a scheme and ://; a right one \
         looks like tcp://127.0.0.1:4000"
    );
    let text = connect(&service, "tcp://example.org", wire.protocol).await;
    assert!(text.contains("there is no port") && text.contains("tcp://example.org:4000"), "{text}");
    let place = wire.place();
    if wire.is_sealed() {
        let text = connect(&service, &place, wire.protocol).await;
        assert_eq!(
            text,
            "protocol \"msgpack\" needs the peer's public key in the address, as in \
             tcp://KEY@host:port"
        );
        let nobody = Service::builder().build().unwrap();
        let identity = "protocol \"msgpack\" needs an identity: Service::builder().identity(..)";
        assert_eq!(accept(&nobody, &place, wire.protocol).await, identity);
    } else {
        let closed = Service::builder().peers(Peers::anyone()).build().unwrap();
        let text = accept(&closed, &place, wire.protocol).await;
        assert!(text.contains("a listener needs Peers::anonymous(), spelled out"), "{text}");
    }
}

pub(crate) async fn nobody_listens_where_somebody_does(wire: &Wire) {
    let (one, two) = (wire.service(), wire.service());
    let acceptor = wire.accept(&one).await;
    let taken = acceptor.url().clone().without_key().to_string();
    let error = within(two.accept(&taken, wire.protocol)).await.unwrap_err();
    assert!(matches!(error, Error::Listen { .. }), "{error:?}");
    assert!(error.to_string().starts_with(&format!("cannot listen on {taken}: ")), "{error}");
    // Once the first has ended, the place is free.
    within(one.shutdown()).await.unwrap();
    within(two.accept(&taken, wire.protocol)).await.unwrap();
    within(two.shutdown()).await.unwrap();
}
