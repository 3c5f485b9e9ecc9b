//! The books on disk: an append-only journal of consent and change, and what follows from it.
//!
//! ```text
//!  engine ─ records ─▶ writer (one thread) ─ append, fdatasync ─▶ DIR/*.journal
//!         ◀─ durable up to n ─┘                                        │
//!                                         replay ◀─────────────────────┘
//!                                           └─▶ accounts, postings, statements
//! ```
//!
//! What is written is what changes: a payer approves a rate, a meter runs at another rate, an
//! approval lapses. What a meter came to is no record but follows from two of them: rate × ms.
//! [`Alive`](record::Body::Alive), about once a second, asserts that all meters still run; after a
//! crash they are closed at the last instant that it proves, so nobody is charged for time of
//! which the books know nothing.

pub mod amend;
pub mod backup;
pub mod carried;
pub mod fault;
pub mod frame;
pub mod journal;
pub mod keys;
pub mod lock;
pub mod period;
pub mod prune;
pub mod reader;
pub mod record;
mod recover;
pub mod repair;
pub mod replay;
pub mod segment;
pub mod sign;
pub mod storage;
pub mod verify;
pub mod writer;

#[cfg(test)]
mod tests;
