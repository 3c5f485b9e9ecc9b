//! Instants of the calendar (RFC 3339) and seconds since 1970.

use toml::value::{Datetime, Offset};

const DAY_S: i64 = 86_400;
/// From 0000-03-01 to 1970-01-01.
const DAYS_TO_1970: i64 = 719_468;
/// Days of 400 years.
const ERA: i64 = 146_097;

/// Seconds since 1970 of a date with time and zone; none without one of them, or before 1970.
pub(super) fn unix_seconds(at: &Datetime) -> Option<u64> {
    let (date, time, offset) = (at.date?, at.time?, at.offset?);
    let minutes = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    // Years begin in March, so that the day that some of them lack comes last.
    let late = i64::from(date.month <= 2);
    let year = i64::from(date.year) - late;
    let month = i64::from(date.month) + 12 * late - 3;
    let day_of_year = (153 * month + 2) / 5 + i64::from(date.day) - 1;
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + day_of_year;
    let days = era * ERA + day_of_era - DAYS_TO_1970;
    let clock = i64::from(time.hour) * 3_600
        + i64::from(time.minute) * 60
        + i64::from(time.second.unwrap_or(0));
    u64::try_from(days * DAY_S + clock - minutes * 60).ok()
}

/// An instant of [`unix_seconds`] in writing, in UTC.
pub(super) fn text_of(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    let (days, clock) = (seconds.div_euclid(DAY_S), seconds.rem_euclid(DAY_S));
    let days = days + DAYS_TO_1970;
    let (era, day) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    let of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * of_era + of_era / 4 - of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day_of_month:02}T{:02}:{:02}:{:02}Z",
        clock / 3_600,
        clock / 60 % 60,
        clock % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Option<u64> {
        unix_seconds(&text.parse().unwrap())
    }

    #[test]
    fn dates_are_seconds_and_back() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-11-22T07:00:00Z", 1_795_330_800),
            ("2100-03-01T00:00:01Z", 4_107_542_401),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
            assert_eq!(text_of(expected), text);
        }
        assert_eq!(seconds("2026-11-22T08:00:00+01:00"), Some(1_795_330_800));
        for text in ["2026-11-22T07:00:00", "2026-11-22", "1969-12-31T23:59:59Z"] {
            assert_eq!(seconds(text), None, "{text}");
        }
        for day in 0..60_000 {
            let at = day * 86_400 + 1;
            assert_eq!(seconds(&text_of(at)), Some(at));
        }
    }
}
