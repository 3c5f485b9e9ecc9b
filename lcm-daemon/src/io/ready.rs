//! Waiting for a socket within tokio.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd;

use tokio::io::unix::AsyncFd;

use super::ip6::{LocalSocket, TransitSocket};
use super::{Monitor, RawSocket};

/// A thing that opens one descriptor, answers with it for ever, and closes it when it is dropped.
pub trait KeepsDescriptor: AsRawFd {}

impl KeepsDescriptor for RawSocket {}
impl KeepsDescriptor for Monitor {}
impl KeepsDescriptor for LocalSocket {}
impl KeepsDescriptor for TransitSocket {}

/// Registers a socket with the reactor of the running tokio runtime.
///
/// # Errors
/// If the kernel refuses to watch it.
pub fn watch<T: KeepsDescriptor>(socket: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: all implementors of `KeepsDescriptor` own the descriptor that `as_raw_fd` gives,
    // none replaces or closes it before its drop, and the trait cannot be named outside of
    // this crate's io room for another type without saying the same.
    unsafe { AsyncFd::register(socket) }.map_err(io::Error::from)
}
