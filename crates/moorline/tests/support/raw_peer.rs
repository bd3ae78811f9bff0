//! A peer that is no service: the protocol alone on a socket, so that it can say anything.

use std::sync::Arc;
use std::time::Instant;

use moorline::{CloseReason, ErrorCode, MessageRegistry, PublicKey, Settings, Suites};
use moorline_buffers::{BlockPool, BlockPoolConfig, RecvBuffer, RecvPool, SendBuffer};
use moorline_noise::{Identity, Provider};
use moorline_protocol::msgpack::Msgpack;
use moorline_protocol::{Frame, HandledTypes, Local, Opened, Protocol, ProtocolFactory, Step};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::within;

/// A connection under a test's own hands.
pub(crate) struct RawPeer {
    pub(crate) stream: TcpStream,
    pub(crate) local: Arc<Local>,
    protocol: Box<dyn Protocol>,
    input: RecvBuffer,
    out: SendBuffer,
    opened: Option<Box<Opened>>,
}

/// What was heard, as far as tests look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Response(u32, Vec<u8>),
    Error(u32, ErrorCode),
    Close(ErrorCode, String),
    Other(String),
    /// The bytes are over, or make no sense.
    End(CloseReason),
}

/// What a peer brings, with a fresh key.
pub(crate) fn local(registry: MessageRegistry) -> Local {
    let provider = Provider::pure();
    Local {
        provider,
        identity: Some(Arc::new(Identity::generate(&provider).unwrap())),
        suites: Suites::default(),
        realm: String::new(),
        registry,
        settings: Settings::default(),
        recv: RecvPool::default(),
        blocks: BlockPool::new(BlockPoolConfig::messages()),
        boot_id: [7; 8],
        pending: Default::default(),
        agent: "raw".into(),
    }
}

impl RawPeer {
    /// Dials, with the message types of the process, and says nothing yet.
    pub(crate) async fn dial(url: &str) -> Self {
        Self::dial_with(url, local(MessageRegistry::process().unwrap())).await
    }

    pub(crate) async fn dial_with(url: &str, local: Local) -> Self {
        let address: moorline::Address = url.parse().unwrap();
        let stream = TcpStream::connect(address.authority()).await.unwrap();
        let local = Arc::new(local);
        let (factory, key): (Msgpack, Option<PublicKey>) = match address.key {
            Some(key) => (Msgpack::sealed(), Some(key)),
            None => (Msgpack::plain(), None),
        };
        let handled = HandledTypes::new().with_any(true);
        let mut protocol = factory.initiator(Arc::clone(&local), handled, key.into()).unwrap();
        let input = local.recv.acquire(2_048).unwrap();
        let mut out = SendBuffer::new(&local.blocks);
        protocol.start(Instant::now(), &mut out).unwrap();
        Self { stream, local, protocol, input, out, opened: None }
    }

    /// Dials, and opens a session.
    pub(crate) async fn open(url: &str) -> Self {
        Self::dial(url).await.opened().await
    }

    pub(crate) async fn opened(mut self) -> Self {
        while self.opened.is_none() {
            if let Some(said) = self.step() {
                panic!("said before the session was open: {said:?}");
            }
            self.write().await;
            if self.opened.is_none() && !self.read().await {
                panic!("no session: {:?}", self.protocol.handle_eof());
            }
        }
        self
    }

    /// What the protocol has to say by itself.
    pub(crate) fn take_out(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(block) = self.out.pop_block() {
            bytes.extend_from_slice(block.bytes());
        }
        bytes
    }

    async fn write(&mut self) {
        let bytes = self.take_out();
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// Reads until the handshake goes on: the peer's answer to our first message is taken, and
    /// what we would say next is in `take_out`.
    pub(crate) async fn shake(&mut self) {
        while self.out.is_empty() {
            assert!(self.read().await, "no answer to the handshake");
            assert!(self.step().is_none());
        }
    }

    /// Says some frames in one record.
    pub(crate) async fn say(&mut self, frames: &[Frame<'_>]) {
        let bytes = self.seal(frames);
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// The same, as bytes that have not been sent.
    pub(crate) fn seal(&mut self, frames: &[Frame<'_>]) -> Vec<u8> {
        let chain = self.encode(frames);
        self.seal_chain(chain);
        self.take_out()
    }

    fn encode(&self, frames: &[Frame<'_>]) -> SendBuffer {
        let opened = self.opened.as_ref().expect("the session is open");
        let mut chain = SendBuffer::with_block_max(&self.local.blocks, opened.block_max);
        for frame in frames {
            opened.encoder.encode(frame, moorline_protocol::Lane::Normal, &mut chain).unwrap();
        }
        chain
    }

    /// Says these very bytes in one record.
    pub(crate) async fn say_bytes(&mut self, units: &[u8]) {
        let bytes = self.seal_bytes(units);
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// The same, as bytes that have not been sent.
    pub(crate) fn seal_bytes(&mut self, units: &[u8]) -> Vec<u8> {
        let mut chain = SendBuffer::new(&self.local.blocks);
        chain.extend_from_slice(units).unwrap();
        self.seal_chain(chain);
        self.take_out()
    }

    fn seal_chain(&mut self, mut chain: SendBuffer) {
        let opened = self.opened.as_mut().expect("the session is open");
        while let Some(block) = chain.pop_block() {
            opened.sealing.seal(block, &mut self.out).unwrap();
        }
    }

    /// The next thing heard; credit and what else goes by itself is left out.
    pub(crate) async fn hear(&mut self) -> Said {
        loop {
            if let Some(said) = self.step() {
                return said;
            }
            if !self.read().await {
                return Said::End(self.protocol.handle_eof());
            }
        }
    }

    fn step(&mut self) -> Option<Said> {
        loop {
            match self.protocol.next(Instant::now(), &mut self.input, &mut self.out) {
                Ok(Step::NeedBytes) => return None,
                Ok(Step::Opened(opened)) => {
                    self.opened = Some(opened);
                    return None;
                }
                Ok(Step::Frame(Frame::Credit { .. } | Frame::Types(_) | Frame::Partial, _)) => {}
                Ok(Step::Frame(frame, _)) => return Some(Said::of(&frame)),
                Err(reason) => return Some(Said::End(reason)),
            }
        }
    }

    async fn read(&mut self) -> bool {
        self.input.reserve(self.protocol.read_capacity()).unwrap();
        match within(self.stream.read(self.input.spare_mut())).await {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.input.commit(count);
                true
            }
        }
    }
}

impl Said {
    fn of(frame: &Frame<'_>) -> Self {
        match frame {
            Frame::Response { id, body } => Said::Response(*id, body.bytes().to_vec()),
            Frame::Error { id, code, .. } => Said::Error(*id, *code),
            Frame::Close { code, message } => Said::Close(*code, message.to_string()),
            other => Said::Other(format!("{other:?}")),
        }
    }
}
