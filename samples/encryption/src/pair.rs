//! Two peers, and the handshake between them.

use moorline_noise::{
    Handshake, HandshakeConfig, HandshakeError, Identity, Provider, RandomError, Suite, Transport,
};

/// Who dials and who listens.
pub(crate) struct Pair {
    pub(crate) dialing: Identity,
    pub(crate) listening: Identity,
    provider: Provider,
}

impl Pair {
    pub(crate) fn new(provider: Provider) -> Result<Pair, RandomError> {
        let (dialing, listening) = (Identity::generate(&provider)?, Identity::generate(&provider)?);
        Ok(Pair { dialing, listening, provider })
    }

    /// Both ends of a session in `suite`, the dialer's first.
    pub(crate) fn shake_hands(
        &self,
        suite: Suite,
    ) -> Result<(Transport, Transport), HandshakeError> {
        self.dial(suite, &self.listening)
    }

    /// The same, where the dialer expects to find `expected`.
    pub(crate) fn dial(
        &self,
        suite: Suite,
        expected: &Identity,
    ) -> Result<(Transport, Transport), HandshakeError> {
        let config = |local, remote| HandshakeConfig {
            suite,
            prologue: b"samples/encryption",
            local,
            remote,
            provider: self.provider,
        };
        let local = suite.initiator_has_key().then_some(&self.dialing);
        let remote = suite.responder_is_known().then(|| expected.public());
        let mut dialed = Handshake::initiator(config(local, remote))?;
        let mut listened = Handshake::responder(config(Some(&self.listening), None))?;
        let (mut wire, mut payload) = ([0; 2_048], [0; 64]);
        while !dialed.is_finished() {
            let (writer, reader) = if dialed.is_my_turn() {
                (&mut dialed, &mut listened)
            } else {
                (&mut listened, &mut dialed)
            };
            let len = writer.write(b"", &mut wire)?;
            reader.read(&wire[..len], &mut payload, &mut |_anybody| true)?;
        }
        Ok((dialed.finish()?, listened.finish()?))
    }
}
