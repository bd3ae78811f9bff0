//! What everything in a simulation shares: time, tasks, the trace.

use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use moorline_protocol::CloseReason;
use moorline_session::SessionRef;

use crate::clock::Clock;
use crate::side::Side;
use crate::tasks::Tasks;
use crate::trace::Trace;

/// A handle.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) tasks: Tasks,
    pub(crate) trace: Trace,
    /// Connections that are to be made.
    pub(crate) calls: Rc<RefCell<Vec<Dialing>>>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            clock: Clock::new(),
            tasks: Tasks::default(),
            trace: Trace::new(),
            calls: Rc::default(),
        }
    }

    pub(crate) fn say(&self, side: Side, what: fmt::Arguments<'_>) {
        self.trace.say(self.clock.passed(), side.name(), what);
    }
}

/// Makes connections, from inside tasks and programs.
#[derive(Clone)]
pub struct Dialer {
    pub(crate) world: World,
    pub(crate) side: Side,
}

impl Dialer {
    /// Dials the other side and waits for the session.
    ///
    /// # Errors
    /// Nobody listens there, or the handshake came to nothing.
    ///
    /// # Cancel safety
    /// Dropped, the connection is made all the same.
    pub fn connect(&self) -> impl Future<Output = Result<SessionRef, CloseReason>> + use<> {
        let dialing = Dialing { from: self.side, answer: Rc::default() };
        self.world.calls.borrow_mut().push(dialing.clone());
        dialing
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dialer({:?})", self.side)
    }
}

/// A connection that somebody waits for.
#[derive(Clone)]
pub(crate) struct Dialing {
    pub(crate) from: Side,
    answer: Rc<RefCell<Answer>>,
}

#[derive(Default)]
struct Answer {
    result: Option<Result<SessionRef, CloseReason>>,
    waiter: Option<Waker>,
}

impl Dialing {
    pub(crate) fn answer(&self, result: Result<SessionRef, CloseReason>) {
        let mut answer = self.answer.borrow_mut();
        answer.result = Some(result);
        let waiter = answer.waiter.take();
        drop(answer);
        waiter.into_iter().for_each(Waker::wake);
    }
}

impl Future for Dialing {
    type Output = Result<SessionRef, CloseReason>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut answer = self.answer.borrow_mut();
        match answer.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                answer.waiter = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
