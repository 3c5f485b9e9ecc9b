//! Captures, capture files and multicast forwarding.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use lcm_daemon::lab::capture::{Capture, Direction, Tap};
use lcm_daemon::lab::{LabError, NodeHandle, Topology, multicast};
use lcm_tests::harness::TestResult;
use socket2::{Domain, Protocol, Socket, Type};

const PATIENCE: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_millis(100);
/// IP protocol number of RSVP.
const RSVP: i32 = 46;

/// Sends IP protocol 46 packets with these payloads from a node.
fn send_rsvp(from: &NodeHandle, to: IpAddr, payloads: Vec<Vec<u8>>) -> Result<(), LabError> {
    from.attempt("sending", move || {
        let domain = Domain::for_address(SocketAddr::new(to, 0));
        let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(RSVP)))?;
        for payload in payloads {
            socket.send_to(&payload, &SocketAddr::new(to, 0).into())?;
        }
        Ok::<(), std::io::Error>(())
    })
}

pub(crate) fn captures_follow_a_packet_hop_by_hop() -> TestResult {
    let network = Topology::figure2().build()?;
    let capture = Capture::of_links(&network, Some(network.dir()))?;
    let (sender, receiver) = (network.get("S")?, network.get("R2")?);
    let target = receiver.address().ok_or("no address")?;
    send_rsvp(&sender, target.into(), vec![b"there".to_vec()])?;
    capture.wait_for(PATIENCE, "the packet on the last link", |packet| {
        (&*packet.label == "IS3-R2").then_some(())
    })?;
    let source = sender.address().ok_or("no address")?;
    send_rsvp(&receiver, source.into(), vec![b"back".to_vec()])?;
    let mut seen = Vec::new();
    capture.wait_for(PATIENCE, "the answer on the first link", |packet| {
        let rsvp = packet.rsvp()?;
        assert_eq!((rsvp.source, rsvp.destination), (target.into(), source.into()));
        assert_eq!((rsvp.message, rsvp.router_alert), (&b"back"[..], false));
        seen.push((packet.label.to_string(), packet.direction, rsvp.ttl, packet.timestamp_ns));
        (&*packet.label == "S-IS1").then_some(())
    })?;
    seen.sort_by_key(|&(.., timestamp)| timestamp);
    let first_ttl = seen[0].2;
    let hops: Vec<_> =
        seen.iter().map(|(label, way, ttl, _)| (label.as_str(), *way, first_ttl - ttl)).collect();
    let expected = [("IS3-R2", 0), ("IS2-IS3", 1), ("IS1-IS2", 2), ("S-IS1", 3)];
    assert_eq!(hops, expected.map(|(label, ttl)| (label, Direction::In, ttl)));
    assert!(capture.stop()?.is_empty());
    let file = std::fs::read(network.dir().join("S-IS1.pcap"))?;
    let ethernet_and_ip = 14 + 20;
    let (there, back) = (ethernet_and_ip + 5, ethernet_and_ip + 4);
    assert_eq!(file.len(), 24 + 16 + there + 16 + back);
    assert_eq!(&file[24 + 16 + ethernet_and_ip..][..5], b"there");
    assert!(file.ends_with(b"back"));
    Ok(())
}

pub(crate) fn captures_see_ipv6_behind_options() -> TestResult {
    let network = Topology::chain(&["A", "B"]).build()?;
    let link = network.link_between("A", "B")?;
    let Some(target) = link.address6("B") else { return Err("this kernel has no IPv6".into()) };
    let capture = Capture::of_links(&network, None)?;
    send_rsvp(&network.get("A")?, target.into(), vec![b"six".to_vec()])?;
    let (direction, length) = capture.wait_for(PATIENCE, "an IPv6 packet", |packet| {
        let rsvp = packet.rsvp()?;
        assert_eq!(rsvp.destination, IpAddr::V6(target));
        assert!(!rsvp.router_alert);
        Some((packet.direction, rsvp.message.len()))
    })?;
    assert_eq!((direction, length), (Direction::Out, 3));
    Ok(())
}

pub(crate) fn a_stopped_capture_has_lost_nothing() -> TestResult {
    // As many as the smallest usual receive buffer takes, should the reader be late.
    const PACKETS: u32 = 200;
    let network = Topology::chain(&["A", "B"]).build()?;
    let (a, b) = (network.get("A")?, network.get("B")?);
    let tap = |node: &NodeHandle, interface: &str| Tap {
        node: node.clone(),
        interface: interface.to_owned(),
        label: node.name().to_owned(),
    };
    let capture = Capture::start(vec![tap(&a, "to-B"), tap(&b, "to-A")], None)?;
    let payloads = (0..PACKETS).map(|number| number.to_be_bytes().to_vec()).collect();
    send_rsvp(&a, b.address().ok_or("no address")?.into(), payloads)?;
    let packets = capture.stop()?;
    for (label, direction) in [("A", Direction::Out), ("B", Direction::In)] {
        let numbers: Vec<u32> = packets
            .iter()
            .filter(|packet| &*packet.label == label && packet.direction == direction)
            .filter_map(|packet| Some(u32::from_be_bytes(packet.rsvp()?.message.try_into().ok()?)))
            .collect();
        assert!(numbers.iter().copied().eq(0..PACKETS), "at {label}: {} packets", numbers.len());
    }
    Ok(())
}

pub(crate) fn multicast_reaches_the_chosen_receivers() -> TestResult {
    const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
    const PORT: u16 = 4000;
    let network = Topology::figure2().build()?;
    let receivers: Vec<(&str, UdpSocket)> = ["R1", "R2"]
        .into_iter()
        .map(|name| {
            let node = network.get(name)?;
            let interface = node.address().unwrap_or(Ipv4Addr::UNSPECIFIED);
            let socket = node.attempt("joining the group", move || {
                let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
                socket.join_multicast_v4(&GROUP, &interface)?;
                Ok::<UdpSocket, std::io::Error>(socket)
            })?;
            Ok((name, socket))
        })
        .collect::<Result<_, LabError>>()?;
    let sender = network.get("S")?;
    let send = move |text: &'static [u8]| {
        sender.attempt("sending", move || {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.set_multicast_ttl_v4(16)?;
            socket.send_to(text, (GROUP, PORT)).map(drop)
        })
    };
    let hears = |socket: &UdpSocket, text: &[u8], patience| -> std::io::Result<bool> {
        socket.set_read_timeout(Some(patience))?;
        let mut buffer = [0; 16];
        match socket.recv(&mut buffer) {
            Ok(length) => Ok(&buffer[..length] == text),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    };

    let both = network.multicast_entries("S", GROUP.into(), &["R1", "R2"])?;
    let shape: Vec<(&str, &str, Vec<&str>)> = both
        .iter()
        .map(|entry| {
            let outgoing = entry.outgoing.iter().map(String::as_str).collect();
            (entry.node.as_str(), entry.incoming.as_str(), outgoing)
        })
        .collect();
    assert_eq!(
        shape,
        [
            ("IS1", "to-S", vec!["to-IS2"]),
            ("IS2", "to-IS1", vec!["to-R1", "to-IS3"]),
            ("IS3", "to-IS2", vec!["to-R2"]),
        ]
    );
    assert_eq!(Some(both[0].source), network.get("S")?.address().map(IpAddr::V4));
    let mut routes = multicast::install(&network, &both)?;
    send(b"both")?;
    for (name, socket) in &receivers {
        assert!(hears(socket, b"both", PATIENCE)?, "{name} of both");
    }
    routes.install(&network, &network.multicast_entries("S", GROUP.into(), &["R2"])?)?;
    send(b"one")?;
    assert!(hears(&receivers[1].1, b"one", PATIENCE)?, "R2 alone");
    assert!(!hears(&receivers[0].1, b"one", SILENCE)?, "R1 is off the tree");
    routes.remove(both[0].source, GROUP.into())?;
    send(b"none")?;
    assert!(!hears(&receivers[1].1, b"none", SILENCE)?, "no route");
    Ok(())
}
