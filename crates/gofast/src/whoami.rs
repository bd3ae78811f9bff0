//! gofast's own messages: who somebody is, a ping, a sign of life; with bodies in two dialects.

use crate::compress::Compression;
use crate::dialect::{Dialect, PING, WHOAMI};
use crate::head::{HEAD_LEN_MAX, Head, major, put_head};
use crate::limits::{ASKED_NAME_MAX, NAME_MAX};
use crate::packet::{Inner, Kind, Packet};
use crate::shared::Shared;

/// Begins the name in the list of tags by which two of us know each other. gofast warns of names it
/// does not know, and goes on.
const OURS: &str = "moorline.";

/// What a whoami says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Whoami {
    pub(crate) name: Vec<u8>,
    /// `None`: an application has versions of its own, which only it can read.
    pub(crate) version: Option<u64>,
    pub(crate) buffersize: u64,
    pub(crate) tags: String,
}

/// What somebody who is one of us allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ours {
    pub(crate) requests_max: u32,
    pub(crate) streams_max: u32,
}

impl Whoami {
    /// Its body.
    pub(crate) fn encode(&self, dialect: Dialect) -> Vec<u8> {
        let name = &self.name[..self.name.len().min(NAME_MAX)];
        let mut out = Vec::new();
        match dialect {
            Dialect::Y2016 => {
                out.push(0x9f);
                put_bytes(name, &mut out);
                put(major::UINT, self.version.unwrap_or(0), &mut out);
                put(major::UINT, self.buffersize, &mut out);
                put_bytes(self.tags.as_bytes(), &mut out);
                out.push(0xff);
            }
            Dialect::Y2017 => {
                out.push(u8::try_from(name.len()).expect("it was just cut"));
                out.extend_from_slice(name);
                put(major::UINT, self.version.unwrap_or(0), &mut out);
                out.extend_from_slice(&self.buffersize.to_be_bytes());
                put_text(self.tags.as_bytes(), &mut out);
            }
        }
        out
    }

    /// What stands before the tags in a question that is asked for nothing but an answer.
    pub(crate) fn asks(&self, dialect: Dialect) -> Vec<u8> {
        let name = self.name[..self.name.len().min(ASKED_NAME_MAX)].to_vec();
        let mut body = Self { name, tags: String::new(), ..self.clone() }.encode(dialect);
        // No tags: a length of two bytes, or an empty byte string and the end of the array.
        body.truncate(body.len() - 2);
        body
    }

    /// The tags of such a question of ours.
    pub(crate) fn asked<'a>(dialect: Dialect, asks: &[u8], body: &'a [u8]) -> Option<&'a [u8]> {
        let mut tags = body.strip_prefix(asks)?;
        match dialect {
            Dialect::Y2016 => take_bytes(&mut tags),
            Dialect::Y2017 => text(tags),
        }
    }

    pub(crate) fn decode(dialect: Dialect, body: &[u8]) -> Option<Self> {
        match dialect {
            Dialect::Y2016 => Self::decode_2016(body),
            Dialect::Y2017 => Self::decode_2017(body),
        }
    }

    fn decode_2016(body: &[u8]) -> Option<Self> {
        let mut rest = body.strip_prefix(&[0x9f])?;
        let name = take_bytes(&mut rest)?.to_vec();
        let head = Head::read(rest).ok()??;
        let version = (head.major == major::UINT).then_some(head.value).flatten();
        // A version of the application's own is one item at least.
        let skipped = match head.major {
            0 | 1 | 7 => 0,
            2 | 3 => usize::try_from(head.value?).ok()?,
            _ => return None,
        };
        rest = rest.get(head.len.checked_add(skipped)?..)?;
        let (buffersize, len) = Head::expect(rest, major::UINT)?;
        rest = &rest[len..];
        let tags = String::from_utf8_lossy(take_bytes(&mut rest)?).into_owned();
        (rest == [0xff]).then_some(Self { name, version, buffersize, tags })
    }

    /// How long a version is, only the application knows that has made it; so the end is looked for
    /// from behind.
    fn decode_2017(body: &[u8]) -> Option<Self> {
        let (&name_len, rest) = body.split_first()?;
        let (name, rest) = rest.split_at_checked(name_len.into())?;
        if let Some((version, len)) = Head::expect(rest, major::UINT)
            && let Some((buffersize, tags)) = terms(&rest[len..])
        {
            return Some(Self { name: name.to_vec(), version: Some(version), buffersize, tags });
        }
        // A version has a byte at least, buffer size and length of the tags have ten.
        let mut starts = (1..=rest.len().checked_sub(10)?).rev();
        let (buffersize, tags) = starts.find_map(|start| terms(&rest[start..]))?;
        Some(Self { name: name.to_vec(), version: None, buffersize, tags })
    }

    /// The compressions it asks for, in its order; what nobody knows is passed over.
    pub(crate) fn compressions(&self) -> Vec<Compression> {
        let mut all = Vec::new();
        for compression in names(&self.tags).filter_map(Compression::named) {
            if !all.contains(&compression) {
                all.push(compression);
            }
        }
        all
    }

    /// What it allows, if it is one of us.
    pub(crate) fn ours(&self) -> Option<Ours> {
        let terms = names(&self.tags).find_map(|name| name.strip_prefix(OURS))?;
        let (requests, streams) = terms.split_once('.')?;
        Some(Ours { requests_max: requests.parse().ok()?, streams_max: streams.parse().ok()? })
    }
}

impl Ours {
    pub(crate) fn name(&self) -> String {
        format!("{OURS}{}.{}", self.requests_max, self.streams_max)
    }
}

/// The names in a list.
pub(crate) fn names(tags: &str) -> impl Iterator<Item = &str> {
    tags.split(',').map(str::trim).filter(|name| !name.is_empty())
}

/// Buffer size and tags, which must be all there is.
fn terms(rest: &[u8]) -> Option<(u64, String)> {
    let (buffersize, rest) = rest.split_first_chunk()?;
    let tags = text(rest)?;
    Some((u64::from_be_bytes(*buffersize), std::str::from_utf8(tags).ok()?.to_owned()))
}

/// The body of a ping.
pub(crate) fn ping_body(dialect: Dialect, said: &[u8], out: &mut Vec<u8>) {
    match dialect {
        Dialect::Y2016 => {
            out.push(0x9f);
            put_bytes(said, out);
            out.push(0xff);
        }
        Dialect::Y2017 => put_text(said, out),
    }
}

/// A ping of ours, with a text by which its echo is known: a mark and a number.
///
/// gofast does not flush the echo of a ping: one that sends in batches, and has nothing more to say,
/// keeps it. It does flush who it is. So a real peer is asked that, with the text for the outlet among
/// our tags, which only an answer of ours is read for.
pub(crate) struct ShortPing<'a> {
    dialect: Dialect,
    opaque: u64,
    /// What stands before the text in a whoami. Empty: it is a ping.
    whoami: &'a [u8],
    body: [u8; SHORT_PING_MAX],
    len: usize,
}

/// A mark and 20 digits, and 3 bytes around them.
const SHORT_PING_MAX: usize = 24;

impl<'a> ShortPing<'a> {
    pub(crate) fn new(shared: &'a Shared, mark: u8, number: u64) -> Self {
        let dialect = shared.dialect;
        let mut body = [0; SHORT_PING_MAX];
        body[2] = mark;
        let said = 1 + decimal(number, &mut body[3..]);
        let short = u8::try_from(said).expect("a mark and 20 digits at most");
        let len = match dialect {
            Dialect::Y2016 => {
                body[..2].copy_from_slice(&[0x9f, 0x40 | short]);
                body[2 + said] = 0xff;
                3 + said
            }
            Dialect::Y2017 => {
                body[..2].copy_from_slice(&[0, short]);
                2 + said
            }
        };
        let whoami = if shared.ours { &[] } else { &shared.asks[..] };
        Self { dialect, opaque: shared.opaques.pings(), whoami, body, len }
    }

    pub(crate) fn packet(&self) -> Packet<'_> {
        let text = &self.body[..self.len];
        let (built_in, body) = if self.whoami.is_empty() {
            (PING, [text, &[]])
        } else {
            // A ping is an array of 2016 with a text in it, a whoami one that ends with a text.
            let begun = usize::from(self.dialect == Dialect::Y2016);
            (WHOAMI, [self.whoami, &text[begun..]])
        };
        let inner = Inner::Message { id: self.dialect.id_of(built_in), body };
        Packet { dialect: self.dialect, kind: Kind::Request, opaque: self.opaque, inner }
    }
}

/// The mark and the number in the text of a ping of ours.
pub(crate) fn marked(text: &[u8]) -> Option<(u8, u64)> {
    let (mark, digits) = text.split_first()?;
    Some((*mark, std::str::from_utf8(digits).ok()?.parse().ok()?))
}

/// Writes a number in decimal and returns how many digits it has.
fn decimal(number: u64, out: &mut [u8]) -> usize {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).expect("a digit");
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    let digits = &digits[at..];
    out[..digits.len()].copy_from_slice(digits);
    digits.len()
}

/// What a ping says.
pub(crate) fn ping_said(dialect: Dialect, body: &[u8]) -> Option<&[u8]> {
    match dialect {
        Dialect::Y2016 => {
            let mut rest = body.strip_prefix(&[0x9f])?;
            let said = take_bytes(&mut rest)?;
            (rest == [0xff]).then_some(said)
        }
        Dialect::Y2017 => text(body),
    }
}

/// The body of a heartbeat.
pub(crate) fn heartbeat_body(dialect: Dialect, count: u64, out: &mut Vec<u8>) {
    match dialect {
        Dialect::Y2016 => {
            out.push(0x9f);
            put(major::UINT, count, out);
            out.push(0xff);
        }
        Dialect::Y2017 => out.extend_from_slice(&count.to_be_bytes()),
    }
}

/// The count in a heartbeat.
pub(crate) fn heartbeat_count(dialect: Dialect, body: &[u8]) -> Option<u64> {
    match dialect {
        Dialect::Y2016 => {
            let rest = body.strip_prefix(&[0x9f])?;
            let (count, len) = Head::expect(rest, major::UINT)?;
            (rest[len..] == [0xff]).then_some(count)
        }
        Dialect::Y2017 => Some(u64::from_be_bytes(body.try_into().ok()?)),
    }
}

fn put(major: u8, value: u64, out: &mut Vec<u8>) {
    let mut head = [0; HEAD_LEN_MAX];
    let len = put_head(&mut head, major, value);
    out.extend_from_slice(&head[..len]);
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put(major::BYTES, bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn put_text(text: &[u8], out: &mut Vec<u8>) {
    let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&text[..len.into()]);
}

fn text(body: &[u8]) -> Option<&[u8]> {
    let (len, said) = body.split_first_chunk()?;
    (said.len() == usize::from(u16::from_be_bytes(*len))).then_some(said)
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, head_len) = Head::expect(rest, major::BYTES)?;
    let (bytes, behind) = rest[head_len..].split_at_checked(usize::try_from(len).ok()?)?;
    *rest = behind;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::tests::hex;

    fn whoami(name: &str, version: Option<u64>, buffersize: u64, tags: &str) -> Whoami {
        Whoami { name: name.into(), version, buffersize, tags: tags.into() }
    }

    //= docs/PROTOCOL.md#11
    #[test]
    fn bodies_are_those_of_running_peers_and_come_back() {
        for (dialect, said, golden) in [
            (
                Dialect::Y2017,
                whoami("client", Some(1), 4096, ""),
                "06636c69656e740100000000000010000000",
            ),
            (
                Dialect::Y2017,
                whoami("server-0", Some(1), 4096, ""),
                "087365727665722d300100000000000010000000",
            ),
            (Dialect::Y2016, whoami("client", Some(1), 1024, ""), "9f46636c69656e740119040040ff"),
        ] {
            assert_eq!(said.encode(dialect), hex(golden));
            assert_eq!(Whoami::decode(dialect, &hex(golden)), Some(said));
            for len in 0..hex(golden).len() {
                assert_eq!(Whoami::decode(dialect, &hex(golden)[..len]), None, "{len}");
            }
        }
    }

    #[test]
    fn a_version_of_the_applications_own_is_passed_over() {
        let body = [&b"\x01nv1.2-rc1"[..], &512_u64.to_be_bytes(), b"\0\x08gzip,lzw"].concat();
        let read = Whoami::decode(Dialect::Y2017, &body).unwrap();
        assert_eq!(read, whoami("n", None, 512, "gzip,lzw"));
        let body = hex("9f416e4376312e19020040ff");
        assert_eq!(Whoami::decode(Dialect::Y2016, &body), Some(whoami("n", None, 512, "")));
    }

    #[test]
    fn tags_are_taken_in_their_order_and_unknown_ones_passed_over() {
        let said = whoami("n", None, 512, " lzw,snappy,, gzip,lzw");
        assert_eq!(said.compressions(), [Compression::Lzw, Compression::Gzip]);
        assert_eq!(said.ours(), None);
        let ours = Ours { requests_max: 4096, streams_max: 128 };
        let said = whoami("n", None, 512, &format!("gzip,{}", ours.name()));
        assert_eq!((said.ours(), said.compressions()), (Some(ours), vec![Compression::Gzip]));
        assert_eq!(whoami("n", None, 512, "moorline.,moorline.x.y").ours(), None);
    }

    #[test]
    fn numbers_are_written_as_people_write_them() {
        for number in [0, 7, 10, 4_096, u64::MAX] {
            let mut out = [0; 20];
            let len = decimal(number, &mut out);
            assert_eq!(std::str::from_utf8(&out[..len]).unwrap(), number.to_string());
        }
    }

    #[test]
    fn pings_and_heartbeats_come_back() {
        for dialect in [Dialect::Y2016, Dialect::Y2017] {
            let (mut ping, mut beat) = (Vec::new(), Vec::new());
            ping_body(dialect, b"hello", &mut ping);
            heartbeat_body(dialect, 300, &mut beat);
            assert_eq!(ping_said(dialect, &ping), Some(&b"hello"[..]));
            assert_eq!(heartbeat_count(dialect, &beat), Some(300));
            ping.push(0);
            beat.push(0);
            assert_eq!((ping_said(dialect, &ping), heartbeat_count(dialect, &beat)), (None, None));
        }
    }
}
