//! Names on their way to a connection, with resolvers a program brings itself.

#![expect(clippy::unwrap_used, reason = "a failure here is the failure of the test that called")]

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use moorline_service::Address;
use moorline_service::transport::resolver::{Family, Resolver};
use moorline_service::transport::tcp::Tcp;
use moorline_service::transport::{Pending, Transport};
use tokio::net::{TcpListener, TcpSocket};

/// Knows one name, or never finds out.
#[derive(Debug, Default)]
struct Knows {
    addresses: Option<Vec<SocketAddr>>,
    asked: Arc<Mutex<Vec<(String, u16, Family)>>>,
}

impl Resolver for Knows {
    fn resolve(&self, host: &str, port: u16, family: Family) -> Pending<Vec<SocketAddr>> {
        self.asked.lock().unwrap().push((host.to_owned(), port, family));
        let addresses = self.addresses.clone();
        Box::pin(async move {
            match addresses {
                Some(addresses) => Ok(addresses),
                None => pending().await,
            }
        })
    }
}

fn knowing(addresses: &[SocketAddr]) -> Tcp {
    let mut tcp = Tcp::default();
    let addresses = Some(addresses.to_vec());
    tcp.resolver = Arc::new(Knows { addresses, ..Knows::default() });
    tcp
}

fn name() -> Address {
    "tcp://a.test:7".parse().unwrap()
}

/// A port that nobody listens at, for as long as the socket is there.
fn closed() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("the test ends")
}

#[tokio::test]
async fn an_address_that_refuses_gives_way_to_one_that_does_not() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let live = listener.local_addr().unwrap();
    let (_socket, dead) = closed();
    let dialed = within(knowing(&[dead, live]).connect(name())).await.unwrap();
    assert_eq!(&*dialed.peer, format!("tcp://{live}"));
}

#[tokio::test]
async fn an_error_names_every_address_that_was_tried() {
    let ((_one, first), (_two, second)) = (closed(), closed());
    let error = within(knowing(&[first, second]).connect(name())).await.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    let said = error.to_string();
    assert!(said.starts_with(&format!("{first}: ")), "{said}");
    assert!(said.contains(&format!("; {second}: ")), "{said}");
}

#[tokio::test]
async fn who_resolves_is_told_what_is_wanted_and_only_of_names() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let live = listener.local_addr().unwrap();
    let asked = Arc::default();
    let addresses = Some(vec![live]);
    let mut tcp = Tcp::default();
    tcp.family = Family::PreferV4;
    tcp.resolver = Arc::new(Knows { addresses, asked: Arc::clone(&asked) });
    within(tcp.connect(format!("tcp://{live}").parse().unwrap())).await.unwrap();
    assert_eq!(*asked.lock().unwrap(), []);
    within(tcp.connect(name())).await.unwrap();
    assert_eq!(*asked.lock().unwrap(), [("a.test".to_owned(), 7, Family::PreferV4)]);
}

#[tokio::test]
async fn a_family_that_is_not_there_is_named_with_its_knob() {
    for (addresses, said) in [
        (vec![], "the name a.test has no address".to_owned()),
        (
            vec!["192.0.2.1:7".parse().unwrap()],
            "the name a.test has no address of the family that was asked for, but 192.0.2.1 (knob: \
             `Tcp::family`, which is V6Only)"
                .to_owned(),
        ),
    ] {
        let mut tcp = knowing(&addresses);
        tcp.family = Family::V6Only;
        let dialing = within(tcp.connect(name())).await.err().unwrap();
        let listening = within(tcp.listen(name())).await.err().unwrap();
        for error in [dialing, listening] {
            assert_eq!((error.kind(), error.to_string()), (io::ErrorKind::NotFound, said.clone()));
        }
    }
}

#[tokio::test]
async fn a_resolver_that_never_answers_is_named_when_the_time_is_over() {
    let mut tcp = Tcp::default();
    tcp.resolver = Arc::new(Knows::default());
    let time = Duration::from_millis(20);
    let error = within(tcp.connect_within(name(), time)).await.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    let said = error.to_string();
    assert!(said.starts_with("its name was not resolved by Knows {"), "{said}");
    assert!(said.ends_with(": no answer in 20ms (knob: `connect_timeout`)"), "{said}");
}

#[tokio::test]
async fn a_listener_takes_the_first_address_it_can_have() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (first, free) = (taken.local_addr().unwrap(), "127.0.0.1:0".parse().unwrap());
    let listener = within(knowing(&[first, free]).listen(name())).await.unwrap();
    assert_ne!(listener.address().authority(), "a.test:7");
    assert!(listener.address().authority().starts_with("a.test:"));
    let error = within(knowing(&[first]).listen(name())).await.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&first.to_string()), "{error}");
}
