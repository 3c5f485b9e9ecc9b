//! The kernel's multicast routing socket for IPv4 (IPv6: `mroute6`), for networks that run no multicast routing daemon.
//!
//! The lab and the demo set their multicast trees with it. On a production router pimd, FRR or
//! smcroute holds this socket, and there can be only one of them.

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, Protocol, Socket, Type};

use super::options::{self, SocketOption, option};

// From linux/mroute.h.
const fn mrt(offset: i32, name: &'static str) -> SocketOption {
    SocketOption { level: libc::IPPROTO_IP, number: 200 + offset, name }
}
const MRT_INIT: SocketOption = mrt(0, "MRT_INIT");
const MRT_DONE: SocketOption = mrt(1, "MRT_DONE");
const MRT_ADD_VIF: SocketOption = mrt(2, "MRT_ADD_VIF");
const MRT_ADD_MFC: SocketOption = mrt(4, "MRT_ADD_MFC");
const MRT_DEL_MFC: SocketOption = mrt(5, "MRT_DEL_MFC");
const VIFF_USE_IFINDEX: u8 = 0x8;
const MAXVIFS: usize = 32;

/// `struct vifctl`, with the interface named by its index.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Vif {
    number: u16,
    flags: u8,
    threshold: u8,
    rate_limit: u32,
    interface: i32,
    remote: [u8; 4],
}

/// `struct mfcctl`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Entry {
    source: [u8; 4],
    group: [u8; 4],
    parent: u16,
    thresholds: [u8; MAXVIFS],
    packets: u32,
    octets: u32,
    wrong_interface: u32,
    expire: i32,
}

impl Entry {
    fn new(source: Ipv4Addr, group: Ipv4Addr) -> Entry {
        Entry {
            source: source.octets(),
            group: group.octets(),
            parent: 0,
            // 255 keeps a packet off a virtual interface.
            thresholds: [255; MAXVIFS],
            packets: 0,
            octets: 0,
            wrong_interface: 0,
            expire: 0,
        }
    }
}

/// The multicast routing of one network namespace; what it set up goes when it is dropped.
#[derive(Debug)]
pub struct MulticastRouter {
    socket: Socket,
    /// Virtual interface numbers by interface index.
    vifs: HashMap<u32, u16>,
}

impl MulticastRouter {
    /// Takes over the multicast routing of the calling thread's network namespace.
    ///
    /// # Errors
    /// `AddrInUse` if a multicast routing daemon runs there already, `PermissionDenied` without
    /// `CAP_NET_RAW` and `CAP_NET_ADMIN`.
    pub fn open() -> io::Result<MulticastRouter> {
        let kind = Type::RAW.nonblocking().cloexec();
        let igmp = Protocol::from(libc::IPPROTO_IGMP);
        let socket = Socket::new(Domain::IPV4, kind, Some(igmp))
            .map_err(|error| explain("cannot open the multicast routing socket", &error))?;
        // The kernel reports packets without an entry on this socket, which nobody need read.
        options::set(socket.as_fd(), option!(SOL_SOCKET, SO_RCVBUF), 0)?;
        options::set_raw(socket.as_fd(), MRT_INIT, &1_i32).map_err(|error| {
            let text = if error.kind() == io::ErrorKind::AddrInUse {
                "cannot take over multicast routing, another daemon has it"
            } else {
                "cannot take over multicast routing"
            };
            explain(text, &error)
        })?;
        Ok(MulticastRouter { socket, vifs: HashMap::new() })
    }

    /// Lets the kernel route multicast to and from an interface; doing it twice is no error.
    ///
    /// # Errors
    /// What the kernel said, or that 32 interfaces, its limit, are in use.
    pub fn add_vif(&mut self, interface: u32) -> io::Result<()> {
        self.vif(interface).map(|_| ())
    }

    /// The virtual interface of an interface, made if need be.
    fn vif(&mut self, interface: u32) -> io::Result<u16> {
        if let Some(number) = self.vifs.get(&interface) {
            return Ok(*number);
        }
        let number = self.vifs.len();
        if number >= MAXVIFS {
            let text = format!("interface {interface}: all {MAXVIFS} multicast interfaces in use");
            return Err(io::Error::other(text));
        }
        let number = u16::try_from(number).map_err(io::Error::other)?;
        let vif = Vif {
            number,
            flags: VIFF_USE_IFINDEX,
            threshold: 1,
            rate_limit: 0,
            interface: i32::try_from(interface).map_err(io::Error::other)?,
            remote: [0; 4],
        };
        options::set_raw(self.socket.as_fd(), MRT_ADD_VIF, &vif).map_err(|error| {
            explain(&format!("cannot route multicast through interface {interface}"), &error)
        })?;
        self.vifs.insert(interface, number);
        Ok(number)
    }

    /// Adds or replaces the forwarding entry of (source, group): in by `incoming`, out by all of
    /// `outgoing`. Interfaces that are not yet routed through are added.
    ///
    /// # Errors
    /// What the kernel said, with the entry.
    pub fn add_route(
        &mut self,
        source: Ipv4Addr,
        group: Ipv4Addr,
        incoming: u32,
        outgoing: &[u32],
    ) -> io::Result<()> {
        let mut entry = Entry::new(source, group);
        entry.parent = self.vif(incoming)?;
        for interface in outgoing {
            let number = self.vif(*interface)?;
            if let Some(threshold) = entry.thresholds.get_mut(usize::from(number)) {
                *threshold = 1;
            }
        }
        options::set_raw(self.socket.as_fd(), MRT_ADD_MFC, &entry)
            .map_err(|error| explain(&format!("cannot add route ({source}, {group})"), &error))
    }

    /// Deletes the forwarding entry of (source, group).
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn delete_route(&mut self, source: Ipv4Addr, group: Ipv4Addr) -> io::Result<()> {
        options::set_raw(self.socket.as_fd(), MRT_DEL_MFC, &Entry::new(source, group))
            .map_err(|error| explain(&format!("cannot delete route ({source}, {group})"), &error))
    }
}

/// Readable when the kernel reports a packet without an entry (`struct igmpmsg`).
impl AsFd for MulticastRouter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for MulticastRouter {
    fn drop(&mut self) {
        // Closing the socket does the same, but a child process may hold a copy of it.
        let _ = options::set_raw(self.socket.as_fd(), MRT_DONE, &1_i32);
    }
}

pub(super) fn explain(what: &str, error: &io::Error) -> io::Error {
    let advice = if error.kind() == io::ErrorKind::PermissionDenied {
        "; it takes CAP_NET_RAW and CAP_NET_ADMIN"
    } else {
        ""
    };
    io::Error::new(error.kind(), format!("{what}: {error}{advice}"))
}

#[cfg(test)]
impl MulticastRouter {
    /// Adds the pseudo interface of PIM registers, as pimd does, and gives its index.
    pub(super) fn add_pim_register(&mut self) -> io::Result<u32> {
        const VIFF_REGISTER: u8 = 0x4;
        let number = u16::try_from(self.vifs.len()).map_err(io::Error::other)?;
        let vif = Vif {
            number,
            flags: VIFF_REGISTER,
            threshold: 1,
            rate_limit: 0,
            interface: 0,
            remote: [0; 4],
        };
        options::set_raw(self.socket.as_fd(), MRT_ADD_VIF, &vif)?;
        let index = nix::net::if_::if_nametoindex("pimreg")?;
        self.vifs.insert(index, number);
        Ok(index)
    }
}
