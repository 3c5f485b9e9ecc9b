//! Socket options that no safe crate offers, with errors that name the option.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// An option's level, number and name.
#[derive(Debug, Clone, Copy)]
pub(super) struct SocketOption {
    /// Protocol level, `SOL_SOCKET` or `IPPROTO_IP`.
    pub(super) level: i32,
    /// The option's number at that level.
    pub(super) number: i32,
    /// Its name, for errors.
    pub(super) name: &'static str,
}

/// Declares an option of libc under its own name.
macro_rules! option {
    ($level:ident, $name:ident) => {
        SocketOption { level: libc::$level, number: libc::$name, name: stringify!($name) }
    };
}
pub(super) use option;

/// Sets an option to a value of plain C data.
///
/// # Errors
/// What setsockopt(2) said, untouched, so that callers can tell error numbers apart.
pub(super) fn set_raw<T: Copy>(
    socket: BorrowedFd<'_>,
    option: SocketOption,
    value: &T,
) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
    // SAFETY: the pointer and the length describe `value`, which outlives the call; the kernel
    // only reads it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            option.level,
            option.number,
            std::ptr::from_ref(value).cast(),
            length,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sets an integer option.
///
/// # Errors
/// What setsockopt(2) said, with the option's name and the value before it.
pub(super) fn set(socket: BorrowedFd<'_>, option: SocketOption, value: i32) -> io::Result<()> {
    set_raw(socket, option, &value).map_err(|error| name_it(&error, option, value))
}

/// Puts the option's name and value before an error.
fn name_it(error: &io::Error, option: SocketOption, value: i32) -> io::Error {
    io::Error::new(error.kind(), format!("cannot set {} to {value}: {error}", option.name))
}

/// Sets a buffer size beyond the system's limit if allowed, else up to the limit.
///
/// # Errors
/// What setsockopt(2) said of the unprivileged option.
pub(super) fn set_buffer(
    socket: BorrowedFd<'_>,
    forced: SocketOption,
    ordinary: SocketOption,
    bytes: usize,
) -> io::Result<()> {
    // The kernel doubles the value in an i32.
    let value = i32::try_from(bytes).unwrap_or(i32::MAX).min(i32::MAX / 2);
    if set_raw(socket, forced, &value).is_ok() {
        return Ok(());
    }
    set(socket, ordinary, value)
}

/// `SO_MEMINFO` of asm-generic/socket.h: eight or more counters, since Linux 4.12.
const SO_MEMINFO: i32 = 55;

/// Packets that a socket lost because its receive buffer was full, since it was opened.
///
/// # Errors
/// What getsockopt(2) said, or that the kernel knows no such counter.
pub(super) fn receive_drops(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut counters = [0_u32; 16];
    let mut length = libc::socklen_t::try_from(size_of_val(&counters)).map_err(io::Error::other)?;
    // SAFETY: the pointer and the length describe `counters`, and `length` is writable; both
    // outlive the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            counters.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let index = usize::try_from(libc::SK_MEMINFO_DROPS).map_err(io::Error::other)?;
    let written = usize::try_from(length).map_err(io::Error::other)? / size_of::<u32>();
    counters
        .get(..written)
        .and_then(|counters| counters.get(index))
        .copied()
        .ok_or_else(|| io::Error::other("the kernel's SO_MEMINFO has no drop counter"))
}
