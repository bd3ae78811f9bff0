//! The handshake: one interpreter over the token lists of `pattern.rs`.
//!
//! Every message is processed on a copy of what it changes, and only success replaces the original:
//! a forged message never spoils the genuine one behind it.

use std::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq;

use crate::handshake_error::HandshakeError;
use crate::identity::Identity;
use crate::kem_key;
use crate::limits::{KEM_CIPHERTEXT_LEN, KEM_PUBLIC_LEN, KEY_LEN, MESSAGE_LEN_MAX};
use crate::pattern::Token;
use crate::provider::{DhKey, KemSecret, PrimitiveError, Provider};
use crate::public_key::PublicKey;
use crate::secret::Secret;
use crate::suite::{Role, Suite};
use crate::symmetric::Symmetric;
use crate::transport::Transport;

/// What a handshake is begun with.
#[derive(Debug, Clone, Copy)]
pub struct HandshakeConfig<'a> {
    /// The one suite of this attempt.
    pub suite: Suite,
    /// What both sides must agree on, see [`prologue`](crate::prologue).
    pub prologue: &'a [u8],
    /// Our key pair. Only the initiator of an NK suite goes without.
    pub local: Option<&'a Identity>,
    /// The key the peer must have. The initiator of an IK or NK suite cannot do without; elsewhere a
    /// peer that shows another one is refused.
    pub remote: Option<PublicKey>,
    /// Where the primitives come from; for the static key see [`Identity::on`].
    pub provider: Provider,
}

/// One side of a handshake, from the first message to [`Handshake::finish`].
///
/// It owns all it needs, is `Send`, and wipes its secrets when dropped. An error leaves it exactly
/// as it was, so whoever reads datagrams may go on with the next one.
#[must_use = "a handshake does nothing until its messages are written and read"]
pub struct Handshake {
    suite: Suite,
    role: Role,
    provider: Provider,
    local: Option<LocalStatic>,
    pinned: Option<PublicKey>,
    state: State,
}

/// Our static key pair, shared with the [`Identity`] it came from.
struct LocalStatic {
    key: Arc<dyn DhKey>,
    public: PublicKey,
}

impl Handshake {
    /// The side that dialed and sends the first message.
    ///
    /// # Errors
    /// If the suite needs a key that `config` does not have, or the pinned key is our own.
    pub fn initiator(config: HandshakeConfig<'_>) -> Result<Handshake, HandshakeError> {
        if config.suite.responder_is_known() && config.remote.is_none() {
            return Err(HandshakeError::RemoteMissing);
        }
        if config.suite.initiator_has_key() && config.local.is_none() {
            return Err(HandshakeError::IdentityMissing);
        }
        Handshake::new(config, Role::Initiator)
    }

    /// The side that listened.
    ///
    /// # Errors
    /// If there is no identity, or the pinned key is our own.
    pub fn responder(config: HandshakeConfig<'_>) -> Result<Handshake, HandshakeError> {
        if config.local.is_none() {
            return Err(HandshakeError::IdentityMissing);
        }
        Handshake::new(config, Role::Responder)
    }

    fn new(config: HandshakeConfig<'_>, role: Role) -> Result<Handshake, HandshakeError> {
        let HandshakeConfig { suite, prologue, local, remote, provider } = config;
        let local = local.map(|identity| LocalStatic {
            key: Arc::clone(identity.key()),
            public: identity.public(),
        });
        if let (Some(local), Some(remote)) = (&local, &remote)
            && bool::from(local.public.ct_eq(remote))
        {
            return Err(HandshakeError::OwnKey);
        }
        let mut symmetric = Symmetric::new(suite.name(), suite.cipher(), provider);
        symmetric.mix_hash(prologue);
        let mut remote_static = None;
        if suite.responder_is_known() {
            let responder = match (role, &local, remote) {
                (Role::Initiator, _, Some(remote)) => {
                    remote_static = Some(remote);
                    remote
                }
                (Role::Responder, Some(local), _) => local.public,
                (Role::Initiator, _, None) => return Err(HandshakeError::RemoteMissing),
                (Role::Responder, None, _) => return Err(HandshakeError::IdentityMissing),
            };
            symmetric.mix_hash(responder.as_bytes());
        }
        let state = State::new(symmetric, remote_static);
        Ok(Handshake { suite, role, provider, local, pinned: remote, state })
    }

    /// The suite of this attempt.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Which side this is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// How many messages have been exchanged: the index of the next one.
    #[must_use]
    pub fn next_message(&self) -> usize {
        self.state.next
    }

    /// Whether [`Handshake::write`] is due next.
    #[must_use]
    pub fn is_my_turn(&self) -> bool {
        let initiators = self.state.next.is_multiple_of(2);
        !self.is_finished() && initiators == (self.role == Role::Initiator)
    }

    /// Whether all messages have been exchanged and [`Handshake::finish`] is due.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.state.next == self.suite.messages()
    }

    /// The peer's static key, as soon as it is known. Until the handshake is finished, the peer has
    /// not proved that it owns it.
    #[must_use]
    pub fn remote_static(&self) -> Option<&PublicKey> {
        self.state.remote_static.as_ref()
    }

    /// Writes the next message with `payload` to the start of `out`; returns its length, which is
    /// [`Suite::message_len`]. Before a key is agreed on (message 1 of an XX suite) the payload is
    /// clear text.
    ///
    /// # Errors
    /// See [`HandshakeError`]; nothing has changed then, and `out` holds nothing of use.
    pub fn write(&mut self, payload: &[u8], out: &mut [u8]) -> Result<usize, HandshakeError> {
        let tokens = self.tokens_due(true)?;
        let needed = self.suite.message_len(self.state.next, payload.len());
        if needed > MESSAGE_LEN_MAX {
            return Err(HandshakeError::TooLong(needed));
        }
        let given = out.len();
        let out = out.get_mut(..needed).ok_or(HandshakeError::Buffer { needed, given })?;
        let mut state = self.state.fork();
        let mut at = 0;
        for token in tokens {
            at += self.write_token(&mut state, *token, &mut out[at..])?;
        }
        at += state.symmetric.seal(payload, &mut out[at..])?;
        debug_assert_eq!(at, needed, "the length of a message follows from its tokens");
        state.next += 1;
        self.state = state;
        Ok(at)
    }

    /// Reads the peer's next message; its payload goes to the start of `payload_out`, its length is
    /// returned.
    ///
    /// `admit` is asked as soon as the peer's static key is in hand, before another Diffie-Hellman
    /// is spent on it. It may be asked about a key whose owner is not there: an answer is a rule, not
    /// a proof. A peer with our own key is refused without asking.
    ///
    /// # Errors
    /// See [`HandshakeError`]; nothing has changed then, and a genuine message can still be read.
    pub fn read(
        &mut self,
        message: &[u8],
        payload_out: &mut [u8],
        admit: &mut dyn FnMut(&PublicKey) -> bool,
    ) -> Result<usize, HandshakeError> {
        let tokens = self.tokens_due(false)?;
        let (len, min) = (message.len(), self.suite.message_len(self.state.next, 0));
        if len < min || len > MESSAGE_LEN_MAX {
            return Err(HandshakeError::Length { len, min });
        }
        let (needed, given) = (len - min, payload_out.len());
        let payload =
            payload_out.get_mut(..needed).ok_or(HandshakeError::Buffer { needed, given })?;
        let mut state = self.state.fork();
        let mut rest = message;
        for token in tokens {
            self.read_token(&mut state, *token, &mut rest, admit)?;
        }
        state.symmetric.open(rest, payload)?;
        state.next += 1;
        self.state = state;
        Ok(needed)
    }

    /// The keys of both directions, once all messages have been exchanged.
    ///
    /// # Errors
    /// [`HandshakeError::NotOver`] before that.
    pub fn finish(self) -> Result<Transport, HandshakeError> {
        if !self.is_finished() {
            return Err(HandshakeError::NotOver);
        }
        let State { symmetric, remote_static, .. } = &self.state;
        Ok(Transport::new(symmetric, self.role, self.suite, self.provider, *remote_static))
    }

    fn tokens_due(&self, write: bool) -> Result<&'static [Token], HandshakeError> {
        let tokens = self.suite.pattern().messages.get(self.state.next);
        let tokens = tokens.ok_or(HandshakeError::Over)?;
        if self.is_my_turn() == write { Ok(tokens) } else { Err(HandshakeError::Turn) }
    }

    /// Bytes written to the start of `out`, which is long enough for the whole message.
    fn write_token(
        &self,
        state: &mut State,
        token: Token,
        out: &mut [u8],
    ) -> Result<usize, HandshakeError> {
        match token {
            Token::E => {
                let mut secret = Secret::empty();
                self.provider.rng.fill(secret.bytes_mut())?;
                let ephemeral = self.provider.dh.key(secret.bytes());
                let public = ephemeral.public();
                out[..KEY_LEN].copy_from_slice(&public);
                state.symmetric.mix_hash(&public);
                state.ephemeral = Some(Arc::from(ephemeral));
                Ok(KEY_LEN)
            }
            Token::S => {
                let local = self.local.as_ref().ok_or(HandshakeError::IdentityMissing)?;
                state.symmetric.seal(local.public.as_bytes(), out)
            }
            Token::E1 => {
                let mut public = [0; KEM_PUBLIC_LEN];
                let secret = self.provider.kem.generate(self.provider.rng, &mut public)?;
                state.kem_secret = Some(Arc::from(secret));
                state.symmetric.seal(&public, out)
            }
            Token::Ekem1 => self.encapsulate(state, out),
            Token::Ee | Token::Es | Token::Se | Token::Ss => {
                self.agree(state, token)?;
                Ok(0)
            }
        }
    }

    fn encapsulate(&self, state: &mut State, out: &mut [u8]) -> Result<usize, HandshakeError> {
        let public = state.remote_kem.as_ref().expect("`e1` comes before `ekem1` in every pattern");
        let mut ciphertext = [0; KEM_CIPHERTEXT_LEN];
        let mut shared = Secret::empty();
        self.provider
            .kem
            .encapsulate(self.provider.rng, public, &mut ciphertext, shared.bytes_mut())
            .map_err(refused_as(HandshakeError::KemKey))?;
        let len = state.symmetric.seal(&ciphertext, out)?;
        state.symmetric.mix_key(shared.bytes());
        Ok(len)
    }

    fn read_token(
        &self,
        state: &mut State,
        token: Token,
        rest: &mut &[u8],
        admit: &mut dyn FnMut(&PublicKey) -> bool,
    ) -> Result<(), HandshakeError> {
        match token {
            Token::E => {
                let mut public = [0; KEY_LEN];
                public.copy_from_slice(take(rest, KEY_LEN));
                state.symmetric.mix_hash(&public);
                state.remote_ephemeral = Some(public);
                Ok(())
            }
            Token::S => {
                let mut public = [0; KEY_LEN];
                state.open_part(rest, &mut public)?;
                let remote = PublicKey::from_bytes(public);
                self.check_remote(&remote, admit)?;
                state.remote_static = Some(remote);
                Ok(())
            }
            Token::E1 => {
                let mut public = Box::new([0; KEM_PUBLIC_LEN]);
                state.open_part(rest, public.as_mut_slice())?;
                if !kem_key::is_below_modulus(&public) {
                    return Err(HandshakeError::KemKey);
                }
                state.remote_kem = Some(Arc::from(public));
                Ok(())
            }
            Token::Ekem1 => {
                let mut ciphertext = [0; KEM_CIPHERTEXT_LEN];
                state.open_part(rest, &mut ciphertext)?;
                let secret = state.kem_secret.as_ref();
                let secret = secret.expect("`e1` comes before `ekem1` in every pattern");
                let mut shared = Secret::empty();
                secret.decapsulate(&ciphertext, shared.bytes_mut())?;
                state.symmetric.mix_key(shared.bytes());
                Ok(())
            }
            Token::Ee | Token::Es | Token::Se | Token::Ss => self.agree(state, token),
        }
    }

    //= docs/PROTOCOL.md#2
    /// Whether the key the peer just showed may go on: in its one spelling, not ours, the pinned one,
    /// and admitted.
    fn check_remote(
        &self,
        remote: &PublicKey,
        admit: &mut dyn FnMut(&PublicKey) -> bool,
    ) -> Result<(), HandshakeError> {
        if !remote.is_canonical() {
            return Err(HandshakeError::NotCanonical);
        }
        let is = |key: &PublicKey| bool::from(key.ct_eq(remote));
        if self.local.as_ref().is_some_and(|local| is(&local.public)) {
            return Err(HandshakeError::OwnKey);
        }
        if self.pinned.as_ref().is_some_and(|pinned| !is(pinned)) {
            return Err(HandshakeError::Unpinned);
        }
        if admit(remote) { Ok(()) } else { Err(HandshakeError::NotAdmitted) }
    }

    /// The Diffie-Hellman that `token` names, mixed into the key.
    fn agree(&self, state: &mut State, token: Token) -> Result<(), HandshakeError> {
        let initiator = self.role == Role::Initiator;
        let (our_static, their_static) = match token {
            Token::Es => (!initiator, initiator),
            Token::Se => (initiator, !initiator),
            Token::Ss => (true, true),
            _ => (false, false),
        };
        let ours = if our_static {
            &self.local.as_ref().ok_or(HandshakeError::IdentityMissing)?.key
        } else {
            let ephemeral = state.ephemeral.as_ref();
            ephemeral.expect("`e` comes before its Diffie-Hellman in every pattern")
        };
        let theirs = if their_static {
            state.remote_static.as_ref().map(PublicKey::as_bytes)
        } else {
            state.remote_ephemeral.as_ref()
        };
        let theirs = theirs.expect("a key comes before its Diffie-Hellman in every pattern");
        let mut shared = Secret::empty();
        ours.agree(theirs, shared.bytes_mut()).map_err(refused_as(HandshakeError::LowOrder))?;
        state.symmetric.mix_key(shared.bytes());
        Ok(())
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("suite", &self.suite)
            .field("role", &self.role)
            .field("next_message", &self.state.next)
            .finish_non_exhaustive()
    }
}

/// All that a message changes. It exists twice while one is processed.
struct State {
    symmetric: Symmetric,
    next: usize,
    ephemeral: Option<Arc<dyn DhKey>>,
    kem_secret: Option<Arc<dyn KemSecret>>,
    remote_static: Option<PublicKey>,
    remote_ephemeral: Option<[u8; KEY_LEN]>,
    remote_kem: Option<Arc<[u8; KEM_PUBLIC_LEN]>>,
}

impl State {
    fn new(symmetric: Symmetric, remote_static: Option<PublicKey>) -> State {
        State {
            symmetric,
            next: 0,
            ephemeral: None,
            kem_secret: None,
            remote_static,
            remote_ephemeral: None,
            remote_kem: None,
        }
    }

    /// The copy to work on. Key pairs are shared, only the two symmetric keys are copied.
    fn fork(&self) -> State {
        State {
            symmetric: self.symmetric.fork(),
            next: self.next,
            ephemeral: self.ephemeral.clone(),
            kem_secret: self.kem_secret.clone(),
            remote_static: self.remote_static,
            remote_ephemeral: self.remote_ephemeral,
            remote_kem: self.remote_kem.clone(),
        }
    }

    /// Takes as many bytes from the front of `rest` as fill `plain`, tag included, and opens them.
    fn open_part(&mut self, rest: &mut &[u8], plain: &mut [u8]) -> Result<(), HandshakeError> {
        let sealed = take(rest, plain.len() + self.symmetric.tag_len());
        self.symmetric.open(sealed, plain)
    }
}

/// The first `len` bytes of a message whose whole length was checked against its tokens.
fn take<'m>(rest: &mut &'m [u8], len: usize) -> &'m [u8] {
    let (front, back) = rest.split_at(len);
    *rest = back;
    front
}

/// Names a primitive's refusal after what was refused.
fn refused_as(named: HandshakeError) -> impl Fn(PrimitiveError) -> HandshakeError {
    move |error| match error {
        PrimitiveError::Refused => named,
        other => other.into(),
    }
}
