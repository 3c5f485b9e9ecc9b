//! `lcmctl quote`: what receiving a session would cost, before anything is reserved.

use clap::Args;
use serde::Serialize;

use super::Daemon;
use super::session::session_name;
use super::show::sender_text;
use super::table::Table;
use crate::control::Request;
use crate::control::client::{Client, ClientError};
use crate::control::protocol::{Reply, SessionName, What};
use crate::engine::show::{DownstreamView, SenderId, SessionView};

/// Parts in a million.
const MILLION: u128 = 1_000_000;

#[derive(Debug, Args)]
pub(crate) struct QuoteArgs {
    #[command(flatten)]
    daemon: Daemon,
    /// Session to be received: [udp:]ADDRESS:PORT.
    #[arg(value_parser = session_name)]
    session: SessionName,
    /// For how long, in seconds.
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 3600)]
    seconds: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What a receiver on a node would pay, by what the previous hop announces now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// Per second, in wire units (10⁻¹² currency units).
    pub rate: u64,
    /// For the whole time, in ledger units (10⁻¹⁵ currency units).
    pub amount: u128,
    /// The highest rate that the announced maximum allows.
    pub most_rate: u64,
    /// What that comes to.
    pub most: u128,
}

/// Rate × duration: now, and at worst.
///
/// The worst is the announced maximum less the sender's share of it. A sender that has set limits
/// may stop paying where one is hit, so none of its share is counted on then.
pub fn estimate(announced: &DownstreamView, ms: u64) -> Estimate {
    let limited = announced.limit_per_receiver.is_some()
        || announced.limit_per_hop.is_some()
        || announced.max_hops.is_some();
    let rate = announced.total_charge.saturating_sub(announced.sponsored);
    let max = u128::from(announced.max_total_charge);
    let share = if limited {
        0
    } else {
        (max * u128::from(announced.sender_fraction_ppm)).div_ceil(MILLION)
    };
    let most_rate = u64::try_from(max.saturating_sub(share)).unwrap_or(u64::MAX).max(rate);
    let whole = |rate: u64| u128::from(rate) * u128::from(ms);
    Estimate { rate, amount: whole(rate), most_rate, most: whole(most_rate) }
}

/// One sender's estimate; amounts as text, since they outgrow JSON numbers.
#[derive(Debug, Serialize)]
struct Line {
    sender: SenderId,
    rate: u64,
    amount: String,
    most_rate: u64,
    most: String,
}

pub(crate) fn run(args: &QuoteArgs) -> Result<(), ClientError> {
    let request = Request::Show { what: What::Sessions };
    let Reply::Sessions(sessions) = Client::connect(&args.daemon.socket)?.ask(&request)? else {
        return Err(ClientError::Refused("the daemon answered something else".to_owned()));
    };
    let lines = lines(&sessions, args.session, u64::from(args.seconds) * 1_000);
    if lines.is_empty() {
        return Err(ClientError::Refused(format!(
            "nobody announces a price for {} here: wait for PATH, or see `lcmctl show sessions`",
            args.session.destination
        )));
    }
    if args.json {
        let text = serde_json::to_string_pretty(&lines);
        println!("{}", text.map_err(|error| ClientError::Refused(error.to_string()))?);
    } else {
        print!("{}", table(&lines, args.seconds));
    }
    Ok(())
}

fn lines(sessions: &[SessionView], wanted: SessionName, ms: u64) -> Vec<Line> {
    let session = sessions.iter().filter(|view| {
        (view.session.destination, view.session.port, view.session.protocol)
            == (wanted.destination.ip(), wanted.destination.port(), wanted.protocol)
    });
    let priced = session
        .flat_map(|view| &view.senders)
        .filter_map(|view| Some((view.sender.clone(), view.charging.as_ref()?)));
    priced
        .map(|(sender, announced)| {
            let Estimate { rate, amount, most_rate, most } = estimate(announced, ms);
            let (amount, most) = (amount.to_string(), most.to_string());
            Line { sender, rate, amount, most_rate, most }
        })
        .collect()
}

fn table(lines: &[Line], seconds: u32) -> Table {
    let mut table = Table::new(["SENDER", "RATE", "SECONDS", "AMOUNT", "AT MOST", "IN ALL"]);
    for line in lines {
        table.row([
            sender_text(&line.sender),
            line.rate.to_string(),
            seconds.to_string(),
            line.amount.clone(),
            line.most_rate.to_string(),
            line.most.clone(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced() -> DownstreamView {
        DownstreamView {
            total_charge: 140,
            max_total_charge: 201,
            sender_fraction_ppm: 300_000,
            sender_account: None,
            limit_per_receiver: None,
            limit_per_hop: None,
            max_hops: None,
            sponsored: 42,
            epoch: 1,
            arises: Vec::new(),
            quotes: Vec::new(),
            payment: None,
        }
    }

    #[test]
    fn r004_a_quote_is_rate_times_duration_now_and_at_worst() {
        let estimated = estimate(&announced(), 60_000);
        // ⌈201 · 3/10⌉ is 61.
        let expected =
            Estimate { rate: 98, amount: 98 * 60_000, most_rate: 140, most: 140 * 60_000 };
        assert_eq!(estimated, expected);
        let limited = DownstreamView { limit_per_hop: Some(9), ..announced() };
        assert_eq!(estimate(&limited, 1).most_rate, 201, "the sender may stop paying");
    }

    #[test]
    fn the_longest_and_dearest_does_not_wrap() {
        let most = DownstreamView {
            total_charge: u64::MAX,
            max_total_charge: u64::MAX,
            sponsored: 0,
            ..announced()
        };
        let all = estimate(&most, u64::MAX);
        assert_eq!(all.amount, u128::from(u64::MAX) * u128::from(u64::MAX));
        assert_eq!(all.most, all.amount, "never below what is due now");
    }
}
