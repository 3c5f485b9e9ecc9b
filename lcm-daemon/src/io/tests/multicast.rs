//! Multicast sessions: PATH in transit at a router with and without us, and hosts in the group.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd};

use nix::poll::PollFlags;

use super::netns::{index, isolated};
use super::{Line, Node, await_ready, ip, path};
use crate::io::{Kernel, MulticastRouter};
use crate::kernel::{Route, RouteKey};
use crate::packet::TransmitMeta;

const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);

fn group_path(interface: u32) -> TransmitMeta {
    TransmitMeta { interface: Some(interface), ..path("10.1.0.2", "239.1.2.3") }
}

/// A line whose router forwards the group, a sender and a member.
fn tree() -> (Line, MulticastRouter, Node, Node, u32) {
    let line = Line::new();
    let mut multicast = line.router.enter(|| MulticastRouter::open().unwrap());
    multicast.add_route(SOURCE, GROUP, line.west, &[line.east]).unwrap();
    let (sender, out) = line.sender.enter(|| (Node::open(), index("s0")));
    let (member, inward) = line.destination.enter(|| (Node::open(), index("d0")));
    member.socket.join_group(ip("239.1.2.3"), inward).unwrap();
    (line, multicast, sender, member, out)
}

#[test]
fn path_to_a_group_is_taken_out_and_sent_on_by_interface() {
    isolated(|| {
        let (line, _multicast, mut sender, mut member, out) = tree();
        let mut router = line.router.enter(Node::open);

        sender.send(group_path(out), b"path");
        let (meta, message) = router.receive();
        assert_eq!(message, b"path");
        assert_eq!((meta.interface, meta.ttl), (line.west, 64));
        assert_eq!((meta.source, meta.destination), (ip("10.1.0.2"), ip("239.1.2.3")));
        assert!(meta.router_alert);

        router.send(TransmitMeta { ttl: 63, ..group_path(line.east) }, b"next");
        let (meta, message) = member.receive();
        assert_eq!(message, b"next");
        assert_eq!((meta.source, meta.ttl), (ip("10.1.0.2"), 63));
        assert!(meta.router_alert);
        member.assert_silent();
        // Neither its own PATH nor a copy from the kernel's forwarding.
        router.assert_silent();

        // Out by the interface that the tree comes in by: nothing may come back either.
        router.send(group_path(line.west), b"backwards");
        router.send(group_path(line.east), b"forwards");
        assert_eq!(member.receive().1, b"forwards");
        router.assert_silent();
    });
}

#[test]
fn path_to_a_group_over_the_mtu_is_fragmented() {
    isolated(|| {
        let (line, _multicast, mut sender, mut member, out) = tree();
        let mut router = line.router.enter(Node::open);
        let big = vec![7; 5000];
        sender.send(group_path(out), &big);
        let (meta, message) = router.receive();
        assert_eq!((message, meta.interface, meta.ttl), (big.clone(), line.west, 64));
        router.send(group_path(line.east), &big);
        let (meta, message) = member.receive();
        assert_eq!((message, meta.source), (big, ip("10.1.0.2")));
        router.assert_silent();
    });
}

#[test]
fn with_the_router_dead_the_kernel_forwards_to_the_group() {
    isolated(|| {
        let (_line, _multicast, mut sender, mut member, out) = tree();
        sender.send(group_path(out), b"path");
        let (meta, message) = member.receive();
        assert_eq!((message.as_slice(), meta.ttl), (b"path".as_slice(), 63));
    });
}

#[test]
fn a_source_that_the_kernel_picks_is_the_interfaces() {
    isolated(|| {
        let (line, _multicast, _sender, mut member, _) = tree();
        let mut router = line.router.enter(Node::open);
        router.send(TransmitMeta { source: None, ..group_path(line.east) }, b"x");
        assert_eq!(member.receive().0.source, ip("10.2.0.1"));
    });
}

#[test]
fn membership_can_be_given_twice_and_taken_back_twice() {
    isolated(|| {
        let (line, _multicast, mut sender, mut member, out) = tree();
        let inward = line.destination.enter(|| index("d0"));
        member.socket.join_group(ip("239.1.2.3"), inward).unwrap();
        sender.send(group_path(out), b"1");
        assert_eq!(member.receive().1, b"1");
        member.socket.leave_group(ip("239.1.2.3"), inward).unwrap();
        member.socket.leave_group(ip("239.1.2.3"), inward).unwrap();
        sender.send(group_path(out), b"2");
        // Unicast after it, on the same way, shows that it did not come.
        let mut router = line.router.enter(Node::open);
        router.send(path("10.1.0.2", "10.2.0.2"), b"3");
        assert_eq!(member.receive().1, b"3");
        member.assert_silent();

        let error = member.socket.join_group(ip("239.1.2.3"), 4711).unwrap_err();
        assert!(error.to_string().contains("239.1.2.3 on interface 4711"), "{error}");
        let error = member.socket.join_group(ip("ff05::1"), inward).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    });
}

#[test]
fn one_multicast_router_at_a_time_and_its_routes_go_with_it() {
    isolated(|| {
        let line = Line::new();
        line.router.enter(|| {
            let mut kernel = Kernel::open().unwrap();
            let key = RouteKey {
                destination: GROUP.into(),
                source: Some(SOURCE.into()),
                incoming: 0,
                transport: None,
            };
            let mut first = MulticastRouter::open().unwrap();
            let error = MulticastRouter::open().unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
            assert!(error.to_string().contains("another daemon"), "{error}");

            first.add_vif(line.west).unwrap();
            first.add_vif(line.west).unwrap();
            assert!(first.add_vif(4711).unwrap_err().to_string().contains("4711"));
            first.add_route(SOURCE, GROUP, line.west, &[line.east]).unwrap();
            assert!(matches!(kernel.route(&key).unwrap(), Route::Multicast { .. }));
            drop(first);
            assert_eq!(kernel.route(&key).unwrap(), Route::Unreachable);
            MulticastRouter::open().unwrap();
        });
    });
}

#[test]
fn a_kick_reaches_the_multicast_routing_daemon() {
    isolated(|| {
        let line = Line::new();
        line.router.enter(|| {
            let mut kernel = Kernel::open().unwrap();
            let mut daemon = MulticastRouter::open().unwrap();
            daemon.add_vif(line.east).unwrap();
            daemon.add_vif(line.west).unwrap();
            for _ in 0..3 {
                kernel.kick(SOURCE.into(), GROUP.into(), line.west).unwrap();
            }
            await_ready(&daemon, PollFlags::POLLIN);
            // struct igmpmsg: 8 octets, type, zero, virtual interface (2), source, group.
            let mut report = [0; 64];
            let fd = daemon.as_fd().as_raw_fd();
            let length =
                nix::sys::socket::recv(fd, &mut report, nix::sys::socket::MsgFlags::empty());
            assert!(length.unwrap() >= 20);
            let [kind, zero, vif, ..] = report[8..] else { panic!() };
            assert_eq!((kind, zero, vif), (1, 0, 1), "IGMPMSG_NOCACHE on the second interface");
            assert_eq!(report[12..16], SOURCE.octets());
            assert_eq!(report[16..20], GROUP.octets());

            // Its answer, and further kicks, which the kernel now answers at once.
            daemon.add_route(SOURCE, GROUP, line.west, &[line.east]).unwrap();
            for _ in 0..3 {
                kernel.kick(SOURCE.into(), GROUP.into(), line.west).unwrap();
            }
            let key = RouteKey {
                destination: GROUP.into(),
                source: Some(SOURCE.into()),
                incoming: 0,
                transport: None,
            };
            assert_eq!(
                kernel.route(&key).unwrap(),
                Route::Multicast { incoming: line.west, outgoing: vec![line.east] }
            );
            let error = kernel.kick(ip("2001:db8::1"), ip("ff05::1"), 1).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
        });
    });
}
