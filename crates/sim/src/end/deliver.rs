//! A delivered message to its handler, and the answer back.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use moorline_protocol::{Body, CloseReason, Cost, ErrorCode, Frame, Kind, Opening};
use moorline_session::{Answer, Delivery, IncomingStream, SessionStatus, Ticket};

use super::Session;
use crate::handlers::{Handlers, Reply, Rest, Undecodable};

impl Session {
    /// What a frame means, and what its handler says.
    pub(super) fn take(
        &mut self,
        now: Instant,
        frame: Frame<'_>,
        cost: Cost,
        handlers: &mut Handlers,
    ) -> Result<(), CloseReason> {
        let request = if let Frame::Request { id, .. } = &frame { Some(*id) } else { None };
        let delivery = self.core.handle_frame(now, frame, cost)?;
        match delivery {
            Delivery::Post { kind, body, .. } => self.post(kind, &body, handlers),
            Delivery::Request { ticket, kind, body, .. } => {
                let id = request.expect("only a request is delivered as one");
                self.request(id, ticket, kind, &body, handlers)
            }
            Delivery::Open { stream, opening, .. } => self.open(stream, &opening, handlers),
            Delivery::Nothing | Delivery::PeerDrains => Ok(()),
        }
    }

    fn post(
        &mut self,
        kind: Kind,
        body: &Body<'_>,
        handlers: &mut Handlers,
    ) -> Result<(), CloseReason> {
        self.check_open();
        self.cx.due = None;
        let code = match handlers.post(kind) {
            Some(handler) => match handler(&self.cx, body.bytes()) {
                Ok(()) => return Ok(()),
                Err(Undecodable) => ErrorCode::DECODE,
            },
            None => ErrorCode::UNIMPLEMENTED,
        };
        self.core.drop_post(Some(kind), code)
    }

    fn request(
        &mut self,
        id: u32,
        ticket: Ticket,
        kind: Kind,
        body: &Body<'_>,
        handlers: &mut Handlers,
    ) -> Result<(), CloseReason> {
        self.check_open();
        self.cx.due = ticket.due();
        assert!(
            !self.running.borrow().contains(&id),
            "request {id} was delivered while another of its number is being answered"
        );
        let Some(handler) = handlers.request(kind) else {
            let text = "no handler for this message";
            return self.core.answer(ticket, Answer::Fault(ErrorCode::UNIMPLEMENTED, text));
        };
        match handler(&self.cx, body.bytes()) {
            Ok(Reply::Done(said)) => self.core.answer(ticket, said.answer()),
            Ok(Reply::Pending(rest)) => {
                self.defer(id, ticket, rest);
                Ok(())
            }
            Err(Undecodable) => {
                let text = "the body is not of this message's type";
                self.core.answer(ticket, Answer::Fault(ErrorCode::DECODE, text))?;
                self.core.fault_of_peer()
            }
        }
    }

    /// The handler waits for something: it becomes a task of its side.
    fn defer(&mut self, id: u32, ticket: Ticket, rest: Rest) {
        let (responder, deferred) = self.core.defer(ticket);
        let place = Place::enter(&self.running, id);
        let bell = self.cx.world.tasks.start(Some(self.cx.side), async move {
            let said = rest.await;
            // The number is free as soon as the answer can leave.
            drop(place);
            responder.answer(said.answer());
        });
        self.core.attach_abort(deferred, Box::new(move || bell.stop()));
    }

    /// A stream gets a task of its own. Where nobody takes it, it is dropped and so rejected.
    fn open(
        &mut self,
        stream: IncomingStream,
        opening: &Opening<'_>,
        handlers: &mut Handlers,
    ) -> Result<(), CloseReason> {
        self.check_open();
        self.cx.due = None;
        let work = match opening {
            Opening::Typed { kind, body } => match handlers.stream(*kind) {
                Some(handler) => match handler(&self.cx, body.bytes(), stream) {
                    Ok(work) => work,
                    Err(Undecodable) => return self.core.fault_of_peer(),
                },
                None => return Ok(()),
            },
            Opening::Raw { name } => match handlers.raw(name) {
                Some(handler) => handler(&self.cx, stream),
                None => return Ok(()),
            },
        };
        let streams = &mut self.streams.0;
        streams.retain(|bell| Arc::strong_count(bell) > 1);
        streams.push(self.cx.world.tasks.start(Some(self.cx.side), work));
        Ok(())
    }

    /// Nothing reaches a handler after the session's end.
    fn check_open(&self) {
        let status = self.cx.session.status();
        assert!(!matches!(status, SessionStatus::Closed(_)), "a message of a session that is over");
    }
}

/// A request that is being answered.
struct Place {
    running: Rc<RefCell<BTreeSet<u32>>>,
    id: u32,
}

impl Place {
    fn enter(running: &Rc<RefCell<BTreeSet<u32>>>, id: u32) -> Self {
        running.borrow_mut().insert(id);
        Self { running: Rc::clone(running), id }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.running.borrow_mut().remove(&self.id);
    }
}
