//! A dialer that is written by hand: its handshake is good, and whatever a test wants is in it.

use moorline::{Address, MessageRegistry, PublicKey, Suite};
use moorline_noise::{
    Handshake, HandshakeConfig, Identity, Opener, Provider, Role, Sealer, prologue,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::within;

const HELLO: u8 = 0x1c;
const NOISE: u8 = 0x1d;
pub(crate) const RECORD: u8 = 0x1f;

/// What a dialer says of itself. As it is made, a listener would let it in.
pub(crate) struct Hand {
    address: Address,
    suite: Suite,
    preamble: [u8; 16],
    caps: [u8; 32],
    identity: Identity,
    provider: Provider,
}

impl Hand {
    pub(crate) fn to(url: &str) -> Self {
        let provider = Provider::pure();
        let types = MessageRegistry::process().unwrap();
        let mut caps = [0; 32];
        caps[..4].copy_from_slice(&[1, 1, 1, 16]);
        caps[16..24].copy_from_slice(&types.digest(types.len()));
        Self {
            address: url.parse().unwrap(),
            suite: Suite::IkHfsChaCha,
            preamble: *b"MOOR\x01\x01\x01\x01\0\0\0\0\0\0\0\0",
            caps,
            identity: Identity::generate(&provider).unwrap(),
            provider,
        }
    }

    /// Another byte in its preamble. The prologue has it, too.
    pub(crate) fn preamble(mut self, at: usize, byte: u8) -> Self {
        self.preamble[at] = byte;
        self
    }

    /// Another byte in its capabilities.
    pub(crate) fn caps(mut self, at: usize, byte: u8) -> Self {
        self.caps[at] = byte;
        self
    }

    pub(crate) fn suite(mut self, suite: Suite) -> Self {
        self.suite = suite;
        self.preamble(6, suite.id())
    }

    /// With this static key.
    pub(crate) fn identity(self, identity: Identity) -> Self {
        Self { identity, ..self }
    }

    /// With ephemeral keys that come from here.
    pub(crate) fn provider(self, provider: Provider) -> Self {
        Self { provider, ..self }
    }

    /// The key it dials.
    pub(crate) fn listener(&self) -> PublicKey {
        self.address.key.unwrap()
    }

    pub(crate) fn public(&self) -> PublicKey {
        self.identity.public()
    }

    pub(crate) fn hello(&self) -> Vec<u8> {
        self.begin().0
    }

    fn begin(&self) -> (Vec<u8>, Handshake) {
        let mut handshake = Handshake::initiator(HandshakeConfig {
            suite: self.suite,
            prologue: &prologue(&self.preamble, "", None),
            local: Some(&self.identity),
            remote: self.suite.responder_is_known().then(|| self.listener()),
            provider: self.provider,
        })
        .unwrap();
        let message = self.message(&mut handshake);
        (unit(HELLO, &[&self.preamble[..], &message].concat()), handshake)
    }

    fn message(&self, handshake: &mut Handshake) -> Vec<u8> {
        let has_caps = self.suite.caps_message(Role::Initiator) == handshake.next_message();
        let payload: &[u8] = if has_caps { &self.caps } else { &[] };
        let mut message = vec![0; 2_048];
        let len = handshake.write(payload, &mut message).unwrap();
        message.truncate(len);
        message
    }

    /// Says HELLO and hears the answer.
    pub(crate) async fn answered(&self) -> Answered {
        let mut stream = TcpStream::connect(self.address.authority()).await.unwrap();
        let (hello, mut handshake) = self.begin();
        stream.write_all(&hello).await.unwrap();
        let (ty, answer) = within(read_unit(&mut stream)).await;
        assert_eq!(ty, NOISE);
        let mut caps = [0; 32];
        handshake.read(&answer, &mut caps, &mut |_: &PublicKey| true).unwrap();
        Answered { stream, handshake }
    }

    /// The same, and is done with the handshake.
    pub(crate) async fn shaken(&self) -> Shaken {
        let Answered { stream, handshake } = self.answered().await;
        let transport = handshake.finish().unwrap();
        Shaken { stream, sealer: transport.sealer, opener: transport.opener }
    }
}

/// One whole unit from the stream: its type and payload.
pub(crate) async fn read_unit(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let first = stream.read_u8().await.unwrap();
    let len = match first {
        0xc7 => stream.read_u8().await.unwrap().into(),
        0xc8 => stream.read_u16().await.unwrap().into(),
        other => panic!("no unit begins with {other:02x}"),
    };
    let ty = stream.read_u8().await.unwrap();
    let mut payload = vec![0_u8; len];
    stream.read_exact(&mut payload).await.unwrap();
    (ty, payload)
}

/// A unit in the form its length has.
pub(crate) fn unit(ty: u8, payload: &[u8]) -> Vec<u8> {
    match u8::try_from(payload.len()) {
        Ok(len) => [&[0xc7, len, ty], payload].concat(),
        Err(_) => wide_unit(ty, payload),
    }
}

/// A unit with a length of two bytes, as records have it always.
pub(crate) fn wide_unit(ty: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[0xc8, high, low, ty], payload].concat()
}

/// A good record of these units.
pub(crate) fn record(sealer: &mut Sealer, plain: &[u8]) -> Vec<u8> {
    let mut sealed = wide_unit(RECORD, &[plain, &[0; 16]].concat());
    let (header, body) = sealed.split_at_mut(4);
    let (body, tag) = body.split_last_chunk_mut().unwrap();
    sealer.seal(header, body, tag).unwrap();
    sealed
}

/// A listener has answered, and waits for what comes next.
pub(crate) struct Answered {
    pub(crate) stream: TcpStream,
    handshake: Handshake,
}

/// Both sides have all keys, and SETUP is due.
pub(crate) struct Shaken {
    pub(crate) stream: TcpStream,
    sealer: Sealer,
    opener: Opener,
}

impl Shaken {
    /// A good record of these units.
    pub(crate) fn record(&mut self, plain: &[u8]) -> Vec<u8> {
        record(&mut self.sealer, plain)
    }

    /// The units of the next record.
    pub(crate) async fn hear(&mut self) -> Vec<u8> {
        let (ty, mut sealed) = within(read_unit(&mut self.stream)).await;
        assert_eq!(ty, RECORD);
        let [high, low] = u16::try_from(sealed.len()).unwrap().to_be_bytes();
        let len = self.opener.open(&[0xc8, high, low, RECORD], &mut sealed).unwrap();
        sealed.truncate(len);
        sealed
    }
}

/// SETUP of a peer with the message types of this process, which keeps all limits at their floors.
pub(crate) fn setup() -> Vec<u8> {
    let types = u8::try_from(MessageRegistry::process().unwrap().len()).unwrap();
    unit(0x1e, &[0x81, 0x08, types])
}
