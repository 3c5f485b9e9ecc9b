//! Instants as people write them on the command line.

use std::str::FromStr;

use clap::Args;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// From when on, and until when.
#[derive(Debug, Clone, Args)]
pub(crate) struct Span {
    /// From when on, from the beginning without it: a day as 2026-11-01, a time as 2026-11-01T08:30,
    /// an instant of RFC 3339 as 2026-11-01T08:30:00+01:00, or milliseconds since 1970.
    #[arg(long, value_name = "INSTANT")]
    from: Option<When>,
    /// Until when, likewise; a day is not in it, so that 2026-12-01 ends November. To the end of the
    /// last closed period without it.
    #[arg(long, value_name = "INSTANT")]
    to: Option<When>,
    /// The time zone of days and times that name none, as Europe/Berlin.
    #[arg(long, value_name = "NAME", default_value = "UTC", value_parser = zone)]
    time_zone: TimeZone,
}

impl Span {
    /// Both ends, in milliseconds since 1970.
    ///
    /// # Errors
    /// Which one is no instant in the time zone.
    pub(crate) fn ms(&self) -> Result<(Option<u64>, Option<u64>), String> {
        let end = |name: &str, when: &Option<When>| {
            let ms = when.as_ref().map(|when| when.ms(&self.time_zone)).transpose();
            ms.map_err(|what| format!("{name}: {what}"))
        };
        Ok((end("--from", &self.from)?, end("--to", &self.to)?))
    }
}

/// An instant, or a time that is one in a time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    At(u64),
    There(DateTime),
}

impl When {
    fn ms(self, zone: &TimeZone) -> Result<u64, String> {
        let local = match self {
            Self::At(ms) => return Ok(ms),
            Self::There(local) => local,
        };
        let zoned = zone.to_ambiguous_zoned(local);
        // A day begins when it does, also where it begins at one o'clock.
        let midnight = local.time() == jiff::civil::Time::midnight();
        let zoned = if midnight { zoned.compatible() } else { zoned.unambiguous() };
        let zoned = zoned.map_err(|_| {
            format!(
                "{local} comes twice or never in {}, where clocks are changed then: write the \
                 offset, as in {local}+01:00",
                zone.iana_name().unwrap_or("this time zone")
            )
        })?;
        at(zoned.timestamp())
    }
}

fn at(instant: Timestamp) -> Result<u64, String> {
    u64::try_from(instant.as_millisecond())
        .map_err(|_| format!("{instant} is before 1970: nothing was billed then"))
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > 8 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let wrong = |_| format!("{text:?} is more milliseconds than there are");
            return text.parse().map(Self::At).map_err(wrong);
        }
        if let Ok(instant) = text.parse::<Timestamp>() {
            return at(instant).map(Self::At);
        }
        let day = text.parse::<Date>().map(|day| day.to_datetime(jiff::civil::Time::midnight()));
        // A text with an offset that is none must not be read without it.
        let local = (!text.contains(['+', 'Z', '['])).then(|| text.parse::<DateTime>().ok());
        match (text.len() == 10).then_some(day.ok()).or(local).flatten() {
            Some(local) => Ok(Self::There(local)),
            None => Err(format!(
                "{text:?} is no instant: write a day as 2026-11-01, a time as 2026-11-01T08:30, \
                 2026-11-01T08:30:00+01:00, or milliseconds since 1970"
            )),
        }
    }
}

fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name)
        .map_err(|_| format!("there is no time zone {name:?}: write a name as Europe/Berlin"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str, name: &str) -> Result<u64, String> {
        text.parse::<When>()?.ms(&zone(name)?)
    }

    #[test]
    fn instants_are_read_as_people_write_them() {
        let berlin = "Europe/Berlin";
        for (text, zone, expected) in [
            ("1795330800000", "UTC", 1_795_330_800_000),
            ("2026-11-22T07:00:00Z", berlin, 1_795_330_800_000),
            ("2026-11-22T08:00:00+01:00", "UTC", 1_795_330_800_000),
            ("2026-11-22T08:00:00.125+01:00", "UTC", 1_795_330_800_125),
            ("2026-11-22T08:00", berlin, 1_795_330_800_000),
            ("2026-11-22 08:00:00", berlin, 1_795_330_800_000),
            ("2026-11-22", "UTC", 1_795_305_600_000),
            ("2026-11-22", berlin, 1_795_302_000_000),
            ("2026-07-01", berlin, 1_782_856_800_000),
        ] {
            assert_eq!(ms(text, zone), Ok(expected), "{text} in {zone}");
        }
    }

    #[test]
    fn what_is_no_instant_is_told_with_what_to_write() {
        for (text, says) in [
            ("yesterday", "write a day as 2026-11-01"),
            ("2026-13-01", "write a day"),
            ("2026-02-30", "write a day"),
            ("22.11.2026", "write a day"),
            ("2026-11-22T08:00:00+1", "write a day"),
            ("1234", "write a day"),
            ("1969-12-31T23:59:59Z", "before 1970"),
            ("99999999999999999999999", "more milliseconds"),
        ] {
            let refused = ms(text, "UTC").unwrap_err();
            assert!(refused.contains(says), "{text}: {refused}");
        }
        for text in ["2026-10-25T02:30", "2026-03-29T02:30"] {
            let refused = ms(text, "Europe/Berlin").unwrap_err();
            assert!(refused.contains("twice or never in Europe/Berlin"), "{refused}");
        }
        assert!(zone("Mars/Olympus").unwrap_err().contains("Europe/Berlin"));
    }
}
