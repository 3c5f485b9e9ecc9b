//! The RSVP router that can charge.
pub mod io;
pub mod kernel;
pub mod lab;
pub mod packet;
