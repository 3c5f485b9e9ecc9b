//! Prices by the time of day and the day of the week, in a time zone with its summer time.
//!
//! The calendar is `jiff`'s: it reads the system's time zones, so they are as new as the system is,
//! and has its own where a container has none; `chrono-tz` knows only those of its own release.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Minutes of a day.
pub const DAY_MINUTES: u16 = 24 * 60;

/// The days as the configuration names them.
pub const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A part of the week that has prices of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The days on which it begins, Monday first.
    pub days: [bool; 7],
    /// The minute of the day at which it begins.
    pub from: u16,
    /// The minute at which it ends: on the next day if that is not later than `from`.
    pub to: u16,
    /// Prices in it, in percent of what they are otherwise.
    pub percent: u32,
}

impl Window {
    /// Whether it is open at a minute of a day.
    fn holds(&self, day: usize, minute: u16) -> bool {
        let begins_on = |day: usize| self.days.get(day % 7).copied().unwrap_or(false);
        if self.from < self.to {
            return begins_on(day) && (self.from..self.to).contains(&minute);
        }
        (begins_on(day) && minute >= self.from) || (begins_on(day + 6) && minute < self.to)
    }
}

/// Windows in a time zone; the first one that is open counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    zone: TimeZone,
    name: String,
    windows: Vec<Window>,
}

impl Schedule {
    /// Windows in the time zone of this name, as the IANA lists it; `None` if there is none.
    #[must_use]
    pub fn new(zone: &str, windows: Vec<Window>) -> Option<Self> {
        let name = zone.to_owned();
        TimeZone::get(zone).ok().map(|zone| Self { zone, name, windows })
    }

    /// The time zone whose clock the windows follow.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Prices at this second, in percent of what they are outside of all windows.
    #[must_use]
    pub fn percent(&self, unix_s: u64) -> u32 {
        let at = i64::try_from(unix_s).ok().and_then(|at| Timestamp::from_second(at).ok());
        let Some(at) = at.map(|at| at.to_zoned(self.zone.clone())) else { return 100 };
        // Both are small and not negative.
        let day = at.weekday().to_monday_zero_offset().unsigned_abs();
        let minute =
            u16::from(at.hour().unsigned_abs()) * 60 + u16::from(at.minute().unsigned_abs());
        let open = self.windows.iter().find(|window| window.holds(day.into(), minute));
        open.map_or(100, |window| window.percent)
    }

    /// The most that [`percent`](Self::percent) ever says.
    #[must_use]
    pub fn most_percent(&self) -> u32 {
        self.windows.iter().map(|window| window.percent).fold(100, u32::max)
    }
}

impl fmt::Display for Schedule {
    /// As a table of the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{ time_zone = \"{}\", windows = [", self.name)?;
        for (at, window) in self.windows.iter().enumerate() {
            let days = DAYS.iter().zip(window.days).filter(|(_, on)| *on);
            let days: Vec<String> = days.map(|(day, _)| format!("\"{day}\"")).collect();
            let separator = if at > 0 { ", " } else { "" };
            write!(
                f,
                "{separator}{{ days = [{}], from = \"{}\", to = \"{}\", percent = {} }}",
                days.join(", "),
                clock(window.from),
                clock(window.to),
                window.percent
            )?;
        }
        f.write_str("] }")
    }
}

fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> u64 {
        let at: Timestamp = text.parse().unwrap();
        u64::try_from(at.as_second()).unwrap()
    }

    fn window(days: &str, from: u16, to: u16, percent: u32) -> Window {
        Window { days: DAYS.map(|day| days.contains(day)), from, to, percent }
    }

    fn berlin() -> Schedule {
        let windows = vec![
            window("mon tue wed thu fri", 8 * 60, 18 * 60, 150),
            window("fri", 22 * 60, 6 * 60, 50),
            window("sun", 0, 0, 40),
        ];
        Schedule::new("Europe/Berlin", windows).unwrap()
    }

    #[test]
    fn windows_follow_the_clock_on_the_wall() {
        let schedule = berlin();
        for (when, percent) in [
            // Winter time is UTC+1, summer time UTC+2.
            ("2026-01-07T06:59:59Z", 100),
            ("2026-01-07T07:00:00Z", 150),
            ("2026-01-07T16:59:59Z", 150),
            ("2026-01-07T17:00:00Z", 100),
            ("2026-07-08T06:00:00Z", 150),
            ("2026-07-08T05:59:59Z", 100),
            // From Friday night into Saturday.
            ("2026-01-09T21:00:00Z", 50),
            ("2026-01-10T04:59:59Z", 50),
            ("2026-01-10T05:00:00Z", 100),
            // The next night is not Friday's.
            ("2026-01-10T21:30:00Z", 100),
            // All of Sunday.
            ("2026-01-10T23:00:00Z", 40),
            ("2026-01-11T22:59:59Z", 40),
            ("2026-01-11T23:00:00Z", 100),
        ] {
            assert_eq!(schedule.percent(at(when)), percent, "{when}");
        }
        assert_eq!(schedule.most_percent(), 150);
        assert!(Schedule::new("Europe/Atlantis", Vec::new()).is_none());
    }

    #[test]
    fn what_summer_time_skips_and_repeats_is_skipped_and_repeated() {
        let schedule =
            Schedule::new("Europe/Berlin", vec![window("sun", 2 * 60, 3 * 60, 200)]).unwrap();
        // On 29 March 2026 two o'clock does not come.
        for when in ["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"] {
            assert_eq!(schedule.percent(at(when)), 100, "{when}");
        }
        // On 25 October it comes twice.
        for (when, percent) in [
            ("2026-10-25T00:00:00Z", 200),
            ("2026-10-25T00:59:59Z", 200),
            ("2026-10-25T01:00:00Z", 200),
            ("2026-10-25T02:00:00Z", 100),
        ] {
            assert_eq!(schedule.percent(at(when)), percent, "{when}");
        }
    }
}
