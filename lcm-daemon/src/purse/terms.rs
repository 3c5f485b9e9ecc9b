//! What was agreed about an account.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::amount::amount_text;

/// What was agreed about an account. Amounts are 10⁻¹⁵ currency units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Its currency, ISO 4217 numeric.
    pub currency: u16,
    /// How it is settled.
    pub backend: Backend,
    /// The most that is spent.
    pub caps: Caps,
    /// Whether several sessions may use it at once.
    pub simultaneous: Simultaneous,
    /// How long before nothing is left its holder's operator is warned, in milliseconds.
    pub warn_ms: u64,
}

/// How an account is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backend {
    /// An account in the books, which may owe up to a limit; prepaid with 0.
    Account {
        /// What it may owe.
        limit: u128,
    },
    /// Tokens that are held for its holder.
    Tokens {
        /// What each is worth.
        value: u128,
    },
}

/// The most that is spent of an account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caps {
    /// By one session, for as long as its PATH lasts.
    pub session: Option<u128>,
    /// In a day, UTC.
    pub day: Option<u128>,
    /// In a month, UTC.
    pub month: Option<u128>,
}

/// Whether several sessions may use an account at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Simultaneous {
    /// They share what is left.
    Share,
    /// The first one has it to itself.
    Deny,
}

/// Why terms cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TermsError {
    /// A token must be worth something.
    WorthlessToken,
    /// Amounts are bounded.
    TooLarge,
}

impl std::error::Error for TermsError {}

impl fmt::Display for TermsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WorthlessToken => f.write_str("a token of 0 buys nothing: give it a value"),
            Self::TooLarge => write!(
                f,
                "no amount may be more than {} currency units: name less",
                AMOUNT_MAX / UNIT
            ),
        }
    }
}

/// One currency unit in 10⁻¹⁵ currency units.
pub(crate) const UNIT: u128 = 1_000_000_000_000_000;

/// The largest amount that an operator may name: sums of many of them stay far from overflow.
pub(crate) const AMOUNT_MAX: u128 = UNIT * 1_000_000_000_000;

impl Terms {
    /// A prepaid account without caps.
    #[must_use]
    pub fn prepaid(currency: u16) -> Self {
        Self {
            currency,
            backend: Backend::Account { limit: 0 },
            caps: Caps::default(),
            simultaneous: Simultaneous::Share,
            warn_ms: 0,
        }
    }

    /// In words, as they stand in audit records.
    #[must_use]
    pub fn words(&self) -> String {
        let text = |amount: u128| amount_text(i128::try_from(amount).unwrap_or(i128::MAX));
        let mut words = match self.backend {
            Backend::Account { limit: 0 } => "prepaid".to_owned(),
            Backend::Account { limit } => format!("postpaid up to {}", text(limit)),
            Backend::Tokens { value } => format!("tokens of {}", text(value)),
        };
        let Caps { session, day, month } = self.caps;
        for (what, cap) in [("session", session), ("day", day), ("month", month)] {
            if let Some(cap) = cap {
                words.push_str(&format!(", {} a {what} at most", text(cap)));
            }
        }
        if self.simultaneous == Simultaneous::Deny {
            words.push_str(", one session at once");
        }
        words.push_str(&format!(", warned {} s before", self.warn_ms / 1_000));
        words
    }

    /// Whether these can hold.
    ///
    /// # Errors
    /// If not.
    pub fn check(&self) -> Result<(), TermsError> {
        let amount = match self.backend {
            Backend::Tokens { value: 0 } => return Err(TermsError::WorthlessToken),
            Backend::Tokens { value } => value,
            Backend::Account { limit } => limit,
        };
        let Caps { session, day, month } = self.caps;
        let amounts = [Some(amount), session, day, month];
        match amounts.into_iter().flatten().all(|amount| amount <= AMOUNT_MAX) {
            true => Ok(()),
            false => Err(TermsError::TooLarge),
        }
    }
}
