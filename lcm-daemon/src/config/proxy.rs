//! `[[receiver_proxy]]` and `[[sender_proxy]]`: reservations for hosts without RSVP (RFC 5945).

use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::Account;
use super::authentication::interface;
use super::check::{account_text, number, or};
use super::diagnostics::Prefix;
use super::problem::Problems;
use super::raw::Given;

/// Seconds until what failed is tried again, by default.
pub const DEFAULT_RETRY_S: u32 = 60;
/// The longest time until then.
const RETRY_S_MAX: u32 = 86_400;
/// TTL of PATH for a sender behind us, by default.
pub const DEFAULT_PROXY_TTL: u8 = 63;
/// Parts per million that make a whole.
const WHOLE_PPM: u32 = 1_000_000;
/// IP protocol number of UDP.
const UDP: u8 = 17;
/// Bytes of the smallest packet that is counted.
const MIN_POLICED: u32 = 64;

/// Receivers without RSVP for which this router reserves when a PATH comes (RFC 5946).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverProxy {
    /// Where they are: the session's destination lies in this prefix.
    pub receiver: Prefix,
    /// Only where the data goes out here.
    pub interface: Option<String>,
    /// Only sessions of this IP protocol.
    pub protocol: Option<u8>,
    /// Only sessions with a destination port in this range.
    pub ports: Option<(u16, u16)>,
    /// The most that is agreed to for one sender, in 10⁻¹² currency units per second.
    pub max_price_pico_per_s: u64,
    /// What the receivers pay from; `None` is what was agreed with the neighbour of their address.
    pub account: Option<Account>,
    /// Reserve so many bytes per second and so deep a bucket; `None` follows the sender's tspec.
    pub bucket: Option<(u64, u64)>,
    /// Send PATH on, and leave the reservation to whoever answers (RFC 5946 section 4.1).
    pub discover: bool,
    /// Seconds until what failed is tried again without a new cause.
    pub retry_s: u32,
}

/// A sender without RSVP for which this router sends PATH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderProxy {
    /// Where its data goes.
    pub session: SocketAddr,
    /// IP protocol of the session.
    pub protocol: u8,
    /// Its address and port.
    pub source: SocketAddr,
    /// The interface that it is behind; multicast is routed by it.
    pub interface: Option<String>,
    /// Bytes per second that it sends.
    pub rate: u64,
    /// Bytes that it sends at once.
    pub bucket: u64,
    /// Its largest packet in bytes.
    pub max_packet: u32,
    /// TTL of PATH.
    pub ttl: u8,
    /// Its share of the charge, in parts per million; `None` on a router that does not charge.
    pub fraction_ppm: Option<u32>,
    /// The most of it for one receiver; always there with a share above 0.
    pub limit_per_receiver: Option<u64>,
    /// A hop whose local prices exceed this is not sponsored.
    pub limit_per_hop: Option<u64>,
    /// Hops over which the share is paid.
    pub max_hops: Option<u32>,
}

/// `[[receiver_proxy]]` as it stands in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawReceiver {
    receiver: Given<String>,
    interface: Given<String>,
    protocol: Given<u64>,
    ports: Given<String>,
    max_price_pico_per_s: Given<u64>,
    account: Given<String>,
    rate: Given<u64>,
    bucket: Given<u64>,
    discover: Given<bool>,
    retry_s: Given<u64>,
}

/// `[[sender_proxy]]` as it stands in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSender {
    session: Given<String>,
    protocol: Given<u64>,
    source: Given<String>,
    interface: Given<String>,
    rate: Given<u64>,
    bucket: Given<u64>,
    max_packet: Given<u64>,
    ttl: Given<u64>,
    fraction_ppm: Given<u64>,
    limit_per_receiver: Given<u64>,
    limit_per_hop: Given<u64>,
    max_hops: Given<u64>,
}

/// Checks every `[[receiver_proxy]]`.
pub(super) fn receivers(
    tables: Vec<Spanned<RawReceiver>>,
    charges: bool,
    problems: &mut Problems<'_>,
) -> Vec<ReceiverProxy> {
    let check = |table: Spanned<RawReceiver>| {
        let place = table.span();
        receiver(table.into_inner(), place, charges, problems)
    };
    tables.into_iter().filter_map(check).collect()
}

fn receiver(
    raw: RawReceiver,
    place: Range<usize>,
    charges: bool,
    problems: &mut Problems<'_>,
) -> Option<ReceiverProxy> {
    let Some(given) = raw.receiver else {
        problems.missing(
            place,
            "receiver_proxy.receiver".to_owned(),
            "it is for no receiver",
            "add receiver = \"10.0.3.0/24\"",
        );
        return None;
    };
    let Ok(receiver) = given.get_ref().parse::<Prefix>() else {
        let remedy = "write ADDRESS/LENGTH, as in \"10.0.3.0/24\" or \"ff3e::/16\"".to_owned();
        problems.at(given.span(), "not a prefix of addresses".to_owned(), remedy);
        return None;
    };
    if charges && raw.max_price_pico_per_s.is_none() {
        problems.missing(
            place.clone(),
            "receiver_proxy.max_price_pico_per_s".to_owned(),
            "nobody says what may be agreed to",
            "add max_price_pico_per_s = N, the most for one sender",
        );
    }
    if raw.rate.is_some() != raw.bucket.is_some() {
        let remedy = "give both, or neither to follow the sender".to_owned();
        problems.at(place, "rate and bucket belong together".to_owned(), remedy);
    }
    let rate = raw.rate.map(Spanned::into_inner);
    let ports = raw.ports.and_then(|given| {
        let found = ports(given.get_ref());
        if found.is_none() {
            let remedy = "write FIRST-LAST or one port, as in \"5000-5999\"".to_owned();
            problems.at(given.span(), "not a range of ports".to_owned(), remedy);
        }
        found
    });
    let retry_s =
        number(raw.retry_s.as_ref(), DEFAULT_RETRY_S, 1..=RETRY_S_MAX, " seconds", problems);
    Some(ReceiverProxy {
        receiver,
        interface: raw.interface.and_then(|given| interface(given, problems)),
        protocol: raw.protocol.map(|given| number(Some(&given), UDP, 1..=255, "", problems)),
        ports,
        max_price_pico_per_s: raw.max_price_pico_per_s.map_or(0, Spanned::into_inner),
        account: raw.account.and_then(|given| account_text(given, problems)),
        bucket: rate.zip(raw.bucket.map(Spanned::into_inner)),
        discover: or(raw.discover, true),
        retry_s,
    })
}

fn ports(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first <= last).then_some((first, last))
}

/// Checks every `[[sender_proxy]]`.
pub(super) fn senders(
    tables: Vec<Spanned<RawSender>>,
    charges: bool,
    problems: &mut Problems<'_>,
) -> Vec<SenderProxy> {
    let mut all: Vec<SenderProxy> = Vec::new();
    for table in tables {
        let place = table.span();
        let Some(new) = sender(table.into_inner(), place.clone(), charges, problems) else {
            continue;
        };
        let name = |one: &SenderProxy| (one.session, one.protocol, one.source);
        if all.iter().any(|old| name(old) == name(&new)) {
            let remedy = "leave one of them".to_owned();
            problems.at(place, "another [[sender_proxy]] is for the same".to_owned(), remedy);
        }
        all.push(new);
    }
    all
}

fn sender(
    raw: RawSender,
    place: Range<usize>,
    charges: bool,
    problems: &mut Problems<'_>,
) -> Option<SenderProxy> {
    let (Some(session), Some(source), Some(rate)) = (raw.session, raw.source, raw.rate) else {
        let what = "a sender needs a session, a source and a rate".to_owned();
        let remedy = "add session = \"10.0.3.7:5000\", source = \"10.0.1.7:4000\", rate = 125000";
        problems.at(place, what, remedy.to_owned());
        return None;
    };
    let session = address(&session, problems);
    let source = address(&source, problems);
    let rate = rate.into_inner();
    let fraction_ppm = number(raw.fraction_ppm.as_ref(), 0, 0..=WHOLE_PPM, "", problems);
    let limit_per_receiver = raw.limit_per_receiver.map(Spanned::into_inner);
    if fraction_ppm > 0 && !charges {
        let remedy = "remove it, or set charging.enabled = true".to_owned();
        problems.at(place, "a share where nothing is charged".to_owned(), remedy);
    } else if fraction_ppm > 0 && limit_per_receiver.is_none() {
        problems.missing(
            place,
            "sender_proxy.limit_per_receiver".to_owned(),
            "a share without a limit is a blank cheque",
            "add limit_per_receiver = N, the most for one receiver",
        );
    }
    Some(SenderProxy {
        session: session?,
        protocol: number(raw.protocol.as_ref(), UDP, 1..=255, "", problems),
        source: source?,
        interface: raw.interface.and_then(|given| interface(given, problems)),
        rate,
        bucket: raw.bucket.map_or(rate, Spanned::into_inner),
        max_packet: number(raw.max_packet.as_ref(), 1_500, MIN_POLICED..=65_535, "", problems),
        ttl: number(raw.ttl.as_ref(), DEFAULT_PROXY_TTL, 1..=255, "", problems),
        fraction_ppm: charges.then_some(fraction_ppm),
        limit_per_receiver,
        limit_per_hop: raw.limit_per_hop.map(Spanned::into_inner),
        max_hops: raw.max_hops.map(|given| number(Some(&given), 0, 0..=u32::MAX, "", problems)),
    })
}

fn address(given: &Spanned<String>, problems: &mut Problems<'_>) -> Option<SocketAddr> {
    let found = given.get_ref().parse().ok();
    if found.is_none() {
        let remedy = "write ADDRESS:PORT, as in \"10.0.3.7:5000\" or \"[fd00::7]:5000\"".to_owned();
        problems.at(given.span(), "not an address with a port".to_owned(), remedy);
    }
    found
}

pub(super) fn render(
    out: &mut String,
    receivers: &[ReceiverProxy],
    senders: &[SenderProxy],
    quoted: impl Fn(&str) -> String,
) -> fmt::Result {
    for proxy in receivers {
        writeln!(out, "\n[[receiver_proxy]]")?;
        writeln!(out, "receiver = \"{}\"", proxy.receiver)?;
        if let Some(interface) = &proxy.interface {
            writeln!(out, "interface = {}", quoted(interface))?;
        }
        if let Some(protocol) = proxy.protocol {
            writeln!(out, "protocol = {protocol}")?;
        }
        if let Some((first, last)) = proxy.ports {
            writeln!(out, "ports = \"{first}-{last}\"")?;
        }
        writeln!(out, "max_price_pico_per_s = {}", proxy.max_price_pico_per_s)?;
        if let Some(account) = &proxy.account {
            writeln!(out, "account = {}", quoted(&account.to_string()))?;
        }
        if let Some((rate, bucket)) = proxy.bucket {
            writeln!(out, "rate = {rate}\nbucket = {bucket}")?;
        }
        writeln!(out, "discover = {}\nretry_s = {}", proxy.discover, proxy.retry_s)?;
    }
    for proxy in senders {
        writeln!(out, "\n[[sender_proxy]]")?;
        writeln!(out, "session = \"{}\"\nprotocol = {}", proxy.session, proxy.protocol)?;
        writeln!(out, "source = \"{}\"", proxy.source)?;
        if let Some(interface) = &proxy.interface {
            writeln!(out, "interface = {}", quoted(interface))?;
        }
        writeln!(out, "rate = {}\nbucket = {}", proxy.rate, proxy.bucket)?;
        writeln!(out, "max_packet = {}\nttl = {}", proxy.max_packet, proxy.ttl)?;
        if let Some(fraction) = proxy.fraction_ppm {
            writeln!(out, "fraction_ppm = {fraction}")?;
        }
        for (name, limit) in [
            ("limit_per_receiver", proxy.limit_per_receiver),
            ("limit_per_hop", proxy.limit_per_hop),
            ("max_hops", proxy.max_hops.map(u64::from)),
        ] {
            if let Some(limit) = limit {
                writeln!(out, "{name} = {limit}")?;
            }
        }
    }
    Ok(())
}

impl ReceiverProxy {
    /// Whether a session is one of those that it is for.
    #[must_use]
    pub fn is_for(&self, destination: IpAddr, protocol: u8, port: u16) -> bool {
        self.receiver.contains(destination)
            && self.protocol.is_none_or(|own| own == protocol)
            && self.ports.is_none_or(|(first, last)| (first..=last).contains(&port))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::super::Config;
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, "lcm.toml").map_err(|errors| errors.to_string())
    }

    const CHARGING: &str = "[charging]\nenabled = true\ncurrency = \"EUR\"\n\
        account = { kind = \"opaque\", id = \"x\" }\n\
        [default_interface]\ntariff = { price_pico_per_s = 0 }\n";

    #[test]
    fn what_is_wrong_with_proxies_is_told_where_it_stands() {
        let session = "session = \"10.0.3.7:5000\"\nsource = \"10.0.1.7:4000\"\nrate = 1";
        for (table, text, expected) in [
            ("receiver_proxy", "max_price_pico_per_s = 1".to_owned(), "for no receiver"),
            ("receiver_proxy", "receiver = \"10.0.0.0/33\"".to_owned(), "not a prefix"),
            ("receiver_proxy", "receiver = \"10.0.0.0/24\"".to_owned(), "what may be agreed"),
            (
                "receiver_proxy",
                "receiver = \"::/0\"\nmax_price_pico_per_s = 1\nrate = 5".to_owned(),
                "belong together",
            ),
            (
                "receiver_proxy",
                "receiver = \"::/0\"\nmax_price_pico_per_s = 1\nports = \"9-5\"".to_owned(),
                "range of ports",
            ),
            ("sender_proxy", "session = \"10.0.3.7:5000\"".to_owned(), "a session, a source"),
            ("sender_proxy", session.replace("3.7:", "3.7"), "not an address with a port"),
            ("sender_proxy", format!("{session}\nfraction_ppm = 1"), "blank cheque"),
            ("sender_proxy", format!("{session}\n[[sender_proxy]]\n{session}"), "the same"),
        ] {
            let errors = parse(&format!("{CHARGING}[[{table}]]\n{text}\n")).unwrap_err();
            assert!(errors.contains(expected), "{text}: {errors}");
        }
        let share = format!("[[sender_proxy]]\n{session}\nfraction_ppm = 1\n");
        assert!(parse(&share).unwrap_err().contains("nothing is charged"));
    }

    #[test]
    fn a_proxy_is_for_sessions_in_its_prefix() {
        let proxy = |text: &str| {
            let text = format!("[[receiver_proxy]]\nreceiver = {text}\n");
            parse(&text).unwrap().receiver_proxies.remove(0)
        };
        let to = |text: &str| text.parse::<IpAddr>().unwrap();
        for (text, inside, outside) in [
            ("\"10.0.3.0/24\"", "10.0.3.255", "10.0.4.0"),
            ("\"10.0.3.7\"", "10.0.3.7", "10.0.3.6"),
            ("\"0.0.0.0/0\"", "239.1.2.3", "ff0e::1"),
            ("\"fd00:0:0:3::/64\"", "fd00:0:0:3::9", "fd00:0:0:4::9"),
            ("\"::/0\"", "ff0e::1", "10.0.0.1"),
        ] {
            let proxy = proxy(text);
            assert!(proxy.is_for(to(inside), 17, 1) && !proxy.is_for(to(outside), 17, 1), "{text}");
        }
        let narrow = proxy("\"10.0.0.0/8\"\nprotocol = 6\nports = \"5000-5001\"");
        let fits = |protocol, port| narrow.is_for(to("10.1.2.3"), protocol, port);
        assert!(fits(6, 5_000) && fits(6, 5_001));
        assert!(!fits(17, 5_000) && !fits(6, 4_999) && !fits(6, 5_002));
    }

    pub(in super::super) fn any_proxies()
    -> impl Strategy<Value = (Vec<ReceiverProxy>, Vec<SenderProxy>)> {
        let numbers = (any::<u32>(), any::<u32>(), 1..=RETRY_S_MAX);
        (any::<([u8; 4], u16)>(), any::<[bool; 4]>(), numbers).prop_map(|(at, some, numbers)| {
            let (price, rate, retry_s) = numbers;
            let receiver = ReceiverProxy {
                receiver: Prefix { address: IpAddr::from(at.0), length: 24 },
                interface: some[0].then(|| "eth7".to_owned()),
                protocol: some[1].then_some(6),
                ports: some[2].then_some((at.1, u16::MAX)),
                max_price_pico_per_s: price.into(),
                account: some[3].then(|| "nai:alice@example.net".parse().unwrap()),
                bucket: some[0].then_some((rate.into(), price.into())),
                discover: some[1],
                retry_s,
            };
            let sender = SenderProxy {
                session: SocketAddr::from(at),
                protocol: 6,
                source: SocketAddr::from(at),
                interface: some[0].then(|| "eth7".to_owned()),
                rate: rate.into(),
                bucket: price.into(),
                max_packet: 1_400,
                ttl: 9,
                fraction_ppm: None,
                limit_per_receiver: some[1].then_some(price.into()),
                limit_per_hop: some[2].then_some(price.into()),
                max_hops: some[3].then_some(price),
            };
            (vec![receiver], vec![sender])
        })
    }
}
