//! `mem://name`: connections inside one process, for tests and for peers that live together.
//!
//! A connection is two pipes of bounded size. What goes through them is sealed like anywhere else:
//! for the layers above, this is a socket.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::{Connection, Listener, Pending, Reader, Transport, Writer};
use crate::address::Address;

/// Bytes under way in one direction: four full receive buffers, so that neither side waits for the
/// other at every turn. A pipe grows up to this as it is needed.
pub const PIPE_BYTES_MAX: usize = 256 * 1024;

/// Connections that nobody accepted yet; as many as `tcp` lets wait.
pub const BACKLOG_MAX: usize = 1024;

/// Connections inside this process, by name.
///
/// Names are those of the process, whichever registry the transport is in. A name is free again as
/// soon as its listener is dropped; connections that were accepted live on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mem;

/// Who listens, by name.
static LISTENERS: Mutex<BTreeMap<Box<str>, Arc<Backlog>>> = Mutex::new(BTreeMap::new());

impl Transport for Mem {
    fn scheme(&self) -> &'static str {
        "mem"
    }

    fn listen(&self, address: Address) -> Pending<Box<dyn Listener>> {
        Box::pin(async move { Ok(Box::new(MemListener::new(address)?) as Box<dyn Listener>) })
    }

    fn connect(&self, address: Address) -> Pending<Connection> {
        Box::pin(async move { dial(address.authority()) })
    }
}

struct MemListener {
    address: Address,
    backlog: Arc<Backlog>,
}

impl MemListener {
    fn new(address: Address) -> io::Result<Self> {
        let backlog = Arc::new(Backlog::default());
        let mut listeners = lock(&LISTENERS);
        if listeners.contains_key(address.authority()) {
            let text = format!("somebody in this process listens at {address} already");
            return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
        }
        listeners.insert(address.authority().into(), backlog.clone());
        drop(listeners);
        Ok(Self { address, backlog })
    }
}

impl Listener for MemListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Connection>> {
        self.backlog.poll_pop(cx).map(Ok)
    }

    fn address(&self) -> Address {
        self.address.clone()
    }
}

impl Drop for MemListener {
    fn drop(&mut self) {
        lock(&LISTENERS).remove(self.address.authority());
        self.backlog.close();
    }
}

fn dial(name: &str) -> io::Result<Connection> {
    let backlog = lock(&LISTENERS).get(name).cloned();
    let (dialed, accepted) = pair(name);
    match backlog {
        Some(backlog) => backlog.push(accepted, name)?,
        None => return Err(nobody(name)),
    }
    Ok(dialed)
}

fn nobody(name: &str) -> io::Error {
    let text = format!("nobody in this process listens at mem://{name}");
    io::Error::new(io::ErrorKind::ConnectionRefused, text)
}

/// Connections from when they are dialed to when they are accepted.
#[derive(Default)]
struct Backlog {
    state: Mutex<BacklogState>,
}

#[derive(Default)]
struct BacklogState {
    connections: VecDeque<Connection>,
    acceptor: Option<Waker>,
    closed: bool,
}

impl Backlog {
    fn push(&self, connection: Connection, name: &str) -> io::Result<()> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err(nobody(name));
        }
        if state.connections.len() >= BACKLOG_MAX {
            let text = format!(
                "{BACKLOG_MAX} connections wait to be accepted at mem://{name}; try again later"
            );
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, text));
        }
        state.connections.push_back(connection);
        let acceptor = state.acceptor.take();
        drop(state);
        wake(acceptor);
        Ok(())
    }

    fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<Connection> {
        let mut state = lock(&self.state);
        if let Some(connection) = state.connections.pop_front() {
            return Poll::Ready(connection);
        }
        let replaced = state.acceptor.replace(cx.waker().clone());
        drop(state);
        drop(replaced);
        Poll::Pending
    }

    /// Who dialed and was not accepted reads to the end at once.
    fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        let left = (std::mem::take(&mut state.connections), state.acceptor.take());
        drop(state);
        drop(left);
    }
}

/// The two ends of a connection.
fn pair(name: &str) -> (Connection, Connection) {
    let there = Arc::new(Pipe::default());
    let back = Arc::new(Pipe::default());
    (end(name, &back, &there), end(name, &there, &back))
}

fn end(name: &str, reads: &Arc<Pipe>, writes: &Arc<Pipe>) -> Connection {
    Connection {
        reader: Box::new(MemReader(reads.clone())),
        writer: Arc::new(MemWriter(writes.clone())),
        peer: format!("mem://{name}").into(),
        ip: None,
    }
}

struct MemReader(Arc<Pipe>);

impl Reader for MemReader {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.poll_read(cx, buffer)
    }
}

impl Drop for MemReader {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

struct MemWriter(Arc<Pipe>);

impl Writer for MemWriter {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write(slices)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_writable(cx).map(Ok)
    }

    fn shutdown(&self) {
        self.0.end();
    }
}

impl Drop for MemWriter {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// One direction. Wakers are kept under the lock that is asked for bytes and room, so that none is
/// missed, but they are called and dropped outside it, since that runs code of others.
#[derive(Default)]
struct Pipe {
    state: Mutex<PipeState>,
}

#[derive(Default)]
struct PipeState {
    /// Never more than [`PIPE_BYTES_MAX`].
    bytes: VecDeque<u8>,
    /// The writer will write no more.
    ended: bool,
    /// The reader is gone.
    abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = lock(&self.state);
        if state.bytes.is_empty() && !state.ended {
            let replaced = state.reader.replace(cx.waker().clone());
            drop(state);
            drop(replaced);
            return Poll::Pending;
        }
        let len = buffer.len().min(state.bytes.len());
        state.bytes.read_exact(&mut buffer[..len])?;
        let writer = state.writer.take();
        drop(state);
        wake(writer);
        Poll::Ready(Ok(len))
    }

    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = lock(&self.state);
        if state.abandoned || state.ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if state.bytes.len() >= PIPE_BYTES_MAX {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let written = slices.iter().map(|slice| state.append(slice)).sum();
        let reader = state.reader.take();
        drop(state);
        wake(reader);
        Ok(written)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.bytes.len() < PIPE_BYTES_MAX || state.abandoned || state.ended {
            return Poll::Ready(());
        }
        let replaced = state.writer.replace(cx.waker().clone());
        drop(state);
        drop(replaced);
        Poll::Pending
    }

    fn end(&self) {
        let mut state = lock(&self.state);
        state.ended = true;
        let wakers = (state.reader.take(), state.writer.take());
        drop(state);
        wake(wakers.0);
        wake(wakers.1);
    }

    fn abandon(&self) {
        let mut state = lock(&self.state);
        state.abandoned = true;
        let unread = std::mem::take(&mut state.bytes);
        let wakers = (state.reader.take(), state.writer.take());
        drop(state);
        drop((unread, wakers.0));
        wake(wakers.1);
    }
}

impl PipeState {
    /// Takes as much of the slice as there is room for.
    fn append(&mut self, slice: &[u8]) -> usize {
        let len = slice.len().min(PIPE_BYTES_MAX - self.bytes.len());
        let needed = self.bytes.len() + len;
        if needed > self.bytes.capacity() {
            let capacity = needed.next_power_of_two().min(PIPE_BYTES_MAX);
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend(&slice[..len]);
        len
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Whoever panicked while holding one of these locks left nothing half done: each is held for plain
/// moves of data only.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Count {
        fn so_far(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    fn write(connection: &Connection, bytes: &[u8]) -> io::Result<usize> {
        connection.writer.try_write(&[IoSlice::new(bytes)])
    }

    #[test]
    fn a_pipe_takes_256_kib_and_no_more() {
        let (mut left, right) = pair("size");
        assert_eq!(write(&right, &[1; 300_000]).unwrap(), PIPE_BYTES_MAX);
        assert_eq!(write(&right, &[1]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(left.reader.poll_read(&mut cx, &mut [0; 10]).is_ready());
        assert_eq!(write(&right, &[1; 11]).unwrap(), 10);
    }

    #[test]
    fn who_waits_is_woken_once_by_what_it_waits_for() {
        let (mut left, right) = pair("wakers");
        let (reads, writes) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let (reader, writer) = (Waker::from(reads.clone()), Waker::from(writes.clone()));
        let mut read = |buffer: &mut [u8]| {
            left.reader.poll_read(&mut Context::from_waker(&reader), buffer).map(Result::unwrap)
        };
        let poll_writable = || right.writer.poll_writable(&mut Context::from_waker(&writer));

        assert!(read(&mut [0; 10]).is_pending());
        assert!(poll_writable().is_ready());
        write(&right, &[1; PIPE_BYTES_MAX]).unwrap();
        assert_eq!((reads.so_far(), writes.so_far()), (1, 0));
        assert!(poll_writable().is_pending());
        assert_eq!(read(&mut [0; 10]), Poll::Ready(10));
        assert_eq!(read(&mut [0; 10]), Poll::Ready(10));
        assert_eq!((reads.so_far(), writes.so_far()), (1, 1));
        assert!(poll_writable().is_ready());
    }

    #[test]
    fn who_waits_is_woken_when_the_other_side_goes() {
        let (mut left, right) = pair("gone");
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut cx = Context::from_waker(&waker);

        write(&left, &[1; PIPE_BYTES_MAX]).unwrap();
        assert!(left.writer.poll_writable(&mut cx).is_pending());
        assert!(left.reader.poll_read(&mut cx, &mut [0; 10]).is_pending());
        drop(right);
        assert_eq!(count.so_far(), 2);
        assert!(left.writer.poll_writable(&mut cx).is_ready());
        assert_eq!(write(&left, &[1]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert!(matches!(left.reader.poll_read(&mut cx, &mut [0; 10]), Poll::Ready(Ok(0))));
    }

    #[test]
    fn a_full_backlog_refuses_and_a_dropped_one_ends_who_waits_in_it() {
        let address: Address = "mem://a-full-backlog".parse().unwrap();
        let listener = MemListener::new(address.clone()).unwrap();
        let mut waiting: Vec<_> =
            (0..BACKLOG_MAX).map(|_| dial(address.authority()).unwrap()).collect();
        let refused = dial(address.authority()).err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert!(refused.to_string().contains("1024 connections wait"), "{refused}");

        drop(listener);
        let mut cx = Context::from_waker(Waker::noop());
        let read = waiting[0].reader.poll_read(&mut cx, &mut [0; 10]);
        assert!(matches!(read, Poll::Ready(Ok(0))));
        assert!(dial(address.authority()).is_err());
    }

    /// Two threads that wait for each other at every turn hang here if one wake-up is lost.
    #[test]
    fn no_wake_up_is_lost_between_threads() {
        const BYTES: usize = 4 * PIPE_BYTES_MAX;
        let (mut left, right) = pair("threads");
        let reading = std::thread::spawn(move || {
            run(async move {
                let (mut total, mut buffer) = (0, [0; 777]);
                loop {
                    match poll_fn(|cx| left.reader.poll_read(cx, &mut buffer)).await.unwrap() {
                        0 => return total,
                        len => total += len,
                    }
                }
            })
        });
        run(async move {
            let mut left = BYTES;
            while left > 0 {
                match write(&right, &vec![1; left.min(1_013)]) {
                    Ok(len) => left -= len,
                    Err(_) => poll_fn(|cx| right.writer.poll_writable(cx)).await.unwrap(),
                }
            }
        });
        assert_eq!(reading.join().unwrap(), BYTES);
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }
}
