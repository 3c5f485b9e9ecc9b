//! News from the kernel: interfaces, addresses, routes, multicast forwarding entries.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use netlink_sys::Socket;

use super::interface_table::{Change, InterfaceTable};
use super::netlink::{Kernel, open_route_socket, prefix};
use super::raw_socket::set_receive_buffer;
use super::rtnetlink::{
    FAMILY_IP6MR, FAMILY_IPMR, InterfaceAddress, Link, Message, RouteEntry, messages,
};
use crate::kernel::{Interface, KernelNews};

/// Kernel memory for news that waits: some ten thousand route changes.
const NEWS_BUFFER: usize = 8 << 20;

/// Notifications are a few kilobytes at most.
const DATAGRAM_BYTES: usize = 64 << 10;

/// What is subscribed to. Rules and next-hop objects decide on routes without being one.
const GROUPS: [u32; 10] = [
    libc::RTNLGRP_LINK,
    libc::RTNLGRP_IPV4_IFADDR,
    libc::RTNLGRP_IPV6_IFADDR,
    libc::RTNLGRP_IPV4_ROUTE,
    libc::RTNLGRP_IPV6_ROUTE,
    libc::RTNLGRP_IPV4_MROUTE,
    libc::RTNLGRP_IPV6_MROUTE,
    libc::RTNLGRP_IPV4_RULE,
    libc::RTNLGRP_IPV6_RULE,
    libc::RTNLGRP_NEXTHOP,
];

// From linux/rtnetlink.h.
const RTM_NEWNEXTHOP: u16 = 104;
const RTM_DELNEXTHOP: u16 = 105;

/// A subscription to the kernel's tables, and the interfaces as the news so far leaves them.
///
/// Its file descriptor is readable when there is news.
#[derive(Debug)]
pub struct Monitor {
    socket: Socket,
    /// To read everything anew when news was lost.
    kernel: Kernel,
    interfaces: InterfaceTable,
    datagram: Vec<u8>,
}

/// What one call to `read_news` has to say at its end.
#[derive(Debug, Default)]
struct Pending {
    /// Routes may have changed anywhere.
    all_routes: bool,
    /// The kernel dropped news.
    lost: bool,
}

impl Monitor {
    /// Subscribes in the network namespace of the calling thread, then reads the interfaces, so
    /// that no change falls between the two. It takes no privilege, but without `CAP_NET_ADMIN`
    /// the buffer is smaller, and a burst of changes is more likely to end in a
    /// [`KernelNews::Resync`].
    ///
    /// # Errors
    /// What the kernel said.
    pub fn open() -> io::Result<Monitor> {
        Monitor::with_buffer(NEWS_BUFFER)
    }

    /// A monitor with this much kernel memory for news.
    pub(super) fn with_buffer(bytes: usize) -> io::Result<Monitor> {
        let socket = open_route_socket()?;
        set_receive_buffer(socket.as_fd(), bytes)?;
        for group in GROUPS {
            match socket.add_membership(group) {
                // A kernel without IPv6 or next-hop objects has no such group.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                result => result?,
            }
        }
        let mut kernel = Kernel::open()?;
        let interfaces = kernel.interface_table()?;
        let datagram = Vec::with_capacity(DATAGRAM_BYTES);
        Ok(Monitor { socket, kernel, interfaces, datagram })
    }

    /// The interfaces as of the last [`Monitor::read_news`], or of the opening.
    pub fn interfaces(&self) -> impl Iterator<Item = &Interface> {
        self.interfaces.iter()
    }

    /// Appends all the news there is; returns at once if there is none.
    ///
    /// An interface that went up or down, or away, is followed by
    /// [`KernelNews::UnicastRoutes`] with no prefix: the kernel announces the addresses that go
    /// with it, but not the IPv4 routes. [`KernelNews::Resync`] is followed by every interface
    /// there is.
    ///
    /// # Errors
    /// What the kernel said. News that was read before is in `news` all the same.
    pub fn read_news(&mut self, news: &mut Vec<KernelNews>) -> io::Result<()> {
        let mut pending = Pending::default();
        let result = self.drain(news, &mut pending);
        if pending.lost {
            self.read_anew(news)?;
        } else if pending.all_routes {
            news.push(KernelNews::UnicastRoutes { prefix: None });
        }
        result
    }

    /// Reads until nothing is left.
    fn drain(&mut self, news: &mut Vec<KernelNews>, pending: &mut Pending) -> io::Result<()> {
        loop {
            self.datagram.clear();
            match self.socket.recv(&mut self.datagram, 0) {
                Ok(_) => {
                    for message in messages(&self.datagram) {
                        take_in(&mut self.interfaces, &message, news, pending);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => pending.lost = true,
                Err(error) => return Err(error),
            }
        }
    }

    /// Replaces what is known of the interfaces by what is.
    fn read_anew(&mut self, news: &mut Vec<KernelNews>) -> io::Result<()> {
        news.push(KernelNews::Resync);
        let now = self.kernel.interface_table()?;
        for old in self.interfaces.iter().filter(|old| now.get(old.index).is_none()) {
            news.push(KernelNews::InterfaceGone { index: old.index });
        }
        news.extend(now.iter().cloned().map(KernelNews::Interface));
        self.interfaces = now;
        Ok(())
    }
}

/// Takes one message into the table and says what is new.
fn take_in(
    interfaces: &mut InterfaceTable,
    message: &Message<'_>,
    news: &mut Vec<KernelNews>,
    pending: &mut Pending,
) {
    let (index, change) = match message.kind {
        libc::RTM_NEWLINK | libc::RTM_DELLINK => {
            let Some(link) = Link::read(message.body) else { return };
            let index = link.index;
            if message.kind == libc::RTM_NEWLINK {
                (index, interfaces.link(link))
            } else {
                (index, interfaces.link_gone(index))
            }
        }
        libc::RTM_NEWADDR | libc::RTM_DELADDR => {
            let Some(address) = InterfaceAddress::read(message.body) else { return };
            if message.kind == libc::RTM_NEWADDR {
                (address.index, interfaces.address(address))
            } else {
                (address.index, interfaces.address_gone(&address))
            }
        }
        libc::RTM_NEWROUTE | libc::RTM_DELROUTE => {
            if let Some(entry) = RouteEntry::read(message.body) {
                news.extend(route_news(&entry));
            }
            return;
        }
        libc::RTM_NEWRULE | libc::RTM_DELRULE | RTM_NEWNEXTHOP | RTM_DELNEXTHOP => {
            pending.all_routes = true;
            return;
        }
        _ => return,
    };
    pending.all_routes |= matches!(change, Change::Link | Change::Gone);
    match change {
        Change::None => {}
        Change::Gone => news.push(KernelNews::InterfaceGone { index }),
        Change::Edited | Change::Link => {
            news.extend(interfaces.get(index).cloned().map(KernelNews::Interface));
        }
    }
}

/// What a new, changed or deleted route means.
fn route_news(entry: &RouteEntry) -> Option<KernelNews> {
    if entry.transient {
        return None;
    }
    match entry.family {
        FAMILY_IPMR | FAMILY_IP6MR => {
            Some(KernelNews::MulticastRoute { source: entry.source?, group: entry.destination? })
        }
        _ => Some(KernelNews::UnicastRoutes { prefix: prefix(entry) }),
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Monitor {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
