//! Packets for people.

use std::fmt::{self, Display, Write};
use std::net::IpAddr;

use rsvp_wire::RawObject;
use rsvp_wire::charging::{ChgErr, Dcpe, Ucpe};
use rsvp_wire::iana::{class, ptype};
use rsvp_wire::object::{PolicyData, PolicyElement};

use super::message::{Decoded, type_name};
use super::money;

const NANOSECONDS_PER_SECOND: i128 = 1_000_000_000;
const SECONDS_PER_DAY: i128 = 86_400;

/// Where and when a message was seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) frame: u64,
    pub(super) time_ns: Option<i128>,
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    pub(super) ttl: u8,
}

/// A message with a line for its place, one for its header, and one for each object, policy element
/// and fault.
pub(super) struct Lines<'a>(pub(super) &'a Seen, pub(super) &'a Decoded<'a>);

impl Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(seen, decoded) = self;
        write!(f, "frame {}", seen.frame)?;
        if let Some(time) = seen.time_ns {
            write!(f, "  {}", Utc(time))?;
        }
        writeln!(f, "  {} > {}  TTL {}", seen.src, seen.dst, seen.ttl)?;
        write_message(f, decoded, "")?;
        for part in &decoded.parts {
            write_message(f, part, "  ")?;
        }
        Ok(())
    }
}

fn write_message(f: &mut fmt::Formatter<'_>, decoded: &Decoded<'_>, indent: &str) -> fmt::Result {
    match (type_name(decoded.message_type), decoded.message_type) {
        ("unknown", Some(number)) => write!(f, "{indent}message type {number}")?,
        ("unknown", None) => write!(f, "{indent}no message type")?,
        (name, _) => write!(f, "{indent}{name}")?,
    }
    if let Some(header) = decoded.header {
        write!(f, ", {} bytes, Send_TTL {}", header.length, header.send_ttl)?;
        if header.flags != 0 {
            write!(f, ", flags {:#x}", header.flags)?;
        }
        match header.checksum_ok {
            Some(true) => {}
            Some(false) => f.write_str(", WRONG CHECKSUM")?,
            None if header.has_checksum => f.write_str(", checksum not checked")?,
            None => f.write_str(", no checksum")?,
        }
    }
    f.write_char('\n')?;
    for raw in &decoded.objects {
        writeln!(f, "{indent}  {raw}")?;
        write_elements(f, raw, indent)?;
    }
    if let Some(error) = &decoded.error {
        writeln!(f, "{indent}  MALFORMED: {error}")?;
    }
    if let Some(note) = &decoded.note {
        writeln!(f, "{indent}  note: {note}")?;
    }
    Ok(())
}

fn write_elements(f: &mut fmt::Formatter<'_>, raw: &RawObject<'_>, indent: &str) -> fmt::Result {
    if raw.class != class::POLICY_DATA {
        return Ok(());
    }
    let Ok(policy) = PolicyData::decode(raw) else { return Ok(()) };
    for element in policy.elements() {
        writeln!(f, "{indent}    {element}")?;
        match amounts(&element) {
            Some(Ok(amounts)) => writeln!(f, "{indent}      {amounts}")?,
            Some(Err(error)) => writeln!(f, "{indent}      MALFORMED: {error}")?,
            None => {}
        }
    }
    Ok(())
}

/// The amounts of a charging element with their currency, or why it cannot be read.
fn amounts(element: &PolicyElement<'_>) -> Option<Result<String, String>> {
    if element.is_empty() {
        return None;
    }
    let text = match element.ptype {
        ptype::DCPE => Dcpe::parse(element.bytes).map(|dcpe| {
            let rate = |amount| money::rate(amount, dcpe.currency);
            format!("announces {}, at most {}", rate(dcpe.total), rate(dcpe.max_total))
        }),
        ptype::UCPE => Ucpe::parse(element.bytes).map(|ucpe| {
            let rate = |amount| money::rate(amount, ucpe.currency);
            format!("pays {}, the sender side {}", rate(ucpe.payment), rate(ucpe.sender_payment))
        }),
        ptype::CHG_ERR => ChgErr::parse(element.bytes).map(|error| {
            let rate = |amount| money::rate(amount, error.currency);
            format!("required {}, offered {}", rate(error.required), rate(error.offered))
        }),
        _ => return None,
    };
    Some(text.map_err(|error| error.to_string()))
}

/// A time since the Unix epoch in nanoseconds, as RFC 3339 wants it.
pub(super) struct Utc(pub(super) i128);

impl Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(NANOSECONDS_PER_SECOND);
        let fraction = self.0.rem_euclid(NANOSECONDS_PER_SECOND);
        let (year, month, day) = civil(seconds.div_euclid(SECONDS_PER_DAY));
        let second = seconds.rem_euclid(SECONDS_PER_DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if fraction % 1000 == 0 {
            write!(f, ".{:06}Z", fraction / 1000)
        } else {
            write!(f, ".{fraction:09}Z")
        }
    }
}

/// Year, month and day of a day since 1970-01-01 in the Gregorian calendar.
///
/// Counts in eras of 400 years that begin on 1 March, so that a leap day is the last of its year.
fn civil(days: i128) -> (i128, i128, i128) {
    const DAYS_TO_1970: i128 = 719_468;
    const DAYS_PER_ERA: i128 = 146_097;
    let days = days + DAYS_TO_1970;
    let (era, day_of_era) = (days.div_euclid(DAYS_PER_ERA), days.rem_euclid(DAYS_PER_ERA));
    let leap_days = day_of_era / 1460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months of 30 and 31 days, as they alternate from March on.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i128::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::Utc;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (951_868_800, "2000-03-01T00:00:00.000000Z"),
            (1_767_225_599, "2025-12-31T23:59:59.000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.000000Z"),
        ] {
            assert_eq!(Utc(seconds * 1_000_000_000).to_string(), text);
        }
        assert_eq!(Utc(1_340_954_905_298_858_001).to_string(), "2012-06-29T07:28:25.298858001Z");
    }
}
