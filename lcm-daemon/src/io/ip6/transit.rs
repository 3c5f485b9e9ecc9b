//! RSVP over IPv6 that is on its way to somebody else.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, RawFd};

use nix::sys::socket::{LinkAddr, recvfrom};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::INTERCEPTED;
use super::nftables::Rules;
use crate::io::raw_socket::set_receive_buffer;
use crate::io::{clock, options};
use crate::ip::fragments::{Fragments, Outcome};
use crate::ip::{self, IpPacket};
use crate::packet::PacketMeta;

/// The longest IP packet.
const PACKET_BYTES: usize = 65_575;

/// A packet socket that sees RSVP over IPv6, and the rules that leave what it sees to us.
#[derive(Debug)]
pub struct TransitSocket {
    socket: Socket,
    bytes: Vec<u8>,
    whole: Vec<u8>,
    /// Fragments by the interface that they came in on.
    fragments: Fragments<u32>,
    own: HashSet<Ipv6Addr>,
    _rules: Rules,
}

impl TransitSocket {
    /// Opens the socket in the network namespace of the calling thread, and puts the rules up.
    ///
    /// # Errors
    /// The step that the kernel refused.
    pub fn open(receive_buffer: usize) -> io::Result<TransitSocket> {
        let kind = Type::DGRAM.nonblocking().cloexec();
        let ipv6 = u16::try_from(libc::ETH_P_IPV6).unwrap_or_default().to_be();
        let protocol = Protocol::from(i32::from(ipv6));
        let socket = Socket::new(Domain::PACKET, kind, Some(protocol)).map_err(|error| {
            let text = format!("cannot open a packet socket for RSVP over IPv6: {error}");
            io::Error::new(error.kind(), text)
        })?;
        socket.attach_filter(&filter())?;
        set_receive_buffer(socket.as_fd(), receive_buffer)?;
        // What came before the filter may be anything; each packet is looked at when it is taken.
        Ok(TransitSocket {
            socket,
            bytes: vec![0; PACKET_BYTES],
            whole: Vec::new(),
            fragments: Fragments::default(),
            own: HashSet::new(),
            _rules: Rules::put_up()?,
        })
    }

    /// Says which addresses are this node's: what is sent to them comes by the other socket.
    pub fn set_own(&mut self, own: impl Iterator<Item = IpAddr>) {
        let v6 = |address| match address {
            IpAddr::V6(address) => Some(address),
            IpAddr::V4(_) => None,
        };
        self.own = own.filter_map(v6).collect();
    }

    /// Takes one packet off the socket; `None` if it was none of ours, or a fragment that waits for
    /// others.
    ///
    /// # Errors
    /// `WouldBlock` if none waits, else what recvfrom(2) said.
    pub fn receive(&mut self) -> io::Result<Option<(PacketMeta, &[u8])>> {
        let (length, from) = recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut self.bytes)?;
        let interface = from.map_or(0, |from| u32::try_from(from.ifindex()).unwrap_or_default());
        let Some(packet) = self.bytes.get(..length).and_then(ip::parse) else { return Ok(None) };
        // What goes to a link-local address goes nowhere else.
        let IpAddr::V6(destination) = packet.dst else { return Ok(None) };
        if destination.is_unicast_link_local() || self.own.contains(&destination) {
            return Ok(None);
        }
        let mut meta = PacketMeta {
            interface,
            source: packet.src,
            destination: packet.dst,
            ttl: packet.ttl,
            router_alert: false,
        };
        let Some(fragment) = packet.fragment else {
            let whole = packet.payload.len() == packet.payload_len;
            return Ok((whole && is_ours(&packet)).then_some((meta, packet.payload)));
        };
        let at = i128::from(clock::monotonic_us()) * 1_000;
        let Outcome::Whole(joined) = self.fragments.take(&packet, fragment, interface, Some(at))
        else {
            return Ok(None);
        };
        meta.ttl = joined.ttl;
        self.whole = joined.payload;
        let inner = IpPacket {
            protocol: joined.protocol,
            payload: &self.whole,
            payload_len: self.whole.len(),
            fragment: None,
            ..packet
        };
        let inner = ip::behind_extensions(inner);
        Ok(is_ours(&inner).then_some((meta, inner.payload)))
    }
}

impl TransitSocket {
    /// Packets lost since the socket was opened because its receive buffer was full; wraps.
    ///
    /// # Errors
    /// What getsockopt(2) said.
    pub fn kernel_drops(&self) -> io::Result<u32> {
        options::receive_drops(self.socket.as_fd())
    }
}

impl AsRawFd for TransitSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Whether this is a message that we are to serve on its way.
fn is_ours(packet: &IpPacket<'_>) -> bool {
    let kind = packet.payload.get(1);
    ip::is_rsvp(packet) && INTERCEPTED.iter().any(|of| kind == Some(&u8::from(*of)))
}

/// Classic BPF over the packet from its IPv6 header on: RSVP, alone, behind hop-by-hop options, or
/// in fragments; and neither what this node sends nor what was meant for another one on the link.
fn filter() -> [SockFilter; 20] {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
    const LOAD_AT_X: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_IND) as u16;
    const TO_X: u16 = (libc::BPF_MISC | libc::BPF_TAX) as u16;
    const ADD: u16 = (libc::BPF_ALU | libc::BPF_ADD | libc::BPF_K) as u16;
    const SHIFT: u16 = (libc::BPF_ALU | libc::BPF_LSH | libc::BPF_K) as u16;
    const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const GO_ON: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    /// `SKF_AD_OFF + SKF_AD_PKTTYPE`.
    const PACKET_TYPE: u32 = (-0x1000_i32 + 4).cast_unsigned();
    const OTHER_HOST: u32 = 3;
    const OUTGOING: u32 = 4;
    const NEXT_HEADER: u32 = 6;
    const FIRST: u32 = 40;
    const HOP_BY_HOP: u32 = 0;
    const FRAGMENT: u32 = 44;
    const RSVP: u32 = 46;
    let step = |code, yes, no, value| SockFilter::new(code, yes, no, value);
    [
        step(LOAD, 0, 0, PACKET_TYPE),
        step(IF_EQUAL, 16, 0, OTHER_HOST),
        step(IF_EQUAL, 15, 0, OUTGOING),
        step(LOAD, 0, 0, NEXT_HEADER),
        step(IF_EQUAL, 14, 0, RSVP),
        step(IF_EQUAL, 10, 0, FRAGMENT),
        step(IF_EQUAL, 0, 11, HOP_BY_HOP),
        step(LOAD, 0, 0, FIRST),
        step(IF_EQUAL, 10, 0, RSVP),
        step(IF_EQUAL, 0, 8, FRAGMENT),
        // Behind the options: at 40 + 8 · (length + 1).
        step(LOAD, 0, 0, FIRST + 1),
        step(SHIFT, 0, 0, 3),
        step(ADD, 0, 0, FIRST + 8),
        step(TO_X, 0, 0, 0),
        step(LOAD_AT_X, 0, 0, 0),
        step(GO_ON, 0, 0, 1),
        // A fragment header: what it is a part of.
        step(LOAD, 0, 0, FIRST),
        step(IF_EQUAL, 1, 0, RSVP),
        step(RETURN, 0, 0, 0),
        step(RETURN, 0, 0, u32::MAX),
    ]
}
