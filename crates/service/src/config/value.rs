//! Values as people write them: `250ms`, `64KiB`, `never`.

use std::fmt;
use std::time::Duration;

use moorline_session::Flush;

/// What a knob is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// A time; `None` is never.
    Time(Option<Duration>),
    /// A number of bytes.
    Size(u64),
    /// A number.
    Count(u64),
    /// A text.
    Text(Box<str>),
    /// When what is queued leaves.
    Flush(Flush),
}

/// What a knob takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A time with its unit.
    Time,
    /// The same, or `never`.
    TimeOrNever,
    /// A number of bytes, with or without its unit.
    Size,
    /// A number.
    Count,
    /// A text.
    Text,
    /// `auto`, `manual`, or a time.
    Flush,
}

/// Units of time, the longest first, with their microseconds.
const TIMES: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("min", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// Units of size, the largest first, with their bytes.
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Kind {
    /// What is to be written, for people.
    #[must_use]
    pub const fn expected(self) -> &'static str {
        match self {
            Self::Time => "a time with its unit: \"250ms\", \"10s\", \"5min\"",
            Self::TimeOrNever => "a time with its unit, or never: \"250ms\", \"10s\", \"never\"",
            Self::Size => "a number of bytes, or a size: 65536, \"64KiB\", \"16MiB\"",
            Self::Count => "a number",
            Self::Text => "a text",
            Self::Flush => "\"auto\", \"manual\", or a time with its unit: \"5ms\"",
        }
    }

    /// Reads what somebody wrote; `None` if it is not what the knob takes.
    #[must_use]
    pub fn parse(self, text: &str) -> Option<Value> {
        let text = text.trim();
        match self {
            Self::Time => Some(Value::Time(Some(time(text)?))),
            Self::TimeOrNever if text == "never" => Some(Value::Time(None)),
            Self::TimeOrNever => Some(Value::Time(Some(time(text)?))),
            Self::Size => size(text).map(Value::Size),
            Self::Count => count(text).map(Value::Count),
            Self::Text => Some(Value::Text(text.into())),
            Self::Flush => Some(Value::Flush(match text {
                "auto" => Flush::Auto,
                "manual" => Flush::Manual,
                _ => Flush::Every(time(text)?),
            })),
        }
    }

    /// A number without a unit; `None` if the knob takes none such.
    #[must_use]
    pub fn number(self, number: u64) -> Option<Value> {
        match self {
            Self::Size => Some(Value::Size(number)),
            Self::Count => Some(Value::Count(number)),
            _ => None,
        }
    }
}

impl Value {
    /// What bounds are compared with: microseconds, bytes, or the number; `None` has no bounds.
    pub(crate) fn measure(&self) -> Option<u64> {
        match self {
            Self::Time(Some(time)) | Self::Flush(Flush::Every(time)) => Some(micros(*time)),
            Self::Size(number) | Self::Count(number) => Some(*number),
            Self::Text(text) => Some(text.len() as u64),
            Self::Time(None) | Self::Flush(Flush::Auto | Flush::Manual) => None,
        }
    }

    /// How such a measure is written.
    pub(crate) fn write_measure(&self, measure: u64) -> String {
        match self {
            Self::Time(_) | Self::Flush(_) => in_units(measure, &TIMES),
            Self::Size(_) => in_units(measure, &SIZES),
            Self::Count(_) => measure.to_string(),
            Self::Text(_) => format!("{measure} bytes"),
        }
    }
}

/// As it may be written again.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(None) => f.write_str("never"),
            Self::Time(Some(time)) | Self::Flush(Flush::Every(time)) => {
                f.write_str(&in_units(micros(*time), &TIMES))
            }
            Self::Size(bytes) => f.write_str(&in_units(*bytes, &SIZES)),
            Self::Count(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Flush(Flush::Auto) => f.write_str("auto"),
            Self::Flush(Flush::Manual) => f.write_str("manual"),
        }
    }
}

fn time(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let (_, micros) = TIMES.into_iter().find(|(name, _)| *name == unit)?;
    Some(Duration::from_micros(number.checked_mul(micros)?))
}

fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    if unit.is_empty() {
        return Some(number);
    }
    let (_, bytes) = SIZES.into_iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(bytes)
}

fn count(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    unit.is_empty().then_some(number)
}

/// A number, which may have underscores between its digits, and what follows it.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let number = digits.replace('_', "").parse().ok().filter(|_| !digits.starts_with('_'))?;
    Some((number, unit.trim_start()))
}

fn in_units(measure: u64, units: &[(&str, u64)]) -> String {
    let fits = |(_, factor): &&(&str, u64)| measure.is_multiple_of(*factor) && measure >= *factor;
    // The smallest unit fits whatever is not nothing.
    let (name, factor) = units.iter().find(fits).or(units.last()).expect("there are units");
    format!("{}{name}", measure / factor)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_and_sizes_are_read_with_their_units() {
        let ms = |ms| Some(Value::Time(Some(Duration::from_millis(ms))));
        assert_eq!(Kind::Time.parse("250ms"), ms(250));
        assert_eq!(Kind::Time.parse(" 10 s "), ms(10_000));
        assert_eq!(Kind::TimeOrNever.parse("5min"), ms(300_000));
        assert_eq!(Kind::TimeOrNever.parse("never"), Some(Value::Time(None)));
        assert_eq!(Kind::Size.parse("64KiB"), Some(Value::Size(65_536)));
        assert_eq!(Kind::Size.parse("1_000"), Some(Value::Size(1_000)));
        assert_eq!(
            Kind::Flush.parse("5ms"),
            Some(Value::Flush(Flush::Every(Duration::from_millis(5))))
        );
        for (kind, bad) in [
            (Kind::Time, "10"),
            (Kind::Time, "never"),
            (Kind::Time, "10 parsecs"),
            (Kind::Time, "-1s"),
            (Kind::Time, "1.5s"),
            (Kind::Time, "18446744073709551615d"),
            (Kind::Size, "64KB"),
            (Kind::Size, "64k"),
            (Kind::Size, "KiB"),
            (Kind::Size, "_1"),
            (Kind::Size, "18446744073709551615GiB"),
            (Kind::Count, "4k"),
            (Kind::Count, ""),
            (Kind::Flush, "sometimes"),
        ] {
            assert_eq!(kind.parse(bad), None, "{kind:?} {bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(number: u64) {
            for value in [
                Value::Time(Some(Duration::from_micros(number))),
                Value::Size(number),
                Value::Count(number),
            ] {
                let kind = match value {
                    Value::Time(_) => Kind::Time,
                    Value::Size(_) => Kind::Size,
                    _ => Kind::Count,
                };
                prop_assert_eq!(kind.parse(&value.to_string()), Some(value));
            }
        }

        #[test]
        fn no_text_makes_the_reader_panic(text: String) {
            for kind in [Kind::Time, Kind::TimeOrNever, Kind::Size, Kind::Count, Kind::Flush] {
                let _ = kind.parse(&text);
            }
        }
    }
}
