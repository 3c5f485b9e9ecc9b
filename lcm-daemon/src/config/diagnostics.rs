//! `[diagnostics]`: who may ask about the state of this node (RFC 2745), and what it is shown.

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use serde::Deserialize;
use toml::Spanned;

use super::check::{number, or};
use super::problem::Problems;
use super::raw::Given;

/// Whether requests are answered and passed on.
pub const DEFAULT_ANSWER: bool = true;
/// What the others see of charges.
pub const DEFAULT_CHARGES: Charges = Charges::Own;
/// Requests a second that are taken, from all together; as many at once.
pub const DEFAULT_MAX_PER_S: u32 = 50;

const MAX_PER_S_MAX: u32 = 1_000_000;

/// An address range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    /// Any address of it.
    pub address: IpAddr,
    /// How many bits they have in common.
    pub length: u8,
}

impl Prefix {
    /// Whether an address lies in it.
    #[must_use]
    pub fn contains(&self, other: IpAddr) -> bool {
        let shift = |bits: u32| bits.saturating_sub(u32::from(self.length));
        match (self.address, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                (a.to_bits() ^ b.to_bits()).checked_shr(shift(32)).unwrap_or(0) == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                (a.to_bits() ^ b.to_bits()).checked_shr(shift(128)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl std::str::FromStr for Prefix {
    type Err = ();

    /// Reads `ADDRESS/LENGTH`, or an address alone.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u8>().map_err(drop)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(drop)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = length.unwrap_or(most);
        if length <= most { Ok(Self { address, length }) } else { Err(()) }
    }
}

/// What a requester sees of charges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Charges {
    /// Nothing.
    None,
    /// The announced totals.
    Totals,
    /// All that was agreed with the requester itself, of all else the announced totals.
    Own,
    /// Everything but accounts.
    All,
}

impl Charges {
    /// The choice's name in configuration files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Charges::None => "none",
            Charges::Totals => "totals",
            Charges::Own => "own",
            Charges::All => "all",
        }
    }
}

/// Who may ask, and what it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    /// Whether requests are answered and passed on at all.
    pub answer: bool,
    /// Who may ask, from wherever; where this is empty, who is on a link of this node, and whoever
    /// a next hop asks for.
    pub requesters: Vec<Prefix>,
    /// Who sees everything but accounts.
    pub trusted: Vec<Prefix>,
    /// What of charges the others see.
    pub charges: Charges,
    /// Requests a second that are taken, from all together; as many at once.
    pub max_per_s: u32,
}

impl Default for Diagnostics {
    fn default() -> Self {
        Self {
            answer: DEFAULT_ANSWER,
            requesters: Vec::new(),
            trusted: Vec::new(),
            charges: DEFAULT_CHARGES,
            max_per_s: DEFAULT_MAX_PER_S,
        }
    }
}

/// `[diagnostics]` as it stands in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    answer: Given<bool>,
    requesters: Given<Vec<Spanned<String>>>,
    trusted: Given<Vec<Spanned<String>>>,
    charges: Given<Charges>,
    max_per_s: Given<u64>,
}

pub(super) fn check(raw: Raw, problems: &mut Problems<'_>) -> Diagnostics {
    let Raw { answer, requesters, trusted, charges, max_per_s } = raw;
    Diagnostics {
        answer: or(answer, DEFAULT_ANSWER),
        requesters: prefixes(requesters, problems),
        trusted: prefixes(trusted, problems),
        charges: or(charges, DEFAULT_CHARGES),
        max_per_s: number(
            max_per_s.as_ref(),
            DEFAULT_MAX_PER_S,
            1..=MAX_PER_S_MAX,
            " requests a second",
            problems,
        ),
    }
}

fn prefixes(given: Given<Vec<Spanned<String>>>, problems: &mut Problems<'_>) -> Vec<Prefix> {
    let each = given.map(Spanned::into_inner).unwrap_or_default();
    let parsed = each.into_iter().filter_map(|text| match text.get_ref().parse() {
        Ok(prefix) => Some(prefix),
        Err(()) => {
            let remedy = "write ADDRESS/LENGTH, as in \"192.0.2.0/24\" or \"2001:db8::/32\"";
            problems.at(text.span(), "not an address range".to_owned(), remedy.to_owned());
            None
        }
    });
    parsed.collect()
}

pub(super) fn render(
    out: &mut String,
    diagnostics: &Diagnostics,
    quoted: impl Fn(&str) -> String,
) -> fmt::Result {
    let list = |prefixes: &[Prefix]| {
        let each: Vec<String> = prefixes.iter().map(|prefix| quoted(&prefix.to_string())).collect();
        each.join(", ")
    };
    writeln!(out, "answer = {}", diagnostics.answer)?;
    writeln!(out, "requesters = [{}]", list(&diagnostics.requesters))?;
    writeln!(out, "trusted = [{}]", list(&diagnostics.trusted))?;
    writeln!(out, "charges = {}", quoted(diagnostics.charges.name()))?;
    writeln!(out, "max_per_s = {}", diagnostics.max_per_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_hold_their_addresses_and_no_others() {
        let prefix = |text: &str| text.parse::<Prefix>();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let home = prefix("192.0.2.128/25").unwrap();
        assert!(home.contains(ip("192.0.2.200")) && !home.contains(ip("192.0.2.1")));
        assert!(prefix("0.0.0.0/0").unwrap().contains(ip("203.0.113.1")));
        assert!(!prefix("0.0.0.0/0").unwrap().contains(ip("::1")));
        assert!(prefix("2001:db8::/32").unwrap().contains(ip("2001:db8:1::2")));
        assert!(prefix("::/0").unwrap().contains(ip("2001:db8::")));
        assert_eq!(prefix("192.0.2.7").unwrap().to_string(), "192.0.2.7/32");
        for bad in ["", "192.0.2.0/33", "192.0.2/24", "::/129", "x/8", "192.0.2.0/-1"] {
            assert_eq!(prefix(bad), Err(()), "{bad}");
        }
    }
}
