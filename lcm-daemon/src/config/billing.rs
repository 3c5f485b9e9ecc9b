//! `[billing]`: how bills are numbered and taxed.

use std::fmt::{self, Write as _};
use std::ops::Range;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use toml::Spanned;

use super::Currency;
use super::problem::Problems;
use super::raw::Given;

/// Taxes that a file may name.
const TAXES_MAX: usize = 1_000;
/// Lines that say who issues a bill.
const ISSUER_MAX: usize = 12;

/// How bills are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Billing {
    /// Numbers of bills begin with it: 1 to 64 letters, digits, `.`, `_`, `-`.
    pub prefix: String,
    /// Name of the time zone in which years, and the days from which rates hold, begin.
    pub time_zone: String,
    /// Who issues them: lines at the head of a bill.
    pub issuer: Vec<String>,
    /// Rates of tax.
    pub taxes: Vec<TaxRate>,
}

/// A rate of tax, from a day on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaxRate {
    /// The tax. Of the rates of one name the one that is about the account holds, and of these the
    /// last that has begun.
    pub name: String,
    /// Parts per million of the net amount.
    pub ppm: u32,
    /// The first day on which it holds.
    pub from: Date,
    /// Only on amounts of this currency.
    pub currency: Option<Currency>,
    /// Only on these accounts, as KIND:ID, where `*` stands for anything; on all if there is none.
    pub accounts: Vec<String>,
}

/// `[billing]` as it stands in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    prefix: Given<String>,
    time_zone: Given<String>,
    issuer: Given<Vec<Spanned<String>>>,
    taxes: Given<Vec<Spanned<RawTax>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table such as { name = \"VAT\", percent = \"19\", from = \"2026-01-01\" }"
)]
struct RawTax {
    name: Given<String>,
    percent: Given<String>,
    from: Given<String>,
    currency: Given<String>,
    accounts: Given<Vec<Spanned<String>>>,
}

impl Billing {
    /// The taxes on what an account, as KIND:ID, owes at an instant of the wall clock: name and
    /// parts per million, in the order of the file.
    #[must_use]
    pub fn taxes(&self, account: &str, currency: u16, wall_ms: u64) -> Vec<(String, u32)> {
        let day = self.day(wall_ms);
        let holds = |rate: &&TaxRate| {
            let about = rate.accounts.is_empty()
                || rate.accounts.iter().any(|pattern| matches(pattern, account));
            let currency = rate.currency.is_none_or(|named| named.numeric() == currency);
            about && currency && rate.from <= day
        };
        let mut taxes: Vec<(String, u32)> = Vec::new();
        for rate in self.taxes.iter().filter(holds) {
            if taxes.iter().any(|(name, _)| *name == rate.name) {
                continue;
            }
            let same = self.taxes.iter().filter(holds).filter(|other| other.name == rate.name);
            let best = same.max_by_key(|other| (!other.accounts.is_empty(), other.from));
            taxes.push((rate.name.clone(), best.map_or(rate.ppm, |best| best.ppm)));
        }
        taxes
    }

    /// The year in which an instant lies.
    #[must_use]
    pub fn year(&self, wall_ms: u64) -> u16 {
        u16::try_from(self.day(wall_ms).year()).unwrap_or_default()
    }

    fn day(&self, wall_ms: u64) -> Date {
        let zone = TimeZone::get(&self.time_zone).unwrap_or(TimeZone::UTC);
        let since = SignedDuration::from_millis(i64::try_from(wall_ms).unwrap_or(i64::MAX));
        let at = Timestamp::from_duration(since).unwrap_or(Timestamp::MAX);
        at.to_zoned(zone).date()
    }
}

/// Whether an account is one that a pattern stands for; `*` is any text.
fn matches(pattern: &str, account: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = account.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    true
}

/// Reads percent with four digits behind the point at most, in parts per million.
#[must_use]
pub fn percent(text: &str) -> Option<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 4 || whole.len() > 3 {
        return None;
    }
    format!("{whole}{part:0<4}").parse().ok()
}

pub(super) fn check(
    table: Option<Spanned<Raw>>,
    name: &str,
    keeps_books: bool,
    problems: &mut Problems<'_>,
) -> Option<Billing> {
    let table = table?;
    let place = table.span();
    let raw = table.into_inner();
    if !keeps_books {
        let remedy = "add directory = \"/var/lib/lcm/ledger\" to [ledger], or remove [billing]";
        let what = "bills follow from the books";
        problems.missing(place, "ledger.directory".to_owned(), what, remedy);
    }
    let issuer = raw.issuer.map(Spanned::into_inner).unwrap_or_default();
    let taxes = raw.taxes.map(Spanned::into_inner).unwrap_or_default();
    if let Some(more) = issuer.get(ISSUER_MAX) {
        let what = format!("more than {ISSUER_MAX} lines");
        problems.at(more.span(), what, "join some of them".to_owned());
    }
    if let Some(more) = taxes.get(TAXES_MAX) {
        let what = format!("more than {TAXES_MAX} rates");
        problems.at(more.span(), what, "remove those that hold no more".to_owned());
    }
    Some(Billing {
        prefix: prefix(raw.prefix, name, problems),
        time_zone: time_zone(raw.time_zone, problems),
        issuer: issuer.into_iter().map(Spanned::into_inner).collect(),
        taxes: taxes.into_iter().filter_map(|rate| tax(rate, problems)).collect(),
    })
}

fn prefix(given: Given<String>, name: &str, problems: &mut Problems<'_>) -> String {
    let Some(given) = given else { return name.to_owned() };
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if given.get_ref().is_empty()
        || given.get_ref().len() > 64
        || !given.get_ref().chars().all(fits)
    {
        let what = "not a beginning of numbers".to_owned();
        let remedy = "write 1 to 64 letters, digits, '.', '_', '-'".to_owned();
        problems.at(given.span(), what, remedy);
        return name.to_owned();
    }
    given.into_inner()
}

fn time_zone(given: Given<String>, problems: &mut Problems<'_>) -> String {
    let Some(given) = given else { return "UTC".to_owned() };
    if TimeZone::get(given.get_ref()).is_err() {
        let what = "there is no such time zone".to_owned();
        problems.at(given.span(), what, "write a name such as \"Europe/Berlin\"".to_owned());
        return "UTC".to_owned();
    }
    given.into_inner()
}

fn tax(given: Spanned<RawTax>, problems: &mut Problems<'_>) -> Option<TaxRate> {
    let place = given.span();
    let raw = given.into_inner();
    let name = text(raw.name, &place, "name", "name = \"VAT\"", problems)?;
    let rate = text(raw.percent, &place, "percent", "percent = \"19\"", problems)?;
    let from = text(raw.from, &place, "from", "from = \"2026-01-01\"", problems)?;
    let mut wrong = |at: Range<usize>, what: &str, remedy: &str| {
        problems.at(at, what.to_owned(), remedy.to_owned());
    };
    let Some(ppm) = percent(rate.get_ref()) else {
        wrong(rate.span(), "not a percentage", "write a text such as \"19\" or \"7.5\"");
        return None;
    };
    let Ok(day) = from.get_ref().parse::<Date>() else {
        wrong(from.span(), "not a day", "write the first day of the rate, as \"2026-01-01\"");
        return None;
    };
    let currency = match raw.currency {
        None => None,
        Some(code) => {
            let known = Currency::from_alphabetic(code.get_ref());
            if known.is_none() {
                wrong(code.span(), "no currency of ISO 4217", "write letters, as in \"EUR\"");
            }
            known
        }
    };
    let accounts = raw.accounts.map(Spanned::into_inner).unwrap_or_default();
    for account in &accounts {
        if !account.get_ref().contains(':') {
            let remedy = "write KIND:ID, as in \"nai:*@example.net\" or \"neighbour:*\"";
            wrong(account.span(), "not an account", remedy);
        }
    }
    let accounts = accounts.into_iter().map(Spanned::into_inner).collect();
    Some(TaxRate { name: name.into_inner(), ppm, from: day, currency, accounts })
}

fn text(
    given: Given<String>,
    place: &Range<usize>,
    key: &str,
    example: &str,
    problems: &mut Problems<'_>,
) -> Given<String> {
    if given.as_ref().is_none_or(|given| given.get_ref().is_empty()) {
        let (what, remedy) = (format!("a rate of tax without its {key}"), format!("add {example}"));
        problems.at(given.map_or(place.clone(), |given| given.span()), what, remedy);
        return None;
    }
    given
}

pub(super) fn render(
    out: &mut String,
    billing: &Billing,
    quoted: impl Fn(&str) -> String,
) -> fmt::Result {
    let list =
        |texts: &[String]| texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ");
    writeln!(out, "prefix = {}", quoted(&billing.prefix))?;
    writeln!(out, "time_zone = {}", quoted(&billing.time_zone))?;
    writeln!(out, "issuer = [{}]", list(&billing.issuer))?;
    let taxes = billing.taxes.iter().map(|rate| {
        let percent = format!("{}.{:04}", rate.ppm / 10_000, rate.ppm % 10_000);
        let mut text = format!(
            "{{ name = {}, percent = {}, from = {}",
            quoted(&rate.name),
            quoted(&percent),
            quoted(&rate.from.to_string())
        );
        if let Some(currency) = rate.currency {
            text += &format!(", currency = {}", quoted(currency.alphabetic()));
        }
        if !rate.accounts.is_empty() {
            text += &format!(", accounts = [{}]", list(&rate.accounts));
        }
        text + " }"
    });
    writeln!(out, "taxes = [{}]", taxes.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    const BOOKS: &str = "[ledger]\ndirectory = \"/var/lib/lcm/ledger\"\n";

    fn billing(text: &str) -> Billing {
        let text = format!("{BOOKS}[billing]\n{text}");
        let config = Config::parse(&text, "test").map_err(|error| error.to_string()).unwrap();
        let again = Config::parse(&config.to_toml(), "again").unwrap();
        assert_eq!(again.billing, config.billing);
        config.billing.unwrap()
    }

    /// 2026-01-01 00:00 in Berlin.
    const NEW_YEAR_MS: u64 = 1_767_222_000_000;

    #[test]
    fn rates_hold_from_their_day_on_for_their_accounts_and_currency() {
        let billing = billing(
            "time_zone = \"Europe/Berlin\"\nprefix = \"N-7\"\ntaxes = [\n\
             { name = \"VAT\", percent = \"19\", from = \"2020-01-01\" },\n\
             { name = \"VAT\", percent = \"20.5\", from = \"2026-01-01\" },\n\
             { name = \"VAT\", percent = \"0\", from = \"2020-01-01\", accounts = [\"neighbour:*\"] },\n\
             { name = \"levy\", percent = \"1\", from = \"2020-01-01\", currency = \"USD\" },\n]",
        );
        let due = |account: &str, currency, at| billing.taxes(account, currency, at);
        let vat = |ppm| vec![("VAT".to_owned(), ppm)];
        assert_eq!(due("nai:a@b", 978, NEW_YEAR_MS - 1), vat(190_000));
        assert_eq!(due("nai:a@b", 978, NEW_YEAR_MS), vat(205_000));
        assert_eq!(due("neighbour:192.0.2.1", 978, NEW_YEAR_MS), vat(0));
        assert_eq!(due("nai:a@b", 840, NEW_YEAR_MS).len(), 2);
        assert_eq!(due("nai:a@b", 978, 0), Vec::new());
        assert_eq!((billing.year(NEW_YEAR_MS - 1), billing.year(NEW_YEAR_MS)), (2025, 2026));
    }

    #[test]
    fn patterns_of_accounts() {
        for (pattern, account, is) in [
            ("nai:a@b", "nai:a@b", true),
            ("nai:a@b", "nai:a@bc", false),
            ("nai:*", "nai:a@b", true),
            ("nai:*@b.example", "nai:a@b.example", true),
            ("nai:*@b.example", "nai:a@b.example.org", false),
            ("*:a*c*", "nai:abcd", true),
            ("*:a*x*", "nai:abcd", false),
        ] {
            assert_eq!(matches(pattern, account), is, "{pattern} {account}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_remedy() {
        for (text, says) in [
            ("time_zone = \"Mars/Olympus\"", "\"Europe/Berlin\""),
            ("prefix = \"a b\"", "letters, digits"),
            ("taxes = [{ name = \"VAT\", percent = \"19 %\", from = \"2020-01-01\" }]", "7.5"),
            ("taxes = [{ name = \"VAT\", percent = \"19\", from = \"January\" }]", "2026-01-01"),
            ("taxes = [{ name = \"VAT\", percent = \"19\" }]", "without its from; add from ="),
            (
                "taxes = [{ name = \"V\", percent = \"1\", from = \"2020-01-01\", accounts = [\"x\"] }]",
                "KIND:ID",
            ),
        ] {
            let text = format!("{BOOKS}[billing]\n{text}\n");
            let refused = Config::parse(&text, "test").unwrap_err().to_string();
            assert!(refused.contains(says), "{refused}");
        }
        let alone = Config::parse("[billing]\n", "test").unwrap_err().to_string();
        assert!(alone.contains("ledger.directory: bills follow from the books"), "{alone}");
    }
}
