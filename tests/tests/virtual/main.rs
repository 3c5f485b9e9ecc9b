//! Whole networks of engines in virtual time.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that finds what it did not expect is to fail"
)]

mod accounts;
mod audit;
mod balances;
mod border;
mod choice;
mod contracts;
mod curves;
mod day;
mod detail;
mod detours;
mod diagnosis;
mod diagnosis_access;
mod drain;
mod established;
mod faults;
mod figure;
mod identities;
mod input;
mod integrity;
mod limits;
mod multihomed;
mod networks;
mod notes;
mod outages;
mod paths;
mod preemption;
mod proxies;
mod purses;
mod records;
mod reduction;
mod reduction_rules;
mod refreshes;
mod refunds;
mod repricing;
mod requirements;
mod roles;
mod routes;
mod scenarios;
mod shared;
mod shares;
mod signed_elements;
mod statements;
mod support;
mod tariffs;
mod traffic;
mod trees;
mod veiled;
