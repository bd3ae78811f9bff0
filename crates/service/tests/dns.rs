//! Names by DNS servers that are slow, dead, or say what is not so.

#![cfg(feature = "dns")]
#![expect(clippy::unwrap_used, reason = "a failure here is the failure of the test that called")]

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use moorline_service::transport::dns::{Dns, DnsBuilder};
use moorline_service::transport::resolver::{Family, Resolver};
use moorline_service::transport::tcp::Tcp;
use moorline_service::transport::{Listener, Transport};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::task::AbortHandle;

const A: u16 = 1;
const AAAA: u16 = 28;

/// What a server answers to whoever asks for whatever name.
#[derive(Debug, Clone, Default)]
struct Says {
    addresses: Vec<IpAddr>,
    /// NXDOMAIN, SERVFAIL and the like.
    code: u8,
    /// So long after the question.
    after: Duration,
    /// To another question than the one that was asked: its number is one more.
    of_another: bool,
    /// Nothing at all to questions of this type.
    ignores: Option<u16>,
}

/// A DNS server on loopback that knows one thing.
struct Server {
    address: SocketAddr,
    /// Each once, since who waits asks again, and in small letters, since who asks mixes them.
    questions: Arc<Mutex<BTreeSet<Vec<u8>>>>,
    task: AbortHandle,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn knowing(addresses: &[&str]) -> Self {
        let addresses = addresses.iter().map(|one| one.parse().unwrap()).collect();
        Self::saying(Says { addresses, ..Says::default() }).await
    }

    async fn saying(says: Says) -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let address = socket.local_addr().unwrap();
        let questions = Arc::new(Mutex::new(BTreeSet::new()));
        let counted = Arc::clone(&questions);
        let serve = async move {
            let mut buffer = [0; 4_096];
            loop {
                // A client that is gone is an error of some systems.
                let Ok((len, from)) = socket.recv_from(&mut buffer).await else { continue };
                let Some(question) = question_of(&buffer[..len]) else { continue };
                counted.lock().unwrap().insert(question.to_ascii_lowercase());
                let Some(answer) = answer(&buffer[..len], &says) else { continue };
                let (socket, after) = (Arc::clone(&socket), says.after);
                tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    let _ = socket.send_to(&answer, from).await;
                });
            }
        };
        Self { address, questions, task: tokio::spawn(serve).abort_handle() }
    }

    fn questions(&self) -> usize {
        self.questions.lock().unwrap().len()
    }
}

/// RFC 1035, section 4.1: a header of 12 bytes, then name, type and class.
fn question_of(asked: &[u8]) -> Option<&[u8]> {
    let name_len = asked.get(12..)?.iter().position(|byte| *byte == 0)? + 1;
    asked.get(12..12 + name_len + 4)
}

/// RFC 1035, section 4: header, the question as it came, one record for each address.
fn answer(asked: &[u8], says: &Says) -> Option<Vec<u8>> {
    let question = question_of(asked)?;
    let kind = question.len() - 4;
    let wanted = u16::from_be_bytes([question[kind], question[kind + 1]]);
    if says.ignores == Some(wanted) {
        return None;
    }
    let of_type = |ip: &&IpAddr| wanted == if ip.is_ipv4() { A } else { AAAA };
    let records: Vec<_> = says.addresses.iter().filter(of_type).collect();
    let id = u16::from_be_bytes([asked[0], asked[1]]).wrapping_add(u16::from(says.of_another));
    let mut answer = id.to_be_bytes().to_vec();
    answer.extend([0x81, 0x80 | says.code, 0, 1, 0, u8::try_from(records.len()).ok()?, 0, 0, 0, 0]);
    answer.extend(question);
    for ip in records {
        // The name of the question; its class is that of the internet, and it is good for a minute.
        answer.extend([0xc0, 12]);
        answer.extend(wanted.to_be_bytes());
        answer.extend([0, 1, 0, 0, 0, 60]);
        let bytes = match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        answer.extend(u16::try_from(bytes.len()).ok()?.to_be_bytes());
        answer.extend(bytes);
    }
    Some(answer)
}

/// An address of this host at which nothing answers.
async fn dead() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn asking(servers: &[SocketAddr]) -> DnsBuilder {
    let patient = Duration::from_secs(30);
    Dns::builder(servers).timeout(patient).family_delay(patient).hosts_file(None)
}

async fn resolve(dns: &Dns, name: &str, family: Family) -> io::Result<Vec<String>> {
    let found = tokio::time::timeout(Duration::from_secs(60), dns.resolve(name, 7, family));
    let found = found.await.expect("a resolver ends by itself")?;
    Ok(found.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn both_families_are_asked_for_and_one_where_one_is_wanted() {
    let server = Server::knowing(&["192.0.2.1", "192.0.2.2", "2001:db8::1"]).await;
    let dns = asking(&[server.address]).build().unwrap();
    let all = resolve(&dns, "both.test", Family::Auto).await.unwrap();
    assert_eq!(all[0], "[2001:db8::1]:7");
    let mut v4 = all[1..].to_vec();
    v4.sort();
    assert_eq!(v4, ["192.0.2.1:7", "192.0.2.2:7"]);
    assert_eq!(server.questions(), 2);
    let v6 = resolve(&dns, "other.test", Family::V6Only).await.unwrap();
    assert_eq!((v6, server.questions()), (vec!["[2001:db8::1]:7".to_owned()], 3));
    // What has been answered is kept.
    drop(server);
    assert_eq!(resolve(&dns, "both.test", Family::Auto).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_name_of_one_family_is_found_whichever_is_preferred() {
    for (address, text) in [("192.0.2.9", "192.0.2.9:7"), ("2001:db8::9", "[2001:db8::9]:7")] {
        let server = Server::knowing(&[address]).await;
        for family in [Family::Auto, Family::PreferV4, Family::PreferV6] {
            let dns = asking(&[server.address]).build().unwrap();
            assert_eq!(resolve(&dns, "one.test", family).await.unwrap(), [text]);
        }
        let other = if address.contains(':') { Family::V4Only } else { Family::V6Only };
        let dns = asking(&[server.address]).build().unwrap();
        let said = resolve(&dns, "one.test", other).await.unwrap_err().to_string();
        assert!(said.contains("no address of this family (knob: `Tcp::family`"), "{said}");
        assert!(said.contains(&server.address.to_string()), "{said}");
    }
}

#[tokio::test]
async fn silence_about_one_family_does_not_hold_up_the_other() {
    let addresses = vec!["192.0.2.1".parse().unwrap()];
    let says = Says { addresses, ignores: Some(AAAA), ..Says::default() };
    let server = Server::saying(says).await;
    let dns = asking(&[server.address])
        .timeout(Duration::from_secs(600))
        .family_delay(Duration::from_millis(1))
        .build()
        .unwrap();
    assert_eq!(resolve(&dns, "a.test", Family::Auto).await.unwrap(), ["192.0.2.1:7"]);
}

#[tokio::test]
async fn a_slow_server_is_waited_for() {
    let addresses = vec!["192.0.2.1".parse().unwrap()];
    let after = Duration::from_millis(300);
    let server = Server::saying(Says { addresses, after, ..Says::default() }).await;
    let dns = asking(&[server.address]).build().unwrap();
    assert_eq!(resolve(&dns, "slow.test", Family::V4Only).await.unwrap(), ["192.0.2.1:7"]);
}

#[tokio::test]
async fn a_name_that_is_not_there_is_not_asked_of_another_server() {
    let knows_better = Server::knowing(&["192.0.2.1"]).await;
    for (code, said) in [(3, "there is no such name"), (0, "it has no address")] {
        let server = Server::saying(Says { code, ..Says::default() }).await;
        let dns = asking(&[server.address, knows_better.address]).build().unwrap();
        let error = resolve(&dns, "nothing.test", Family::Auto).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let expected =
            format!("cannot resolve nothing.test: {said}, says DNS server {}", server.address);
        assert_eq!(error.to_string(), expected);
    }
    assert_eq!(knows_better.questions(), 0);
}

#[tokio::test]
async fn who_says_nothing_or_lies_costs_its_time_and_the_next_one_is_asked() {
    let addresses: Vec<_> = vec!["192.0.2.66".parse().unwrap()];
    let liar = Server::saying(Says { addresses, of_another: true, ..Says::default() }).await;
    let broken = Server::saying(Says { code: 2, ..Says::default() }).await;
    let good = Server::knowing(&["192.0.2.1"]).await;
    let (_silent, dead) = dead().await;
    let servers = [dead, liar.address, broken.address, good.address];
    let dns = asking(&servers).timeout(Duration::from_millis(500)).attempts(10).build().unwrap();
    assert_eq!(resolve(&dns, "a.test", Family::V4Only).await.unwrap(), ["192.0.2.1:7"]);
    assert!(liar.questions() > 0 && broken.questions() > 0);
}

#[tokio::test]
async fn an_error_names_the_name_the_servers_the_time_and_the_knobs() {
    let broken = Server::saying(Says { code: 2, ..Says::default() }).await;
    let (_silent, dead) = dead().await;
    let servers = [dead, broken.address];
    let builder = asking(&servers).timeout(Duration::from_millis(50)).attempts(3);
    let dns = builder.build().unwrap();
    let said = resolve(&dns, "a.test", Family::V4Only).await.unwrap_err().to_string();
    let begin = format!(
        "cannot resolve a.test, asked 3 times (knob: `attempts`): DNS server {dead}: no answer in \
         50ms (knob: `timeout`); DNS server {}: ",
        broken.address
    );
    assert!(said.starts_with(&begin), "{said}");
    let alone = asking(&[dead]).timeout(Duration::from_millis(50)).build().unwrap();
    let error = resolve(&alone, "a.test", Family::Auto).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn servers_take_turns_where_that_is_wanted() {
    let (one, two) = (Server::knowing(&["192.0.2.1"]).await, Server::knowing(&["192.0.2.2"]).await);
    let servers = [one.address, two.address];
    for (round_robin, expected) in [(false, [8, 0]), (true, [4, 4])] {
        let dns = asking(&servers).round_robin(round_robin).build().unwrap();
        let before = [one.questions(), two.questions()];
        for number in 0..8 {
            let name = format!("n{number}.{round_robin}.test");
            resolve(&dns, &name, Family::V4Only).await.unwrap();
        }
        let asked = [one.questions() - before[0], two.questions() - before[1]];
        assert_eq!(asked, expected);
    }
}

#[tokio::test]
async fn the_hosts_file_comes_first() {
    let server = Server::knowing(&["192.0.2.1"]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hosts");
    std::fs::write(&path, "# ours\n192.0.2.77 ours.test other.test\n2001:db8::77 ours.test\n")
        .unwrap();
    let dns = asking(&[server.address]).hosts_file(Some(&path)).build().unwrap();
    let found = resolve(&dns, "ours.test", Family::Auto).await.unwrap();
    assert_eq!(found, ["[2001:db8::77]:7", "192.0.2.77:7"]);
    assert_eq!(server.questions(), 0);
    let found = resolve(&dns, "theirs.test", Family::V4Only).await.unwrap();
    assert_eq!(found, ["192.0.2.1:7"]);
}

#[test]
fn what_cannot_be_is_said_at_once() {
    let server: SocketAddr = "127.0.0.1:53".parse().unwrap();
    for (builder, said) in [
        (Dns::builder(&[]), "0 DNS servers, there must be 1 to 16"),
        (Dns::builder(&[server; 17]), "17 DNS servers, there must be 1 to 16"),
        (Dns::builder(&[server]).attempts(0), "`attempts` is 0, it must be from 1 to 10"),
        (Dns::builder(&[server]).timeout(Duration::ZERO), "`timeout` is zero"),
        (Dns::builder(&[server]).hosts_file(Some(Path::new("/"))), "knob: `hosts_file`"),
    ] {
        let error = builder.build().unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[tokio::test]
async fn a_name_is_dialed_at_the_address_that_answers() {
    let mut tcp = Tcp::default();
    let server = Server::knowing(&["127.0.0.1", "::1"]).await;
    tcp.resolver = Arc::new(asking(&[server.address]).build().unwrap());
    let (listening, port, _nobody) = half_a_port(&tcp).await;
    // Nobody listens there by IPv6, which is asked first.
    let dialed = tcp.connect(format!("tcp://a.test:{port}").parse().unwrap()).await.unwrap();
    assert_eq!(&*dialed.peer, format!("tcp://127.0.0.1:{port}"));
    drop(listening);
    let refused = tcp.connect(format!("tcp://a.test:{port}").parse().unwrap()).await;
    let said = refused.err().unwrap().to_string();
    assert!(said.contains(&format!("127.0.0.1:{port}: ")), "{said}");
    assert!(said.contains(&format!("[::1]:{port}: ")), "{said}");
}

/// A listener at 127.0.0.1 whose port is kept free of listeners at ::1.
async fn half_a_port(tcp: &Tcp) -> (Box<dyn Listener>, String, Option<TcpSocket>) {
    loop {
        let listening = tcp.listen("tcp://127.0.0.1:0".parse().unwrap()).await.unwrap();
        let port = listening.address().authority().rsplit_once(':').unwrap().1.to_owned();
        // A host without IPv6 has no listeners there either.
        let Ok(socket) = TcpSocket::new_v6() else { return (listening, port, None) };
        match socket.bind(format!("[::1]:{port}").parse().unwrap()) {
            Ok(()) => return (listening, port, Some(socket)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(_) => return (listening, port, None),
        }
    }
}
