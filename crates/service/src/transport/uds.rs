//! `uds://path`: Unix sockets.
//!
//! A listener is a file that outlives a process which was killed, so that the next one finds it in
//! the way. It is removed only when nobody listens there and it is the very file that was looked at;
//! and a listener removes its own file only if that is still its own.

use std::fs::{DirBuilder, File, TryLockError, remove_file, symlink_metadata};
use std::io::{self, IoSlice, Read as _};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::time::sleep;

use super::{Connection, Incoming, Listener, Pending, Reader, Refused, Transport, Writer};
use crate::address::Address;

/// Connections that the system keeps until they are accepted; as many as `tcp` lets wait.
const BACKLOG_MAX: u32 = 1024;

/// How long anything here waits before it looks again at what others must do first.
const RETRY_EVERY: Duration = Duration::from_millis(10);

/// How often it looks again: two seconds in all.
const RETRIES_MAX: u32 = 200;

/// Unix sockets.
///
/// A folder that is missing is made, for the owner alone (0700). In a folder that others can enter it
/// is the file mode that keeps them out, and the records above that keep them from reading.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Uds {
    /// The users whose processes may connect to a listener, by number, as the system knows them
    /// (`SO_PEERCRED`); whoever can open the socket unless set. It is asked before the handshake, and
    /// beside it: a key is asked for as ever. The user is the one that a process was when it connected.
    pub peers_of: Option<Vec<u32>>,
}

impl Transport for Uds {
    fn scheme(&self) -> &'static str {
        "uds"
    }

    fn listen(&self, address: Address) -> Pending<Box<dyn Listener>> {
        let allowed = self.peers_of.clone();
        Box::pin(async move {
            Ok(Box::new(UdsListener::new(address, allowed).await?) as Box<dyn Listener>)
        })
    }

    /// Waits up to two seconds where too many wait to be accepted already.
    fn connect(&self, address: Address) -> Pending<Connection> {
        Box::pin(async move {
            let stream = open(Path::new(address.authority())).await?;
            let (peer, _uid) = describe(&stream, address.authority());
            Ok(connection(stream, peer))
        })
    }
}

struct UdsListener {
    // In this order: as long as the socket is open no other file can have its number.
    _file: SocketFile,
    listener: UnixListener,
    address: Address,
    allowed: Option<Vec<u32>>,
}

impl UdsListener {
    async fn new(address: Address, allowed: Option<Vec<u32>>) -> io::Result<Self> {
        // Bound by the path as it was written, since a long one may not fit into a socket address;
        // found again by the absolute one, since the process may change its folder.
        let path = Path::new(address.authority());
        let absolute = std::path::absolute(path)?;
        let folder = absolute.parent().unwrap_or(Path::new("/"));
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let alone = lock_folder(folder).await;
        let listener = match bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                remove_stale(path).await?;
                bind(path)
            }
            result => result,
        }?;
        let file = SocketFile { identity: Identity::of(&absolute)?, path: absolute };
        drop(alone);
        Ok(Self { _file: file, listener, address, allowed })
    }

    /// The next one whose user may come in, and how it is called.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(UnixStream, Box<str>)>> {
        let (stream, _unnamed) = ready!(self.listener.poll_accept(cx))?;
        let (peer, uid) = describe(&stream, self.address.authority());
        match (&self.allowed, uid) {
            (Some(allowed), Some(uid)) if !allowed.contains(&uid) => {
                let reason = format!("a process of user {uid} may not connect here");
                Poll::Ready(Err(refuse(peer, reason)))
            }
            (Some(_), None) => {
                let reason = "the system does not tell whose process it is".into();
                Poll::Ready(Err(refuse(peer, reason)))
            }
            _ => Poll::Ready(Ok((stream, peer))),
        }
    }
}

fn refuse(peer: Box<str>, reason: String) -> io::Error {
    let reason = format!("{reason} (knob: `Uds::peers_of`)").into();
    Refused { peer, cause: "peers_of", reason }.into()
}

impl Listener for UdsListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Connection>> {
        self.poll_next(cx).map_ok(|(stream, peer)| connection(stream, peer))
    }

    fn poll_accept_loose(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        let (stream, peer) = ready!(self.poll_next(cx))?;
        let (stream, name) = (stream.into_std()?, peer.clone());
        let settle = move || Ok(connection(UnixStream::from_std(stream)?, name));
        Poll::Ready(Ok(Incoming::new(peer, None, settle)))
    }

    fn address(&self) -> Address {
        self.address.clone()
    }
}

/// Keeps two processes from clearing the way for themselves at the same time, when one would remove
/// the file of the other: between looking and removing, and between making a file and listening.
///
/// Only who goes by it is kept out, and a folder that cannot be locked is used without: anybody who
/// can read a shared folder may hold its lock, and shall not keep a service from starting.
async fn lock_folder(folder: &Path) -> Option<File> {
    let file = File::open(folder).ok()?;
    for _ in 0..RETRIES_MAX {
        match file.try_lock() {
            Ok(()) => return Some(file),
            Err(TryLockError::WouldBlock) => sleep(RETRY_EVERY).await,
            Err(TryLockError::Error(_)) => return None,
        }
    }
    tracing::warn!(folder = %folder.display(), "somebody keeps the lock of the folder; not waiting");
    None
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    socket.listen(BACKLOG_MAX)
}

async fn remove_stale(path: &Path) -> io::Result<()> {
    let Some(seen) = look(path)? else { return Ok(()) };
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        Ok(stream) => {
            // The system tells of the other side what it was when it began to listen.
            let who = credentials(&stream).map_or_else(String::new, |(who, _)| format!(" ({who})"));
            return Err(occupied(&format!("somebody listens there already{who}")));
        }
        // A listener whose backlog is full is one.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(occupied("somebody listens there already"));
        }
        Err(error) => {
            let text = format!("cannot find out who listens there: {error}");
            return Err(io::Error::new(error.kind(), text));
        }
    }
    match look(path)? {
        Some(now) if now == seen => remove_file(path),
        Some(_) => Err(occupied("somebody else put a socket there just now")),
        None => Ok(()),
    }
}

/// Which socket is there now, if any.
fn look(path: &Path) -> io::Result<Option<Identity>> {
    match symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => Ok(Some(Identity::new(&found))),
        Ok(_) => Err(occupied("there is a file that is no socket")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn occupied(why: &str) -> io::Error {
    let text = format!("{why}; remove what is in the way or choose another path");
    io::Error::new(io::ErrorKind::AddrInUse, text)
}

/// The file of a listener, removed with it if it is still the one that was made.
struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if Identity::of(&self.path).is_ok_and(|now| now == self.identity) {
            // If it cannot be removed the next listener does.
            let _ = remove_file(&self.path);
        }
    }
}

/// What tells a file from another that took its name.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self::new(&symlink_metadata(path)?))
    }

    fn new(file: &std::fs::Metadata) -> Self {
        Self { device: file.dev(), inode: file.ino() }
    }
}

async fn open(path: &Path) -> io::Result<UnixStream> {
    let mut retries = 0;
    loop {
        match UnixStream::connect(path).await {
            Ok(stream) => return Ok(stream),
            // A full backlog refuses at once where TCP would wait.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && retries < RETRIES_MAX => {
                retries += 1;
                sleep(RETRY_EVERY).await;
            }
            Err(error) => return Err(error),
        }
    }
}

fn connection(stream: UnixStream, peer: Box<str>) -> Connection {
    let (reader, writer) = stream.into_split();
    Connection {
        reader: Box::new(UdsReader(reader)),
        writer: Arc::new(UdsWriter(writer)),
        peer,
        ip: None,
    }
}

/// The path, whom the system says the socket was opened by, and which user that is.
fn describe(stream: &UnixStream, path: &str) -> (Box<str>, Option<u32>) {
    match credentials(stream) {
        Some((who, uid)) => (format!("uds://{path} ({who})").into(), Some(uid)),
        None => (format!("uds://{path}").into(), None),
    }
}

/// The process and the user at the other end, in words; and the user.
fn credentials(stream: &UnixStream) -> Option<(String, u32)> {
    let peer = stream.peer_cred().ok()?;
    let uid = peer.uid();
    let who = match peer.pid() {
        Some(pid) => format!("pid {pid}, uid {uid}"),
        None => format!("uid {uid}"),
    };
    Some((who, uid))
}

struct UdsReader(OwnedReadHalf);

impl Reader for UdsReader {
    /// Reads first and waits if there was nothing: asking for readiness first would cost one more
    /// system call for each round trip.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // The runtime's own `try_read` believes that nothing is there until it has looked itself.
        (&*SockRef::from(self.0.as_ref())).read(buffer)
    }
}

struct UdsWriter(OwnedWriteHalf);

impl Writer for UdsWriter {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_ref().poll_write_ready(cx)
    }

    fn shutdown(&self) {
        // It fails if the peer was faster, and then there is nothing to say any more.
        let _ = SockRef::from(self.0.as_ref()).shutdown(std::net::Shutdown::Write);
    }
}
