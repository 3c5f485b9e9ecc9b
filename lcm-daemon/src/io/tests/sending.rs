//! What leaves, with which header, and what becomes of it when it cannot.

use nix::poll::PollFlags;

use super::netns::{add_address, delete_route, index, isolated, set_mtu, sysctl};
use super::{Line, Node, To, await_ready, ip, path, resv};
use crate::io::SocketSettings;
use crate::packet::{TransmitMeta, TransmitQueue};

#[test]
fn a_foreign_source_a_ttl_and_router_alert_leave_as_told() {
    isolated(|| {
        let line = Line::new();
        let mut router = line.router.enter(Node::open);
        let mut destination = line.destination.enter(Node::open);

        for (ttl, router_alert) in [(17, true), (200, false)] {
            let meta = TransmitMeta {
                interface: Some(line.east),
                ttl,
                router_alert,
                ..path("192.0.2.77", "10.2.0.2")
            };
            router.send(meta, b"spoofed");
            let (meta, message) = destination.receive();
            assert_eq!(message, b"spoofed");
            assert_eq!((meta.source, meta.ttl), (ip("192.0.2.77"), ttl));
            assert_eq!(meta.router_alert, router_alert);
            assert_eq!(meta.interface, line.destination.enter(|| index("d0")));
        }
    });
}

#[test]
fn a_gateway_takes_what_no_route_leads_to() {
    isolated(|| {
        let line = Line::new();
        let mut router = line.router.enter(Node::open);
        let mut destination = line.destination.enter(|| {
            // Another link's address: it does not answer for it here.
            sysctl("ipv4/conf/all/arp_ignore", "1");
            add_address("lo", "203.0.113.5/32");
            Node::open()
        });
        let astray = TransmitMeta { interface: Some(line.east), ..path("10.1.0.2", "203.0.113.5") };
        router.send(astray, b"nobody answers for it");
        router.send(TransmitMeta { gateway: Some(ip("10.2.0.2")), ..astray }, b"by gateway");
        let (meta, message) = destination.receive();
        assert_eq!(message, b"by gateway");
        assert_eq!((meta.source, meta.destination), (astray.source.unwrap(), astray.destination));
        assert_eq!((meta.ttl, meta.router_alert), (64, true));
    });
}

#[test]
fn the_interface_overrides_the_route() {
    isolated(|| {
        let line = Line::new();
        let mut sender = line.sender.enter(Node::open);
        let mut router = line.router.enter(Node::open);
        let mut destination = line.destination.enter(Node::open);

        // 10.2.0.2 is reached by r1. Sent by r0 it is looked for on that link, where nobody has
        // the address, so it arrives nowhere.
        router.send(
            TransmitMeta { interface: Some(line.west), ..path("10.1.0.2", "10.2.0.2") },
            b"x",
        );
        router.send(TransmitMeta { interface: None, ..path("10.1.0.2", "10.2.0.2") }, b"routed");
        assert_eq!(destination.receive().1, b"routed");
        destination.assert_silent();
        sender.assert_silent();
    });
}

#[test]
fn over_the_mtu_the_kernel_fragments_and_the_next_hop_reassembles() {
    isolated(|| {
        let line = Line::new();
        let mut sender = line.sender.enter(Node::open);
        let mut router = line.router.enter(Node::open);
        let mut destination = line.destination.enter(Node::open);
        let big: Vec<u8> = (0..4000_u32).map(|number| number.to_le_bytes()[0]).collect();

        // A sender's own PATH, in transit at the router.
        let mut queue = TransmitQueue::default();
        for message in [b"before".as_slice(), &big, b"after"] {
            queue.push(TransmitMeta { ttl: 9, ..path("10.1.0.2", "10.2.0.2") }, message);
        }
        let report = sender.socket.send_batch(&queue, 0);
        assert_eq!((report.sent, report.fragmented, report.failed), (3, 1, 0));
        let mut received = Vec::new();
        while received.len() < 3 {
            await_ready(&router.socket, PollFlags::POLLIN);
            router.socket.recv_batch(&mut router.batch).unwrap();
            received.extend(router.batch.iter().map(|(meta, message)| (meta, message.to_vec())));
        }
        let find = |message: &[u8]| received.iter().find(|(_, bytes)| bytes == message).unwrap().0;
        assert_eq!(find(&big), find(b"before"));
        assert_eq!((find(&big).ttl, find(&big).router_alert), (9, true));
        find(b"after");

        // The router's, with the sender's address, by a forced interface.
        let meta =
            TransmitMeta { interface: Some(line.east), ttl: 8, ..path("192.0.2.77", "10.2.0.2") };
        router.send(meta, &big);
        let (meta, message) = destination.receive();
        assert_eq!(message, big);
        assert_eq!((meta.source, meta.ttl, meta.router_alert), (ip("192.0.2.77"), 8, true));

        // A RESV that is too long for the link, with the kernel's choice of source.
        destination.send(resv("10.2.0.1"), &big);
        let (meta, message) = router.receive();
        assert_eq!((meta.source, meta.router_alert), (ip("10.2.0.2"), false));
        assert_eq!(message, big);

        // The fragmenting socket must not collect what is addressed to us.
        let error = router.socket.receive_where_none_may_arrive().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        router.assert_silent();
        destination.assert_silent();
    });
}

#[test]
fn the_mtu_of_the_outgoing_interface_decides() {
    isolated(|| {
        let line = Line::new();
        let mut router = line.router.enter(Node::open);
        let mut destination = line.destination.enter(Node::open);
        line.router.enter(|| set_mtu("r1", 600));
        for (length, fragmented) in [(600 - 24, 0), (600 - 23, 1)] {
            let mut queue = TransmitQueue::default();
            let meta = TransmitMeta { interface: Some(line.east), ..path("10.1.0.2", "10.2.0.2") };
            queue.push(meta, &vec![5; length]);
            let report = router.socket.send_batch(&queue, 0);
            assert_eq!((report.sent, report.fragmented), (1, fragmented), "{length}");
            assert_eq!(destination.receive().1.len(), length);
        }
    });
}

#[test]
fn one_failure_does_not_stop_the_others_and_is_named() {
    isolated(|| {
        let line = Line::new();
        let mut sender = line.sender.enter(Node::open);
        let mut router = line.router.enter(Node::open);
        line.sender.enter(|| delete_route("0.0.0.0/0", &To::Via("10.1.0.1")));

        let mut queue = TransmitQueue::default();
        queue.push(resv("10.1.0.1"), b"1");
        queue.push(resv("198.51.100.1"), b"no route");
        queue.push(resv("198.51.100.1"), b"no route");
        queue.push(resv("::1"), b"wrong family");
        queue.push(resv("10.1.0.1"), b"2");
        queue.push(TransmitMeta { source: Some(ip("::1")), ..resv("10.1.0.1") }, b"mixed");
        queue.push(resv("10.1.0.1"), &[0; 65_536]);
        queue.push(TransmitMeta { interface: Some(999), ..resv("10.1.0.1") }, b"no interface");
        queue.push(resv("10.1.0.1"), b"3");
        let report = sender.socket.send_batch(&queue, 0);
        assert_eq!((report.sent, report.failed, report.unsupported), (3, 4, 2));
        assert_eq!((report.next, report.blocked, report.fragmented), (9, false, 0));
        let failures: Vec<_> = sender
            .socket
            .send_failures()
            .iter()
            .map(|failure| (failure.error, failure.destination, failure.interface, failure.count))
            .collect();
        assert_eq!(
            failures,
            [
                (libc::ENETUNREACH, ip("198.51.100.1"), None, 2),
                (libc::EMSGSIZE, ip("10.1.0.1"), None, 1),
                (libc::ENODEV, ip("10.1.0.1"), Some(999), 1),
            ]
        );
        let text = sender.socket.send_failures()[0].to_string();
        assert!(text.contains("2 message(s) to 198.51.100.1"), "{text}");
        let mut received = Vec::new();
        while received.len() < 3 {
            await_ready(&router.socket, PollFlags::POLLIN);
            router.socket.recv_batch(&mut router.batch).unwrap();
            received.extend(router.batch.iter().map(|(_, message)| message.to_vec()));
        }
        assert_eq!(received, [b"1", b"2", b"3"]);
        router.assert_silent();

        // The failures are those of the last batch only.
        let mut queue = TransmitQueue::default();
        queue.push(resv("10.1.0.1"), b"4");
        sender.socket.send_batch(&queue, 0);
        assert!(sender.socket.send_failures().is_empty());
    });
}

#[test]
fn a_full_send_buffer_blocks_and_the_rest_goes_later() {
    isolated(|| {
        let line = Line::new();
        let settings = SocketSettings { send_buffer: 16 << 10, ..SocketSettings::default() };
        let mut sender = line.sender.enter(|| Node::with(&settings));
        let mut router = line.router.enter(Node::open);
        line.sender.enter(|| sysctl("ipv4/neigh/s0/retrans_time_ms", "50"));

        // Messages to a neighbour that does not answer wait for its link-layer address.
        let mut queue = TransmitQueue::default();
        for _ in 0..100 {
            queue.push(resv("10.1.0.99"), &[0; 500]);
        }
        queue.push(resv("10.1.0.1"), b"at last");
        let mut report = sender.socket.send_batch(&queue, 0);
        assert!(report.blocked, "{report:?}");
        assert!(report.next > 0 && report.next < 100, "{report:?}");
        assert_eq!((report.sent, report.failed), (report.next, 0));
        let mut sent = report.sent;
        while report.blocked {
            // Until the neighbour is given up, which frees the buffer.
            await_ready(&sender.socket, PollFlags::POLLOUT);
            report = sender.socket.send_batch(&queue, report.next);
            sent += report.sent + report.failed;
        }
        assert_eq!((sent, report.next), (101, 101));
        assert_eq!(router.receive().1, b"at last");
    });
}

#[test]
fn an_empty_queue_and_a_start_beyond_the_end_do_nothing() {
    isolated(|| {
        let line = Line::new();
        let mut sender = line.sender.enter(Node::open);
        let mut queue = TransmitQueue::default();
        assert_eq!(sender.socket.send_batch(&queue, 0).next, 0);
        queue.push(resv("10.1.0.1"), b"1");
        let report = sender.socket.send_batch(&queue, 5);
        assert_eq!((report.next, report.sent, report.blocked), (1, 0, false));
    });
}
