//! Addresses at the front of an object's body.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IPv4 address and the `N` bytes after it, if that is the whole body.
#[inline(always)]
pub(crate) fn v4_and<const N: usize>(body: &[u8]) -> Option<(IpAddr, &[u8; N])> {
    let (address, rest) = body.split_first_chunk::<4>()?;
    Some((IpAddr::V4(Ipv4Addr::from(*address)), rest.try_into().ok()?))
}

/// An IPv6 address and the `N` bytes after it, if that is the whole body.
#[inline(always)]
pub(crate) fn v6_and<const N: usize>(body: &[u8]) -> Option<(IpAddr, &[u8; N])> {
    let (address, rest) = body.split_first_chunk::<16>()?;
    Some((IpAddr::V6(Ipv6Addr::from(*address)), rest.try_into().ok()?))
}

/// The C-Type that most classes use for the family of an address: 1 for IPv4, 2 for IPv6.
pub(crate) const fn family_ctype(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 1,
        IpAddr::V6(_) => 2,
    }
}
