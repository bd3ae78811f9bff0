//! Messages as they are read: a map of an id and data.

use std::ops::Range;

use crate::dialect::Dialect;
use crate::head::{Head, major};

/// Id, and where the body lies. `None`: it is no message, has no id or no data. The frame around it
/// is whole, so the connection goes on; gofast hands such a thing to its default handler.
//= docs/PROTOCOL.md#11
#[inline]
pub(crate) fn read(dialect: Dialect, message: &[u8]) -> Option<(u64, Range<usize>)> {
    let opening = dialect.opening();
    let data_key = dialect.data_key();
    let id_key = [opening[3], opening[4]];
    let (first, mut rest) = message.split_first_chunk()?;
    if *first != [opening[0], opening[1], opening[2]] {
        return None;
    }
    let (mut id, mut data) = (None, None);
    loop {
        if rest == [0xff] {
            return Some((id.filter(|id| *id > 0)?, data?));
        }
        let (key, value) = rest.split_first_chunk::<2>()?;
        if *key == id_key && id.is_none() {
            let (number, len) = Head::expect(value, major::UINT)?;
            id = Some(number);
            rest = &value[len..];
        } else if *key == data_key && data.is_none() {
            let (body_len, len) = Head::expect(value, major::BYTES)?;
            let start = message.len() - value.len() + len;
            let end = start.checked_add(usize::try_from(body_len).ok()?)?;
            data = Some(start..end);
            rest = message.get(end..)?;
        } else {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::tests::hex;

    //= docs/PROTOCOL.md#11
    #[test]
    fn messages_of_running_peers_are_read_and_no_part_of_one_is() {
        for (dialect, bytes, id, body) in [
            (Dialect::Y2017, "d82bbfd82c186fd82d456161616161ff", 111, &b"aaaaa"[..]),
            (Dialect::Y2017, "d82bbfd82c1870d82d40ff", 112, b""),
            (Dialect::Y2016, "d825bf1827186f1828456162636465ff", 111, b"abcde"),
            // The other way round.
            (Dialect::Y2017, "d82bbfd82d4161d82c186fff", 111, b"a"),
        ] {
            let bytes = hex(bytes);
            let (found, range) = read(dialect, &bytes).unwrap();
            assert_eq!((found, &bytes[range]), (id, body));
            for len in 0..bytes.len() {
                assert_eq!(read(dialect, &bytes[..len]), None, "{len} bytes");
            }
        }
    }

    //= docs/PROTOCOL.md#11
    #[test]
    fn what_has_no_id_no_data_or_no_map_is_no_message() {
        for bytes in [
            "d82bbfd82c00d82d4161ff",           // id 0
            "d82bbfd82d4161ff",                 // no id
            "d82bbfd82c186fff",                 // no data
            "d82bbfd82cd82d4161ff",             // id without a number
            "d82ba2d82c186fd82d4161",           // a map that knows its length
            "d82bbfd82c186fd82c186fd82d4161ff", // twice the id
            "d82bbfd82c386fd82d4161ff",         // a negative id
            "d82bbfd82c186fd82d6161ff",         // text for data
            "d82bbfd82c186fd82f4161ff",         // an unknown key
            "d82bbfd82c186fd82d5bffffffffffffffff61ff",
            "d82bbfd82c186fd82d4161ff00", // something behind
            "d825bf1827186f1828416100",   // the other dialect
        ] {
            assert_eq!(read(Dialect::Y2017, &hex(bytes)), None, "{bytes}");
        }
    }
}
