//! Dates of a peer list, without a calendar crate: a fixed form of RFC 3339 in UTC.

const DAY: u64 = 86_400;

/// The last second, counted from 1970, at which `2030-12-31` or `2030-12-31T18:00:00Z` has not yet
/// passed.
pub(super) fn last_second(text: &str) -> Option<u64> {
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let second = match time {
        Some(time) => second_of_day(time)?,
        None => DAY - 1,
    };
    days_since_1970(date)?.checked_mul(DAY)?.checked_add(second)
}

fn days_since_1970(date: &str) -> Option<u64> {
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let month = usize::try_from(month.checked_sub(1)?).ok()?;
    if year < 1970 || day == 0 || day > *lengths.get(month)? {
        return None;
    }
    let before = year - 1;
    // 719,162 days lie between the first day of year 1 and 1970.
    let years = before * 365 + before / 4 - before / 100 + before / 400 - 719_162;
    Some(years + lengths[..month].iter().sum::<u64>() + day - 1)
}

fn second_of_day(time: &str) -> Option<u64> {
    let [hour, minute, second] = numbers(time.strip_suffix('Z')?, ':', [2, 2, 2])?;
    (hour < 24 && minute < 60 && second < 60).then_some(hour * 3_600 + minute * 60 + second)
}

/// Three numbers of exactly so many digits.
fn numbers(text: &str, separator: char, digits: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(separator);
    let mut result = [0; 3];
    for (number, len) in result.iter_mut().zip(digits) {
        let part = parts.next()?;
        if part.len() != len || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // Figures of `date -u +%s`.
        assert_eq!(last_second("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(last_second("2000-02-29T23:59:59Z"), Some(951_868_799));
        assert_eq!(last_second("2026-11-20T09:00:00Z"), Some(1_795_165_200));
        assert_eq!(last_second("2100-03-01T00:00:00Z"), Some(4_107_542_400));
        assert_eq!(last_second("9999-12-31T23:59:59Z"), Some(253_402_300_799));
        assert_eq!(last_second("2030-12-31"), last_second("2030-12-31T23:59:59Z"));
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "2030",
            "2030-1-1",
            "2030-13-01",
            "2030-00-10",
            "2030-02-29",
            "2100-02-29",
            "2030-04-31",
            "2030-01-00",
            "1969-12-31",
            "2030-01-01T",
            "2030-01-01T00:00:00",
            "2030-01-01T24:00:00Z",
            "2030-01-01T00:60:00Z",
            "2030-01-01 ",
            "+030-01-01",
            "2030-01-01-01",
            "2030-01-01T00:00:00+01:00",
        ] {
            assert_eq!(last_second(text), None, "{text}");
        }
    }
}
