//! What payers may still spend: accounts with a balance, in integers, with time as a parameter.
//!
//! ```text
//!  meters turn ─▶ Purse (rates, caps, prediction) ─▶ Settlement: an account in the books, or tokens
//!                   └─▶ the millisecond at which nothing is left
//! ```
//!
//! Nothing of RSVP is known here, no clock and no disk. The engine keeps a table of purses
//! (`engine/charging/purses.rs`); the journal has what they follow from (`ledger/replay/purses.rs`).
//! Amounts are 10⁻¹⁵ currency units, rates 10⁻¹² currency units per second, so that an amount is
//! rate × milliseconds, exactly.

mod amount;
mod balance;
mod holder;
mod settlement;
mod terms;

pub use amount::{amount_text, parse_amount};
pub use balance::{Due, End, Kept, Purse, date};
pub use holder::Holder;
pub use settlement::{BookAccount, NotWhole, Settlement, Tokens};
pub(crate) use terms::AMOUNT_MAX;
pub use terms::{Backend, Caps, Simultaneous, Terms, TermsError};
