//! Who listens at an address that is taken, where the system tells (Linux, of processes of the same
//! user): the table of listening sockets has their inodes, and a process has links to what it holds.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::limits::{OCCUPANT_LINKS_MAX, OCCUPANT_SOCKETS_MAX};

/// The socket that is in the way, as the system has it.
#[derive(Debug, PartialEq, Eq)]
struct Socket {
    at: SocketAddr,
    uid: u32,
    inode: u64,
}

/// Who it is, in words, as far as can be told. Looks at many files: not for a thread of the runtime.
pub(super) fn who_listens_at(address: SocketAddr) -> Option<String> {
    let tables = [("/proc/net/tcp", true), ("/proc/net/tcp6", false)];
    let socket = tables.iter().find_map(|(path, v4)| {
        let table = BufReader::new(File::open(path).ok()?);
        listening(table, *v4).find(|socket| excludes(socket.at, address))
    })?;
    let Socket { at, uid, inode } = socket;
    Some(match holder(Path::new("/proc"), inode) {
        Some(pid) if pid == std::process::id() => format!("this process listens at {at}"),
        Some(pid) => format!("process {pid}{} listens at {at}", name_of(pid)),
        None => format!("a process of user {uid} listens at {at}"),
    })
}

/// The lines of the table that are listening sockets; they stand before all others.
fn listening(table: impl BufRead, v4: bool) -> impl Iterator<Item = Socket> {
    const LISTEN: &str = "0A";
    let rows = table.lines().skip(1).take(OCCUPANT_SOCKETS_MAX).map_while(Result::ok);
    rows.map_while(move |row| {
        let columns: Vec<_> = row.split_whitespace().collect();
        let [_, at, _, LISTEN, _, _, _, uid, _, inode, ..] = columns[..] else { return None };
        let (ip, port) = at.split_once(':')?;
        let at = SocketAddr::new(read_ip(ip, v4)?, u16::from_str_radix(port, 16).ok()?);
        Some(Socket { at, uid: uid.parse().ok()?, inode: inode.parse().ok()? })
    })
}

/// Words of 32 bits as they lie in memory, in hexadecimal.
fn read_ip(text: &str, v4: bool) -> Option<IpAddr> {
    let word = |at: usize| {
        let word = u32::from_str_radix(text.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    if v4 {
        return Some(Ipv4Addr::from(word(0)?).into());
    }
    let words = [word(0)?, word(1)?, word(2)?, word(3)?];
    let bytes: [u8; 16] = words.concat().try_into().ok()?;
    Some(Ipv6Addr::from(bytes).to_canonical())
}

/// Whether nobody can listen at `wanted` beside `taken`. One for all addresses of IPv6 is one for those
/// of IPv4 as a rule.
fn excludes(taken: SocketAddr, wanted: SocketAddr) -> bool {
    let (one, other) = (taken.ip().to_canonical(), wanted.ip().to_canonical());
    let covers = |all: IpAddr, ip: IpAddr| {
        all.is_unspecified() && (all.is_ipv6() || all.is_ipv4() == ip.is_ipv4())
    };
    taken.port() == wanted.port() && (one == other || covers(one, other) || covers(other, one))
}

/// The process that holds the socket of this inode, if we may see what it holds.
fn holder(proc: &Path, inode: u64) -> Option<u32> {
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir(proc).ok()?.flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let links = pids.flat_map(|pid| {
        let held = fs::read_dir(proc.join(pid.to_string()).join("fd"));
        held.into_iter().flatten().flatten().map(move |link| (pid, link.path()))
    });
    let mut links = links.take(OCCUPANT_LINKS_MAX);
    links.find_map(|(pid, link)| {
        fs::read_link(link).ok().filter(|target| target.as_os_str() == &*wanted).map(|_| pid)
    })
}

/// What the process calls itself, which may be anything.
fn name_of(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    if name.is_empty() { name } else { format!(" ({:?})", name.trim_end()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_tables_of_the_system_are_read() {
        let v4 = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            \x20  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 71 1 0\n\
            \x20  1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 72 1 0\n\
            \x20  2: 0100007F:1F91 0100007F:0016 01 00000000:00000000 00:00000000 00000000  1000        0 73 1 0\n\
            \x20  3: 0100007F:1F92 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 74 1 0\n";
        let found: Vec<_> = listening(v4.as_bytes(), true).collect();
        let first = Socket { at: address("127.0.0.1:8080"), uid: 1_000, inode: 71 };
        assert_eq!(found, [first, Socket { at: address("0.0.0.0:22"), uid: 0, inode: 72 }]);
        let v6 = "head\n 0: 00000000000000000000000001000000:1F90 \
            00000000000000000000000000000000:0000 0A 0:0 00:0 0 7 0 75 1 0\n";
        let found: Vec<_> = listening(v6.as_bytes(), false).collect();
        assert_eq!(found, [Socket { at: address("[::1]:8080"), uid: 7, inode: 75 }]);
        assert_eq!(listening("head\nnonsense\n".as_bytes(), true).count(), 0);
    }

    #[test]
    fn what_excludes_what() {
        for (taken, wanted, is_so) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "0.0.0.0:1", true),
            ("0.0.0.0:1", "[::1]:1", false),
            ("[::]:1", "127.0.0.1:1", true),
            ("[::]:1", "[::1]:1", true),
        ] {
            assert_eq!(excludes(address(taken), address(wanted)), is_so, "{taken} {wanted}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_listener_of_this_process_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        assert_eq!(who_listens_at(at).unwrap(), format!("this process listens at {at}"));
        // One that has a port and does not listen is nobody who could be found.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        socket.bind(&address("127.0.0.1:0").into()).unwrap();
        let at = socket.local_addr().unwrap().as_socket().unwrap();
        assert_eq!(who_listens_at(at), None);
    }
}
