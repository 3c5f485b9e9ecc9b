//! PATHs that no daemon of ours sent, on their way through IS1.

use std::collections::BTreeSet;
use std::error::Error;
use std::net::{IpAddr, Ipv6Addr, SocketAddrV6};

use lcm_daemon::lab::capture::Captured;
use lcm_daemon::lab::wait::until;
use lcm_tests::harness::TestResult;
use rsvp_wire::object::{Filter, Hop, SenderTemplate, SenderTspec, Session, TimeValues, Tspec};
use rsvp_wire::{Message, MessageType, MessageWriter};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::chain::{Chain, PATIENCE, ends, kind};

/// A session that no application of the chain has.
const PORT: u16 = 5001;
/// An object that whoever does not know it carries on as it is (RFC 2205 section 3.10).
const CARRIED: u8 = 0xf0;

/// A PATH of S for R1, longer by an unknown object of so many octets.
fn path(chain: &Chain, more: usize) -> Result<(Vec<u8>, Ipv6Addr), Box<dyn Error>> {
    let (from, to) = (chain.address("S", "IS1")?, chain.address("R1", "IS2")?);
    let mut buffer = vec![0; 512 + more];
    let mut writer = MessageWriter::new(&mut buffer, MessageType::Path, 64);
    writer.object(&Session::new(IpAddr::V6(to), 17, PORT))?;
    writer.object(&Hop { address: IpAddr::V6(from), lih: 1 })?;
    writer.object(&TimeValues { refresh_ms: 30_000 })?;
    if more > 0 {
        let length = u16::try_from(more + 4)?;
        let mut object = length.to_be_bytes().to_vec();
        object.extend([CARRIED, 1]);
        object.resize(more + 4, 0x5a);
        writer.raw(&object)?;
    }
    writer.object(&SenderTemplate(Filter::port(IpAddr::V6(from), PORT)))?;
    writer.object(&SenderTspec(Tspec::new(10_000, 2_000, 64, 1_500)))?;
    let length = writer.finish()?;
    buffer.truncate(length);
    Ok((buffer, to))
}

/// Sends it as plain IPv6, without options; the kernel fragments it if need be.
fn send(chain: &Chain, from: &str, message: Vec<u8>, to: Ipv6Addr) -> TestResult {
    let node = chain.stage.network().get(from)?;
    node.attempt("sending a message", move || {
        let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::from(46)))?;
        socket.set_unicast_hops_v6(64)?;
        socket.send_to(&message, &SockAddr::from(SocketAddrV6::new(to, 0, 0, 0))).map(|_| ())
    })?;
    Ok(())
}

/// Waits until R1 heard of the session.
fn wait_at_receiver(chain: &Chain) -> TestResult {
    until(PATIENCE, "the PATH at R1", || {
        let sessions = chain.stage.sessions("R1").map_err(|e| e.to_string())?;
        let known = sessions.iter().any(|view| view.session.port == PORT);
        if known { Ok(()) } else { Err(format!("{sessions:?}")) }
    })?;
    Ok(())
}

/// PATHs of the session on the link from IS1 to IS2, by their PHOP.
fn onward(chain: &mut Chain) -> Vec<IpAddr> {
    let heard = chain.frames().iter().filter(|captured| {
        ends(captured) == ("IS1", "IS2") && kind(captured) == Some(MessageType::Path)
    });
    let hop = |message: &[u8]| match Message::parse(message) {
        Ok(Message::Path(path)) if path.session.destination_port == PORT => Some(path.hop.address),
        _ => None,
    };
    heard.filter_map(|captured| hop(captured.rsvp()?.message)).collect()
}

/// A sender that leaves the option out is charged all the same.
pub(crate) fn without_alert() -> TestResult {
    let mut chain = Chain::start()?;
    let (message, to) = path(&chain, 0)?;
    send(&chain, "S", message, to)?;
    wait_at_receiver(&chain)?;
    let hops = onward(&mut chain);
    let own = IpAddr::V6(chain.address("IS1", "IS2")?);
    assert!(!hops.is_empty() && hops.iter().all(|hop| *hop == own), "{hops:?} but not {own}");
    Ok(())
}

/// A PATH of 3,000 octets comes in two or three fragments, and goes on as one message.
pub(crate) fn in_fragments() -> TestResult {
    let mut chain = Chain::start()?;
    let (message, to) = path(&chain, 3_000)?;
    send(&chain, "S", message, to)?;
    wait_at_receiver(&chain)?;
    let fragments = chain.frames().iter().filter(|captured| captured.rsvp().is_none());
    let links: BTreeSet<_> = fragments.map(|captured| ends(captured).0.to_owned()).collect();
    let all = ["S", "IS1", "IS2"].map(str::to_owned);
    assert_eq!(links, BTreeSet::from(all), "each hop sends it in fragments of its own");
    let sessions = chain.stage.sessions("IS2")?;
    let hop = sessions.iter().flat_map(|view| &view.senders).find_map(|sender| sender.phop);
    assert_eq!(hop, Some(IpAddr::V6(chain.address("IS1", "IS2")?)));
    Ok(())
}

/// A RESV that R1 sends to S over two routers is none of their business.
pub(crate) fn by_address() -> TestResult {
    let mut chain = Chain::start()?;
    let to = chain.address("S", "IS1")?;
    let hop = Hop { address: IpAddr::V6(chain.address("R1", "IS2")?), lih: 1 };
    let mut buffer = vec![0; 256];
    let mut writer = MessageWriter::new(&mut buffer, MessageType::Resv, 64);
    writer.object(&Session::new(IpAddr::V6(to), 17, PORT))?;
    writer.object(&hop)?;
    writer.object(&TimeValues { refresh_ms: 30_000 })?;
    let length = writer.finish()?;
    buffer.truncate(length);
    send(&chain, "R1", buffer, to)?;
    until(PATIENCE, "the RESV on the last link", || {
        let mut frames = chain.frames().iter();
        let there = |captured: &&Captured| {
            let resv = captured.rsvp().is_some_and(|packet| packet.message.get(1) == Some(&2));
            ends(captured) == ("IS1", "S") && resv
        };
        if frames.any(|captured| there(&captured)) { Ok(()) } else { Err("not yet".to_owned()) }
    })?;
    Ok(())
}

/// The rules that keep PATHs back go with their owner: then IS2 is S's next hop.
pub(crate) fn daemon_died() -> TestResult {
    let mut chain = Chain::start()?;
    chain.stage.daemon("IS1")?.kill()?;
    let (message, to) = path(&chain, 0)?;
    send(&chain, "S", message, to)?;
    wait_at_receiver(&chain)?;
    let sender = IpAddr::V6(chain.address("S", "IS1")?);
    assert_eq!(onward(&mut chain), [sender], "as S sent it, once");
    Ok(())
}
