//! `refund` and `guaranteed_refund` of an interface: what next hops are granted for outages.

use charging_model::{Grant, Span};
use serde::Deserialize;
use toml::Spanned;

use super::problem::Problems;
use super::raw;

/// The policies of REFUND (charging.md section 5.1), as they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Policy {
    None,
    ProRata,
    FreeIfShort,
}

/// Thresholds travel as counts of 100 ms in 16 bits.
const STEP_MS: u64 = 100;
const THRESHOLD_MS_MAX: u64 = STEP_MS * u16::MAX as u64;

pub(super) fn check(given: &Spanned<raw::Refund>, problems: &mut Problems<'_>) -> Grant {
    let raw = given.get_ref();
    let policy = raw.policy.as_ref().map_or(Policy::ProRata, |policy| *policy.get_ref());
    let threshold = raw.threshold_ms.as_ref();
    match (policy, threshold) {
        (Policy::None, None) => Grant::None,
        (Policy::ProRata, None) => Grant::ProRata,
        (Policy::None | Policy::ProRata, Some(threshold)) => {
            problems.at(
                threshold.span(),
                "only what is free if short has a threshold".to_owned(),
                "remove threshold_ms, or write policy = \"free_if_short\"".to_owned(),
            );
            Grant::None
        }
        (Policy::FreeIfShort, None) => {
            problems.at(
                given.span(),
                "what is free if short needs a threshold".to_owned(),
                "add threshold_ms = N: what breaks earlier costs nothing".to_owned(),
            );
            Grant::None
        }
        (Policy::FreeIfShort, Some(threshold)) => {
            let ms = *threshold.get_ref();
            if ms == 0 || ms > THRESHOLD_MS_MAX || !ms.is_multiple_of(STEP_MS) {
                problems.at(
                    threshold.span(),
                    format!("{ms} milliseconds cannot be told to a next hop"),
                    format!("write a multiple of {STEP_MS}, up to {THRESHOLD_MS_MAX}"),
                );
            }
            Grant::FreeIfShort(Span(ms))
        }
    }
}
