//! The RSVP socket for IPv4: PATH in transit through Router Alert, everything else by address.
//!
//! One raw socket of IP protocol 46 receives both: with `IP_ROUTER_ALERT` the kernel hands it
//! every forwarded packet of that protocol that carries the option, *instead of forwarding it*,
//! and what is addressed to this node comes as usual. While no such socket is open, the kernel
//! forwards PATH as any packet; a socket that is open but not read blackholes it.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockFilter, Socket, Type};

use super::ip6::LocalSocket;
use super::ipv4::PROTOCOL_RSVP;
use super::options::{self, SocketOption, option};
use super::receive::RecvBatch;
use super::transmit::{Exits, SendFailure, SendReport, Transmitter};
use crate::packet::TransmitQueue;

/// What to ask of the kernel for the RSVP socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketSettings {
    /// Receive buffer in bytes of kernel memory; a 300-octet packet takes about 1,280 of them.
    /// The system's default holds some 167 such packets, which is less than one burst.
    pub receive_buffer: usize,
    /// Send buffer in bytes of kernel memory. Packets that wait for a dead neighbour's link-layer
    /// address stay in it for seconds, so it must hold more than the living ones need.
    pub send_buffer: usize,
    /// Queueing priority of what is sent, `SO_PRIORITY`: 0 to 15, or an HTB class as
    /// `major << 16 | minor`.
    pub priority: u32,
    /// Type of service octet of what is sent.
    pub tos: u8,
}

impl SocketSettings {
    /// Default of `receive_buffer`: about 6,500 packets of 300 octets.
    pub const DEFAULT_RECEIVE_BUFFER: usize = 8 << 20;
    /// Default of `send_buffer`.
    pub const DEFAULT_SEND_BUFFER: usize = 8 << 20;
    /// Default of `priority`: network control.
    pub const DEFAULT_PRIORITY: u32 = 7;
    /// Default of `tos`: class selector 6, network control (RFC 2474 section 4.2.2).
    pub const DEFAULT_TOS: u8 = 0xc0;
}

impl Default for SocketSettings {
    fn default() -> Self {
        SocketSettings {
            receive_buffer: Self::DEFAULT_RECEIVE_BUFFER,
            send_buffer: Self::DEFAULT_SEND_BUFFER,
            priority: Self::DEFAULT_PRIORITY,
            tos: Self::DEFAULT_TOS,
        }
    }
}

/// The RSVP socket of one network namespace, nonblocking.
///
/// One per daemon: two of them would each receive every PATH.
#[derive(Debug)]
pub struct RawSocket {
    socket: Socket,
    /// Sends what is over the MTU; receives nothing.
    fragmenting: Socket,
    transmitter: Transmitter,
}

impl RawSocket {
    /// Opens the socket in the network namespace of the calling thread.
    ///
    /// # Errors
    /// The step that the kernel refused. Without `CAP_NET_RAW` that is the first one. A receive
    /// buffer smaller than asked for is no error: see [`RawSocket::receive_buffer`].
    pub fn open(settings: &SocketSettings) -> io::Result<RawSocket> {
        let socket = open_raw()?;
        let fd = socket.as_fd();
        options::set(fd, option!(IPPROTO_IP, IP_ROUTER_ALERT), 1)?;
        options::set(fd, option!(IPPROTO_IP, IP_HDRINCL), 1)?;
        options::set(fd, option!(IPPROTO_IP, IP_PKTINFO), 1)?;
        set_receive_buffer(fd, settings.receive_buffer)?;
        set_sending(&socket, settings)?;

        let fragmenting = open_raw()?;
        // This second socket would get a copy of all that is addressed to this node.
        fragmenting.attach_filter(&[SockFilter::new(DROP_ALL, 0, 0, 0)])?;
        let fd = fragmenting.as_fd();
        options::set(fd, option!(IPPROTO_IP, IP_TRANSPARENT), 1)?;
        options::set(fd, option!(IPPROTO_IP, IP_MTU_DISCOVER), libc::IP_PMTUDISC_DONT)?;
        set_sending(&fragmenting, settings)?;

        let transmitter = Transmitter::new(settings.tos);
        Ok(RawSocket { socket, fragmenting, transmitter })
    }

    /// Bytes of receive buffer that the kernel granted, without its own doubling: less than asked
    /// for if the process lacks `CAP_NET_ADMIN` and `net.core.rmem_max` is lower.
    ///
    /// # Errors
    /// What getsockopt(2) said.
    pub fn receive_buffer(&self) -> io::Result<usize> {
        Ok(self.socket.recv_buffer_size()? / 2)
    }

    /// Takes up to [`RecvBatch::CAPACITY`] packets off the socket and says how many, at least one.
    ///
    /// The batch then shows the good ones; the others are in its counters. A full batch means that
    /// more may wait.
    ///
    /// # Errors
    /// `WouldBlock` if none waits, else what recvmmsg(2) said. The batch is empty then.
    pub fn recv_batch(&self, batch: &mut RecvBatch) -> io::Result<usize> {
        batch.receive(self.socket.as_fd())
    }

    /// Sends the queue's messages from number `first` on, in order.
    ///
    /// An error on one message is counted in the report and in [`RawSocket::send_failures`], and
    /// the next one is tried. If the send buffer is full the report is `blocked`: keep the queue,
    /// await writability, and call again with `report.next`.
    pub fn send_batch(&mut self, queue: &TransmitQueue, first: usize) -> SendReport {
        self.send_batch_with(queue, first, None)
    }

    /// The same for messages of both families: those over IPv6 leave by `ip6`, without which they
    /// are counted as unsupported.
    pub fn send_batch_with(
        &mut self,
        queue: &TransmitQueue,
        first: usize,
        ip6: Option<&LocalSocket>,
    ) -> SendReport {
        let exits = Exits {
            header_included: self.socket.as_fd(),
            fragmenting: self.fragmenting.as_fd(),
            ip6,
        };
        self.transmitter.send(exits, queue, first)
    }

    /// What the kernel refused in the last [`RawSocket::send_batch`], by error, destination and
    /// interface; at most 64 kinds are kept.
    #[must_use]
    pub fn send_failures(&self) -> &[SendFailure] {
        self.transmitter.failures()
    }

    /// Joins a multicast group on an interface, as a host that receives a multicast session does;
    /// joining twice is no error.
    ///
    /// A router must not: it would be handed the group's PATH, and the kernel would forward it too.
    ///
    /// # Errors
    /// What the kernel said; `Unsupported` for an IPv6 group.
    pub fn join_group(&self, group: IpAddr, interface: u32) -> io::Result<()> {
        let IpAddr::V4(address) = group else { return Err(unsupported(group)) };
        let interface_index = InterfaceIndexOrAddress::Index(interface);
        match self.socket.join_multicast_v4_n(&address, &interface_index) {
            Err(error) if error.raw_os_error() == Some(libc::EADDRINUSE) => Ok(()),
            result => result.map_err(|error| group_error("join", group, interface, &error)),
        }
    }

    /// Leaves a multicast group on an interface; not being a member is no error.
    ///
    /// # Errors
    /// What the kernel said; `Unsupported` for an IPv6 group.
    pub fn leave_group(&self, group: IpAddr, interface: u32) -> io::Result<()> {
        let IpAddr::V4(address) = group else { return Err(unsupported(group)) };
        let interface_index = InterfaceIndexOrAddress::Index(interface);
        match self.socket.leave_multicast_v4_n(&address, &interface_index) {
            // ENODEV: the interface is gone, and with it the membership.
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::ENODEV)) =>
            {
                Ok(())
            }
            result => result.map_err(|error| group_error("leave", group, interface, &error)),
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

impl AsFd for RawSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for RawSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// The classic BPF instruction `ret 0`: keep nothing of any packet.
pub(super) const DROP_ALL: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// A raw IPv4 socket of protocol 46.
fn open_raw() -> io::Result<Socket> {
    let kind = Type::RAW.nonblocking().cloexec();
    Socket::new(Domain::IPV4, kind, Some(Protocol::from(i32::from(PROTOCOL_RSVP)))).map_err(
        |error| {
            let advice = if error.kind() == io::ErrorKind::PermissionDenied {
                "; give the daemon CAP_NET_RAW (AmbientCapabilities= in its systemd unit, or run \
                 it as root)"
            } else {
                ""
            };
            let text =
                format!("cannot open a raw socket for RSVP, IP protocol 46: {error}{advice}");
            io::Error::new(error.kind(), text)
        },
    )
}

/// Sets what both sockets have in common as senders.
fn set_sending(socket: &Socket, settings: &SocketSettings) -> io::Result<()> {
    let fd = socket.as_fd();
    // With the loop on, the daemon would receive its own multicast PATH, and the kernel could
    // forward it a second time.
    options::set(fd, option!(IPPROTO_IP, IP_MULTICAST_LOOP), 0)?;
    // Setting the type of service sets the priority too, so the priority comes after it.
    options::set(fd, option!(IPPROTO_IP, IP_TOS), i32::from(settings.tos))?;
    options::set(fd, option!(SOL_SOCKET, SO_PRIORITY), settings.priority.cast_signed())?;
    let ordinary = option!(SOL_SOCKET, SO_SNDBUF);
    options::set_buffer(fd, SEND_BUFFER_FORCE, ordinary, settings.send_buffer)
}

/// Sets the receive buffer, beyond the system's limit where that is allowed.
pub(super) fn set_receive_buffer(fd: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let ordinary = option!(SOL_SOCKET, SO_RCVBUF);
    options::set_buffer(fd, option!(SOL_SOCKET, SO_RCVBUFFORCE), ordinary, bytes)
}

const SEND_BUFFER_FORCE: SocketOption = option!(SOL_SOCKET, SO_SNDBUFFORCE);

fn unsupported(group: IpAddr) -> io::Error {
    let text = format!("cannot join or leave {group}: this socket speaks IPv4 only");
    io::Error::new(io::ErrorKind::Unsupported, text)
}

fn group_error(verb: &str, group: IpAddr, interface: u32, error: &io::Error) -> io::Error {
    let text = format!("cannot {verb} group {group} on interface {interface}: {error}");
    io::Error::new(error.kind(), text)
}

#[cfg(test)]
impl RawSocket {
    /// Takes a packet off the socket that is to receive none.
    pub(super) fn receive_where_none_may_arrive(&self) -> io::Result<usize> {
        self.fragmenting.recv(&mut [std::mem::MaybeUninit::uninit(); 64])
    }
}
