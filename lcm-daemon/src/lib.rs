//! The RSVP router that can charge: a sans-IO engine, and around it the kernel, the control
//! socket and the metrics page. ARCHITECTURE.md is the map.

pub mod billing;
mod bookkeeper;
pub mod chart;
pub mod cli;
pub mod config;
pub mod control;
pub mod ctl;
pub mod demo;
pub mod engine;
pub mod exit;
pub mod http;
pub mod io;
mod ip;
pub mod kernel;
pub mod lab;
pub mod ledger;
pub mod log;
pub mod metrics;
pub mod notes;
pub mod packet;
mod page;
mod price_export;
pub mod purse;
mod runtime;
pub mod tariff;
