//! A server, an honest session, and a connection that says whatever a test wants.

use moorline::{
    CloseReason, ErrorCode, Message, MessageRegistry, PostDropped, Service, ServiceBuilder,
    SessionClosed, SessionRef, Settings, topic,
};
use moorline_protocol::{Body, Frame, Kind, Meta};

use crate::support::{Ask, Heard, Late, Nest, Note, RawPeer, Said, Told, Wire, hear, within};

/// A server, an honest session, and a connection that says whatever a test wants.
pub(crate) struct Scene {
    pub(crate) server: Service,
    pub(crate) honest: SessionRef,
    _client: Service,
    pub(crate) url: String,
    pub(crate) closed: Heard<SessionClosed>,
    pub(crate) dropped: Heard<PostDropped>,
    pub(crate) notes: Heard<u64>,
}

impl Scene {
    pub(crate) async fn set(protocol: &'static str) -> Self {
        let settings = Settings { in_flight_max: 16, ..Settings::default() };
        Self::with(protocol, settings).await
    }

    /// The same, where the server has these settings.
    pub(crate) async fn with(protocol: &'static str, settings: Settings) -> Self {
        let wire = Wire::new("tcp", protocol);
        Self::of(protocol, wire.builder().settings(settings), wire.service()).await
    }

    /// The same, with any server that lets this client in.
    pub(crate) async fn of(
        protocol: &'static str,
        server: ServiceBuilder,
        client: Service,
    ) -> Self {
        let wire = Wire::new("tcp", protocol);
        let server = server.build().unwrap();
        let (tell, notes) = hear();
        server.on(move |_, note: Note| tell.send(note.number).unwrap());
        server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
        server.handle_now(|_, _: Nest| Ok(Told { number: 0 }));
        server.handle(|_, _: Late| std::future::pending());
        let pair = wire.open(&server, &client).await;
        let (closed, _) = Heard::<SessionClosed>::topic(&server, topic(protocol, SessionClosed));
        let (dropped, _) = Heard::<PostDropped>::topic(&server, topic(protocol, PostDropped));
        let url = pair.acceptor.url().to_string();
        Self { server, honest: pair.here, _client: client, url, closed, dropped, notes }
    }

    /// The peer hears CLOSE with this code and nothing more, its session ends for a reason that
    /// has this code, and the honest one goes on.
    pub(crate) async fn verdict(&mut self, mut peer: RawPeer, code: ErrorCode) -> CloseReason {
        let Said::Close(said, text) = peer.hear().await else { panic!("CLOSE was due") };
        assert_eq!(said, code, "{text}");
        drop(peer);
        let reason = self.closed.next().await.reason;
        assert!(matches!(&reason, CloseReason::Violation(v) if v.code == code), "{reason}");
        self.others_go_on().await;
        reason
    }

    pub(crate) async fn others_go_on(&self) {
        assert_eq!(within(self.honest.request(Ask { number: 5 })).await.unwrap().number, 5);
    }

    /// The peer is heard, so its session goes on.
    pub(crate) async fn peer_goes_on(&mut self, peer: &mut RawPeer) {
        peer.say(&[post::<Note>(&[0x92, 0x07, 0xa1, b'x'])]).await;
        assert_eq!(self.notes.next().await, 7);
        assert_eq!(self.server.sessions().len(), 2);
        self.others_go_on().await;
    }
}

/// `count` posts of a note, byte by byte, and what one of them costs of the window.
pub(crate) fn notes(count: usize) -> (Vec<u8>, u64) {
    let index = MessageRegistry::process().unwrap().index_of::<Note>().unwrap();
    let tid = u8::try_from(index.tid()).unwrap();
    let unit = [0xc7, 0x05, 0x00, tid, 0x92, 0x07, 0xa1, b'x'];
    (unit.repeat(count), unit.len() as u64 + 32)
}

/// The number of a type in a registry of the process, as every peer here has it.
pub(crate) fn kind<M: Message>() -> Kind {
    Kind::Known(MessageRegistry::process().unwrap().index_of::<M>().unwrap())
}

pub(crate) fn post<M: Message>(body: &[u8]) -> Frame<'_> {
    Frame::Post { kind: kind::<M>(), meta: Meta::default(), body: Body::Borrowed(body) }
}

pub(crate) fn request<M: Message>(id: u32, body: &[u8]) -> Frame<'_> {
    Frame::Request { id, kind: kind::<M>(), meta: Meta::default(), body: Body::Borrowed(body) }
}
