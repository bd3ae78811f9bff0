//! A delivered message to its handler, and the answer back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use moorline_protocol::{Body, CloseReason, ErrorCode, Kind, Opening};
use moorline_session::{Answer, Core, Delivery, IncomingStream, Ticket, with_scratch};
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::context::Context;
use crate::handler::{Reply, Undecodable};
use crate::handler_times::LocalTimes;
use crate::handlers::{HandlerTable, Unhandled};
use crate::owner::Workplace;

/// Where the time of a handler is counted, and when it was called.
type Measure<'a> = (&'a mut LocalTimes, Instant);

/// Hands one delivery to whoever takes it. Nothing here is locked while a handler runs.
pub(crate) fn dispatch(
    core: &mut Core,
    Workplace { table, cx, .. }: &mut Workplace,
    streams: &mut Option<JoinSet<()>>,
    times: &mut Option<LocalTimes>,
    now: Instant,
    delivery: Delivery<'_>,
) -> Result<(), CloseReason> {
    let table = &**table;
    let measure = times.as_mut().map(|times| (times, Instant::now()));
    match delivery {
        Delivery::Nothing => Ok(()),
        Delivery::PeerDrains => {
            if let Some(client) = &cx.client {
                client.shared.peer_drains(&cx.session);
            }
            Ok(())
        }
        Delivery::Post { kind, meta, body } => {
            (cx.due, cx.said) = (None, meta.into());
            post(core, table, cx, (kind, &body), measure)
        }
        Delivery::Request { mut ticket, kind, meta, body } => {
            if let Some(time) = table.request(kind).and_then(|handler| handler.time()) {
                ticket.allow(now, time);
            }
            (cx.due, cx.said) = (ticket.due(), meta.into());
            request(core, table, cx, ticket, (kind, &body), measure)
        }
        Delivery::Open { stream, opening, meta } => {
            (cx.due, cx.said) = (None, meta.into());
            open(core, table, cx, stream, &opening, streams)
        }
    }
}

fn post(
    core: &mut Core,
    table: &HandlerTable,
    cx: &Context,
    (kind, body): (Kind, &Body<'_>),
    measure: Option<Measure<'_>>,
) -> Result<(), CloseReason> {
    let Some(handler) = table.post(kind) else {
        return match unhandled(table, cx, kind, false, body.bytes()) {
            Ok(Some(_)) => Ok(()),
            Ok(None) => core.drop_post(Some(kind), ErrorCode::UNIMPLEMENTED),
            Err(Undecodable) => core.drop_post(Some(kind), ErrorCode::DECODE),
        };
    };
    let called = handler.call(cx, body.bytes());
    if let Some((times, began)) = measure {
        times.record(kind, began, Instant::now());
    }
    match called {
        Ok(()) => Ok(()),
        Err(Undecodable) => core.drop_post(Some(kind), ErrorCode::DECODE),
    }
}

fn request(
    core: &mut Core,
    table: &HandlerTable,
    cx: &Context,
    ticket: Ticket,
    (kind, body): (Kind, &Body<'_>),
    measure: Option<Measure<'_>>,
) -> Result<(), CloseReason> {
    let Some(handler) = table.request(kind) else {
        return match unhandled(table, cx, kind, true, body.bytes()) {
            Ok(Some(Some(answer))) => core.answer(ticket, Answer::Good(&answer)),
            Ok(_) => {
                let text = match table.post(kind) {
                    Some(_) => "it is handled as a post there: `on` instead of `handle`",
                    None => "no handler for this message",
                };
                core.answer(ticket, Answer::Fault(ErrorCode::UNIMPLEMENTED, text))
            }
            Err(Undecodable) => refuse(core, ticket),
        };
    };
    with_scratch(|out| match handler.call(cx, body.bytes(), out) {
        Ok(Reply::Done(said)) => {
            if let Some((times, began)) = measure {
                times.record(kind, began, Instant::now());
            }
            core.answer(ticket, said.answer(out))
        }
        Ok(Reply::Pending(answer)) => {
            let (responder, deferred) = core.defer(ticket);
            let measure = measure.map(|(times, began)| (times.all.clone(), began));
            let task = tokio::spawn(async move {
                let (said, body) = answer.await;
                if let Some((all, began)) = measure {
                    all.record(kind, began.elapsed());
                }
                responder.answer(said.answer(&body));
            });
            let abort = task.abort_handle();
            core.attach_abort(deferred, Box::new(move || abort.abort()));
            Ok(())
        }
        Err(Undecodable) => refuse(core, ticket),
    })
}

/// A stream gets a task of its own, which ends with the session at the latest.
fn open(
    core: &mut Core,
    table: &HandlerTable,
    cx: &Context,
    stream: IncomingStream,
    opening: &Opening<'_>,
    streams: &mut Option<JoinSet<()>>,
) -> Result<(), CloseReason> {
    let call = AssertUnwindSafe(|| match opening {
        Opening::Typed { kind, body } => match table.stream(*kind) {
            Some(handler) => handler.open(cx, body.bytes(), stream).map(Some),
            None => Ok(None),
        },
        Opening::Raw { name } => Ok(table.raw(name).map(|handler| handler.open(cx, stream))),
    });
    match catch_unwind(call) {
        Ok(Ok(Some(work))) => {
            // Those that have ended make room for this one.
            let streams = streams.get_or_insert_default();
            while streams.try_join_next().is_some() {}
            streams.spawn(work.instrument(tracing::Span::current()));
            Ok(())
        }
        Ok(Err(Undecodable)) => core.fault_of_peer(),
        // Nobody takes it, or its handler panicked: the stream was dropped, and so rejected.
        Ok(Ok(None)) | Err(_) => Ok(()),
    }
}

fn refuse(core: &mut Core, ticket: Ticket) -> Result<(), CloseReason> {
    core.answer(
        ticket,
        Answer::Fault(ErrorCode::DECODE, "the body is not of this message's type"),
    )?;
    core.fault_of_peer()
}

/// Asks the default handler. `None`: there is none.
#[expect(clippy::option_option, reason = "whether it was asked, and what it said")]
fn unhandled(
    table: &HandlerTable,
    cx: &Context,
    kind: Kind,
    is_request: bool,
    body: &[u8],
) -> Result<Option<Option<Vec<u8>>>, Undecodable> {
    let Some(handler) = &table.default else { return Ok(None) };
    cx.format.walk(body).map_err(|_| Undecodable)?;
    let (name, hash) = match kind {
        Kind::Known(index) => (cx.session.name_of(index), None),
        Kind::Unknown { hash, .. } => (None, hash),
    };
    let message = Unhandled { name, hash, is_request, body };
    let call = AssertUnwindSafe(|| handler(cx, &message));
    // What a panic costs is this message: the session goes on.
    Ok(Some(catch_unwind(call).unwrap_or(None)))
}
