//! `[ledger]`: where the books are kept, and how.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::check::number;
use super::problem::Problems;
use super::raw::Given;

/// How long postings stay provisional after an orderly end, in seconds: 30 days.
pub const DEFAULT_HOLD_S: u32 = 2_592_000;
/// How often the books prove that all meters still run, in milliseconds: what a crash costs.
pub const DEFAULT_PROOF_MS: u32 = 1_000;
/// Size at which a file of the journal is full, in bytes: 256 MiB.
pub const DEFAULT_SEGMENT_BYTES: u64 = 256 << 20;

/// Ten years.
const HOLD_S_MAX: u32 = 315_360_000;
const PROOF_MS_MIN: u32 = 100;
const PROOF_MS_MAX: u32 = 60_000;
const SEGMENT_BYTES_MIN: u64 = 1 << 20;
const SEGMENT_BYTES_MAX: u64 = 1 << 40;

/// The books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    /// The directory of the journal, an absolute path; without one nothing is kept.
    pub directory: Option<PathBuf>,
    /// How long postings stay provisional after an orderly end, in seconds (T10).
    pub hold_s: u32,
    /// How often the books prove that all meters still run, in milliseconds.
    pub proof_ms: u32,
    /// Size at which a file of the journal is full, in bytes.
    pub segment_bytes: u64,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            directory: None,
            hold_s: DEFAULT_HOLD_S,
            proof_ms: DEFAULT_PROOF_MS,
            segment_bytes: DEFAULT_SEGMENT_BYTES,
        }
    }
}

/// `[ledger]` as it stands in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    directory: Given<String>,
    hold_s: Given<u64>,
    proof_ms: Given<u64>,
    segment_bytes: Given<u64>,
}

pub(super) fn check(raw: Raw, problems: &mut Problems<'_>) -> Ledger {
    let Raw { directory, hold_s, proof_ms, segment_bytes } = raw;
    let proof = PROOF_MS_MIN..=PROOF_MS_MAX;
    let segment = SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX;
    Ledger {
        directory: directory.and_then(|given| absolute(given, problems)),
        hold_s: number(hold_s.as_ref(), DEFAULT_HOLD_S, 0..=HOLD_S_MAX, " seconds", problems),
        proof_ms: number(proof_ms.as_ref(), DEFAULT_PROOF_MS, proof, " milliseconds", problems),
        segment_bytes: number(
            segment_bytes.as_ref(),
            DEFAULT_SEGMENT_BYTES,
            segment,
            " bytes",
            problems,
        ),
    }
}

pub(super) fn absolute(given: Spanned<String>, problems: &mut Problems<'_>) -> Option<PathBuf> {
    let path = given.get_ref();
    if Path::new(path).is_absolute() && !path.contains('\0') {
        return Some(PathBuf::from(given.into_inner()));
    }
    let remedy = "write a path such as \"/var/lib/lcm/ledger\"".to_owned();
    problems.at(given.span(), "not an absolute path".to_owned(), remedy);
    None
}

pub(super) fn render(
    out: &mut String,
    ledger: &Ledger,
    quoted: impl Fn(&str) -> String,
) -> fmt::Result {
    if let Some(directory) = &ledger.directory {
        writeln!(out, "directory = {}", quoted(&directory.to_string_lossy()))?;
    }
    writeln!(out, "hold_s = {}", ledger.hold_s)?;
    writeln!(out, "proof_ms = {}", ledger.proof_ms)?;
    writeln!(out, "segment_bytes = {}", ledger.segment_bytes)
}
