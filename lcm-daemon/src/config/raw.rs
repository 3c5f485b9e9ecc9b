//! The configuration as it stands in the file: every key optional, every value with its place.
//!
//! One struct per table; nothing is checked here but the shape. `check` turns these into
//! [`Config`](super::Config).

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use toml::Spanned;

/// A value that may be left out, with its place in the file if not.
pub(super) type Given<T> = Option<Spanned<T>>;

/// `[daemon]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Daemon {
    pub(super) name: Given<String>,
    pub(super) control_socket: Given<String>,
    pub(super) metrics_listen: Given<String>,
    pub(super) price_export: Given<String>,
    pub(super) log_level: Given<super::LogLevel>,
}

/// `[rsvp]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rsvp {
    pub(super) role: Given<super::Role>,
    pub(super) refresh_ms: Given<u64>,
    pub(super) lifetime_multiplier: Given<u64>,
    pub(super) accept_refresh_min_ms: Given<u64>,
    pub(super) accept_refresh_max_ms: Given<u64>,
    pub(super) slew_max_percent: Given<u64>,
    pub(super) preemption: Given<super::Preemption>,
    pub(super) jitter_seed: Given<u64>,
}

/// `[charging]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Charging {
    pub(super) enabled: Given<bool>,
    pub(super) currency: Given<CurrencyCode>,
    pub(super) account: Given<Account>,
    pub(super) validity_ms: Given<u64>,
    pub(super) honour_quote: Given<bool>,
    pub(super) require_established: Given<bool>,
    pub(super) on_missing_payment: Given<super::MissingPayment>,
    pub(super) on_inconsistency: Given<super::OnInconsistency>,
    pub(super) hop_record: Given<super::HopRecords>,
    pub(super) refused_sender_accounts: Given<Vec<Spanned<String>>>,
    pub(super) p_types: Given<PTypes>,
}

/// `[[neighbour]]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Neighbour {
    pub(super) address: Given<String>,
    pub(super) account: Given<Account>,
    pub(super) on_missing_payment: Given<super::MissingPayment>,
    pub(super) hop_record: Given<super::HopRecords>,
    pub(super) refused_sender_accounts: Given<Vec<Spanned<String>>>,
    pub(super) role: Given<super::LinkRole>,
    pub(super) exchange: Given<super::exchange::Raw>,
}

/// `account = { kind = …, id = … }`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { kind = \"opaque\", id = \"NAME\" }")]
pub(super) struct Account {
    pub(super) kind: Given<super::AccountKind>,
    pub(super) id: Given<String>,
}

/// `p_types = { dcpe = …, ucpe = …, chg_err = … }`
#[derive(Debug, Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table such as { dcpe = 0xD001, ucpe = 0xD002, chg_err = 0xD003 }"
)]
pub(super) struct PTypes {
    pub(super) dcpe: Given<u64>,
    pub(super) ucpe: Given<u64>,
    pub(super) chg_err: Given<u64>,
}

/// `[default_interface]` and `[[interface]]`; only the latter has a name.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Interface {
    pub(super) name: Given<String>,
    pub(super) rsvp: Given<bool>,
    pub(super) non_rsvp_hop: Given<bool>,
    pub(super) reservable_bits_per_s: Given<u64>,
    pub(super) charging: Given<bool>,
    pub(super) validity_ms: Given<u64>,
    pub(super) refresh_ms: Given<u64>,
    pub(super) refresh_reduction: Given<bool>,
    pub(super) bundle: Given<bool>,
    pub(super) hello_ms: Given<u64>,
    pub(super) role: Given<super::LinkRole>,
    pub(super) tariff: Given<Tariff>,
    pub(super) guaranteed_tariff: Given<Tariff>,
    pub(super) refund: Given<Refund>,
    pub(super) guaranteed_refund: Given<Refund>,
    pub(super) schedule: Given<Schedule>,
    pub(super) congestion: Given<Congestion>,
    pub(super) split: Given<super::split::Raw>,
    pub(super) price_curve: Given<bool>,
}

/// `refund = { policy = "free_if_short", threshold_ms = 60000 }`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { policy = \"pro_rata\" }")]
pub(super) struct Refund {
    pub(super) policy: Given<super::refund::Policy>,
    pub(super) threshold_ms: Given<u64>,
}

/// `schedule = { time_zone = …, windows = […] }`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with time_zone and windows")]
pub(super) struct Schedule {
    pub(super) time_zone: Given<String>,
    #[serde(default)]
    pub(super) windows: Vec<Spanned<Window>>,
}

/// `{ days = […], from = "08:00", to = "18:00", percent = 150 }`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with days, from, to and percent")]
pub(super) struct Window {
    pub(super) days: Given<Vec<Spanned<String>>>,
    pub(super) from: Given<String>,
    pub(super) to: Given<String>,
    pub(super) percent: Given<u64>,
}

/// `congestion = { points = […], … }`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with points, such as [[50, 100], [100, 300]]")]
pub(super) struct Congestion {
    pub(super) points: Given<Vec<(u32, u32)>>,
    pub(super) hold_ms: Given<u64>,
    pub(super) least_change_percent: Given<u64>,
    pub(super) approach_percent: Given<u64>,
}

/// `tariff = { kind = "flat", … }`
#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table such as { kind = \"flat\", price_pico_per_s = N }"
)]
pub(super) struct Tariff {
    pub(super) kind: Given<TariffKind>,
    pub(super) price_pico_per_s: Given<u64>,
    pub(super) max_price_pico_per_s: Given<u64>,
    pub(super) per_mbit_pico_per_s: Given<u64>,
    pub(super) per_kbyte_pico_per_s: Given<u64>,
    pub(super) half_price_slack_us: Given<u64>,
    pub(super) max_percent: Given<u64>,
}

/// The ways to find a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TariffKind {
    Flat,
    Rate,
    Bucket,
    Guaranteed,
}

/// A currency by its ISO 4217 letters or number.
#[derive(Debug)]
pub(super) enum CurrencyCode {
    Letters(String),
    Number(u64),
}

impl<'de> Deserialize<'de> for CurrencyCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<CurrencyCode, D::Error> {
        struct CodeVisitor;

        impl Visitor<'_> for CodeVisitor {
            type Value = CurrencyCode;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an ISO 4217 code such as \"EUR\" or 978")
            }

            fn visit_str<E>(self, letters: &str) -> Result<CurrencyCode, E> {
                Ok(CurrencyCode::Letters(letters.to_owned()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<CurrencyCode, E> {
                Ok(CurrencyCode::Number(number))
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<CurrencyCode, E> {
                let unexpected = serde::de::Unexpected::Signed(number);
                u64::try_from(number)
                    .map(CurrencyCode::Number)
                    .map_err(|_| E::invalid_value(unexpected, &self))
            }
        }

        deserializer.deserialize_any(CodeVisitor)
    }
}
