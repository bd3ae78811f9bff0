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

use super::{Connection, Incoming, Listener, Pending, Reader, Transport, Writer};
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
#[derive(Debug, Clone, Copy, Default)]
pub struct Uds;

impl Transport for Uds {
    fn scheme(&self) -> &'static str {
        "uds"
    }

    fn listen(&self, address: Address) -> Pending<Box<dyn Listener>> {
        Box::pin(async move { Ok(Box::new(UdsListener::new(address).await?) as Box<dyn Listener>) })
    }

    /// Waits up to two seconds where too many wait to be accepted already.
    fn connect(&self, address: Address) -> Pending<Connection> {
        Box::pin(async move {
            let stream = open(Path::new(address.authority())).await?;
            Ok(connection(stream, address.authority()))
        })
    }
}

struct UdsListener {
    // In this order: as long as the socket is open no other file can have its number.
    _file: SocketFile,
    listener: UnixListener,
    address: Address,
}

impl UdsListener {
    async fn new(address: Address) -> io::Result<Self> {
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
        Ok(Self { _file: file, listener, address })
    }
}

impl Listener for UdsListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Connection>> {
        let (stream, _unnamed) = ready!(self.listener.poll_accept(cx))?;
        Poll::Ready(Ok(connection(stream, self.address.authority())))
    }

    fn poll_accept_loose(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        let (stream, _unnamed) = ready!(self.listener.poll_accept(cx))?;
        let (stream, path) = (stream.into_std()?, self.address.authority().to_owned());
        let peer = format!("uds://{path}").into();
        let settle = move || Ok(connection(UnixStream::from_std(stream)?, &path));
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
        // A listener whose backlog is full is one.
        Ok(_) => return Err(occupied("somebody listens there already")),
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

fn connection(stream: UnixStream, path: &str) -> Connection {
    let peer = describe(&stream, path);
    let (reader, writer) = stream.into_split();
    Connection {
        reader: Box::new(UdsReader(reader)),
        writer: Arc::new(UdsWriter(writer)),
        peer: peer.into(),
        ip: None,
    }
}

/// The path, and whom the system says the socket was opened by.
fn describe(stream: &UnixStream, path: &str) -> String {
    match stream.peer_cred().map(|peer| (peer.pid(), peer.uid())) {
        Ok((Some(pid), uid)) => format!("uds://{path} (pid {pid}, uid {uid})"),
        Ok((None, uid)) => format!("uds://{path} (uid {uid})"),
        Err(_) => format!("uds://{path}"),
    }
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
