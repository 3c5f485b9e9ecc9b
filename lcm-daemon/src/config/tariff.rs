//! `tariff` and `guaranteed_tariff` of an interface.

use toml::Spanned;

use super::check::number;
use super::problem::Problems;
use super::raw::{self, Given, TariffKind};
use crate::tariff::{Bucket, Class, Flat, Guaranteed, Most, Rate};

/// How the price of one service class is found.
pub(super) fn class(given: &Spanned<raw::Tariff>, problems: &mut Problems<'_>) -> Class {
    let raw = given.get_ref();
    let kind = raw.kind.as_ref().map_or(TariffKind::Flat, |kind| *kind.get_ref());
    strangers(raw, kind, problems);
    let mut needs = |value: &Given<u64>, key: &str, of: &str| match value {
        Some(value) => *value.get_ref(),
        None => {
            problems.at(
                given.span(),
                format!("a {of} tariff needs {key}"),
                format!("add {key} = N; lcm.toml(5) says in which unit"),
            );
            0
        }
    };
    let or_zero = |value: &Given<u64>| value.as_ref().map_or(0, |value| *value.get_ref());
    let price_pico_per_s = match (kind, &raw.price_pico_per_s) {
        (TariffKind::Flat, None) => {
            problems.at(
                given.span(),
                "a flat tariff needs a price".to_owned(),
                "add price_pico_per_s = N, in 10^-12 currency units per second".to_owned(),
            );
            return Class::new(Flat { price_pico_per_s: 0 }, Most::Price(0));
        }
        (_, price) => or_zero(price),
    };
    match kind {
        TariffKind::Flat => {
            let most = most_of_flat(raw, price_pico_per_s, problems);
            Class::new(Flat { price_pico_per_s }, most)
        }
        TariffKind::Rate => {
            let per_mbit_pico_per_s =
                needs(&raw.per_mbit_pico_per_s, "per_mbit_pico_per_s", "rate");
            Class::new(Rate { price_pico_per_s, per_mbit_pico_per_s }, percent(raw, problems))
        }
        TariffKind::Bucket => {
            let per_kbyte_pico_per_s =
                needs(&raw.per_kbyte_pico_per_s, "per_kbyte_pico_per_s", "bucket");
            let per_mbit_pico_per_s = or_zero(&raw.per_mbit_pico_per_s);
            let shape = Bucket { price_pico_per_s, per_mbit_pico_per_s, per_kbyte_pico_per_s };
            Class::new(shape, percent(raw, problems))
        }
        TariffKind::Guaranteed => {
            let per_mbit_pico_per_s =
                needs(&raw.per_mbit_pico_per_s, "per_mbit_pico_per_s", "guaranteed");
            let half_price_slack_us =
                needs(&raw.half_price_slack_us, "half_price_slack_us", "guaranteed");
            if let Some(zero) = raw.half_price_slack_us.as_ref().filter(|us| *us.get_ref() == 0) {
                problems.at(
                    zero.span(),
                    "no slack would make everything free".to_owned(),
                    "write the microseconds of slack at which the price is half".to_owned(),
                );
            }
            let shape = Guaranteed { price_pico_per_s, per_mbit_pico_per_s, half_price_slack_us };
            Class::new(shape, percent(raw, problems))
        }
    }
}

/// Complains about settings that a tariff of this kind does not have.
fn strangers(raw: &raw::Tariff, kind: TariffKind, problems: &mut Problems<'_>) {
    use TariffKind::{Bucket, Flat, Guaranteed, Rate};
    let settings: [(&Given<u64>, &str, &[TariffKind]); 5] = [
        (&raw.max_price_pico_per_s, "max_price_pico_per_s", &[Flat]),
        (&raw.per_mbit_pico_per_s, "per_mbit_pico_per_s", &[Rate, Bucket, Guaranteed]),
        (&raw.per_kbyte_pico_per_s, "per_kbyte_pico_per_s", &[Bucket]),
        (&raw.half_price_slack_us, "half_price_slack_us", &[Guaranteed]),
        (&raw.max_percent, "max_percent", &[Rate, Bucket, Guaranteed]),
    ];
    for (given, name, kinds) in settings {
        if let Some(given) = given.as_ref().filter(|_| !kinds.contains(&kind)) {
            let kinds: Vec<String> = kinds.iter().map(|kind| format!("{kind:?}")).collect();
            problems.at(
                given.span(),
                format!("{name} says nothing in a tariff of this kind"),
                format!("remove it, or write kind = \"{}\"", kinds.join("\" or \"").to_lowercase()),
            );
        }
    }
}

fn most_of_flat(raw: &raw::Tariff, price: u64, problems: &mut Problems<'_>) -> Most {
    let most = raw.max_price_pico_per_s.as_ref().map_or(price, |most| *most.get_ref());
    if let Some(given) = raw.price_pico_per_s.as_ref().filter(|_| price > most) {
        problems.at(
            given.span(),
            format!("above max_price_pico_per_s, {most}"),
            "the most that may be charged is announced to payers: raise it or lower the price"
                .to_owned(),
        );
    }
    Most::Price(most)
}

/// The most that prices by what is reserved may become.
fn percent(raw: &raw::Tariff, problems: &mut Problems<'_>) -> Most {
    let bounds = 100..=1_000_000;
    Most::Percent(number(raw.max_percent.as_ref(), 100, bounds, " percent", problems))
}
