//! Tests on the real kernel, in namespaces that they make themselves.

mod cached_routes;
mod delivery;
mod multicast;
mod netns;
mod news;
mod parser;
mod routes;
mod sending;

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use self::netns::{Namespace, To, add_route, index, sysctl};
use super::{RawSocket, RecvBatch, SocketSettings};
use crate::packet::{PacketMeta, TransmitMeta, TransmitQueue};

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(10);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Awaits an event on a descriptor.
fn await_ready(fd: &impl AsFd, flags: PollFlags) {
    let mut fds = [PollFd::new(fd.as_fd(), flags)];
    let timeout = PollTimeout::try_from(PATIENCE).unwrap();
    assert_ne!(poll(&mut fds, timeout).unwrap(), 0, "nothing happened within {PATIENCE:?}");
}

/// A socket with its batch.
struct Node {
    socket: RawSocket,
    batch: RecvBatch,
}

impl Node {
    fn open() -> Node {
        Node::with(&SocketSettings::default())
    }

    fn with(settings: &SocketSettings) -> Node {
        Node { socket: RawSocket::open(settings).unwrap(), batch: RecvBatch::new() }
    }

    /// Receives exactly one packet.
    fn receive(&mut self) -> (PacketMeta, Vec<u8>) {
        await_ready(&self.socket, PollFlags::POLLIN);
        assert_eq!(self.socket.recv_batch(&mut self.batch).unwrap(), 1);
        let mut packets = self.batch.iter();
        let (meta, message) = packets.next().unwrap_or_else(|| {
            panic!("skipped: {:?}", self.batch.skipped());
        });
        (meta, message.to_vec())
    }

    /// Asserts that nothing waits.
    fn assert_silent(&mut self) {
        match self.socket.recv_batch(&mut self.batch) {
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
            Ok(_) => panic!("unexpected: {:?}", self.batch.iter().collect::<Vec<_>>()),
        }
        assert_eq!(self.batch.iter().count(), 0);
    }

    /// Sends one message, which the kernel must take.
    fn send(&mut self, meta: TransmitMeta, message: &[u8]) {
        let mut queue = TransmitQueue::default();
        queue.push(meta, message);
        let report = self.socket.send_batch(&queue, 0);
        assert_eq!(
            (report.sent, report.next),
            (1, 1),
            "{report:?} {:?}",
            self.socket.send_failures()
        );
    }
}

/// A PATH by its addresses, TTL 64, Router Alert.
fn path(source: &str, destination: &str) -> TransmitMeta {
    TransmitMeta {
        interface: None,
        gateway: None,
        source: Some(ip(source)),
        destination: ip(destination),
        ttl: 64,
        router_alert: true,
    }
}

/// A RESV: routed by its destination, without Router Alert, from an address of ours.
fn resv(destination: &str) -> TransmitMeta {
    TransmitMeta { source: None, router_alert: false, ..path("0.0.0.0", destination) }
}

/// S (10.1.0.2) – s0 r0 – (10.1.0.1) R (10.2.0.1) – r1 d0 – (10.2.0.2) D
struct Line {
    sender: Namespace,
    router: Namespace,
    destination: Namespace,
    /// Index of r0.
    west: u32,
    /// Index of r1.
    east: u32,
}

impl Line {
    fn new() -> Line {
        let [sender, router, destination] = std::array::from_fn(|_| Namespace::new());
        // Different indices on both sides, so that none is right by accident.
        router.enter(|| sysctl("ipv4/ip_forward", "1"));
        router.link(("pad", "10.9.0.1/24"), &router, ("pad2", "10.9.1.1/24"));
        sender.link(("s0", "10.1.0.2/24"), &router, ("r0", "10.1.0.1/24"));
        router.link(("r1", "10.2.0.1/24"), &destination, ("d0", "10.2.0.2/24"));
        sender.enter(|| add_route("0.0.0.0/0", &To::Via("10.1.0.1")));
        destination.enter(|| add_route("0.0.0.0/0", &To::Via("10.2.0.1")));
        let (west, east) = router.enter(|| (index("r0"), index("r1")));
        Line { sender, router, destination, west, east }
    }
}

/// Polls until a condition holds.
fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::yield_now();
    }
}
