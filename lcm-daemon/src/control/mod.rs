//! The control socket: JSON, one object a line, over a Unix socket.
//!
//! A client sends [`Request`]s and gets one [`Reply`] for each; a request that registers an
//! application is followed by [`Reply::Notice`] lines for as long as the connection stands. When
//! it ends, so do the registrations made over it, unless they were detached.

pub mod client;
pub(crate) mod convert;
pub(crate) mod orders;
pub mod protocol;
pub(crate) mod roles;
pub(crate) mod server;

pub use protocol::{Reply, Request};
