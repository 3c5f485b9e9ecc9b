//! `lcmctl send`, `lcmctl receive` and `lcmctl close`: the end systems.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::Daemon;
use crate::config::{IdentityKind, name_fault, read_secret};
use crate::control::Request;
use crate::control::client::{Client, ClientError};
use crate::control::protocol::{
    Claim, Hidden, Place, ReceiveRequest, Reply, SendRequest, SessionName, Share, StyleName,
    TrafficSpec,
};
use crate::engine::{Level, Priority};

/// IP protocol number of UDP.
const UDP: u8 = 17;

/// Parses `[udp:|tcp:|NUMBER:]ADDRESS:PORT`.
pub(super) fn session_name(text: &str) -> Result<SessionName, String> {
    let (protocol, address) = match text.split_once(':') {
        Some(("udp", rest)) => (UDP, rest),
        Some(("tcp", rest)) => (6, rest),
        Some((number, rest)) if SocketAddr::from_str(rest).is_ok() => {
            let number = number.parse().map_err(|_| {
                format!("protocol {number:?} is neither udp, tcp nor a number from 0 to 255")
            })?;
            (number, rest)
        }
        _ => (UDP, text),
    };
    let destination = address.parse().map_err(|_| {
        format!("{address:?} is not ADDRESS:PORT, such as udp:239.1.2.3:5000 or [ff05::1]:5000")
    })?;
    Ok(SessionName { destination, protocol })
}

#[derive(Debug, Args)]
struct Traffic {
    /// Token rate in bytes per second.
    #[arg(long, value_name = "BYTES/S", default_value_t = 10_000)]
    rate: u64,
    /// Bucket depth in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 2_000)]
    bucket: u64,
    /// Peak rate in bytes per second; unlimited without it.
    #[arg(long, value_name = "BYTES/S")]
    peak: Option<u64>,
    /// Smallest packet that is counted, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    min_policed: u32,
    /// Largest packet in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 1_500)]
    max_packet: u32,
}

impl Traffic {
    fn spec(&self) -> TrafficSpec {
        TrafficSpec {
            rate: self.rate,
            bucket: self.bucket,
            peak: self.peak,
            min_policed: self.min_policed,
            max_packet: self.max_packet,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    #[command(flatten)]
    daemon: Daemon,
    /// Session to send to: [udp:]ADDRESS:PORT.
    #[arg(value_parser = session_name)]
    session: SessionName,
    /// Source address and port of the data; the address is one of this node's, but for --proxy.
    #[arg(long, value_name = "ADDRESS:PORT")]
    source: SocketAddr,
    #[command(flatten)]
    traffic: Traffic,
    /// TTL of the data.
    #[arg(long, default_value_t = 63)]
    ttl: u8,
    /// Outgoing interface; by the kernel's route without it.
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// The source is another host, without RSVP, whose data passes here (a router's sender proxy).
    #[arg(long)]
    proxy: bool,
    /// With --proxy: the interface that the host is behind, by which multicast is routed.
    #[arg(long, value_name = "NAME", requires = "proxy")]
    behind: Option<String>,
    /// Send PATH without a charging element.
    #[arg(long, conflicts_with_all = ["fraction", "account", "limit_per_hop", "max_hops"])]
    no_charging: bool,
    /// Share of the charge that this sender pays, in parts per million.
    #[arg(long, value_name = "PPM", default_value_t = 0,
        value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    fraction: u32,
    /// Account to charge, as kind:id (nai:alice@example.net); the daemon's own without it.
    #[arg(long, value_name = "KIND:ID")]
    account: Option<String>,
    /// Most that is paid for one receiver, in 10^-12 currency units per second.
    #[arg(long, value_name = "RATE")]
    limit_per_receiver: Option<u64>,
    /// Pay a share without a limit per receiver; whoever joins costs.
    #[arg(long, conflicts_with = "limit_per_receiver")]
    no_limit: bool,
    /// A hop whose local prices together exceed this is not sponsored, same unit.
    #[arg(long, value_name = "RATE")]
    limit_per_hop: Option<u64>,
    /// Number of hops over which a share is paid.
    #[arg(long, value_name = "N")]
    max_hops: Option<u32>,
    #[command(flatten)]
    stay: Stay,
}

#[derive(Debug, Args)]
pub(crate) struct ReceiveArgs {
    #[command(flatten)]
    daemon: Daemon,
    /// Session to receive: [udp:]ADDRESS:PORT.
    #[arg(value_parser = session_name)]
    session: SessionName,
    /// Reserve for this sender only; for each that appears without it.
    #[arg(long, value_name = "ADDRESS:PORT")]
    sender: Option<SocketAddr>,
    /// Reservation style: one reservation for each sender (ff), or one that senders share.
    #[arg(long, value_enum, default_value = "ff")]
    style: StyleName,
    /// Most that is paid per sender, in 10^-12 currency units per second. It stays on this
    /// machine; what is sent is the price due.
    #[arg(long, value_name = "RATE")]
    max_price: Option<u64>,
    /// Reserve as much as costs no more than this per sender, in 10^-12 currency units per second,
    /// by the price curves that the providers announce; reserve anew when prices change. It stays on
    /// this machine. Where no curve is announced it is a --max-price.
    #[arg(long, value_name = "RATE")]
    budget: Option<u64>,
    /// Token rate to reserve, in bytes per second; with --bucket. Without both the sender's own
    /// description is taken.
    #[arg(long, value_name = "BYTES/S", requires = "bucket")]
    rate: Option<u64>,
    /// Bucket depth to reserve, in bytes.
    #[arg(long, value_name = "BYTES", requires = "rate")]
    bucket: Option<u64>,
    /// Interface on which to join a multicast group; all that speak RSVP without it.
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// Ask for a confirmation (RESVCONF).
    #[arg(long)]
    confirm: bool,
    /// Who reserves, where the provider asks for it (RFC 3182): user:NAME or application:NAME.
    #[arg(long, value_name = "KIND:NAME", value_parser = identity)]
    identity: Option<(IdentityKind, String)>,
    /// File with the key that the identity is signed with, in the form of the daemon's key files;
    /// the name alone is sent without it.
    #[arg(long, value_name = "FILE", requires = "identity")]
    identity_key: Option<PathBuf>,
    /// How important it is where priorities decide (RFC 3181): to take room from others, and, if
    /// another number, to keep it.
    #[arg(long, value_name = "PREEMPTION[:DEFENDING]", value_parser = priority)]
    priority: Option<Priority>,
    /// Of the interfaces on which a sender to a group is heard, reserve on the one that asks least,
    /// and change over when another becomes cheaper or it fails ([choice] of the configuration).
    #[arg(long, conflicts_with = "interface")]
    cheapest: bool,
    /// How much to be told of the charges: what they come to, or what each hop asks for, as far as
    /// the providers tell.
    #[arg(long, value_name = "totals|hops", default_value = "totals", value_parser = level)]
    detail: Level,
    #[command(flatten)]
    stay: Stay,
}

#[derive(Debug, Args)]
struct Stay {
    /// Leave the registration with the daemon and return; `lcmctl close HANDLE` ends it. Without
    /// this it lasts as long as this program.
    #[arg(long)]
    detach: bool,
    /// Print JSON, one object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CloseArgs {
    #[command(flatten)]
    daemon: Daemon,
    /// What `--detach` printed.
    handle: u64,
}

pub(crate) fn send(args: &SendArgs) -> Result<(), ClientError> {
    if args.fraction > 0 && args.limit_per_receiver.is_none() && !args.no_limit {
        return Err(ClientError::Refused(
            "a share without --limit-per-receiver is a blank cheque: give a limit, or --no-limit \
             if that is meant"
                .to_owned(),
        ));
    }
    let share = (!args.no_charging).then(|| Share {
        fraction_ppm: args.fraction,
        account: args.account.clone(),
        limit_per_receiver: args.limit_per_receiver,
        limit_per_hop: args.limit_per_hop,
        max_hops: args.max_hops,
    });
    let request = Request::Send(SendRequest {
        session: args.session,
        source: args.source,
        traffic: args.traffic.spec(),
        ttl: args.ttl,
        interface: args.interface.clone(),
        proxy: args.proxy.then(|| args.behind.clone().map_or(Place::Anywhere, Place::Interface)),
        share,
        detach: args.stay.detach,
    });
    register(&args.daemon, &request, &args.stay)
}

pub(crate) fn receive(args: &ReceiveArgs) -> Result<(), ClientError> {
    let traffic = args.rate.zip(args.bucket).map(|(rate, bucket)| TrafficSpec {
        rate,
        bucket,
        peak: None,
        min_policed: 64,
        max_packet: 1_500,
    });
    let request = Request::Receive(ReceiveRequest {
        session: args.session,
        sender: args.sender,
        style: args.style,
        traffic,
        max_payment: args.max_price,
        budget: args.budget,
        interface: args.interface.clone(),
        confirm: args.confirm,
        identity: claim(args).map_err(ClientError::Refused)?,
        priority: args.priority,
        cheapest: args.cheapest.then_some(true),
        detail: args.detail,
        detach: args.stay.detach,
    });
    register(&args.daemon, &request, &args.stay)
}

fn level(text: &str) -> Result<Level, String> {
    match text {
        "totals" => Ok(Level::Totals),
        "hops" => Ok(Level::Hops),
        _ => Err(format!("{text:?} is no level of detail; write totals or hops")),
    }
}

/// Parses `NUMBER` and `NUMBER:NUMBER`.
fn priority(text: &str) -> Result<Priority, String> {
    let (preemption, defending) = text.split_once(':').unwrap_or((text, text));
    let number = |text: &str| text.parse::<u16>();
    match (number(preemption), number(defending)) {
        (Ok(preemption), Ok(defending)) if preemption <= defending => {
            Ok(Priority { preemption, defending })
        }
        _ => Err(format!(
            "{text:?} is no priority; write one number of 0 to 65535, or two of which the second is \
             not below the first, as in 5:7"
        )),
    }
}

/// Parses `user:NAME` and `application:NAME`.
fn identity(text: &str) -> Result<(IdentityKind, String), String> {
    let kinds = [IdentityKind::User, IdentityKind::Application];
    let found = text.split_once(':').and_then(|(kind, name)| {
        let kind = kinds.into_iter().find(|known| known.name() == kind)?;
        Some((kind, name.to_owned()))
    });
    let found = found.filter(|(_, name)| name_fault(name).is_none());
    found.ok_or_else(|| {
        format!("{text:?} is no identity; write user:NAME, as in user:alice@example.net")
    })
}

fn claim(args: &ReceiveArgs) -> Result<Option<Claim>, String> {
    let Some((kind, name)) = args.identity.clone() else { return Ok(None) };
    let secret = args.identity_key.as_ref().map(|file| {
        let secret = read_secret(file).map_err(|why| format!("{}: {why}", file.display()))?;
        let digits = secret.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok::<_, String>(Hidden(digits))
    });
    Ok(Some(Claim { kind, name, secret: secret.transpose()? }))
}

pub(crate) fn close(args: &CloseArgs) -> Result<(), ClientError> {
    Client::connect(&args.daemon.socket)?.ask(&Request::Close { handle: args.handle })?;
    Ok(())
}

/// Registers, then prints news until the daemon ends or this program is interrupted.
fn register(daemon: &Daemon, request: &Request, stay: &Stay) -> Result<(), ClientError> {
    let mut client = Client::connect(&daemon.socket)?;
    if let Reply::Handle(handle) = client.ask(request)? {
        if stay.json {
            println!("{{\"handle\":{handle}}}");
        } else {
            println!("registered, handle {handle}");
        }
    }
    if stay.detach {
        return Ok(());
    }
    while let Some(reply) = client.next_reply()? {
        if let Reply::Notice(notice) = reply {
            match (stay.json, serde_json::to_string(&notice)) {
                (true, Ok(line)) => println!("{line}"),
                _ => println!("{}:{} {}", notice.sender, notice.port, notice.text),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_named_in_words_or_numbers() {
        let name = session_name("udp:239.1.2.3:5000").unwrap();
        assert_eq!((name.protocol, name.destination.port()), (17, 5000));
        assert_eq!(session_name("239.1.2.3:5000").unwrap(), name);
        assert_eq!(session_name("17:239.1.2.3:5000").unwrap(), name);
        assert_eq!(session_name("tcp:10.0.0.1:80").unwrap().protocol, 6);
        assert_eq!(session_name("50:10.0.0.1:80").unwrap().protocol, 50);
        assert_eq!(session_name("[ff05::1]:80").unwrap().protocol, 17);
        assert_eq!(session_name("udp:[ff05::1]:80").unwrap().protocol, 17);
        assert!(session_name("300:10.0.0.1:80").unwrap_err().contains("300"));
        assert!(session_name("nowhere").unwrap_err().contains("nowhere"));
    }
}
