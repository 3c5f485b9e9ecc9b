//! One end of the network under test: its socket, and what it writes messages with.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::time::Duration;

use lcm_daemon::io::raw_socket::{RawSocket, SocketSettings};
use lcm_daemon::io::receive::RecvBatch;
use lcm_daemon::lab::{LabError, NodeHandle};
use lcm_daemon::packet::{TransmitMeta, TransmitQueue};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll, ppoll};
use nix::sys::time::TimeSpec;
use rsvp_wire::object::Hop;

use super::messages::{TTL, Templates, session};

/// The generator or the sink.
pub(super) struct End {
    pub(super) socket: RawSocket,
    pub(super) queue: TransmitQueue,
    pub(super) batch: RecvBatch,
    pub(super) templates: Templates,
    pub(super) interface: u32,
    pub(super) address: Ipv4Addr,
    /// The router's address on this link.
    pub(super) router: Ipv4Addr,
}

impl End {
    /// Opens the socket of a node, which sends by an interface with an address to the router; the
    /// flows are those of `sender`.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(super) fn open(
        node: &NodeHandle,
        (interface, address): (u32, Ipv4Addr),
        router: Ipv4Addr,
        sender: Ipv4Addr,
    ) -> Result<End, LabError> {
        let open = || RawSocket::open(&SocketSettings::default());
        Ok(End {
            socket: node.attempt("opening the RSVP socket", open)?,
            queue: TransmitQueue::default(),
            batch: RecvBatch::new(),
            templates: Templates::new(address, sender),
            interface,
            address,
            router,
        })
    }

    /// Takes one batch off the socket; false if there is nothing.
    pub(super) fn receive(&mut self) -> Result<bool, LabError> {
        match self.socket.recv_batch(&mut self.batch) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Queues a PATH or PATHTEAR of a session, which goes to its destination.
    pub(super) fn queue_path(&mut self, number: u32, message: &[u8]) {
        self.queue_to(session(number).destination, true, message);
    }

    /// Queues a message to the router.
    pub(super) fn queue_to_router(&mut self, message: &[u8]) {
        self.queue_to(self.router.into(), false, message);
    }

    fn queue_to(&mut self, destination: IpAddr, router_alert: bool, message: &[u8]) {
        let meta = TransmitMeta {
            interface: Some(self.interface),
            gateway: None,
            source: Some(self.address.into()),
            destination,
            ttl: TTL,
            router_alert,
        };
        self.queue.push(meta, message);
    }

    /// Sends the queue; returns how many messages the kernel refused.
    pub(super) fn flush(&mut self) -> Result<u64, LabError> {
        let (mut first, mut refused) = (0, 0);
        while first < self.queue.len() {
            let report = self.socket.send_batch(&self.queue, first);
            first = report.next;
            refused += (report.failed + report.unsupported) as u64;
            if report.blocked {
                let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)];
                match poll(&mut fds, PollTimeout::NONE) {
                    Ok(_) | Err(nix::Error::EINTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        self.queue.clear();
        Ok(refused)
    }
}

/// Waits until something comes to either end, at most for a time.
pub(super) fn await_any(ends: [&End; 2], time: Duration) -> Result<(), LabError> {
    let mut fds = ends.map(|end| PollFd::new(end.socket.as_fd(), PollFlags::POLLIN));
    match ppoll(&mut fds, Some(TimeSpec::from_duration(time)), None) {
        Ok(_) | Err(nix::Error::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether a hop is the one with an address.
pub(super) fn is(hop: &Hop, address: Ipv4Addr) -> bool {
    hop.address == address
}
