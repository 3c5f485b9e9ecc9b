//! What is addressed to this node over IPv6, and all that it sends.
//!
//! Unlike IPv4's raw socket this one never shows or takes IP headers: what they say travels in
//! control messages, and the kernel fragments what is over the MTU.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, RawFd};

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, sendmsg,
};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::io::ipv4::PROTOCOL_RSVP;
use crate::io::options::{self, SocketOption, option};
use crate::io::raw_socket::{DROP_ALL, SocketSettings, set_receive_buffer};
use crate::packet::{PacketMeta, TransmitMeta};

/// The hop-by-hop options header of a message with Router Alert (RFC 2711 section 2.1): the next
/// header is the kernel's to fill in, the length counts units of 8 octets beyond the first, the
/// option has the value 1 for RSVP, and two octets of padding follow.
const ROUTER_ALERT: [u8; 8] = [0, 0, 5, 2, 0, 1, 1, 0];

/// Raw sockets of IP protocol 46 over IPv6: one that receives and sends, one that sends with Router
/// Alert.
#[derive(Debug)]
pub struct LocalSocket {
    socket: Socket,
    /// Receives nothing.
    alerting: Socket,
    bytes: Vec<u8>,
}

impl LocalSocket {
    /// Opens the sockets in the network namespace of the calling thread.
    ///
    /// # Errors
    /// The step that the kernel refused.
    pub fn open(settings: &SocketSettings) -> io::Result<LocalSocket> {
        let socket = open_raw(settings)?;
        let fd = socket.as_fd();
        options::set(fd, option!(IPPROTO_IPV6, IPV6_RECVPKTINFO), 1)?;
        options::set(fd, option!(IPPROTO_IPV6, IPV6_RECVHOPLIMIT), 1)?;
        set_receive_buffer(fd, settings.receive_buffer)?;
        let alerting = open_raw(settings)?;
        // It would get a copy of all that is addressed to this node.
        alerting.attach_filter(&[SockFilter::new(DROP_ALL, 0, 0, 0)])?;
        options::set_raw(alerting.as_fd(), option!(IPPROTO_IPV6, IPV6_HOPOPTS), &ROUTER_ALERT)?;
        Ok(LocalSocket { socket, alerting, bytes: vec![0; u16::MAX.into()] })
    }

    /// Takes one message off the socket.
    ///
    /// # Errors
    /// `WouldBlock` if none waits, else what recvmsg(2) said. A packet of which the kernel does not
    /// say where it came in is passed over as `Interrupted`.
    pub fn receive(&mut self) -> io::Result<(PacketMeta, &[u8])> {
        let mut control = nix::cmsg_space!(libc::in6_pktinfo, libc::c_int);
        let mut vectors = [IoSliceMut::new(&mut self.bytes)];
        let fd = self.socket.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        let message = recvmsg::<SockaddrIn6>(fd, &mut vectors, Some(&mut control), flags)?;
        let mut arrived = None;
        let mut ttl = 0;
        for said in message.cmsgs()? {
            match said {
                ControlMessageOwned::Ipv6PacketInfo(info) => arrived = Some(info),
                ControlMessageOwned::Ipv6HopLimit(limit) => {
                    ttl = u8::try_from(limit).unwrap_or_default();
                }
                _ => {}
            }
        }
        let (Some(info), Some(from)) = (arrived, message.address) else {
            return Err(io::ErrorKind::Interrupted.into());
        };
        let meta = PacketMeta {
            interface: info.ipi6_ifindex,
            source: IpAddr::V6(from.ip()),
            destination: IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr)),
            ttl,
            // Nobody asks for it of what is addressed to this node.
            router_alert: false,
        };
        let length = message.bytes;
        Ok((meta, self.bytes.get(..length).unwrap_or_default()))
    }

    /// Sends one message.
    ///
    /// # Errors
    /// The error number that the kernel gave.
    pub(in crate::io) fn send(&self, meta: &TransmitMeta, message: &[u8]) -> Result<(), i32> {
        let IpAddr::V6(destination) = meta.destination else { return Err(libc::EAFNOSUPPORT) };
        let source = match meta.source {
            Some(IpAddr::V6(source)) => source,
            Some(IpAddr::V4(_)) => return Err(libc::EAFNOSUPPORT),
            None => Ipv6Addr::UNSPECIFIED,
        };
        let interface = meta.interface.unwrap_or_default();
        let info = libc::in6_pktinfo {
            ipi6_addr: libc::in6_addr { s6_addr: source.octets() },
            ipi6_ifindex: interface,
        };
        let limit = libc::c_int::from(meta.ttl);
        let control = [ControlMessage::Ipv6PacketInfo(&info), ControlMessage::Ipv6HopLimit(&limit)];
        let socket = if meta.router_alert { &self.alerting } else { &self.socket };
        let gateway = match meta.gateway {
            Some(IpAddr::V6(gateway)) => Some(gateway),
            _ => None,
        };
        if let Some(gateway) = gateway {
            set_next_hop(socket, Some((gateway, interface)))?;
        }
        let to = SockaddrIn6::from(SocketAddrV6::new(destination, 0, 0, interface));
        let vectors = [IoSlice::new(message)];
        let fd = socket.as_raw_fd();
        let sent = loop {
            match sendmsg(fd, &vectors, &control, MsgFlags::MSG_DONTWAIT, Some(&to)) {
                Err(nix::Error::EINTR) => {}
                other => break other,
            }
        };
        if gateway.is_some() {
            set_next_hop(socket, None)?;
        }
        sent.map(|_| ()).map_err(|error| error as i32)
    }

    /// Joins a multicast group on an interface; joining twice is no error.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn join_group(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        match self.socket.join_multicast_v6(group, interface) {
            Err(error) if error.raw_os_error() == Some(libc::EADDRINUSE) => Ok(()),
            result => result,
        }
    }

    /// Leaves a multicast group on an interface; not being a member is no error.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn leave_group(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        match self.socket.leave_multicast_v6(group, interface) {
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::ENODEV)) =>
            {
                Ok(())
            }
            result => result,
        }
    }

    /// Packets lost since the socket was opened because its receive buffer was full; wraps.
    ///
    /// # Errors
    /// What getsockopt(2) said.
    pub fn kernel_drops(&self) -> io::Result<u32> {
        options::receive_drops(self.socket.as_fd())
    }
}

impl AsRawFd for LocalSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// A raw IPv6 socket of protocol 46 that may send from any address.
fn open_raw(settings: &SocketSettings) -> io::Result<Socket> {
    let kind = Type::RAW.nonblocking().cloexec();
    let protocol = Protocol::from(i32::from(PROTOCOL_RSVP));
    let socket = Socket::new(Domain::IPV6, kind, Some(protocol)).map_err(|error| {
        let text = format!("cannot open a raw socket for RSVP over IPv6, protocol 46: {error}");
        io::Error::new(error.kind(), text)
    })?;
    let fd = socket.as_fd();
    options::set(fd, option!(IPPROTO_IPV6, IPV6_TRANSPARENT), 1)?;
    // With the loop on, the daemon would receive its own multicast PATH.
    options::set(fd, option!(IPPROTO_IPV6, IPV6_MULTICAST_LOOP), 0)?;
    options::set(fd, option!(IPPROTO_IPV6, IPV6_TCLASS), i32::from(settings.tos))?;
    options::set(fd, option!(SOL_SOCKET, SO_PRIORITY), settings.priority.cast_signed())?;
    options::set_buffer(
        fd,
        option!(SOL_SOCKET, SO_SNDBUFFORCE),
        option!(SOL_SOCKET, SO_SNDBUF),
        settings.send_buffer,
    )?;
    Ok(socket)
}

/// Gives what is sent next to a neighbour that the kernel's routes do not name, or no more so.
fn set_next_hop(socket: &Socket, next: Option<(Ipv6Addr, u32)>) -> Result<(), i32> {
    const NEXT_HOP: SocketOption = option!(IPPROTO_IPV6, IPV6_NEXTHOP);
    let set = match next {
        Some((address, interface)) => {
            let address = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: 0,
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: address.octets() },
                sin6_scope_id: interface,
            };
            options::set_raw(socket.as_fd(), NEXT_HOP, &address)
        }
        None => options::set_raw(socket.as_fd(), NEXT_HOP, &[0_u8; 0]),
    };
    set.map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))
}
