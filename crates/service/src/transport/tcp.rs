//! `tcp://host:port`.

use std::io::{self, IoSlice, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use self::dial::{Failed, dial};
use super::resolver::{Family, Resolver, System};
use super::{Connection, Incoming, Listener, Pending, Reader, Transport, Writer};
use crate::address::Address;

mod dial;
#[cfg(target_os = "linux")]
mod occupant;
mod options;

pub use options::KeepAlive;

/// TCP, and the options of its sockets.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Tcp {
    /// Who turns names into addresses; the system unless set.
    pub resolver: Arc<dyn Resolver>,
    /// Which addresses of a name are used, and in which order; [`Family::Auto`] unless set.
    pub family: Family,
    /// Connections that the system keeps until they are accepted; 1024 unless set. Most systems have
    /// a limit of their own below which this must stay (Linux: `net.core.somaxconn`).
    pub backlog: u32,
    /// Sends what was written at once (`TCP_NODELAY`); on unless set. Off is only for measuring: what
    /// is ready together is written together anyway.
    pub no_delay: bool,
    /// Bytes written and not yet sent above which a socket takes no more (`TCP_NOTSENT_LOWAT`); 64
    /// KiB unless set. What waits above this line can still be overtaken by what is urgent, what
    /// waits below cannot. Nothing is set where it is `None`, nor on systems other than Linux and
    /// Android.
    pub unsent_bytes_max: Option<u32>,
    /// Several listeners may be at one address, and the system spreads what comes in over them
    /// (`SO_REUSEPORT`); off unless set. A service with shards then listens once for each of them, and
    /// no connection moves from one thread to another; without, each one goes where the fewest are.
    /// Any process of the same user may listen there as well. Unix only.
    pub reuse_port: bool,
    /// What the system keeps for sending (`SO_SNDBUF`); unless set it decides for itself and changes its
    /// mind with the connection, which is best nearly everywhere. Systems have limits of their own
    /// and say nothing when they cut (Linux: `net.core.wmem_max`, and twice of what was asked for is
    /// set).
    pub send_buffer_bytes: Option<usize>,
    /// The same for what has been received and not been read (`SO_RCVBUF`; Linux:
    /// `net.core.rmem_max`).
    pub recv_buffer_bytes: Option<usize>,
    /// Whether the system asks after a silence if the other host is still there (`SO_KEEPALIVE`);
    /// `None`, not at all, unless set.
    pub keep_alive: Option<KeepAlive>,
    /// How long what was sent may go unconfirmed until the connection is broken (`TCP_USER_TIMEOUT`);
    /// unless set the system decides, about a quarter of an hour. 1 ms to 24 days. With `keep_alive` it
    /// takes the place of `count`. Nothing is set on systems other than Linux and Android.
    pub user_timeout: Option<Duration>,
}

impl Default for Tcp {
    fn default() -> Self {
        Self {
            resolver: Arc::new(System),
            family: Family::Auto,
            backlog: 1024,
            no_delay: true,
            unsent_bytes_max: Some(64 * 1024),
            reuse_port: false,
            send_buffer_bytes: None,
            recv_buffer_bytes: None,
            keep_alive: None,
            user_timeout: None,
        }
    }
}

impl Transport for Tcp {
    fn scheme(&self) -> &'static str {
        "tcp"
    }

    /// Listens at the first address of a name that can be listened at.
    fn listen(&self, address: Address) -> Pending<Box<dyn Listener>> {
        let options = self.clone();
        Box::pin(async move {
            Ok(Box::new(TcpAcceptor::new(address, options).await?) as Box<dyn Listener>)
        })
    }

    fn shares_addresses(&self) -> bool {
        self.reuse_port && cfg!(unix)
    }

    /// Takes its time; see [`connect_within`](Self::connect_within).
    fn connect(&self, address: Address) -> Pending<Connection> {
        self.connect_within(address, Duration::MAX)
    }

    /// Tries the addresses of a name as [`family`](Tcp::family) arranges them, the next one as soon as
    /// one has failed or has not answered for a quarter of a second, until one is connected.
    fn connect_within(&self, address: Address, time: Duration) -> Pending<Connection> {
        let options = self.clone();
        Box::pin(async move {
            let (stream, place) = dial(&address, &options, time).await?;
            Ok(options.connection(stream, place))
        })
    }
}

struct TcpAcceptor {
    listener: TcpListener,
    address: Address,
    options: Tcp,
}

impl TcpAcceptor {
    async fn new(address: Address, options: Tcp) -> io::Result<Self> {
        options.check()?;
        let candidates = options.candidates(&address).await?;
        let mut failed = Vec::new();
        for candidate in candidates {
            match options.bind(candidate) {
                Ok(listener) => {
                    let address = with_port(&address, listener.local_addr()?.port());
                    return Ok(Self { listener, address, options });
                }
                Err(error) => failed.push((candidate, with_occupant(error, candidate).await)),
            }
        }
        Err(Failed::all(failed).explain(&address, Duration::MAX))
    }
}

impl Listener for TcpAcceptor {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Connection>> {
        let (stream, peer) = ready!(self.listener.poll_accept(cx))?;
        Poll::Ready(Ok(self.options.connection(stream, peer)))
    }

    fn poll_accept_loose(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        let (stream, peer) = ready!(self.listener.poll_accept(cx))?;
        let (stream, options) = (stream.into_std()?, self.options.clone());
        let settle = move || Ok(options.connection(TcpStream::from_std(stream)?, peer));
        Poll::Ready(Ok(Incoming::new(place_of(peer), Some(ip_of(peer)), settle)))
    }

    fn address(&self) -> Address {
        self.address.clone()
    }
}

/// Says who is in the way, where that is known.
async fn with_occupant(error: io::Error, address: SocketAddr) -> io::Error {
    if error.kind() != io::ErrorKind::AddrInUse {
        return error;
    }
    #[cfg(target_os = "linux")]
    let who = tokio::task::spawn_blocking(move || occupant::who_listens_at(address)).await;
    #[cfg(not(target_os = "linux"))]
    let who = Ok::<_, std::convert::Infallible>(None);
    let who = who.ok().flatten().unwrap_or_else(|| format!("somebody else has {address}"));
    io::Error::new(error.kind(), format!("{error}: {who}; end it or choose another port"))
}

fn place_of(peer: SocketAddr) -> Box<str> {
    format!("tcp://{peer}").into()
}

/// A listener for IPv6 sees callers by IPv4 as `::ffff:a.b.c.d`.
fn ip_of(peer: SocketAddr) -> IpAddr {
    peer.ip().to_canonical()
}

/// The name stays as it was written, since it is what others know this host by.
fn with_port(address: &Address, port: u16) -> Address {
    let host = address.authority().rsplit_once(':').map_or("", |(host, _port)| host);
    let authority = format!("{host}:{port}");
    address.clone().with_authority(&authority).expect("a port stands where a port stood")
}

impl Tcp {
    /// What to listen at or dial, in order.
    async fn candidates(&self, address: &Address) -> io::Result<Vec<SocketAddr>> {
        if let Ok(number) = address.authority().parse() {
            return Ok(vec![number]);
        }
        let (host, port) = host_and_port(address)?;
        let found = self.resolver.resolve(host, port, self.family).await?;
        let candidates = self.family.arrange(&found);
        match (candidates.is_empty(), found.first()) {
            (false, _) => Ok(candidates),
            (true, None) => Err(none(format!("the name {host} has no address"))),
            (true, Some(other)) => Err(none(format!(
                "the name {host} has no address of the family that was asked for, but {} (knob: \
                 `Tcp::family`, which is {:?})",
                other.ip(),
                self.family
            ))),
        }
    }

    async fn open(&self, address: SocketAddr) -> io::Result<TcpStream> {
        if address.port() == 0 {
            let text = "port 0 is for listening; dial the port that the listener printed";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        self.check()?;
        let socket = socket_for(address)?;
        self.set_buffers(SockRef::from(&socket))?;
        let stream = socket.connect(address).await?;
        if met_itself(&stream)? {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        Ok(stream)
    }
}

fn socket_for(address: SocketAddr) -> io::Result<TcpSocket> {
    if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }
}

fn host_and_port(address: &Address) -> io::Result<(&str, u16)> {
    let parts = address.authority().rsplit_once(':');
    parts.and_then(|(host, port)| Some((host, port.parse().ok()?))).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "there is no host and port in the address")
    })
}

fn none(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, text)
}

/// Dialing a free port of this host may take that very port as its own, and meet itself.
fn met_itself(stream: &TcpStream) -> io::Result<bool> {
    Ok(stream.local_addr()? == stream.peer_addr()?)
}

impl Tcp {
    fn bind(&self, address: SocketAddr) -> io::Result<TcpListener> {
        let socket = socket_for(address)?;
        self.set_buffers(SockRef::from(&socket))?;
        // On Windows this would let two programs listen at the same port.
        #[cfg(not(windows))]
        socket.set_reuseaddr(true)?;
        #[cfg(unix)]
        if self.reuse_port {
            socket.set_reuseport(true)?;
        }
        socket.bind(address)?;
        socket.listen(self.backlog)
    }

    fn connection(&self, stream: TcpStream, peer: SocketAddr) -> Connection {
        // A socket without its options is slower, not wrong; one that failed says so when it is read.
        if let Err(error) = self.set_options(SockRef::from(&stream)) {
            tracing::debug!(%peer, %error, "socket options were not set");
        }
        let (reader, writer) = stream.into_split();
        Connection {
            reader: Box::new(TcpReader(reader)),
            writer: Arc::new(TcpWriter(writer)),
            peer: place_of(peer),
            ip: Some(ip_of(peer)),
        }
    }
}

struct TcpReader(OwnedReadHalf);

impl Reader for TcpReader {
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

struct TcpWriter(OwnedWriteHalf);

impl Writer for TcpWriter {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ends of one socket, as a dial of a free port of this host can happen to make them.
    #[tokio::test]
    async fn a_socket_that_met_itself_is_told_from_a_connection() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let itself = socket.local_addr().unwrap();
        let stream = socket.connect(itself).await.unwrap();
        assert!(met_itself(&stream).unwrap());

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        assert!(!met_itself(&stream).unwrap());
    }

    #[tokio::test]
    async fn connections_have_the_buffers_that_were_asked_for_on_both_sides() {
        let (send_buffer_bytes, recv_buffer_bytes) = (Some(20_000), Some(30_000));
        let tcp = Tcp { send_buffer_bytes, recv_buffer_bytes, ..Tcp::default() };
        let listener = tcp.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let dialed = tcp.open(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        for stream in [dialed, accepted] {
            let socket = SockRef::from(&stream);
            assert!((20_000..=40_000).contains(&socket.send_buffer_size().unwrap()));
            assert!((30_000..=60_000).contains(&socket.recv_buffer_size().unwrap()));
        }
    }

    #[tokio::test]
    async fn who_is_in_the_way_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = taken.local_addr().unwrap();
        let address: Address = format!("tcp://{at}").parse().unwrap();
        let error = Tcp::default().listen(address).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        #[cfg(target_os = "linux")]
        assert!(error.to_string().contains(&format!("this process listens at {at}")), "{error}");
        assert!(error.to_string().ends_with("; end it or choose another port"), "{error}");
    }

    #[tokio::test]
    async fn options_that_cannot_be_are_said_before_anything_else() {
        let tcp = Tcp { send_buffer_bytes: Some(0), ..Tcp::default() };
        let address: Address = "tcp://127.0.0.1:1".parse().unwrap();
        let listening = tcp.listen(address.clone()).await.err().unwrap();
        let dialing = tcp.connect(address).await.err().unwrap();
        for error in [listening, dialing] {
            assert!(error.to_string().starts_with("`Tcp::send_buffer_bytes` is 0"), "{error}");
        }
    }
}
