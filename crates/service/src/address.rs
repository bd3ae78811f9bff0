//! Addresses: where to listen and whom to dial, as one line of text.
//!
//! An address is `SCHEME://[KEY@]AUTHORITY`. The scheme says which transport, the key is that of the
//! service at the other end, and the authority is what the transport makes of it: `host:port`, the
//! path of a socket, a name.
//!
//! This is plain parsing and not that of web addresses: a path may begin without a slash, nothing is
//! escaped or normalised, and a key is case sensitive where a web address would have a user name.
//! What was read is printed back to the letter, but for the scheme, which is lower case, and the key,
//! which loses the prefix it has in files.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use moorline_noise::{PublicKey, PublicKeyError};
use thiserror::Error;

/// Where to listen, or whom to dial.
///
/// `tcp://[KEY@]host:port` with a name, an IPv4 address or an IPv6 address in brackets; port 0 means,
/// when listening, that the system chooses. `uds://[KEY@]/path/to.sock`, or a relative path.
/// `mem://[KEY@]name`. Other schemes are left to the transports an application adds.
///
/// An authority has no `@` before its first `/`, so that a key is never taken for a part of a name:
/// the socket `a@b.sock` of the current folder is `uds://./a@b.sock`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// Which transport, in lower case: `tcp`, `uds`, `mem` and the like.
    pub scheme: Box<str>,
    /// The key that the service there must prove to have; a listener's own where it was published.
    pub key: Option<PublicKey>,
    authority: Box<str>,
}

impl Address {
    /// `host:port`, a path or a name, as the scheme has it.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The same address with this key.
    #[must_use]
    pub fn with_key(self, key: PublicKey) -> Self {
        Self { key: Some(key), ..self }
    }

    /// The same address without a key.
    #[must_use]
    pub fn without_key(self) -> Self {
        Self { key: None, ..self }
    }

    /// The same address with another authority: what a listener says of itself once it knows.
    ///
    /// # Errors
    /// If the scheme does not have such authorities.
    pub fn with_authority(self, authority: &str) -> Result<Self, AddressError> {
        match check_authority(&self.scheme, authority) {
            Ok(()) => Ok(Self { authority: authority.into(), ..self }),
            Err(fault) => Err(AddressError::new(&format!("{}://{authority}", self.scheme), fault)),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if let Some(key) = &self.key {
            write!(f, "{key}@")?;
        }
        f.write_str(&self.authority)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        parse(text).map_err(|fault| AddressError::new(text, fault))
    }
}

fn parse(text: &str) -> Result<Address, Fault> {
    let (scheme, rest) = text.split_once("://").ok_or(Fault::NoScheme)?;
    check_scheme(scheme)?;
    let scheme = scheme.to_ascii_lowercase().into_boxed_str();
    let (key, authority) = match split_key(rest) {
        Some((key, authority)) => (Some(key.parse().map_err(Fault::Key)?), authority),
        None => (None, rest),
    };
    check_authority(&scheme, authority)?;
    Ok(Address { scheme, key, authority: authority.into() })
}

fn check_scheme(scheme: &str) -> Result<(), Fault> {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    if scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(letters)
    {
        Ok(())
    } else {
        Err(Fault::Scheme)
    }
}

/// What stands before and after the `@` that ends a key. Behind a slash an `@` is part of a path.
fn split_key(rest: &str) -> Option<(&str, &str)> {
    let (before, after) = rest.split_once('@')?;
    (!before.contains('/')).then_some((before, after))
}

fn check_authority(scheme: &str, authority: &str) -> Result<(), Fault> {
    if split_key(authority).is_some() {
        return Err(Fault::At);
    }
    if authority.contains(char::is_control) {
        return Err(Fault::Control);
    }
    match scheme {
        "tcp" => check_host_and_port(authority),
        "uds" if authority.is_empty() || authority.ends_with('/') => Err(Fault::Path),
        "uds" => Ok(()),
        _ if authority.is_empty() || authority.contains(char::is_whitespace) => Err(Fault::Name),
        _ => Ok(()),
    }
}

fn check_host_and_port(authority: &str) -> Result<(), Fault> {
    if authority.parse::<SocketAddr>().is_ok() {
        return Ok(());
    }
    if authority.starts_with('[') || authority.matches(':').count() > 1 {
        return Err(Fault::Ipv6);
    }
    let (host, port) = authority.split_once(':').ok_or(Fault::NoPort)?;
    check_host(host)?;
    if port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok() {
        Ok(())
    } else {
        Err(Fault::Port)
    }
}

fn check_host(host: &str) -> Result<(), Fault> {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let top = host.strip_suffix('.').unwrap_or(host).rsplit('.').next().unwrap_or_default();
    if top.is_empty() || !host.bytes().all(letters) {
        return Err(Fault::Host);
    }
    // The system reads `127.1` and `0x7f.1` as addresses; whoever writes them means something else.
    let numeric = top.starts_with(|first: char| first.is_ascii_digit());
    if numeric && host.parse::<Ipv4Addr>().is_err() { Err(Fault::Ipv4) } else { Ok(()) }
}

/// Text that is no address: what is wrong with it, and how a right one looks.
///
/// What stands where a key belongs is not quoted, since it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{quoted:?} is no address: {fault}; a right one looks like {}", fault.example())]
pub struct AddressError {
    quoted: Box<str>,
    fault: Fault,
}

impl AddressError {
    fn new(text: &str, fault: Fault) -> Self {
        Self { quoted: quote(text), fault }
    }
}

/// The text without what may be a key, and not too much of it.
fn quote(text: &str) -> Box<str> {
    const CHARS_MAX: usize = 100;
    if text.contains("moorline-secret-") {
        return "moorline-secret-...".into();
    }
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    let shown = match split_key(rest) {
        Some((_, authority)) => format!("{scheme}...@{authority}"),
        None => format!("{scheme}{rest}"),
    };
    match shown.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}...", &shown[..end]).into(),
        None => shown.into(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
enum Fault {
    #[error("it does not begin with a scheme and ://")]
    NoScheme,
    #[error("a scheme is a letter, then letters, digits, + - or .")]
    Scheme,
    #[error("before the @ there is no public key ({0})")]
    Key(PublicKeyError),
    #[error("there is an @ too many")]
    At,
    #[error("there is a control character in it")]
    Control,
    #[error("there is no port")]
    NoPort,
    #[error("the port is no number from 0 to 65535, or something follows it")]
    Port,
    #[error("the host is neither a name of A-Z a-z 0-9 - _ . nor an address")]
    Host,
    #[error("the host begins its last part with a digit and is no IPv4 address")]
    Ipv4,
    #[error("an IPv6 address stands in brackets, and a port follows")]
    Ipv6,
    #[error("the path does not name a socket")]
    Path,
    #[error("the name is empty or has a space in it")]
    Name,
}

impl Fault {
    fn example(self) -> &'static str {
        match self {
            Self::NoScheme | Self::Scheme | Self::Control | Self::Ipv4 => "tcp://127.0.0.1:4000",
            Self::Key(_) => "tcp://KEY@example.org:4000",
            Self::At => "tcp://KEY@example.org:4000 or uds://./with@sign.sock",
            Self::NoPort | Self::Port | Self::Host => "tcp://example.org:4000",
            Self::Ipv6 => "tcp://[::1]:4000",
            Self::Path => "uds:///run/moorline/hello.sock",
            Self::Name => "mem://hello",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> PublicKey {
        PublicKey::from_bytes([0x5a; 32])
    }

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    fn error(text: &str) -> String {
        text.parse::<Address>().unwrap_err().to_string()
    }

    #[test]
    fn right_addresses_come_back_to_the_letter() {
        for authority in [
            "tcp://127.0.0.1:4000",
            "tcp://0.0.0.0:0",
            "tcp://[::1]:4000",
            "tcp://[fe80::1%2]:4000",
            "tcp://Example.org:65535",
            "tcp://my_host-2.internal.:1",
            "uds:///run/a folder/x@y.sock",
            "uds://relative.sock",
            "uds://./x@y.sock",
            "mem://name",
            "quic+x://whatever:it/takes?a=b@c",
        ] {
            let plain = address(authority);
            assert_eq!(plain.to_string(), authority);
            assert_eq!(plain.key, None);
            assert_eq!(address(&plain.clone().with_key(key()).to_string()).without_key(), plain);
        }
    }

    #[test]
    fn a_key_is_told_from_what_it_opens() {
        for key_text in [key().to_string(), key().to_line()] {
            let read = address(&format!("TCP://{key_text}@example.org:4000"));
            assert_eq!(&*read.scheme, "tcp");
            assert_eq!(read.key, Some(key()));
            assert_eq!(read.authority(), "example.org:4000");
            assert_eq!(read.to_string(), format!("tcp://{}@example.org:4000", key()));
        }
        let read = address(&format!("uds://{}@/tmp/x@y", key()));
        assert_eq!((read.key, read.authority()), (Some(key()), "/tmp/x@y"));
    }

    #[test]
    fn every_mistake_is_named_with_an_example() {
        for (text, wrong, example) in [
            ("127.0.0.1:4000", "scheme and ://", "tcp://127.0.0.1:4000"),
            ("", "scheme and ://", "tcp://127.0.0.1:4000"),
            ("1x://a", "a scheme is", "tcp://127.0.0.1:4000"),
            ("://a", "a scheme is", "tcp://127.0.0.1:4000"),
            ("tcp://joe@example.org:4000", "no public key", "tcp://KEY@example.org:4000"),
            ("tcp://@example.org:4000", "no public key", "tcp://KEY@"),
            ("uds://a@b.sock", "no public key", "tcp://KEY@"),
            ("uds:///a\n.sock", "control character", "tcp://"),
            ("tcp://example.org", "no port", "tcp://example.org:4000"),
            ("tcp://example.org:", "port is no number", "tcp://example.org:4000"),
            ("tcp://example.org:65536", "65535", "tcp://example.org:4000"),
            ("tcp://example.org:+1", "65535", "tcp://example.org:4000"),
            ("tcp://example.org:4000/", "follows", "tcp://example.org:4000"),
            ("tcp://:4000", "host", "tcp://example.org:4000"),
            ("tcp://.:4000", "host", "tcp://example.org:4000"),
            ("tcp://b\u{fc}cher.example:4000", "host", "tcp://example.org:4000"),
            ("tcp://127.1:4000", "IPv4", "tcp://127.0.0.1:4000"),
            ("tcp://300.1.1.1:4000", "IPv4", "tcp://127.0.0.1:4000"),
            ("tcp://::1:4000", "brackets", "tcp://[::1]:4000"),
            ("tcp://[::1]", "brackets", "tcp://[::1]:4000"),
            ("uds://", "socket", "uds:///run/"),
            ("uds:///run/", "socket", "uds:///run/"),
            ("mem://", "name is empty", "mem://hello"),
            ("mem://a b", "space", "mem://hello"),
        ] {
            let said = error(text);
            assert!(said.contains(wrong) && said.contains(example), "{text:?}: {said}");
        }
    }

    #[test]
    fn a_second_key_is_one_too_many() {
        let said = error(&format!("mem://{}@a@b", key()));
        assert!(said.contains("an @ too many"), "{said}");
    }

    #[test]
    fn an_error_quotes_the_address_but_no_key() {
        let said = error("tcp://hunter2@example.org:4000");
        assert!(said.starts_with("\"tcp://...@example.org:4000\" is no address"), "{said}");
        for text in ["moorline-secret-1:hunter2:00", "tcp://moorline-secret-1:hunter2:00@a:1"] {
            assert!(!error(text).contains("hunter2"), "{}", error(text));
        }
        assert!(error("hunter2@example.org").starts_with("\"...@example.org\""));
        assert!(error(&"x".repeat(5_000)).len() < 300);
    }

    #[test]
    fn another_authority_is_checked_like_the_first() {
        let listening = address("tcp://localhost:0").with_key(key());
        let real = listening.clone().with_authority("localhost:4711").unwrap();
        assert_eq!(real.to_string(), format!("tcp://{}@localhost:4711", key()));
        assert!(listening.with_authority("localhost").is_err());
    }
}
