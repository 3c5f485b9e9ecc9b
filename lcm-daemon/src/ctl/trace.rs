//! `lcmctl trace`: asks the hops of a path for their state, and draws it (RFC 2745).

use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};

use clap::Args;

use super::Daemon;
use super::session::session_name;
use super::show::sender_text;
use crate::control::Request;
use crate::control::client::{Client, ClientError};
use crate::control::protocol::{Reply, SessionName, TraceSpec};
use crate::engine::{TraceCharges, TraceHop, TraceView};

/// Parts per million of a percent.
const PPM_PER_PERCENT: u32 = 10_000;
/// Arrival times count in these parts of a second.
const NTP_PARTS: f64 = 65_536.0;
/// Clocks that are further apart than this, in seconds, say nothing of the way between them.
const CLOCKS_APART_S: f64 = 30.0;

#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    #[command(flatten)]
    daemon: Daemon,
    /// Session whose path is asked for: [udp:]ADDRESS:PORT.
    #[arg(value_parser = session_name)]
    session: SessionName,
    /// Sender towards whom; the only one that the daemon knows without it.
    #[arg(long, value_name = "ADDRESS:PORT")]
    sender: Option<SocketAddr>,
    /// Hop where the path begins; the daemon itself without it.
    #[arg(long, value_name = "ADDRESS")]
    last_hop: Option<IpAddr>,
    /// Ask so many hops at most; 0 asks all.
    #[arg(long, value_name = "HOPS", default_value_t = 0)]
    max_hops: u8,
    /// Have replies sent straight instead of back from hop to hop.
    #[arg(long)]
    direct: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &TraceArgs) -> Result<(), ClientError> {
    let TraceArgs { session, sender, last_hop, max_hops, direct, .. } = *args;
    let spec = TraceSpec { session, sender, last_hop, max_hops, direct };
    let reply = Client::connect(&args.daemon.socket)?.ask(&Request::Trace(spec))?;
    let Reply::Trace(view) = reply else {
        return Err(ClientError::Refused("the daemon answered something else".to_owned()));
    };
    if args.json {
        let text = serde_json::to_string_pretty(&view);
        println!("{}", text.map_err(|error| ClientError::Refused(error.to_string()))?);
    } else {
        print!("{}", drawing(&view));
    }
    match view.problem {
        Some(problem) => Err(ClientError::Refused(problem)),
        None => Ok(()),
    }
}

/// The path as text, from the last hop down to the sender.
pub(crate) fn drawing(view: &TraceView) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = draw(&mut out, view);
    out
}

fn draw(out: &mut String, view: &TraceView) -> fmt::Result {
    let (session, sender) = (view.session.to_string(), sender_text(&view.sender));
    write!(out, "{session} from {sender}: {} hops", view.hops.len())?;
    if let Some(us) = view.round_trip_us {
        write!(out, ", {}.{:03} ms there and back", us / 1_000, us % 1_000)?;
    }
    writeln!(out)?;
    let first = view.hops.first().map(|hop| hop.arrival);
    for (number, hop) in (1..).zip(&view.hops) {
        if hop.hidden_hops > 0 {
            writeln!(out, "  ┆    {} hops without RSVP", hop.hidden_hops)?;
        }
        write!(out, "{number:>3} ─ {}", place(hop))?;
        if let Some(after) = first.filter(|_| number > 1).and_then(|at| later_ms(at, hop.arrival)) {
            write!(out, "  +{after:.1} ms")?;
        }
        writeln!(out)?;
        let last = number == view.hops.len();
        let line = if last { ' ' } else { '│' };
        for said in details(hop) {
            writeln!(out, "  {line}    {said}")?;
        }
    }
    Ok(())
}

/// The addresses of a hop: where the data goes on, and where it comes from.
fn place(hop: &TraceHop) -> String {
    match (hop.outgoing, hop.incoming) {
        (Some(outgoing), Some(incoming)) => format!("{outgoing} ← {incoming}"),
        (None, Some(incoming)) => format!("receiver ← {incoming}"),
        (Some(outgoing), None) if hop.previous_hop.is_none() && hop.errors.is_empty() => {
            format!("{outgoing} ← sender")
        }
        (Some(outgoing), None) => outgoing.to_string(),
        (None, None) => "a hop without addresses".to_owned(),
    }
}

/// How much later the request came to a hop than to the first, if both clocks go alike.
fn later_ms(first: u32, here: u32) -> Option<f64> {
    let seconds = f64::from(here.wrapping_sub(first) as i32) / NTP_PARTS;
    (0.0..CLOCKS_APART_S).contains(&seconds).then_some(seconds * 1_000.0)
}

fn details(hop: &TraceHop) -> Vec<String> {
    let mut lines = Vec::new();
    match (&hop.reserved, hop.sender_rate) {
        (Some(flow), _) => {
            let merged = if hop.merged { ", merged with other branches" } else { "" };
            let style = flow.style.as_deref().unwrap_or("no style");
            lines.push(format!("reserved {} bytes/s, {style}{merged}", flow.rate));
        }
        (None, Some(rate)) => {
            lines.push(format!("nothing reserved; the sender has {rate} bytes/s"))
        }
        (None, None) => {}
    }
    lines.extend(hop.charges.iter().map(announced));
    lines.extend(hop.charges.iter().filter_map(paid));
    lines.extend(hop.errors.iter().map(|error| format!("! {error}")));
    lines
}

fn announced(charges: &TraceCharges) -> String {
    let TraceCharges { total, max_total, .. } = charges;
    let mut text = match charges.payer {
        Some(payer) => format!("asks {payer} for C {total} (at most {max_total})"),
        None => format!("would ask for C {total} (at most {max_total})"),
    };
    if let Some(local) = charges.local_price {
        text.push_str(&format!(", L {local} of it its own"));
    }
    if let Some(sponsored) = charges.sponsored {
        text.push_str(&format!(", S {sponsored} covered by the sender"));
    }
    if let Some(ppm) = charges.sender_fraction_ppm {
        let (whole, rest) = (ppm / PPM_PER_PERCENT, ppm % PPM_PER_PERCENT);
        let rest = format!("{rest:04}");
        let rest = rest.trim_end_matches('0');
        let dot = if rest.is_empty() { "" } else { "." };
        text.push_str(&format!(" (r {whole}{dot}{rest} %)"));
    }
    text
}

fn paid(charges: &TraceCharges) -> Option<String> {
    let payer = charges.payer?;
    let payment = charges.payment?;
    let stands = match charges.established {
        Some(true) => "stands end to end",
        _ => "does not stand end to end yet",
    };
    let mut text = format!("{payer} pays {payment}, {stands}");
    if let (Some(a), Some(b)) = (charges.announced_total, charges.local_sum) {
        text.push_str(&format!("; below it A {a}, B {b}"));
    }
    if let Some(sender_payment) = charges.sender_payment.filter(|payment| *payment > 0) {
        text.push_str(&format!(", and is paid {sender_payment} for the sender"));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::TracedFlow;
    use crate::engine::show::{SenderId, SessionId};

    fn ip(text: &str) -> Option<IpAddr> {
        text.parse().ok()
    }

    fn hop(outgoing: Option<IpAddr>, incoming: Option<IpAddr>, arrival: u32) -> TraceHop {
        TraceHop {
            incoming,
            outgoing,
            previous_hop: incoming,
            hidden_hops: 0,
            arrival,
            merged: false,
            errors: Vec::new(),
            refresh_multiple: 3,
            refresh_s: 30,
            sender_rate: Some(10_000),
            reserved: Some(TracedFlow { style: Some("FF".to_owned()), service: 5, rate: 10_000 }),
            charges: Vec::new(),
        }
    }

    #[test]
    fn a_path_is_drawn_from_the_receiver_down_to_the_sender() {
        let charges = TraceCharges {
            payer: ip("10.0.3.2"),
            currency: 978,
            total: 90,
            max_total: 200,
            local_price: Some(40),
            sender_fraction_ppm: Some(300_000),
            sponsored: Some(27),
            payment: Some(63),
            announced_total: Some(90),
            local_sum: Some(0),
            sender_payment: Some(0),
            established: Some(true),
        };
        let mut router = hop(ip("10.0.3.1"), ip("10.0.2.2"), 65_536 + 66);
        router.charges = vec![charges];
        router.merged = true;
        router.hidden_hops = 2;
        let view = TraceView {
            session: SessionId { destination: ip("10.0.3.2").unwrap(), protocol: 17, port: 5_000 },
            sender: SenderId { source: ip("10.0.1.1").unwrap(), id: 4_000 },
            complete: true,
            round_trip_us: Some(1_234),
            hops: vec![
                hop(None, ip("10.0.3.2"), 65_536),
                router,
                TraceHop { reserved: None, ..hop(ip("10.0.1.1"), None, 65_500) },
            ],
            problem: None,
        };
        let expected = "\
udp:10.0.3.2:5000 from 10.0.1.1:4000: 3 hops, 1.234 ms there and back
  1 ─ receiver ← 10.0.3.2
  │    reserved 10000 bytes/s, FF
  ┆    2 hops without RSVP
  2 ─ 10.0.3.1 ← 10.0.2.2  +1.0 ms
  │    reserved 10000 bytes/s, FF, merged with other branches
  │    asks 10.0.3.2 for C 90 (at most 200), L 40 of it its own, S 27 covered by the sender (r 30 %)
  │    10.0.3.2 pays 63, stands end to end; below it A 90, B 0
  3 ─ 10.0.1.1 ← sender
       nothing reserved; the sender has 10000 bytes/s
";
        assert_eq!(drawing(&view), expected);
    }

    #[test]
    fn clocks_that_disagree_say_nothing_and_wrap_like_ntp() {
        assert_eq!(later_ms(u32::MAX - 65_535, 0), Some(1_000.0));
        assert_eq!((later_ms(10, 9), later_ms(0, 40 << 16)), (None, None));
    }
}
