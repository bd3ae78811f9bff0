//! What every transport promises a driver, over `tcp`, `uds` and `mem` alike, and what each promises
//! besides.

#![expect(clippy::unwrap_used, reason = "a failure here is the failure of the test that called")]

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use moorline_service::Address;
use moorline_service::transport::{Connection, Listener, Reader, TransportRegistry, Writer};
use tempfile::TempDir;
use tokio::join;

#[cfg(unix)]
#[path = "transports/socket_files.rs"]
mod socket_files;

/// Somewhere to listen at that nobody else uses, and the transport that goes there.
struct Place {
    transports: TransportRegistry,
    address: Address,
    _folder: Option<TempDir>,
}

impl Place {
    fn new(address: &str, folder: Option<TempDir>) -> Self {
        let transports = TransportRegistry::default();
        Self { transports, address: address.parse().unwrap(), _folder: folder }
    }

    fn tcp() -> Self {
        Self::new("tcp://127.0.0.1:0", None)
    }

    #[cfg(unix)]
    fn uds() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::new(&format!("uds://{}/socket", folder.path().display()), Some(folder))
    }

    fn mem() -> Self {
        static NAMES: AtomicU32 = AtomicU32::new(0);
        Self::new(&format!("mem://{}", NAMES.fetch_add(1, Ordering::Relaxed)), None)
    }

    async fn listen(&self) -> io::Result<Box<dyn Listener>> {
        listen(&self.transports, &self.address).await
    }

    async fn connect(&self, address: &Address) -> io::Result<Connection> {
        self.transports.find(&address.scheme).unwrap().connect(address.clone()).await
    }

    /// A listener and the two ends of a connection through it: who dialed, who accepted.
    async fn pair(&self) -> (Box<dyn Listener>, Connection, Connection) {
        let mut listener = self.listen().await.unwrap();
        let dialed = self.connect(&listener.address()).await.unwrap();
        let accepted = accept(&mut *listener).await.unwrap();
        (listener, dialed, accepted)
    }
}

async fn listen(
    transports: &TransportRegistry,
    address: &Address,
) -> io::Result<Box<dyn Listener>> {
    transports.find(&address.scheme).unwrap().listen(address.clone()).await
}

async fn accept(listener: &mut dyn Listener) -> io::Result<Connection> {
    poll_fn(|cx| listener.poll_accept(cx)).await
}

async fn read(reader: &mut dyn Reader, buffer: &mut [u8]) -> io::Result<usize> {
    poll_fn(|cx| reader.poll_read(cx, buffer)).await
}

async fn read_exact(reader: &mut dyn Reader, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while filled < len {
        let read = read(reader, &mut bytes[filled..]).await.unwrap();
        assert_ne!(read, 0, "the end came after {filled} of {len} bytes");
        filled += read;
    }
    bytes
}

async fn read_to_end(reader: &mut dyn Reader) -> Vec<u8> {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 10_007]);
    loop {
        match read(reader, &mut buffer).await.unwrap() {
            0 => return bytes,
            len => bytes.extend(&buffer[..len]),
        }
    }
}

/// Waits only after the transport took nothing, as a driver does.
async fn write_all(writer: &dyn Writer, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        // Three slices, one of them empty, as a chain of blocks would be.
        let (first, second) = bytes.split_at(bytes.len().min(4_099));
        let slices = [IoSlice::new(first), IoSlice::new(&[]), IoSlice::new(second)];
        match writer.try_write(&slices) {
            Ok(len) => bytes = &bytes[len..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => writable(writer).await,
            Err(error) => panic!("{} bytes before the end: {error}", bytes.len()),
        }
    }
}

async fn writable(writer: &dyn Writer) {
    poll_fn(|cx| writer.poll_writable(cx)).await.unwrap();
}

/// Bytes that repeat at no length a buffer would have.
fn pattern(len: usize) -> Vec<u8> {
    (0..251).cycle().take(len).collect()
}

/// What does not end fails, and says so.
async fn in_time<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), test).await.expect("the test ends")
}

macro_rules! over_every_transport {
    ($($test:ident),* $(,)?) => {
        over_every_transport!(@ tcp $($test)*);
        #[cfg(unix)]
        over_every_transport!(@ uds $($test)*);
        over_every_transport!(@ mem $($test)*);
    };
    (@ $scheme:ident $($test:ident)*) => {
        mod $scheme {
            $(#[tokio::test]
            async fn $test() {
                super::in_time(super::$test(super::Place::$scheme())).await;
            })*
        }
    };
}

over_every_transport! {
    bytes_go_both_ways,
    slices_arrive_in_order,
    a_full_connection_takes_nothing_until_it_is_read,
    what_was_written_before_shutdown_arrives_and_then_the_end,
    one_direction_outlives_the_other,
    a_dropped_connection_is_the_end,
    writing_to_who_is_gone_fails,
    eight_mib_arrive_byte_for_byte_both_ways_at_once,
    a_connection_is_not_lost_with_the_future_that_waited_for_it,
    one_listener_accepts_many_in_order,
    an_address_in_use_is_refused_and_goes_on_working,
    an_address_is_free_again_after_its_listener,
    nobody_answers_where_nobody_listens,
    a_listener_keeps_the_key_of_its_address,
    peers_are_named_as_addresses_are,
    a_pending_listener_and_dial_may_be_dropped,
}

async fn bytes_go_both_ways(place: Place) {
    let (_listener, mut dialed, mut accepted) = place.pair().await;
    for _ in 0..100 {
        write_all(&*dialed.writer, b"ping").await;
        assert_eq!(read_exact(&mut *accepted.reader, 4).await, b"ping");
        write_all(&*accepted.writer, b"a longer pong").await;
        assert_eq!(read_exact(&mut *dialed.reader, 13).await, b"a longer pong");
    }
}

async fn slices_arrive_in_order(place: Place) {
    let (_listener, dialed, mut accepted) = place.pair().await;
    let slices = [b"one ".as_slice(), b"", b"two ", b"three"].map(IoSlice::new);
    writable(&*dialed.writer).await;
    assert_eq!(dialed.writer.try_write(&slices).unwrap(), 13);
    assert_eq!(read_exact(&mut *accepted.reader, 13).await, b"one two three");
}

async fn a_full_connection_takes_nothing_until_it_is_read(place: Place) {
    let (_listener, dialed, mut accepted) = place.pair().await;
    let block = pattern(64 * 1024);
    let mut sent = fill(&*dialed.writer, &block).await;
    assert!(sent > 0);
    let mut received = read_exact(&mut *accepted.reader, sent).await;
    writable(&*dialed.writer).await;
    sent += fill(&*dialed.writer, &block).await;
    dialed.writer.shutdown();
    received.extend(read_to_end(&mut *accepted.reader).await);
    assert_eq!(received.len(), sent);
}

/// Writes until the connection takes no more and says that a write is not worth a try.
async fn fill(writer: &dyn Writer, block: &[u8]) -> usize {
    let mut sent = 0;
    loop {
        match writer.try_write(&[IoSlice::new(block)]) {
            Ok(len) => sent += len,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                // The system may still be moving bytes to the other end and make room so.
                match tokio::time::timeout(Duration::from_millis(50), writable(writer)).await {
                    Ok(()) => {}
                    Err(_still_full) => return sent,
                }
            }
        }
        assert!(sent < 64 << 20, "nobody reads, and still it takes more");
    }
}

async fn what_was_written_before_shutdown_arrives_and_then_the_end(place: Place) {
    let (_listener, dialed, mut accepted) = place.pair().await;
    write_all(&*dialed.writer, &pattern(10_000)).await;
    dialed.writer.shutdown();
    assert_eq!(read_to_end(&mut *accepted.reader).await, pattern(10_000));
    assert_eq!(read(&mut *accepted.reader, &mut [0; 10]).await.unwrap(), 0);
    let late = dialed.writer.try_write(&[IoSlice::new(b"late")]).unwrap_err();
    assert_eq!(late.kind(), io::ErrorKind::BrokenPipe);
    // A second one changes nothing.
    dialed.writer.shutdown();
}

async fn one_direction_outlives_the_other(place: Place) {
    let (_listener, mut dialed, mut accepted) = place.pair().await;
    dialed.writer.shutdown();
    assert_eq!(read(&mut *accepted.reader, &mut [0; 10]).await.unwrap(), 0);
    write_all(&*accepted.writer, b"still here").await;
    assert_eq!(read_exact(&mut *dialed.reader, 10).await, b"still here");
}

async fn a_dropped_connection_is_the_end(place: Place) {
    let (_listener, dialed, mut accepted) = place.pair().await;
    let waiting = tokio::spawn(async move { read(&mut *accepted.reader, &mut [0; 10]).await });
    tokio::task::yield_now().await;
    drop(dialed);
    assert_eq!(waiting.await.unwrap().unwrap(), 0);
}

async fn writing_to_who_is_gone_fails(place: Place) {
    let (_listener, dialed, accepted) = place.pair().await;
    drop(accepted);
    let error = loop {
        match dialed.writer.try_write(&[IoSlice::new(&[0; 1_000])]) {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                writable(&*dialed.writer).await;
            }
            Err(error) => break error.kind(),
        }
    };
    assert!(
        matches!(error, io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset),
        "{error:?}"
    );
}

async fn eight_mib_arrive_byte_for_byte_both_ways_at_once(place: Place) {
    let (_listener, mut dialed, mut accepted) = place.pair().await;
    let bytes: Arc<[u8]> = pattern(8 << 20).into();
    let send = |writer: Arc<dyn Writer>, bytes: Arc<[u8]>| {
        tokio::spawn(async move {
            write_all(&*writer, &bytes).await;
            writer.shutdown();
        })
    };
    let there = send(dialed.writer.clone(), bytes.clone());
    let back = send(accepted.writer.clone(), bytes.clone());
    let (left, right) = join!(read_to_end(&mut *dialed.reader), read_to_end(&mut *accepted.reader));
    there.await.unwrap();
    back.await.unwrap();
    // Not assert_eq, which would print them.
    assert!(left == *bytes, "{} bytes came back, and not those sent", left.len());
    assert!(right == *bytes, "{} bytes arrived, and not those sent", right.len());
}

async fn a_connection_is_not_lost_with_the_future_that_waited_for_it(place: Place) {
    let mut listener = place.listen().await.unwrap();
    let address = listener.address();
    for round in 0..20u8 {
        let mut waiting = Box::pin(accept(&mut *listener));
        let early = poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await;
        assert!(early, "nobody dialed yet");
        let dialed = place.connect(&address).await.unwrap();
        // Long enough to be woken, and then it goes away before it takes the connection.
        tokio::time::sleep(Duration::from_millis(1)).await;
        drop(waiting);
        write_all(&*dialed.writer, &[round]).await;
        let mut accepted = accept(&mut *listener).await.unwrap();
        assert_eq!(read_exact(&mut *accepted.reader, 1).await, [round]);
    }
}

async fn one_listener_accepts_many_in_order(place: Place) {
    let mut listener = place.listen().await.unwrap();
    let mut dialed = Vec::new();
    for number in 0..50u8 {
        let connection = place.connect(&listener.address()).await.unwrap();
        write_all(&*connection.writer, &[number]).await;
        dialed.push(connection);
    }
    for number in 0..50u8 {
        let mut accepted = accept(&mut *listener).await.unwrap();
        assert_eq!(read_exact(&mut *accepted.reader, 1).await, [number]);
    }
}

async fn an_address_in_use_is_refused_and_goes_on_working(place: Place) {
    let mut listener = place.listen().await.unwrap();
    let address = listener.address();
    let refused = listen(&place.transports, &address).await.err().unwrap();
    assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    let dialed = place.connect(&address).await.unwrap();
    write_all(&*dialed.writer, b"x").await;
    let mut byte = [0];
    // Over `uds` the refused one looked whether anybody is there, and that look ends at once.
    while read(&mut *accept(&mut *listener).await.unwrap().reader, &mut byte).await.unwrap() == 0 {}
    assert_eq!(byte, *b"x");
}

async fn an_address_is_free_again_after_its_listener(place: Place) {
    let (listener, dialed, mut accepted) = place.pair().await;
    let address = listener.address();
    drop(listener);
    let again = listen(&place.transports, &address).await.unwrap();
    assert_eq!(again.address(), address);
    write_all(&*dialed.writer, b"lives on").await;
    assert_eq!(read_exact(&mut *accepted.reader, 8).await, b"lives on");
}

async fn nobody_answers_where_nobody_listens(place: Place) {
    let listener = place.listen().await.unwrap();
    let address = listener.address();
    drop(listener);
    let refused = place.connect(&address).await.err().unwrap();
    // The file of a Unix socket went with its listener.
    let expected = match &*address.scheme {
        "uds" => io::ErrorKind::NotFound,
        _ => io::ErrorKind::ConnectionRefused,
    };
    assert_eq!(refused.kind(), expected);
    // Who asked says where.
    assert!(!refused.to_string().contains("cannot connect"), "{refused}");
}

async fn a_listener_keeps_the_key_of_its_address(place: Place) {
    let key = "WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo".parse().unwrap();
    let keyed = place.address.clone().with_key(key);
    let listener = listen(&place.transports, &keyed).await.unwrap();
    assert_eq!(listener.address().key, Some(key));
    let text = listener.address().to_string();
    assert_eq!(text.parse::<Address>().unwrap(), listener.address());
    let dialed = place.connect(&listener.address()).await.unwrap();
    let authority = keyed.authority().trim_end_matches('0');
    assert!(dialed.peer.contains(authority), "{}", dialed.peer);
}

async fn peers_are_named_as_addresses_are(place: Place) {
    let (listener, dialed, accepted) = place.pair().await;
    for peer in [&dialed.peer, &accepted.peer] {
        // What else is known of a peer stands in brackets behind its address.
        let (address, _) = peer.split_once(" (").unwrap_or((peer, ""));
        let read: Address = address.parse().unwrap();
        assert_eq!((&read.scheme, read.to_string()), (&place.address.scheme, address.to_owned()));
    }
    let dialed = dialed.peer.split(' ').next().unwrap();
    assert_eq!(dialed, listener.address().to_string(), "whoever dialed knows whom");
}

async fn a_pending_listener_and_dial_may_be_dropped(place: Place) {
    drop(place.transports.find(&place.address.scheme).unwrap().listen(place.address.clone()));
    let mut listener = place.listen().await.unwrap();
    let transport = place.transports.find(&place.address.scheme).unwrap();
    let address = listener.address();
    drop(transport.connect(address.clone()));
    let (dialed, accepted) = join!(place.connect(&address), accept(&mut *listener));
    write_all(&*dialed.unwrap().writer, b"x").await;
    assert_eq!(read_exact(&mut *accepted.unwrap().reader, 1).await, b"x");
}

#[tokio::test]
async fn port_0_becomes_the_real_one_and_a_name_stays() {
    for address in ["tcp://127.0.0.1:0", "tcp://localhost:0"] {
        let place = Place::new(address, None);
        let (listener, dialed, accepted) = in_time(place.pair()).await;
        let real = listener.address().to_string();
        let (host, port) = real.rsplit_once(':').unwrap();
        assert_eq!(format!("{host}:0"), address);
        assert_ne!(port.parse::<u16>().unwrap(), 0);
        assert!(dialed.peer.ends_with(&format!(":{port}")), "{}", dialed.peer);
        assert!(dialed.ip.unwrap().is_loopback() && accepted.ip.unwrap().is_loopback());
    }
}

#[tokio::test]
async fn dialing_port_0_says_what_to_do() {
    let place = Place::tcp();
    let refused = place.connect(&place.address).await.err().unwrap();
    assert!(refused.to_string().contains("port 0 is for listening"), "{refused}");
}

#[tokio::test]
async fn a_name_without_address_is_named() {
    // Nothing under `.invalid` ever resolves, RFC 6761 section 6.4.
    let place = Place::new("tcp://nowhere.invalid:4000", None);
    let error = in_time(place.connect(&place.address)).await.err().unwrap();
    assert!(error.to_string().contains("cannot resolve nowhere.invalid: "), "{error}");
}

#[tokio::test]
async fn a_caller_by_ipv4_has_its_own_address_at_a_listener_for_both() {
    let place = Place::new("tcp://[::]:0", None);
    let Ok(mut listener) = place.listen().await else { return };
    let port = listener.address().to_string().rsplit_once(':').unwrap().1.to_owned();
    let address = format!("tcp://127.0.0.1:{port}").parse().unwrap();
    // Refused where listeners for IPv6 are for IPv6 alone.
    let Ok(_dialed) = place.connect(&address).await else { return };
    let accepted = in_time(accept(&mut *listener)).await.unwrap();
    assert_eq!(accepted.ip.unwrap().to_string(), "127.0.0.1");
}
