//! Sending RSVP messages in batches.
//!
//! The usual way writes the IP header itself (`IP_HDRINCL`), so that a PATH leaves with its
//! sender's address, its TTL and Router Alert. That way the kernel does not fragment; a message
//! over the MTU goes by a second socket without `IP_HDRINCL`, whose packets it does. Messages over
//! IPv6 have a socket of their own ([`LocalSocket`]).
#![allow(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use super::cmsg::ControlBuffer;
use super::ip6::LocalSocket;
use super::ipv4::{HEADER_BYTES_ROUTER_ALERT, Header, ROUTER_ALERT};
use crate::packet::{TransmitMeta, TransmitQueue};

/// Messages given to the kernel in one call.
const CHUNK: usize = 64;

/// Distinct failures kept of one batch; further ones are still counted in the report.
const FAILURES_KEPT: usize = 64;

/// What became of one batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SendReport {
    /// Messages that the kernel took, those that it fragmented included.
    pub sent: usize,
    /// Of these, how many were over the MTU and were left to the kernel to fragment.
    pub fragmented: usize,
    /// Messages that the kernel refused; the socket's `send_failures` has why.
    pub failed: usize,
    /// Messages of a family that this socket does not speak; not sent.
    pub unsupported: usize,
    /// Number of the first message not dealt with; the queue's length unless `blocked`.
    pub next: usize,
    /// The send buffer is full: await writability and go on from `next` with the same queue.
    pub blocked: bool,
}

/// Messages that the kernel refused for one reason, towards one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendFailure {
    /// The error number, as in errno(3).
    pub error: i32,
    /// Destination address of the IP header.
    pub destination: IpAddr,
    /// Interface that was asked for.
    pub interface: Option<u32>,
    /// How many messages.
    pub count: u64,
}

impl std::fmt::Display for SendFailure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "cannot send {} message(s) to {}", self.count, self.destination)?;
        if let Some(interface) = self.interface {
            write!(formatter, " through interface {interface}")?;
        }
        let advice = match self.error {
            libc::EMSGSIZE => "; the message does not fit into an IP packet",
            libc::ENETUNREACH | libc::EHOSTUNREACH => "; look at the routes and at the interface",
            libc::EPERM | libc::EACCES => "; a packet filter or a prohibit route refuses it",
            libc::ENODEV | libc::ENXIO | libc::ENETDOWN => "; the interface is gone or down",
            _ => "",
        };
        write!(formatter, ": {}{advice}", io::Error::from_raw_os_error(self.error))
    }
}

/// One IPv4 message on its way: everything that must stay put while the kernel reads it.
#[derive(Debug, Clone)]
struct Slot {
    header: Header,
    octets: [u8; HEADER_BYTES_ROUTER_ALERT],
    interface: Option<u32>,
    /// Whom the kernel gives the packet to: it goes by the socket address, not by the header
    /// (`FLOWI_FLAG_KNOWN_NH`).
    next_hop: Ipv4Addr,
    control: ControlBuffer,
}

impl Slot {
    const EMPTY: Slot = Slot {
        header: Header {
            source: Ipv4Addr::UNSPECIFIED,
            destination: Ipv4Addr::UNSPECIFIED,
            ttl: 0,
            tos: 0,
            router_alert: false,
        },
        octets: [0; HEADER_BYTES_ROUTER_ALERT],
        interface: None,
        next_hop: Ipv4Addr::UNSPECIFIED,
        control: ControlBuffer::new(),
    };

    /// Fills the slot for a message; false if its addresses are not IPv4.
    fn fill(&mut self, meta: &TransmitMeta, tos: u8) -> bool {
        let IpAddr::V4(destination) = meta.destination else { return false };
        let source = match meta.source {
            None => Ipv4Addr::UNSPECIFIED,
            Some(IpAddr::V4(source)) => source,
            Some(IpAddr::V6(_)) => return false,
        };
        let header =
            Header { source, destination, ttl: meta.ttl, tos, router_alert: meta.router_alert };
        self.octets = header.octets();
        self.header = header;
        self.interface = meta.interface;
        self.next_hop = match meta.gateway {
            Some(IpAddr::V4(gateway)) => gateway,
            _ => destination,
        };
        self.control.clear();
        // The source stands in the header; in the control message it would have to be ours.
        meta.interface
            .is_none_or(|interface| self.control.push_packet_info(interface, Ipv4Addr::UNSPECIFIED))
    }
}

/// The sending half of the RSVP socket: slots for one chunk, and the failures of the last batch.
#[derive(Debug)]
pub(super) struct Transmitter {
    slots: Vec<Slot>,
    failures: Vec<SendFailure>,
    tos: u8,
}

/// The two sockets that messages leave by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exits<'s> {
    /// With `IP_HDRINCL`.
    pub(super) header_included: BorrowedFd<'s>,
    /// Without it, and with `IP_TRANSPARENT`: here the kernel fragments.
    pub(super) fragmenting: BorrowedFd<'s>,
    /// For IPv6.
    pub(super) ip6: Option<&'s LocalSocket>,
}

impl Transmitter {
    /// A transmitter that marks its packets with this type of service.
    pub(super) fn new(tos: u8) -> Transmitter {
        Transmitter {
            slots: vec![Slot::EMPTY; CHUNK],
            failures: Vec::with_capacity(FAILURES_KEPT),
            tos,
        }
    }

    /// The failures of the last batch.
    pub(super) fn failures(&self) -> &[SendFailure] {
        &self.failures
    }

    /// Sends the queue from message number `first` on; see `RawSocket::send_batch`.
    pub(super) fn send(
        &mut self,
        exits: Exits<'_>,
        queue: &TransmitQueue,
        first: usize,
    ) -> SendReport {
        self.failures.clear();
        let mut report = SendReport { next: first.min(queue.len()), ..SendReport::default() };
        let mut messages = queue.iter().skip(first).peekable();
        while !report.blocked && messages.peek().is_some() {
            let mut payloads: [&[u8]; CHUNK] = [&[]; CHUNK];
            let mut filled = 0;
            for (slot, payload) in self.slots.iter_mut().zip(&mut payloads) {
                let Some((_, message)) = messages.next_if(|(meta, _)| slot.fill(meta, self.tos))
                else {
                    break;
                };
                *payload = message;
                filled += 1;
            }
            // A message of another family ends the chunk; it is counted once it stands in front,
            // so that a caller who resumes from `next` never has it counted twice.
            if filled == 0 {
                let Some((meta, message)) = messages.next() else { break };
                self.send_ip6(exits.ip6, &meta, message, &mut report);
                continue;
            }
            let payloads = payloads.get(..filled).unwrap_or_default();
            self.flush(exits, payloads, &mut report);
        }
        report
    }

    /// Gives the filled slots to the kernel.
    fn flush(&mut self, exits: Exits<'_>, payloads: &[&[u8]], report: &mut SendReport) {
        // SAFETY: sockaddr_in, iovec and mmsghdr are plain C data; all zeros is a valid value.
        let (mut names, mut vectors, mut headers) = unsafe {
            (
                std::mem::zeroed::<[libc::sockaddr_in; CHUNK]>(),
                std::mem::zeroed::<[[libc::iovec; 2]; CHUNK]>(),
                std::mem::zeroed::<[libc::mmsghdr; CHUNK]>(),
            )
        };
        let places = headers.iter_mut().zip(&mut names).zip(&mut vectors);
        for (((header, name), vector), (slot, payload)) in
            places.zip(self.slots.iter().zip(payloads))
        {
            *name = socket_address(slot.next_hop);
            let octets = slot.octets.get(..slot.header.length()).unwrap_or_default();
            *vector = [io_vector(octets), io_vector(payload)];
            set_message(&mut header.msg_hdr, name, vector, slot.control.written());
        }
        let mut done = 0;
        while let Some(rest) = headers.get_mut(done..payloads.len()).filter(|rest| !rest.is_empty())
        {
            match send_many(exits.header_included, rest) {
                Ok(count) => {
                    done += count;
                    report.sent += count;
                    report.next += count;
                    continue;
                }
                Err(libc::EINTR) => continue,
                Err(error) if is_blocked(error) => {
                    report.blocked = true;
                    return;
                }
                Err(error) => {
                    let outcome = match (error, self.slots.get(done), payloads.get(done)) {
                        (libc::EMSGSIZE, Some(slot), Some(payload)) => {
                            send_fragmented(exits.fragmenting, slot, payload)
                        }
                        _ => Err(error),
                    };
                    match outcome {
                        Ok(()) => {
                            report.sent += 1;
                            report.fragmented += 1;
                        }
                        Err(error) if is_blocked(error) => {
                            report.blocked = true;
                            return;
                        }
                        Err(error) => {
                            report.failed += 1;
                            if let Some(slot) = self.slots.get(done) {
                                let destination = IpAddr::V4(slot.header.destination);
                                self.note_failure(error, destination, slot.interface);
                            }
                        }
                    }
                }
            }
            done += 1;
            report.next += 1;
        }
    }

    /// Sends a message over IPv6.
    fn send_ip6(
        &mut self,
        socket: Option<&LocalSocket>,
        meta: &TransmitMeta,
        message: &[u8],
        report: &mut SendReport,
    ) {
        match socket.map(|socket| socket.send(meta, message)) {
            None => report.unsupported += 1,
            Some(Ok(())) => report.sent += 1,
            Some(Err(error)) if is_blocked(error) => {
                report.blocked = true;
                return;
            }
            Some(Err(error)) => {
                report.failed += 1;
                self.note_failure(error, meta.destination, meta.interface);
            }
        }
        report.next += 1;
    }

    /// Counts a message that the kernel refused.
    fn note_failure(&mut self, error: i32, destination: IpAddr, interface: Option<u32>) {
        let kept = self.failures.len();
        let known = self.failures.iter_mut().find(|failure| {
            (failure.error, failure.destination, failure.interface)
                == (error, destination, interface)
        });
        match known {
            Some(failure) => failure.count += 1,
            None if kept < FAILURES_KEPT => {
                self.failures.push(SendFailure { error, destination, interface, count: 1 });
            }
            None => {}
        }
    }
}

/// True for the error of a full send buffer.
fn is_blocked(error: i32) -> bool {
    error == libc::EAGAIN || error == libc::EWOULDBLOCK
}

/// A destination as the kernel wants it; raw sockets have no ports.
fn socket_address(destination: Ipv4Addr) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(destination.octets()) },
        sin_zero: [0; 8],
    }
}

/// Bytes to be gathered by a send call, which only reads them.
fn io_vector(bytes: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

/// Points a message header at its parts. The caller keeps them in place until it is sent.
fn set_message(
    header: &mut libc::msghdr,
    name: &libc::sockaddr_in,
    vectors: &[libc::iovec],
    control: &[u8],
) {
    header.msg_name = std::ptr::from_ref(name).cast_mut().cast();
    header.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    header.msg_iov = vectors.as_ptr().cast_mut();
    header.msg_iovlen = vectors.len();
    if !control.is_empty() {
        header.msg_control = control.as_ptr().cast_mut().cast();
        header.msg_controllen = control.len();
    }
}

/// sendmmsg(2): how many messages went, at least one, or the error number of the first.
fn send_many(socket: BorrowedFd<'_>, headers: &mut [libc::mmsghdr]) -> Result<usize, i32> {
    let count = libc::c_uint::try_from(headers.len()).unwrap_or(libc::c_uint::MAX);
    // SAFETY: `headers` holds `count` entries whose name, iovec and control pointers lead, with
    // the right lengths, to memory that the caller keeps borrowed for longer than this call; the
    // kernel writes to the entries themselves only.
    let result = unsafe {
        libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, libc::MSG_DONTWAIT as _)
    };
    usize::try_from(result).map_err(|_| last_errno())
}

/// Sends one message by the socket on which the kernel writes the header and fragments.
fn send_fragmented(socket: BorrowedFd<'_>, slot: &Slot, payload: &[u8]) -> Result<(), i32> {
    let mut control = ControlBuffer::new();
    let mut fits = control.push_packet_info(slot.interface.unwrap_or_default(), slot.header.source);
    fits &= control.push_ttl(slot.header.ttl);
    if slot.header.router_alert {
        fits &= control.push_options(&ROUTER_ALERT);
    }
    if !fits {
        return Err(libc::ENOBUFS);
    }
    let name = socket_address(slot.header.destination);
    let vectors = [io_vector(payload)];
    // SAFETY: msghdr is plain C data; all zeros (null pointers, zero lengths) is a valid value.
    let mut header = unsafe { std::mem::zeroed::<libc::msghdr>() };
    set_message(&mut header, &name, &vectors, control.written());
    loop {
        // SAFETY: the name, the iovec, the payload and the control buffer that `header` points to
        // all outlive the call, with the lengths given; the kernel only reads them.
        let result =
            unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_DONTWAIT) };
        if result >= 0 {
            return Ok(());
        }
        let error = last_errno();
        if error != libc::EINTR {
            return Err(error);
        }
    }
}

/// The error number of the system call that just failed.
fn last_errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}
