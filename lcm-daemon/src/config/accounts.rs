//! `[accounts]`: who may spend how much, and what is agreed where an operator says nothing else.

use std::fmt::{self, Write as _};
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::check::{number, or};
use super::problem::Problems;
use super::raw::Given;
use crate::purse::{Backend, Caps, Simultaneous, Terms, amount_text, parse_amount};

/// How long before nothing is left it is warned of, in seconds.
const DEFAULT_WARN_S: u32 = 60;
/// A month.
const WARN_S_MAX: u32 = 2_678_400;

/// Accounts of customers and neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accounts {
    /// What becomes of a payer for whom there is no account.
    pub unknown: Unknown,
    /// How a new account is settled.
    pub settlement: SettlementKind,
    /// What a new account may owe, in 10⁻¹⁵ currency units.
    pub credit_limit: u128,
    /// What a token is worth, in 10⁻¹⁵ currency units.
    pub token_value: u128,
    /// Whether several sessions may use a new account at once.
    pub simultaneous: Simultaneous,
    /// How long before nothing is left it is warned of, in seconds.
    pub warn_s: u32,
}

/// What becomes of a payer for whom there is no account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// It pays as if there were no accounts; what it owes stands in the books.
    Accept,
    /// It is refused.
    Refuse,
}

/// How an account is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettlementKind {
    /// As an account in the books.
    Account,
    /// With tokens that are held for its holder.
    Tokens,
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            unknown: Unknown::Accept,
            settlement: SettlementKind::Account,
            credit_limit: 0,
            token_value: 10_000_000_000_000,
            simultaneous: Simultaneous::Share,
            warn_s: DEFAULT_WARN_S,
        }
    }
}

impl Accounts {
    /// The terms of a new account of which nothing else is said.
    #[must_use]
    pub fn terms(&self, currency: u16) -> Terms {
        Terms {
            currency,
            backend: match self.settlement {
                SettlementKind::Account => Backend::Account { limit: self.credit_limit },
                SettlementKind::Tokens => Backend::Tokens { value: self.token_value },
            },
            caps: Caps::default(),
            simultaneous: self.simultaneous,
            warn_ms: u64::from(self.warn_s) * 1_000,
        }
    }
}

/// `[accounts]` as it stands in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    unknown: Given<Unknown>,
    settlement: Given<SettlementKind>,
    credit_limit: Given<String>,
    token_value: Given<String>,
    simultaneous: Given<Together>,
    warn_s: Given<u64>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Together {
    Share,
    Deny,
}

/// What accounts need beside them: prices, and books that they follow from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beside {
    pub(super) charges: bool,
    pub(super) keeps_books: bool,
}

pub(super) fn check(
    table: Option<Spanned<Raw>>,
    beside: Beside,
    problems: &mut Problems<'_>,
) -> Option<Accounts> {
    let table = table?;
    let place = table.span();
    let raw = table.into_inner();
    let default = Accounts::default();
    let token_value = amount(raw.token_value, default.token_value, 1, problems);
    let accounts = Accounts {
        unknown: or(raw.unknown, default.unknown),
        settlement: or(raw.settlement, default.settlement),
        credit_limit: amount(raw.credit_limit, default.credit_limit, 0, problems),
        token_value,
        simultaneous: match raw.simultaneous.map(Spanned::into_inner) {
            None => default.simultaneous,
            Some(Together::Share) => Simultaneous::Share,
            Some(Together::Deny) => Simultaneous::Deny,
        },
        warn_s: number(raw.warn_s.as_ref(), DEFAULT_WARN_S, 0..=WARN_S_MAX, " seconds", problems),
    };
    needs(place, beside, problems);
    Some(accounts)
}

fn needs(place: Range<usize>, beside: Beside, problems: &mut Problems<'_>) {
    let mut missing = |key: &str, what: &str, remedy: &str| {
        problems.missing(place.clone(), key.to_owned(), what, remedy);
    };
    if !beside.charges {
        let what = "a node that does not charge has no accounts";
        missing(
            "charging.enabled",
            what,
            "write enabled = true in [charging], or remove [accounts]",
        );
    }
    if !beside.keeps_books {
        let what = "accounts follow from the books";
        missing("ledger.directory", what, "add directory = \"/var/lib/lcm/ledger\" to [ledger]");
    }
}

fn amount(given: Given<String>, default: u128, least: u128, problems: &mut Problems<'_>) -> u128 {
    let Some(given) = given else { return default };
    match parse_amount(given.get_ref()) {
        Ok(amount) if amount >= least => amount,
        Ok(_) => {
            let what = "a token of nothing buys nothing".to_owned();
            problems.at(given.span(), what, "write currency units, as in \"0.01\"".to_owned());
            default
        }
        Err(what) => {
            problems.at(given.span(), what, "write currency units, as in \"0.01\"".to_owned());
            default
        }
    }
}

pub(super) fn render(
    out: &mut String,
    accounts: &Accounts,
    quoted: impl Fn(&str) -> String,
) -> fmt::Result {
    let text = |amount: u128| quoted(&amount_text(i128::try_from(amount).unwrap_or(i128::MAX)));
    let unknown = match accounts.unknown {
        Unknown::Accept => "accept",
        Unknown::Refuse => "refuse",
    };
    let settlement = match accounts.settlement {
        SettlementKind::Account => "account",
        SettlementKind::Tokens => "tokens",
    };
    let simultaneous = match accounts.simultaneous {
        Simultaneous::Share => "share",
        Simultaneous::Deny => "deny",
    };
    writeln!(out, "unknown = {}", quoted(unknown))?;
    writeln!(out, "settlement = {}", quoted(settlement))?;
    writeln!(out, "credit_limit = {}", text(accounts.credit_limit))?;
    writeln!(out, "token_value = {}", text(accounts.token_value))?;
    writeln!(out, "simultaneous = {}", quoted(simultaneous))?;
    writeln!(out, "warn_s = {}", accounts.warn_s)
}
