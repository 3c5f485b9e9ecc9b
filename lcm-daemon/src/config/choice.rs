//! `[choice]`: how a receiver on this node chooses among several providers.

use std::fmt::{self, Write as _};

use serde::Deserialize;

use super::check::{number, or};
use super::problem::Problems;
use super::raw::Given;

/// Whether receivers choose that do not say.
pub const DEFAULT_CHOICE_ENABLED: bool = false;
/// How long quotes are gathered before the first reservation, in milliseconds.
pub const DEFAULT_CHOICE_WAIT_MS: u32 = 1_000;
/// How much cheaper another way must be to be worth a hand-over, in percent.
pub const DEFAULT_CHOICE_MARGIN_PERCENT: u32 = 10;
/// How long a way is kept before a cheaper one is taken, in milliseconds.
pub const DEFAULT_CHOICE_HOLD_MS: u32 = 30_000;

const WAIT_MS_MAX: u32 = 600_000;
const HOLD_MS_MIN: u32 = 100;
const HOLD_MS_MAX: u32 = 86_400_000;
const MARGIN_PERCENT_MAX: u32 = 99;

/// The choice among the interfaces on which a sender is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// Whether receivers choose that do not say.
    pub enabled: bool,
    /// How long quotes are gathered before the first reservation, in milliseconds: a reservation
    /// makes the other ways look cheaper where they share hops with it.
    pub wait_ms: u32,
    /// How much cheaper than the present way another one must be to be taken, in percent.
    pub margin_percent: u32,
    /// How long a way is kept, in milliseconds, unless it fails; and for how long one that refused
    /// a reservation is not asked again.
    pub hold_ms: u32,
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            enabled: DEFAULT_CHOICE_ENABLED,
            wait_ms: DEFAULT_CHOICE_WAIT_MS,
            margin_percent: DEFAULT_CHOICE_MARGIN_PERCENT,
            hold_ms: DEFAULT_CHOICE_HOLD_MS,
        }
    }
}

/// `[choice]` as it stands in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    enabled: Given<bool>,
    wait_ms: Given<u64>,
    margin_percent: Given<u64>,
    hold_ms: Given<u64>,
}

pub(super) fn check(raw: Raw, problems: &mut Problems<'_>) -> Choice {
    let Raw { enabled, wait_ms, margin_percent, hold_ms } = raw;
    let ms = " milliseconds";
    Choice {
        enabled: or(enabled, DEFAULT_CHOICE_ENABLED),
        wait_ms: number(wait_ms.as_ref(), DEFAULT_CHOICE_WAIT_MS, 0..=WAIT_MS_MAX, ms, problems),
        margin_percent: number(
            margin_percent.as_ref(),
            DEFAULT_CHOICE_MARGIN_PERCENT,
            0..=MARGIN_PERCENT_MAX,
            " percent",
            problems,
        ),
        hold_ms: number(
            hold_ms.as_ref(),
            DEFAULT_CHOICE_HOLD_MS,
            HOLD_MS_MIN..=HOLD_MS_MAX,
            ms,
            problems,
        ),
    }
}

pub(super) fn render(out: &mut String, choice: &Choice) -> fmt::Result {
    writeln!(out, "enabled = {}", choice.enabled)?;
    writeln!(out, "wait_ms = {}", choice.wait_ms)?;
    writeln!(out, "margin_percent = {}", choice.margin_percent)?;
    writeln!(out, "hold_ms = {}", choice.hold_ms)
}
