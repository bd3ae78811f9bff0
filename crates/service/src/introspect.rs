//! The message by which a peer with the right to it asks for the state of a service.

use std::sync::{Arc, Weak};

use moorline_protocol::{ErrorCode, Message, MessageFamily, NoError, Registration, Request};
use moorline_session::Failure;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::service::{Inner, Service};
use crate::snapshot::Snapshot;

/// Asks a service for its [`Snapshot`]: `session.request(Introspect::default()).await?`. It is answered
/// where the service was built with [`introspect`](crate::ServiceBuilder::introspect), and to peers that
/// have the role named there; others hear UNIMPLEMENTED or FORBIDDEN.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Introspect {
    /// Without its sessions, which are the longest part: listeners, limits, pools, types and sums.
    pub without_sessions: bool,
}

impl Introspect {
    /// Everything but the sessions.
    #[must_use]
    pub const fn brief() -> Self {
        Self { without_sessions: true }
    }
}

/// It is not among the types of every process: a service that does not offer it, and a peer that does not
/// ask, have nothing of it in their dictionaries.
static REGISTRATION: Registration =
    Registration::new("moorline.Introspect", false, file!(), line!());

impl MessageFamily for Introspect {
    type View<'a> = Self;
}

impl Message for Introspect {
    fn registration() -> &'static Registration {
        &REGISTRATION
    }
}

impl Request for Introspect {
    type Response = Snapshot;
    type Error = NoError;
}

/// Answers peers whose line in the list of peers gives them `role`.
pub(crate) fn answer(service: &Service, role: Box<str>) {
    let inner = Arc::downgrade(&service.inner);
    service.handle_now(move |cx, ask: Introspect| tell(cx, ask, &inner, &role));
}

fn tell(
    cx: &Context,
    ask: Introspect,
    inner: &Weak<Inner>,
    role: &str,
) -> Result<Snapshot, Failure<NoError>> {
    // Who was dialed is on no list of ours: it has no roles here.
    if !cx.peer().listed.as_ref().is_some_and(|peer| peer.has_role(role)) {
        let text = format!("this needs role={role} in the peer list of the service");
        return Err(Failure::fault(ErrorCode::FORBIDDEN, &text));
    }
    let stopped = || Failure::fault(ErrorCode::DRAINING, "the service is gone");
    let service = Service { inner: inner.upgrade().ok_or_else(stopped)? };
    Ok(if ask.without_sessions { service.summary() } else { service.snapshot() })
}
