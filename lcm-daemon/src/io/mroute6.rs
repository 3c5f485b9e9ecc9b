//! The kernel's multicast routing socket for IPv6, as `mroute` for IPv4.

use std::collections::HashMap;
use std::io;
use std::net::Ipv6Addr;
use std::os::fd::AsFd;

use socket2::{Domain, Protocol, Socket, Type};

use super::mroute::explain;
use super::options::{self, SocketOption, option};

// From linux/mroute6.h.
const fn mrt6(offset: i32, name: &'static str) -> SocketOption {
    SocketOption { level: libc::IPPROTO_IPV6, number: 200 + offset, name }
}
const MRT6_INIT: SocketOption = mrt6(0, "MRT6_INIT");
const MRT6_DONE: SocketOption = mrt6(1, "MRT6_DONE");
const MRT6_ADD_MIF: SocketOption = mrt6(2, "MRT6_ADD_MIF");
const MRT6_ADD_MFC: SocketOption = mrt6(4, "MRT6_ADD_MFC");
const MRT6_DEL_MFC: SocketOption = mrt6(5, "MRT6_DEL_MFC");
const MAXMIFS: usize = 32;

/// `struct mif6ctl`, with the interface named by its index.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Mif {
    number: u16,
    flags: u8,
    threshold: u8,
    interface: u16,
    rate_limit: u32,
}

/// `struct mf6cctl`: two addresses, the incoming interface, a set of outgoing ones.
#[derive(Clone, Copy)]
#[repr(C)]
struct Entry {
    source: libc::sockaddr_in6,
    group: libc::sockaddr_in6,
    parent: u16,
    outgoing: [u32; 8],
}

impl Entry {
    fn new(source: Ipv6Addr, group: Ipv6Addr) -> Entry {
        let name = |address: Ipv6Addr| libc::sockaddr_in6 {
            sin6_family: libc::AF_INET6 as libc::sa_family_t,
            sin6_port: 0,
            sin6_flowinfo: 0,
            sin6_addr: libc::in6_addr { s6_addr: address.octets() },
            sin6_scope_id: 0,
        };
        Entry { source: name(source), group: name(group), parent: 0, outgoing: [0; 8] }
    }
}

/// The IPv6 multicast routing of one network namespace; what it set up goes when it is dropped.
#[derive(Debug)]
pub struct MulticastRouter6 {
    socket: Socket,
    /// Multicast interface numbers by interface index.
    mifs: HashMap<u32, u16>,
}

impl MulticastRouter6 {
    /// Takes over the IPv6 multicast routing of the calling thread's network namespace.
    ///
    /// # Errors
    /// `AddrInUse` if a multicast routing daemon runs there already, `PermissionDenied` without
    /// `CAP_NET_RAW` and `CAP_NET_ADMIN`.
    pub fn open() -> io::Result<MulticastRouter6> {
        let kind = Type::RAW.nonblocking().cloexec();
        let icmp = Protocol::from(libc::IPPROTO_ICMPV6);
        let socket = Socket::new(Domain::IPV6, kind, Some(icmp))
            .map_err(|error| explain("cannot open the IPv6 multicast routing socket", &error))?;
        // The kernel reports packets without an entry on this socket, which nobody need read.
        options::set(socket.as_fd(), option!(SOL_SOCKET, SO_RCVBUF), 0)?;
        options::set_raw(socket.as_fd(), MRT6_INIT, &1_i32)
            .map_err(|error| explain("cannot take over IPv6 multicast routing", &error))?;
        Ok(MulticastRouter6 { socket, mifs: HashMap::new() })
    }

    /// The multicast interface of an interface, made if need be.
    fn mif(&mut self, interface: u32) -> io::Result<u16> {
        if let Some(number) = self.mifs.get(&interface) {
            return Ok(*number);
        }
        let number = self.mifs.len();
        if number >= MAXMIFS {
            let text = format!("interface {interface}: all {MAXMIFS} multicast interfaces in use");
            return Err(io::Error::other(text));
        }
        let number = u16::try_from(number).map_err(io::Error::other)?;
        let index = u16::try_from(interface).map_err(io::Error::other)?;
        let mif = Mif { number, flags: 0, threshold: 1, interface: index, rate_limit: 0 };
        options::set_raw(self.socket.as_fd(), MRT6_ADD_MIF, &mif).map_err(|error| {
            explain(&format!("cannot route IPv6 multicast through interface {interface}"), &error)
        })?;
        self.mifs.insert(interface, number);
        Ok(number)
    }

    /// Adds or replaces the forwarding entry of (source, group): in by `incoming`, out by all of
    /// `outgoing`. Interfaces that are not yet routed through are added.
    ///
    /// # Errors
    /// What the kernel said, with the entry.
    pub fn add_route(
        &mut self,
        source: Ipv6Addr,
        group: Ipv6Addr,
        incoming: u32,
        outgoing: &[u32],
    ) -> io::Result<()> {
        let mut entry = Entry::new(source, group);
        entry.parent = self.mif(incoming)?;
        for interface in outgoing {
            let number = usize::from(self.mif(*interface)?);
            if let Some(word) = entry.outgoing.get_mut(number / 32) {
                *word |= 1 << (number % 32);
            }
        }
        options::set_raw(self.socket.as_fd(), MRT6_ADD_MFC, &entry)
            .map_err(|error| explain(&format!("cannot add route ({source}, {group})"), &error))
    }

    /// Deletes the forwarding entry of (source, group).
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn delete_route(&mut self, source: Ipv6Addr, group: Ipv6Addr) -> io::Result<()> {
        options::set_raw(self.socket.as_fd(), MRT6_DEL_MFC, &Entry::new(source, group))
            .map_err(|error| explain(&format!("cannot delete route ({source}, {group})"), &error))
    }
}

impl Drop for MulticastRouter6 {
    fn drop(&mut self) {
        // Closing the socket does the same, but a child process may hold a copy of it.
        let _ = options::set_raw(self.socket.as_fd(), MRT6_DONE, &1_i32);
    }
}
