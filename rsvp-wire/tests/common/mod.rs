//! What several tests need.

#![allow(dead_code, reason = "each test uses its own part")]

use std::net::IpAddr;

/// Bytes from hex digits.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let pairs = digits.trim().as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// An address that is written right in the test.
pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
