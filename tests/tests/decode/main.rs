//! `lcmctl decode` and the Wireshark dissector, each on captures made here and, beside tshark, on
//! captures that others made.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that finds what it did not expect is to fail"
)]

mod beside_tshark;
mod build;
mod damage;
mod dissector;
mod layers;
mod messages;
mod oracle;
mod output;
mod programs;
