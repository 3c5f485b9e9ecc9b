//! What a thousand sessions at rest cost on a link between two daemons: refreshed in whole, and by
//! number (RFC 2961).

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use lcm_daemon::control::Request;
use lcm_daemon::control::protocol::{
    ReceiveRequest, SendRequest, SessionName, Share, StyleName, TrafficSpec,
};
use lcm_daemon::demo::stage::{LinkPrice, Setup, Stage};
use lcm_daemon::engine::Level;
use lcm_daemon::lab::Topology;
use lcm_daemon::lab::wait::until;
use lcm_tests::harness::TestResult;
use lcm_tests::node;

use crate::support::play::program;

const SESSIONS: u16 = 1_000;
const FIRST_PORT: u16 = 5_000;
/// R.
const REFRESH_MS: u32 = 2_000;
/// How long the link is listened to: four R.
const WINDOW: Duration = Duration::from_secs(8);
/// How long a thousand set-ups may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Octets of an Ethernet header, which the link's figure leaves out.
const ETHERNET: usize = 14;

/// Messages and octets a second on the link between the two routers, at rest.
fn at_rest(reduce: bool) -> Result<(f64, f64), Box<dyn Error>> {
    let prices = [("IS1", "IS2", 100, 120), ("IS2", "R1", 40, 80)];
    let prices = prices.map(|(from, to, price, max_price)| {
        ((from.to_owned(), to.to_owned()), LinkPrice { price, max_price })
    });
    let stage = Stage::start(Setup {
        topology: Topology::chain(&["S", "IS1", "IS2", "R1"]),
        prices: BTreeMap::from(prices),
        reservable: BTreeMap::new(),
        ignorant: BTreeSet::new(),
        refresh_ms: REFRESH_MS,
        validity_ms: 60_000,
        group: None,
        ipv6: false,
        reduce,
        port: FIRST_PORT,
        program: (program(), vec![node::DAEMON.to_owned()]),
        pcap: None,
        more: BTreeMap::new(),
        log_level: "warn",
        books: None,
        hold_s: None,
        extra: BTreeMap::new(),
        metrics_port: None,
    })?;
    let (source, receiver) = (stage.address("S")?, stage.address("R1")?);
    for port in FIRST_PORT..FIRST_PORT + SESSIONS {
        let session = SessionName { destination: SocketAddr::new(receiver, port), protocol: 17 };
        let traffic = TrafficSpec {
            rate: 8_000,
            bucket: 2_000,
            peak: None,
            min_policed: 64,
            max_packet: 1_500,
        };
        stage.ask(
            "S",
            &Request::Send(SendRequest {
                session,
                source: SocketAddr::new(source, port),
                traffic,
                ttl: 63,
                interface: None,
                proxy: None,
                share: Some(Share::default()),
                detach: true,
            }),
        )?;
        stage.ask(
            "R1",
            &Request::Receive(ReceiveRequest {
                session,
                sender: None,
                style: StyleName::Ff,
                traffic: None,
                max_payment: None,
                budget: None,
                interface: None,
                confirm: false,
                identity: None,
                priority: None,
                cheapest: None,
                detail: Level::Totals,
                detach: true,
            }),
        )?;
    }
    let paid = i64::from(SESSIONS) * 140;
    until(PATIENCE, "a thousand reservations", || {
        let rate = stage.accounts("R1").map_err(|e| e.to_string())?.rate;
        if rate == -paid { Ok(()) } else { Err(format!("R1 pays {rate}")) }
    })?;
    listen(&stage, Duration::from_millis(2 * u64::from(REFRESH_MS)))?;
    let (messages, octets) = listen(&stage, WINDOW)?;
    assert_eq!(stage.accounts("R1")?.rate, -paid, "all of them are still paid for");
    let seconds = WINDOW.as_secs_f64();
    Ok((messages as f64 / seconds, octets as f64 / seconds))
}

/// What crosses the link between the routers in a while, by the time stamps of the kernel.
fn listen(stage: &Stage, span: Duration) -> Result<(usize, usize), Box<dyn Error>> {
    // What came before is not asked for.
    let _before = stage.capture().drain();
    let nanoseconds = u64::try_from(span.as_nanos())?;
    let mut from = None;
    let (mut messages, mut octets) = (0, 0);
    until(span + PATIENCE, "the end of the window", || {
        for captured in stage.capture().drain() {
            let start = *from.get_or_insert(captured.timestamp_ns);
            if captured.timestamp_ns - start >= nanoseconds {
                return Ok(());
            }
            if captured.label.as_ref() == "IS1-IS2" {
                messages += 1;
                octets += captured.frame.len() - ETHERNET;
            }
        }
        Err("it goes on".to_owned())
    })?;
    Ok((messages, octets))
}

pub(crate) fn a_thousand_sessions() -> TestResult {
    let (whole, numbers) = (at_rest(false)?, at_rest(true)?);
    println!(
        "1000 sessions, R = 2 s: in whole {:.0} messages and {:.0} octets a second, by number {:.1} \
         messages and {:.0} octets",
        whole.0, whole.1, numbers.0, numbers.1
    );
    // A PATH and a RESV for each session every R.
    assert!(whole.0 > 900.0, "{whole:?}");
    assert!(numbers.1 * 10.0 < whole.1, "by number {numbers:?}, in whole {whole:?}");
    Ok(())
}
