//! Names by DNS servers of one's own choice. Feature `dns`.
//!
//! Each server is asked by a client of its own, so that an error can say of each what it did, and one
//! that is dead costs its own time and not that of the others.

use std::fmt;
use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
    ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::{Hosts, TokioResolver};
use tokio::time::timeout;

use super::Pending;
use super::resolver::{Family, Resolver};
use crate::limits::{
    ADDRESSES_MAX, DNS_ATTEMPTS_DEFAULT, DNS_ATTEMPTS_MAX, DNS_FAMILY_DELAY_DEFAULT,
    DNS_SERVERS_MAX, DNS_TIMEOUT_DEFAULT,
};

/// A [`Resolver`] that asks these servers, over UDP and, for long answers, over TCP.
///
/// Answers are kept for as long as they say. What is asked is the name as it stands in the address: the
/// search domains of the system are not appended. Neither an answer's origin nor what it says can be
/// verified; the key in an address is what tells the right host.
///
/// The servers are asked from the runtime that dials. Where runtimes come and go (tests), each needs a
/// resolver of its own.
pub struct Dns {
    servers: Vec<Server>,
    times: Times,
    attempts: usize,
    round_robin: bool,
    /// Whose turn it is.
    next: AtomicUsize,
}

/// How a [`Dns`] asks. Made by [`Dns::builder`].
#[must_use = "a resolver is made by `build`"]
#[derive(Debug, Clone)]
pub struct DnsBuilder {
    servers: Vec<SocketAddr>,
    times: Times,
    attempts: usize,
    round_robin: bool,
    hosts_file: Option<Box<Path>>,
}

#[derive(Debug, Clone, Copy)]
struct Times {
    /// For one answer of one server.
    answer: Duration,
    /// For the second family, once there are addresses of the first.
    family: Duration,
}

#[derive(Clone)]
struct Server {
    address: SocketAddr,
    v6: TokioResolver,
    v4: TokioResolver,
}

impl Dns {
    /// For these servers; their port is 53 as a rule. They are asked in this order, the next one where
    /// one gives no answer.
    pub fn builder(servers: &[SocketAddr]) -> DnsBuilder {
        DnsBuilder {
            servers: servers.to_vec(),
            times: Times { answer: DNS_TIMEOUT_DEFAULT, family: DNS_FAMILY_DELAY_DEFAULT },
            attempts: DNS_ATTEMPTS_DEFAULT,
            round_robin: false,
            hosts_file: Some(Path::new(HOSTS_FILE).into()),
        }
    }
}

#[cfg(windows)]
const HOSTS_FILE: &str = r"C:\Windows\System32\drivers\etc\hosts";
#[cfg(not(windows))]
const HOSTS_FILE: &str = "/etc/hosts";

impl DnsBuilder {
    /// How long one server has for one answer. Default 2 s.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.times.answer = time;
        self
    }

    /// How long who has the addresses of one family waits for those of the other (RFC 8305, section 3),
    /// within `timeout`. Default 50 ms.
    pub fn family_delay(mut self, time: Duration) -> Self {
        self.times.family = time;
        self
    }

    /// How often all servers are asked before the name is given up. Default 2, at most 10.
    pub fn attempts(mut self, attempts: usize) -> Self {
        self.attempts = attempts;
        self
    }

    /// Each name is asked of another server first, so that all have the same to do. Default: off, the
    /// first one is asked as long as it answers.
    pub fn round_robin(mut self, on: bool) -> Self {
        self.round_robin = on;
        self
    }

    /// What stands in this file is not asked of any server. It is read once, when the resolver is made;
    /// one that is missing is as good as empty. Default: that of the system; `None` reads none.
    pub fn hosts_file(mut self, path: Option<&Path>) -> Self {
        self.hosts_file = path.map(Into::into);
        self
    }

    /// Makes the resolver. Nobody is asked yet.
    ///
    /// # Errors
    /// No servers or more than 16, no time, no attempts or more than 10, or a hosts file that cannot be
    /// read.
    pub fn build(self) -> io::Result<Dns> {
        let invalid = |text: String| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        if !(1..=DNS_SERVERS_MAX).contains(&self.servers.len()) {
            let count = self.servers.len();
            return invalid(format!("{count} DNS servers, there must be 1 to {DNS_SERVERS_MAX}"));
        }
        if !(1..=DNS_ATTEMPTS_MAX).contains(&self.attempts) {
            let text = format!("`attempts` is {}, it must be", self.attempts);
            return invalid(format!("{text} from 1 to {DNS_ATTEMPTS_MAX}"));
        }
        if self.times.answer.is_zero() {
            return invalid("`timeout` is zero: no server answers in no time".into());
        }
        let hosts = Arc::new(read_hosts(self.hosts_file.as_deref())?);
        let server = |address: &SocketAddr| Server::new(*address, self.times.answer, &hosts);
        Ok(Dns {
            servers: self.servers.iter().map(server).collect::<io::Result<_>>()?,
            times: self.times,
            attempts: self.attempts,
            round_robin: self.round_robin,
            next: AtomicUsize::new(0),
        })
    }
}

fn read_hosts(path: Option<&Path>) -> io::Result<Hosts> {
    let mut hosts = Hosts::default();
    let Some(path) = path else { return Ok(hosts) };
    let read = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(hosts),
        Err(error) => Err(error),
        Ok(file) => hosts.read_hosts_conf(file),
    };
    read.map_err(|error| {
        let text = format!("cannot read {} (knob: `hosts_file`): {error}", path.display());
        io::Error::new(error.kind(), text)
    })?;
    Ok(hosts)
}

impl Server {
    fn new(address: SocketAddr, timeout: Duration, hosts: &Arc<Hosts>) -> io::Result<Self> {
        let client = |strategy| Self::client(address, timeout, hosts, strategy);
        let v6 = client(LookupIpStrategy::Ipv6Only)?;
        let v4 = client(LookupIpStrategy::Ipv4Only)?;
        Ok(Self { address, v6, v4 })
    }

    fn client(
        address: SocketAddr,
        timeout: Duration,
        hosts: &Arc<Hosts>,
        strategy: LookupIpStrategy,
    ) -> io::Result<TokioResolver> {
        let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
        connections.iter_mut().for_each(|connection| connection.port = address.port());
        let server = NameServerConfig::new(address.ip(), true, connections);
        let config = ResolverConfig::from_name_servers(vec![server]);
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options: &mut ResolverOpts = builder.options_mut();
        options.timeout = timeout;
        // It is asked again after the others have had their turn.
        options.attempts = 0;
        options.ip_strategy = strategy;
        options.use_hosts_file = ResolveHosts::Never;
        options.case_randomization = true;
        let mut client = builder.build().map_err(io::Error::other)?;
        client.set_hosts(Arc::clone(hosts));
        Ok(client)
    }

    /// What this server says, or why that is nothing.
    async fn ask(&self, host: &str, family: Family, times: Times) -> Answer {
        let mut v6 = pin!(ask_for(&self.v6, host, times.answer));
        let mut v4 = pin!(ask_for(&self.v4, host, times.answer));
        if !family.takes(true) {
            return v6.await;
        }
        if !family.takes(false) {
            return v4.await;
        }
        let more = |first: &Answer| if first.is_ok() { times.family } else { times.answer };
        tokio::select! {
            first = &mut v6 => {
                let second = timeout(more(&first), v4).await.unwrap_or(Err(Silence::Late));
                both(first, second)
            }
            first = &mut v4 => {
                let second = timeout(more(&first), v6).await.unwrap_or(Err(Silence::Late));
                both(second, first)
            }
        }
    }
}

type Answer = Result<Vec<IpAddr>, Silence>;

async fn ask_for(client: &TokioResolver, host: &str, time: Duration) -> Answer {
    match timeout(time, client.lookup_ip(host)).await {
        Ok(Ok(found)) => Ok(found.iter().take(ADDRESSES_MAX).collect()),
        Ok(Err(NetError::Timeout)) | Err(_) => Err(Silence::Late),
        Ok(Err(NetError::Dns(DnsError::NoRecordsFound(none)))) => {
            Err(Silence::None { unknown: none.response_code == ResponseCode::NXDomain })
        }
        Ok(Err(error)) => Err(Silence::Failed(error.to_string())),
    }
}

/// What is known of both families: none of the one is no fault where there are some of the other.
fn both(v6: Answer, v4: Answer) -> Answer {
    match (v6, v4) {
        (Ok(mut v6), Ok(v4)) => {
            v6.extend(v4);
            Ok(v6)
        }
        (Ok(found), Err(_)) | (Err(_), Ok(found)) => Ok(found),
        (Err(Silence::None { unknown }), Err(Silence::None { unknown: other })) => {
            Err(Silence::None { unknown: unknown || other })
        }
        (Err(Silence::None { .. }), Err(silence)) | (Err(silence), Err(_)) => Err(silence),
    }
}

/// Why a server gave no address.
#[derive(Debug)]
enum Silence {
    Late,
    /// It knows that there is none: no other one is asked.
    None {
        unknown: bool,
    },
    Failed(String),
}

impl Resolver for Dns {
    fn resolve(&self, host: &str, port: u16, family: Family) -> Pending<Vec<SocketAddr>> {
        let first = if self.round_robin { self.next.fetch_add(1, Ordering::Relaxed) } else { 0 };
        let mut servers = self.servers.clone();
        let count = servers.len();
        servers.rotate_left(first % count);
        let (attempts, times) = (self.attempts, self.times);
        let host = host.to_owned();
        Box::pin(async move {
            let mut failures = Vec::new();
            for _ in 0..attempts {
                failures.clear();
                for server in &servers {
                    match server.ask(&host, family, times).await {
                        Ok(found) => {
                            return Ok(found.into_iter().map(|ip| (ip, port).into()).collect());
                        }
                        Err(Silence::None { unknown }) => {
                            return Err(nothing(&host, server.address, unknown, family));
                        }
                        Err(silence) => failures.push((server.address, silence)),
                    }
                }
            }
            Err(given_up(&host, &failures, attempts, times.answer))
        })
    }
}

fn nothing(host: &str, server: SocketAddr, unknown: bool, family: Family) -> io::Error {
    let what = match (unknown, family) {
        (true, _) => "there is no such name".into(),
        (false, Family::V4Only | Family::V6Only) => {
            format!("it has no address of this family (knob: `Tcp::family`, which is {family:?})")
        }
        (false, _) => "it has no address".into(),
    };
    let text = format!("cannot resolve {host}: {what}, says DNS server {server}");
    io::Error::new(io::ErrorKind::NotFound, text)
}

fn given_up(
    host: &str,
    failures: &[(SocketAddr, Silence)],
    attempts: usize,
    time: Duration,
) -> io::Error {
    let all_late = failures.iter().all(|(_, silence)| matches!(silence, Silence::Late));
    let each = failures.iter().map(|(server, silence)| match silence {
        Silence::Failed(error) => format!("DNS server {server}: {error}"),
        Silence::Late | Silence::None { .. } => {
            format!("DNS server {server}: no answer in {time:?} (knob: `timeout`)")
        }
    });
    let each = each.collect::<Vec<_>>().join("; ");
    let kind = if all_late { io::ErrorKind::TimedOut } else { io::ErrorKind::Other };
    let text = format!("cannot resolve {host}, asked {attempts} times (knob: `attempts`): {each}");
    io::Error::new(kind, text)
}

impl fmt::Debug for Dns {
    /// The servers; errors of whoever waits for a name name their resolver so.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<_> = self.servers.iter().map(|server| server.address).collect();
        write!(f, "Dns{servers:?}")
    }
}
