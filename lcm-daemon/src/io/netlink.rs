//! Questions to the kernel's tables: interfaces, routes, multicast forwarding entries.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::interface_table::InterfaceTable;
use super::rtnetlink::{
    FAMILY_IP6MR, FAMILY_IPMR, FAMILY_IPV4, FAMILY_IPV6, InterfaceAddress, Link, Message, Request,
    RouteEntry, messages, octets,
};
use crate::kernel::{Interface, Route, RouteKey, Transport};

/// The kernel's answers are at most 32 KiB a datagram.
const ANSWER_BYTES: usize = 64 << 10;

/// How often a dump is begun again because something changed while it ran.
const DUMP_ATTEMPTS: usize = 8;

/// A netlink socket to ask with. One question at a time; each takes a few microseconds, since the
/// kernel answers within the call.
#[derive(Debug)]
pub struct Kernel {
    socket: Socket,
    /// Answers to a kick come, if at all, seconds later, so they have a socket of their own.
    kick: Option<Socket>,
    sequence: u32,
    answer: Vec<u8>,
    /// Whether an interface, by index, is the pseudo interface of PIM registers.
    pim_register: HashMap<u32, bool>,
}

/// Opens a nonblocking rtnetlink socket in the calling thread's network namespace.
pub(super) fn open_route_socket() -> io::Result<Socket> {
    let open = || {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.set_non_blocking(true)?;
        Ok(socket)
    };
    open().map_err(|error: io::Error| {
        let advice = "; a systemd unit needs AF_NETLINK in RestrictAddressFamilies=";
        io::Error::new(error.kind(), format!("cannot open a netlink socket: {error}{advice}"))
    })
}

impl Kernel {
    /// Opens a socket in the network namespace of the calling thread. It takes no privilege.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn open() -> io::Result<Kernel> {
        Ok(Kernel {
            socket: open_route_socket()?,
            kick: None,
            sequence: 0,
            answer: Vec::with_capacity(ANSWER_BYTES),
            pim_register: HashMap::new(),
        })
    }

    /// All interfaces by index, with their addresses; without the pseudo interfaces that
    /// multicast routing makes.
    ///
    /// # Errors
    /// What the kernel said, or that the tables changed too fast to be read.
    pub fn interfaces(&mut self) -> io::Result<Vec<Interface>> {
        Ok(self.interface_table()?.iter().cloned().collect())
    }

    /// Dumps links and addresses.
    pub(super) fn interface_table(&mut self) -> io::Result<InterfaceTable> {
        for _ in 0..DUMP_ATTEMPTS {
            let mut table = InterfaceTable::default();
            self.pim_register.clear();
            let mut register = std::mem::take(&mut self.pim_register);
            let links = self.ask(Request::dump_links, |message| {
                if let Some(link) = Link::read(message.body) {
                    register.insert(link.index, link.pim_register);
                    table.link(link);
                }
            });
            self.pim_register = register;
            let addresses = self.ask(Request::dump_addresses, |message| {
                if let Some(address) = InterfaceAddress::read(message.body) {
                    table.address(address);
                }
            });
            if links? == Outcome::Whole && addresses? == Outcome::Whole {
                return Ok(table);
            }
        }
        Err(io::Error::other("interfaces change faster than they can be read; try again"))
    }

    /// Where the kernel would send a flow's data.
    ///
    /// No route, a route that forbids, and no multicast forwarding entry are answers, not errors.
    /// A unicast route over several paths gives [`Route::PerFlow`], or asked with
    /// [`RouteKey::transport`], the path that the kernel's hash picks for packets of that flow.
    ///
    /// # Errors
    /// Anything else that the kernel said.
    pub fn route(&mut self, key: &RouteKey) -> io::Result<Route> {
        let result = match (key.source, key.transport) {
            (Some(source), _) if key.destination.is_multicast() => {
                self.multicast_route(&source, &key.destination)
            }
            (source, Some(transport)) => {
                self.flow_route(&key.destination, source.as_ref(), key.incoming, transport)
            }
            _ => self.unicast_route(&key.destination),
        };
        result.map_err(|error| {
            let target = key.destination;
            io::Error::new(error.kind(), format!("cannot look up the route to {target}: {error}"))
        })
    }

    fn unicast_route(&mut self, destination: &IpAddr) -> io::Result<Route> {
        let multicast = destination.is_multicast();
        let entry = self.lookup(|sequence| {
            let request = Request::get_route(sequence, family(destination), destination, None);
            // What this host sends to a group has no source to be hashed until it is sent.
            if multicast { request } else { request.match_only() }
        })?;
        Ok(match entry {
            // An entry that does not name its path is one of several, or of a group of next hops
            // (net.ipv4.nexthop_compat_mode = 0).
            Some(entry) if several_paths(&entry) => Route::PerFlow,
            entry => picked(entry),
        })
    }

    fn flow_route(
        &mut self,
        destination: &IpAddr,
        source: Option<&IpAddr>,
        incoming: u32,
        transport: Transport,
    ) -> io::Result<Route> {
        let entry = self.lookup(|sequence| {
            Request::get_route(sequence, family(destination), destination, source)
                .of_flow(incoming, transport)
        })?;
        Ok(picked(entry))
    }

    fn multicast_route(&mut self, source: &IpAddr, group: &IpAddr) -> io::Result<Route> {
        let request = |sequence| {
            let family = if group.is_ipv4() { FAMILY_IPMR } else { FAMILY_IP6MR };
            let mut request = Request::get_route(sequence, family, group, Some(source));
            if family == FAMILY_IP6MR {
                // Without a table the kernel looks into none; IPv4 has the right one by default.
                let table = u32::from(libc::RT_TABLE_MAIN);
                request.attribute(libc::RTA_TABLE, &table.to_ne_bytes());
            }
            request
        };
        let Some(entry) = self.lookup(request)? else { return Ok(Route::Unreachable) };
        let Some(incoming) = entry.incoming else { return Ok(Route::Unreachable) };
        let mut outgoing = Vec::with_capacity(entry.next_hops.len());
        for index in entry.next_hops {
            if !self.is_pim_register(index)? {
                outgoing.push(index);
            }
        }
        outgoing.sort_unstable();
        Ok(Route::Multicast { incoming, outgoing })
    }

    /// Shows the destination of every unicast route, in all tables; copies that the kernel made for
    /// one destination are none.
    pub(super) fn route_prefixes(
        &mut self,
        see: &mut dyn FnMut(IpAddr, u8),
    ) -> io::Result<Outcome> {
        self.prefixes(Request::dump_routes, see)
    }

    /// Shows the destination of every rule that has one. Rules begin as routes do: family, length
    /// of the destination, and the destination as attribute 1 (linux/fib_rules.h).
    pub(super) fn rule_prefixes(&mut self, see: &mut dyn FnMut(IpAddr, u8)) -> io::Result<Outcome> {
        self.prefixes(Request::dump_rules, see)
    }

    fn prefixes(
        &mut self,
        dump: impl Fn(u32, u8) -> Request,
        see: &mut dyn FnMut(IpAddr, u8),
    ) -> io::Result<Outcome> {
        let mut outcome = Outcome::Whole;
        for family in [FAMILY_IPV4, FAMILY_IPV6] {
            let asked = self.ask(
                |sequence| dump(sequence, family),
                |message| {
                    let entry = RouteEntry::read(message.body).filter(|entry| !entry.transient);
                    if let Some((network, length)) = entry.as_ref().and_then(prefix) {
                        see(network, length);
                    }
                },
            );
            match asked {
                Ok(Outcome::Whole) => {}
                Ok(Outcome::Torn) => outcome = Outcome::Torn,
                // A kernel without IPv6, or without rules.
                Err(error)
                    if matches!(
                        error.raw_os_error(),
                        Some(libc::EOPNOTSUPP | libc::EAFNOSUPPORT)
                    ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(outcome)
    }

    /// Asks for one route; `None` if there is none.
    fn lookup(&mut self, request: impl Fn(u32) -> Request) -> io::Result<Option<RouteEntry>> {
        let mut entry = None;
        match self.ask(request, |message| entry = RouteEntry::read(message.body)) {
            Ok(_) => Ok(entry),
            // EINVAL is a blackhole route's, EACCES a prohibit route's, EAGAIN a throw route's.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(
                        libc::ENETUNREACH
                            | libc::EHOSTUNREACH
                            | libc::ENOENT
                            | libc::ESRCH
                            | libc::EACCES
                            | libc::EINVAL
                            | libc::EAGAIN
                    )
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the interface is the pseudo interface of PIM registers, which leads to no neighbour.
    fn is_pim_register(&mut self, index: u32) -> io::Result<bool> {
        if let Some(known) = self.pim_register.get(&index) {
            return Ok(*known);
        }
        let mut link = None;
        let request = |sequence| Request::get_link(sequence, index);
        match self.ask(request, |message| link = Link::read(message.body)) {
            Ok(_) => {}
            // Gone since the forwarding entry was read.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(false),
            Err(error) => return Err(error),
        }
        let register = link.is_some_and(|link| link.pim_register);
        self.pim_register.insert(index, register);
        Ok(register)
    }

    /// Tells the multicast routing daemon that data of (source, group) wants to come in by
    /// `incoming`, as a first data packet would.
    ///
    /// An intercepted PATH never does that, so a tree may be missing as long as no data flows.
    /// pimd then installs the entry, which becomes news (`KernelNews::MulticastRoute`). Without a
    /// daemon nothing happens. smcroute answers with an entry that leads nowhere, so do not use
    /// this there. The caller limits the rate.
    ///
    /// # Errors
    /// What the kernel said; `Unsupported` for IPv6, which has no such question.
    pub fn kick(&mut self, source: IpAddr, group: IpAddr, incoming: u32) -> io::Result<()> {
        if !group.is_ipv4() || !source.is_ipv4() {
            let text = format!("cannot ask for a tree of ({source}, {group}): only IPv4 can");
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        if self.kick.is_none() {
            self.kick = Some(open_route_socket()?);
        }
        let Some(socket) = &self.kick else { return Ok(()) };
        // Late answers to earlier kicks would fill the socket.
        self.answer.clear();
        while socket.recv(&mut self.answer, 0).is_ok() {
            self.answer.clear();
        }
        let mut request = Request::get_route(0, FAMILY_IPV4, &group, Some(&source));
        request.attribute(libc::RTA_IIF, &incoming.to_ne_bytes());
        send(socket, &request.finish())
    }

    /// Asks the kernel something and shows every message of the answer to `see`.
    ///
    /// # Errors
    /// The error number in the kernel's answer, or that it gave none.
    pub(super) fn ask(
        &mut self,
        request: impl Fn(u32) -> Request,
        mut see: impl FnMut(&Message<'_>),
    ) -> io::Result<Outcome> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = request(self.sequence).finish();
        send(&self.socket, &request)?;
        let mut outcome = Outcome::Whole;
        loop {
            self.answer.clear();
            self.socket.recv(&mut self.answer, 0).map_err(no_answer)?;
            for message in messages(&self.answer) {
                // Left over from a question that was given up.
                if message.sequence != self.sequence {
                    continue;
                }
                if i32::from(message.flags) & libc::NLM_F_DUMP_INTR != 0 {
                    outcome = Outcome::Torn;
                }
                match i32::from(message.kind) {
                    libc::NLMSG_ERROR | libc::NLMSG_DONE => {
                        return match message.error() {
                            0 => Ok(outcome),
                            error => Err(io::Error::from_raw_os_error(error)),
                        };
                    }
                    _ => see(&message),
                }
                if i32::from(message.flags) & libc::NLM_F_MULTI == 0 {
                    return Ok(outcome);
                }
            }
        }
    }
}

fn family(address: &IpAddr) -> u8 {
    if address.is_ipv4() { FAMILY_IPV4 } else { FAMILY_IPV6 }
}

/// Whether a unicast route leaves the choice of its path to a hash.
fn several_paths(entry: &RouteEntry) -> bool {
    entry.kind == libc::RTN_UNICAST && entry.outgoing.is_none()
}

/// The one path of a unicast route.
fn picked(entry: Option<RouteEntry>) -> Route {
    let Some(entry) = entry else { return Route::Unreachable };
    match (entry.kind, entry.outgoing) {
        (libc::RTN_LOCAL, _) => Route::Local,
        (libc::RTN_UNICAST | libc::RTN_MULTICAST, Some(interface)) => {
            Route::Unicast { interface, gateway: entry.gateway }
        }
        _ => Route::Unreachable,
    }
}

/// Whether an answer can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Yes.
    Whole,
    /// The table changed while it was dumped.
    Torn,
}

/// Sends a message to the kernel.
fn send(socket: &Socket, message: &[u8]) -> io::Result<()> {
    socket.send_to(message, &SocketAddr::new(0, 0), 0).map(|_| ())
}

/// An error of recv(2) that is not to be taken for one in the kernel's answer.
fn no_answer(error: io::Error) -> io::Error {
    io::Error::other(format!("the kernel gave no answer over netlink: {error}"))
}

/// The prefix of a route as news: all of its family for a default route, all for an odd one.
pub(super) fn prefix(entry: &RouteEntry) -> Option<(IpAddr, u8)> {
    let address = match (entry.destination, entry.family) {
        (Some(address), _) => address,
        (None, FAMILY_IPV4) => IpAddr::from([0_u8; 4]),
        (None, FAMILY_IPV6) => IpAddr::from([0_u8; 16]),
        (None, _) => return None,
    };
    let bits = octets(&address).len() * 8;
    (usize::from(entry.destination_prefix) <= bits).then_some((address, entry.destination_prefix))
}
