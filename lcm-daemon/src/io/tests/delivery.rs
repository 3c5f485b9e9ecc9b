//! What the socket is handed, and what passes it by.

use super::netns::isolated;
use super::{Line, Node, ip, path, resv};
use crate::io::ipv4::Skip;
use crate::io::{RecvBatch, SocketSettings};
use crate::packet::TransmitQueue;

#[test]
fn path_in_transit_is_taken_out_with_its_interface_and_ttl() {
    isolated(|| {
        let line = Line::new();
        let mut sender = line.sender.enter(Node::open);
        let mut router = line.router.enter(Node::open);
        let mut destination = line.destination.enter(Node::open);

        for ttl in [64, 17, 1] {
            let mut meta = path("10.1.0.2", "10.2.0.2");
            meta.ttl = ttl;
            sender.send(meta, b"path");
            let (meta, message) = router.receive();
            assert_eq!(message, b"path");
            assert_eq!((meta.interface, meta.ttl), (line.west, ttl));
            assert_eq!((meta.source, meta.destination), (ip("10.1.0.2"), ip("10.2.0.2")));
            assert!(meta.router_alert);
        }

        // What the router now sends comes after anything that it might have forwarded.
        router.send(path("10.1.0.2", "10.2.0.2"), b"from the router");
        assert_eq!(destination.receive().1, b"from the router");
        destination.assert_silent();
        router.assert_silent();
    });
}

#[test]
fn without_router_alert_the_kernel_forwards() {
    isolated(|| {
        let line = Line::new();
        let mut sender = line.sender.enter(Node::open);
        let mut router = line.router.enter(Node::open);
        let mut destination = line.destination.enter(Node::open);

        let mut meta = path("10.1.0.2", "10.2.0.2");
        meta.router_alert = false;
        sender.send(meta, b"quiet");
        let (meta, message) = destination.receive();
        assert_eq!((meta.ttl, meta.router_alert), (63, false));
        assert_eq!(message, b"quiet");
        router.assert_silent();
    });
}

#[test]
fn with_the_router_dead_path_passes() {
    isolated(|| {
        let line = Line::new();
        let mut sender = line.sender.enter(Node::open);
        let mut destination = line.destination.enter(Node::open);
        drop(line.router.enter(Node::open));

        sender.send(path("10.1.0.2", "10.2.0.2"), b"path");
        let (meta, _) = destination.receive();
        assert_eq!((meta.ttl, meta.router_alert), (63, true));
    });
}

#[test]
fn resv_to_our_address_is_delivered_and_its_source_is_the_kernels_choice() {
    isolated(|| {
        let line = Line::new();
        let mut router = line.router.enter(Node::open);
        let mut destination = line.destination.enter(Node::open);

        // To the far interface's address, in by the near one.
        destination.send(resv("10.1.0.1"), b"resv");
        let (meta, message) = router.receive();
        assert_eq!(message, b"resv");
        assert_eq!((meta.source, meta.destination), (ip("10.2.0.2"), ip("10.1.0.1")));
        assert_eq!((meta.interface, meta.router_alert), (line.east, false));
    });
}

#[test]
fn a_batch_holds_many_and_says_when_it_is_full() {
    isolated(|| {
        let line = Line::new();
        let mut sender = line.sender.enter(Node::open);
        let mut router = line.router.enter(Node::open);

        let mut queue = TransmitQueue::default();
        for number in 0..150_u32 {
            queue.push(path("10.1.0.2", "10.2.0.2"), &number.to_be_bytes());
        }
        // The first one waits for ARP, which keeps the order.
        sender.send(resv("10.1.0.1"), b"first");
        router.receive();
        let report = sender.socket.send_batch(&queue, 0);
        assert_eq!((report.sent, report.next, report.blocked), (150, 150, false));

        let (mut sizes, mut numbers) = (Vec::new(), Vec::new());
        while numbers.len() < 150 {
            super::await_ready(&router.socket, nix::poll::PollFlags::POLLIN);
            sizes.push(router.socket.recv_batch(&mut router.batch).unwrap());
            numbers.extend(
                router
                    .batch
                    .iter()
                    .map(|(_, message)| u32::from_be_bytes(message.try_into().unwrap())),
            );
        }
        assert_eq!(numbers, (0..150).collect::<Vec<_>>());
        assert!(sizes.iter().all(|size| *size <= RecvBatch::CAPACITY), "{sizes:?}");
        assert!(sizes.len() >= 3, "{sizes:?}");
    });
}

#[test]
fn an_over_long_packet_is_counted_and_the_next_one_is_seen() {
    isolated(|| {
        let line = Line::new();
        let mut sender = line.sender.enter(Node::open);
        let mut router = line.router.enter(Node::open);

        let largest = RecvBatch::PACKET_BYTES - 24;
        sender.send(path("10.1.0.2", "10.2.0.2"), &vec![1; largest]);
        assert_eq!(router.receive().1, vec![1; largest]);
        sender.send(path("10.1.0.2", "10.2.0.2"), &vec![2; largest + 1]);
        super::await_ready(&router.socket, nix::poll::PollFlags::POLLIN);
        assert_eq!(router.socket.recv_batch(&mut router.batch).unwrap(), 1);
        assert_eq!(router.batch.iter().count(), 0);
        assert_eq!(router.batch.skipped().get(Skip::OverLong), 1);
        assert_eq!(router.batch.skipped().total(), 1);
        sender.send(path("10.1.0.2", "10.2.0.2"), &[]);
        assert_eq!(router.receive().1, b"");
    });
}

#[test]
fn overload_moves_the_drop_counter_by_what_is_missing() {
    isolated(|| {
        let line = Line::new();
        let mut sender = line.sender.enter(Node::open);
        let settings = SocketSettings { receive_buffer: 64 << 10, ..SocketSettings::default() };
        let mut router = line.router.enter(|| Node::with(&settings));
        assert_eq!(router.socket.receive_buffer().unwrap(), 64 << 10);
        assert_eq!(router.socket.kernel_drops().unwrap(), 0);

        sender.send(resv("10.1.0.1"), b"arp");
        router.receive();
        let mut queue = TransmitQueue::default();
        for _ in 0..1000 {
            queue.push(path("10.1.0.2", "10.2.0.2"), &[0; 300]);
        }
        assert_eq!(sender.socket.send_batch(&queue, 0).sent, 1000);
        // The last hop of the veth is asynchronous: count until all are accounted for.
        let mut received = 0;
        super::eventually("all packets received or counted as lost", || {
            while let Ok(count) = router.socket.recv_batch(&mut router.batch) {
                received += count;
            }
            let drops = usize::try_from(router.socket.kernel_drops().unwrap()).unwrap();
            (received + drops == 1000).then_some(())
        });
        assert!(router.socket.kernel_drops().unwrap() > 0);
        assert!(received > 0);
    });
}

#[test]
fn the_receive_buffer_is_what_was_asked_for_or_the_systems_limit() {
    isolated(|| {
        let line = Line::new();
        let wanted = SocketSettings::DEFAULT_RECEIVE_BUFFER;
        let (granted, ordinary) = line.router.enter(|| {
            let ordinary = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            let ordinary = socket2::Socket::from(ordinary);
            ordinary.set_recv_buffer_size(wanted).unwrap();
            let granted = Node::open().socket.receive_buffer().unwrap();
            (granted, ordinary.recv_buffer_size().unwrap() / 2)
        });
        // Only CAP_NET_ADMIN outside of any user namespace goes beyond the limit.
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap();
        let first_namespace = map.split_whitespace().eq(["0", "0", "4294967295"]);
        assert_eq!(granted, if first_namespace { wanted } else { ordinary });
    });
}
