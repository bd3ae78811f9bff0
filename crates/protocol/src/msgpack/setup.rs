//! SETUP, the first unit of each side inside the channel: what it allows the other.

use std::time::Duration;

use super::put::Put;
use super::unit::Fields;
use crate::closed::{Violation, printable};
use crate::code::ErrorCode;
use crate::dictionary::HandledTypes;
use crate::limits::{
    AGENT_MAX, IN_FLIGHT_MIN, MESSAGE_MAX_MAX, SETUP_MAX, STREAMS_MIN, TYPES_MAX, WINDOW_MAX,
    WINDOW_MIN,
};
use crate::seam::PeerLimits;
use crate::settings::Local;

mod key {
    pub(super) const AGENT: u64 = 0;
    pub(super) const MESSAGE_MAX: u64 = 2;
    pub(super) const INITIATION_WINDOW: u64 = 3;
    pub(super) const STREAM_WINDOW: u64 = 4;
    pub(super) const IN_FLIGHT_MAX: u64 = 5;
    pub(super) const TIMEOUT: u64 = 6;
    pub(super) const TYPES: u64 = 8;
    pub(super) const HANDLES: u64 = 9;
    pub(super) const STREAMS_MAX: u64 = 10;
}

/// What a peer's SETUP said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setup {
    pub(crate) agent: Box<str>,
    pub(crate) limits: PeerLimits,
    /// How many of its message types its digest covers.
    pub(crate) types: u32,
    /// Which of its types it handles, by its own numbers. `None`: it does not say.
    pub(crate) handles: Option<Box<[u8]>>,
}

//= docs/PROTOCOL.md#4
/// Writes the payload of our SETUP and returns its length.
pub(crate) fn write(
    local: &Local,
    types: u32,
    handled: &HandledTypes,
    out: &mut [u8; SETUP_MAX],
) -> usize {
    let settings = &local.settings;
    let handles = (!handled.any()).then(|| handled.to_bitmap());
    let mut put = Put::new(out);
    let optional = u8::from(settings.timeout.is_some()) + u8::from(handles.is_some());
    put.map(7 + optional);
    put.uint(key::AGENT);
    put.str(&local.agent[..local.agent.floor_char_boundary(AGENT_MAX)]);
    let numbers = [
        (key::MESSAGE_MAX, settings.message_max),
        (key::INITIATION_WINDOW, settings.initiation_window),
        (key::STREAM_WINDOW, settings.stream_window),
        (key::IN_FLIGHT_MAX, settings.in_flight_max.into()),
        (key::TYPES, types.into()),
        (key::STREAMS_MAX, settings.streams_max.into()),
    ];
    for (key, value) in numbers {
        put.uint(key);
        put.uint(value);
    }
    if let Some(timeout) = settings.timeout {
        put.uint(key::TIMEOUT);
        put.uint(milliseconds(timeout));
    }
    if let Some(handles) = handles {
        put.uint(key::HANDLES);
        put.bin(&handles);
    }
    put.len()
}

/// Whole milliseconds, rounded up so that what is short does not become nothing.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

//= docs/PROTOCOL.md#4
/// Reads a peer's SETUP: unknown keys are ignored, what is missing is at its floor.
pub(crate) fn read(payload: &[u8]) -> Result<Setup, Violation> {
    if payload.len() > SETUP_MAX {
        return Err(Violation::protocol(4, "SETUP is longer than 1,024 bytes"));
    }
    let mut setup = Setup {
        agent: "".into(),
        limits: PeerLimits {
            message_max: WINDOW_MIN,
            initiation_window: WINDOW_MIN,
            stream_window: WINDOW_MIN,
            in_flight_max: IN_FLIGHT_MIN,
            streams_max: STREAMS_MIN,
            timeout: None,
        },
        types: 0,
        handles: None,
    };
    let mut fields = Fields::new(payload);
    for _ in 0..fields.map_len()? {
        if next_is_uint(&fields) {
            let key = fields.uint()?;
            read_value(&mut setup, key, &mut fields)?;
        } else {
            fields.skip_value()?;
            fields.skip_value()?;
        }
    }
    if !fields.is_empty() {
        return Err(Violation::protocol(4, "something follows the map of SETUP"));
    }
    Ok(setup)
}

fn read_value(setup: &mut Setup, key: u64, fields: &mut Fields<'_>) -> Result<(), Violation> {
    match key {
        key::AGENT => {
            let agent = printable(fields.str()?);
            setup.agent = agent[..agent.floor_char_boundary(AGENT_MAX)].into();
        }
        key::MESSAGE_MAX => {
            let message_max = at_least(fields.uint()?, WINDOW_MIN)?;
            setup.limits.message_max = message_max.min(MESSAGE_MAX_MAX);
        }
        key::INITIATION_WINDOW => setup.limits.initiation_window = window(fields.uint()?)?,
        key::STREAM_WINDOW => setup.limits.stream_window = window(fields.uint()?)?,
        key::IN_FLIGHT_MAX => setup.limits.in_flight_max = number(fields.uint()?, IN_FLIGHT_MIN)?,
        key::STREAMS_MAX => setup.limits.streams_max = number(fields.uint()?, STREAMS_MIN)?,
        key::TIMEOUT => setup.limits.timeout = Some(Duration::from_millis(fields.uint()?)),
        key::TYPES => {
            let types = fields.uint()?;
            setup.types = u32::try_from(types)
                .ok()
                .filter(|types| *types <= TYPES_MAX)
                .ok_or(Violation::with_code(9, "more than 4,096 message types", ErrorCode::FLOW))?;
        }
        key::HANDLES => setup.handles = Some(bitmap(fields)?.into()),
        _ => fields.skip_value()?,
    }
    Ok(())
}

/// A bitmap of handled types, which cannot be longer than there may be types.
pub(crate) fn bitmap<'a>(fields: &mut Fields<'a>) -> Result<&'a [u8], Violation> {
    let bits = fields.bin()?;
    if bits.len() > TYPES_MAX as usize / 8 {
        return Err(Violation::with_code(9, "more than 4,096 message types", ErrorCode::FLOW));
    }
    Ok(bits)
}

//= docs/PROTOCOL.md#2
fn at_least(value: u64, floor: u64) -> Result<u64, Violation> {
    if value < floor {
        return Err(Violation::protocol(2, "a limit in SETUP is below its floor"));
    }
    Ok(value)
}

/// How many at once; more than we can count is as good as any number.
fn number(value: u64, floor: u32) -> Result<u32, Violation> {
    Ok(u32::try_from(at_least(value, floor.into())?).unwrap_or(u32::MAX))
}

fn window(value: u64) -> Result<u64, Violation> {
    if value > WINDOW_MAX {
        return Err(Violation::with_code(9, "a window above 2^31", ErrorCode::FLOW));
    }
    at_least(value, WINDOW_MIN)
}

fn next_is_uint(fields: &Fields<'_>) -> bool {
    matches!(fields.rest().first(), Some(0x00..=0x7f | 0xcc..=0xcf))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(u64, u64)]) -> Vec<u8> {
        let mut out = vec![0; 1 + pairs.len() * 18];
        let mut put = Put::new(&mut out);
        put.map(u8::try_from(pairs.len()).unwrap());
        for (key, value) in pairs {
            put.uint(*key);
            put.uint(*value);
        }
        let len = put.len();
        out.truncate(len);
        out
    }

    //= docs/PROTOCOL.md#4
    #[test]
    fn what_is_missing_is_at_its_floor_and_what_is_unknown_is_ignored() {
        let empty = read(&[0x80]).unwrap();
        assert_eq!(empty.limits.message_max, 64 * 1024);
        assert_eq!(empty.limits.initiation_window, 64 * 1024);
        assert_eq!(empty.limits.stream_window, 64 * 1024);
        assert_eq!((empty.limits.in_flight_max, empty.limits.streams_max), (16, 8));
        assert_eq!((empty.limits.timeout, empty.types, empty.handles.is_none()), (None, 0, true));
        assert_eq!(read(b"\x83\xa1k\xa1v\x3f\x92\x01\xc0\x01\x00").unwrap(), empty);
    }

    #[test]
    fn values_at_their_bounds_are_taken() {
        let most = [(2, 1 << 40), (3, 1 << 31), (4, 1 << 31), (5, 1 << 40), (6, 250), (8, 4_096)];
        let setup = read(&map(&[&most[..], &[(10, 1 << 40)]].concat())).unwrap();
        assert_eq!((setup.limits.stream_window, setup.limits.streams_max), (1 << 31, u32::MAX));
        assert_eq!(setup.limits.message_max, MESSAGE_MAX_MAX);
        assert_eq!(setup.limits.initiation_window, 1 << 31);
        assert_eq!(setup.limits.in_flight_max, u32::MAX);
        assert_eq!(setup.limits.timeout, Some(Duration::from_millis(250)));
        assert_eq!(setup.types, 4_096);
        let least = read(&map(&[(3, 65_536), (4, 65_536), (5, 16), (10, 8)])).unwrap().limits;
        assert_eq!((least.initiation_window, least.stream_window), (65_536, 65_536));
        assert_eq!((least.in_flight_max, least.streams_max), (16, 8));
    }

    //= docs/PROTOCOL.md#2
    #[test]
    fn values_beyond_their_bounds_are_violations() {
        let below = [(2, 65_535), (3, 65_535), (4, 0), (5, 15), (10, 7)];
        for pair in below {
            assert_eq!(read(&map(&[pair])).unwrap_err().code, ErrorCode::PROTOCOL, "{pair:?}");
        }
        let above = [(3, (1 << 31) + 1), (4, u64::MAX), (8, 4_097)];
        for pair in above {
            assert_eq!(read(&map(&[pair])).unwrap_err().code, ErrorCode::FLOW, "{pair:?}");
        }
    }

    #[test]
    fn malformed_maps_are_violations() {
        let long = [&[0x81, 0x01, 0xc5, 0x04, 0x00][..], &[0; 1_024]].concat();
        let bitmap = [&[0x81, 0x09, 0xc5, 0x02, 0x01][..], &[0; 513]].concat();
        let bad: [&[u8]; 7] =
            [&[], &[0x90], &[0x81, 0x02], &[0x80, 0x00], &[0x81, 0x00, 0x01], &long, &bitmap];
        for bytes in bad {
            assert!(read(bytes).is_err(), "{bytes:02x?}");
        }
    }

    #[test]
    fn an_agent_is_short_and_cannot_forge_a_log_line() {
        let mut bytes = b"\x81\x00\xd9\x64".to_vec();
        bytes.extend(std::iter::repeat_n(b'\n', 100));
        let agent = read(&bytes).unwrap().agent;
        assert_eq!(&*agent, "\\n".repeat(32));
    }
}
