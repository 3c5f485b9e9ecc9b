//! `lcmctl ledger export`. docs/ledger.md describes the columns.

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::row::{self, Format, Row};
use super::{now, text};
use crate::ledger::record::{Bill, BillOf, Body, Cause, Stamp};
use crate::ledger::replay::{Account, Moment, Open, Posting, Replay, name};
use crate::ledger::verify::{Expected, Walk};

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Directory of the books.
    dir: PathBuf,
    /// How rows are written.
    #[arg(long, value_enum)]
    format: Format,
    /// What is written.
    #[arg(long, value_enum, default_value = "postings")]
    what: What,
}

impl ExportArgs {
    pub(super) fn dir(&self) -> &PathBuf {
        &self.dir
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// The journal as it was written.
    Records,
    /// What every closed segment came to.
    Postings,
    /// What stands on each account.
    Accounts,
}

/// Columns of records; docs/ledger.md.
const RECORDS: &[&str] = &[
    "record",
    "kind",
    "at_ms",
    "wall_ms",
    "from_ms",
    "to_ms",
    "flow",
    "session",
    "sender",
    "payment",
    "interface",
    "neighbour",
    "account",
    "rate",
    "ceiling",
    "cause",
    "uid",
    "action",
    "orderly",
    "epoch",
    "sequence",
    "instance",
    "tariff",
    "digest",
    "node",
    "program",
    "boot",
    "currency",
    "hold_ms",
    "of",
    "amount",
    "open",
    "by",
    "reason",
    "period",
    "public_key",
    "signature",
    "version",
    "ours",
    "theirs",
    "foreign_rate",
    "number",
    "net",
    "gross",
    "carried_in",
    "carried_out",
    "parts",
    "state",
    "policy",
    "threshold_ms",
    "ms",
];

/// Columns of postings; docs/ledger.md.
const POSTINGS: &[&str] = &[
    "record",
    "boot",
    "flow",
    "session",
    "sender",
    "payment",
    "interface",
    "neighbour",
    "account",
    "rate",
    "from_ms",
    "to_ms",
    "from_wall_ms",
    "to_wall_ms",
    "amount",
    "returned",
    "state",
    "gap",
];

/// Columns of accounts; docs/ledger.md.
const ACCOUNTS: &[&str] = &[
    "owner",
    "payment",
    "interface",
    "neighbour",
    "account",
    "balance",
    "provisional",
    "final",
    "disputed",
    "carried",
    "running",
];

pub(super) fn run(args: &ExportArgs) -> Result<(), String> {
    let mut out = BufWriter::new(io::stdout().lock());
    match args.what {
        What::Records => records(args, &mut out)?,
        What::Postings => postings(args, &mut out)?,
        What::Accounts => accounts(args, &mut out)?,
    }
    out.flush().map_err(text)
}

fn walk(dir: &Path) -> Result<Walk, String> {
    Walk::new(dir, Expected::default()).map_err(text)
}

/// All of the books, which are sound.
fn whole(dir: &Path) -> Result<Replay, String> {
    let mut walk = walk(dir)?;
    while walk.step().map_err(text)?.is_some() {}
    walk.end().map(|verified| verified.replay).map_err(text)
}

fn records(args: &ExportArgs, out: &mut impl Write) -> Result<(), String> {
    Row::heading(out, args.format, RECORDS).map_err(text)?;
    let mut walk = walk(&args.dir)?;
    while let Some((number, body, _)) = walk.step().map_err(text)? {
        record(number, &body).write(out, args.format).map_err(text)?;
    }
    walk.end().map(|_| ()).map_err(text)
}

/// Prints one record.
pub(super) fn print(number: u64, body: &Body) -> io::Result<()> {
    record(number, body).write(&mut io::stdout().lock(), Format::Jsonl)
}

fn record(number: u64, body: &Body) -> Row {
    let row = Row::new(RECORDS).number("record", number);
    let stamped =
        |row: Row, stamp: &Stamp| row.number("at_ms", stamp.at_ms).number("wall_ms", stamp.wall_ms);
    match body {
        Body::Started(started) => stamped(row, &started.stamp)
            .text("kind", "started")
            .text("node", &started.node)
            .text("program", &started.program)
            .text("boot", row::hex(&started.boot))
            .number("currency", started.currency)
            .number("hold_ms", started.hold_ms),
        Body::Alive(stamp) => stamped(row, stamp).text("kind", "alive"),
        Body::Stopped(stamp) => stamped(row, stamp).text("kind", "stopped"),
        Body::Flow(flow) => row
            .text("kind", "flow")
            .number("flow", flow.flow)
            .text("session", row::session(&flow.session))
            .text("sender", row::sender(&flow.sender)),
        Body::Consent(consent) => row
            .text("kind", "consent")
            .number("at_ms", consent.at_ms)
            .number("flow", consent.flow)
            .neighbour(&consent.payer)
            .text("account", row::account_id(&consent.account))
            .text("ceiling", consent.ceiling)
            .number("epoch", consent.epoch)
            .number("sequence", consent.sequence)
            .number("instance", consent.instance)
            .number("tariff", consent.tariff)
            .text("digest", row::hex(&consent.digest)),
        Body::Offer(offer) => row
            .text("kind", "offer")
            .number("at_ms", offer.at_ms)
            .number("flow", offer.flow)
            .neighbour(&offer.payee)
            .text("ceiling", offer.ceiling)
            .number("epoch", offer.epoch)
            .number("sequence", offer.sequence)
            .number("instance", offer.instance),
        Body::Runs(runs) => row
            .text("kind", "runs")
            .number("at_ms", runs.at_ms)
            .number("flow", runs.meter.flow)
            .text("payment", name(runs.meter.payment))
            .neighbour(&runs.meter.neighbour)
            .text("rate", runs.rate)
            .text("cause", cause(runs.cause)),
        Body::Gap(gap) => row
            .text("kind", "gap")
            .number("from_ms", gap.from_ms)
            .number("to_ms", gap.to_ms)
            .number("flow", gap.meter.flow)
            .text("payment", name(gap.meter.payment))
            .neighbour(&gap.meter.neighbour)
            .text("rate", gap.rate),
        Body::Closed(closed) => row
            .text("kind", "closed")
            .number("at_ms", closed.at_ms)
            .number("flow", closed.flow)
            .neighbour(&closed.payer)
            .truth("orderly", closed.orderly),
        _ => by_hand(row, body),
    }
}

/// Records that no meter writes.
fn by_hand(row: Row, body: &Body) -> Row {
    match body {
        Body::Key(key) => row
            .text("kind", "key")
            .text("public_key", row::hex(&key.public))
            .text("signature", row::hex(&key.signature.concat())),
        Body::Head(head) => row
            .text("kind", "head")
            .number("wall_ms", head.wall_ms)
            .text("signature", row::hex(&head.signature.concat())),
        Body::Contra(contra) => row
            .text("kind", "contra")
            .number("wall_ms", contra.wall_ms)
            .number("of", contra.of)
            .text("amount", contra.amount)
            .text("by", &contra.by)
            .text("reason", &contra.reason),
        Body::Dispute(dispute) => row
            .text("kind", "dispute")
            .number("wall_ms", dispute.wall_ms)
            .number("of", dispute.of)
            .truth("open", dispute.open)
            .text("by", &dispute.by)
            .text("reason", &dispute.reason),
        Body::Period(period) => row
            .text("kind", "period")
            .number("at_ms", period.stamp.at_ms)
            .number("wall_ms", period.stamp.wall_ms)
            .number("period", period.number),
        Body::Operator(operator) => row
            .text("kind", "operator")
            .number("wall_ms", operator.wall_ms)
            .number("uid", operator.by.uid)
            .text("by", &operator.by.name)
            .text("action", &operator.action),
        Body::Exchange(exchange) => row
            .text("kind", "exchange")
            .number("at_ms", exchange.at_ms)
            .number("flow", exchange.flow)
            .neighbour(&exchange.payee)
            .number("currency", exchange.currency)
            .number("version", exchange.version)
            .text("ours", exchange.ours)
            .text("theirs", exchange.theirs)
            .text("rate", exchange.rate)
            .text("foreign_rate", exchange.foreign_rate),
        Body::Bill(bill) => row
            .text("kind", if bill.series.credit { "credit_note" } else { "bill" })
            .number("wall_ms", bill.wall_ms)
            .text("number", bill)
            .text("account", &bill.holder)
            .text("of", of(bill))
            .text("amount", bill.exact)
            .text("net", bill.net)
            .text("gross", bill.gross)
            .text("carried_in", bill.carried_in)
            .text("carried_out", bill.carried_out)
            .text("by", &bill.by),
        Body::Arises(arises) => row
            .text("kind", "arises")
            .number("at_ms", arises.at_ms)
            .number("flow", arises.meter.flow)
            .text("payment", name(arises.meter.payment))
            .neighbour(&arises.meter.neighbour)
            .text("parts", parts(&arises.parts)),
        Body::Outage(outage) => row
            .text("kind", "outage")
            .number("at_ms", outage.at_ms)
            .number("from_ms", outage.from_ms)
            .number("flow", outage.flow)
            .neighbour(&outage.payer)
            .text("cause", outage.why.name())
            .text("state", if outage.over { "over" } else { "out" }),
        Body::Granted(granted) => row
            .text("kind", "granted")
            .number("at_ms", granted.at_ms)
            .number("flow", granted.flow)
            .neighbour(&granted.payer)
            .number("policy", granted.policy)
            .number("threshold_ms", granted.threshold_ms),
        Body::Refund(refund) => row
            .text("kind", "refund")
            .number("at_ms", refund.at_ms)
            .number("flow", refund.meter.flow)
            .text("payment", name(refund.meter.payment))
            .neighbour(&refund.meter.neighbour)
            .number("ms", refund.ms)
            .text("amount", refund.amount)
            .text("cause", refund.why.name()),
        _ => row,
    }
}

/// What a bill is about: a period, or the record of the bill that it credits.
fn of(bill: &Bill) -> String {
    match bill.of {
        BillOf::Period(period) => format!("period {period}"),
        BillOf::Credit { bill, .. } => format!("record {bill}"),
    }
}

/// Parts of a charge as `HOP=RATE`, in path order; `-` is hops that did not tell.
fn parts(parts: &[(Option<IpAddr>, u64)]) -> String {
    let text = |(hop, rate): &(Option<IpAddr>, u64)| match hop {
        Some(hop) => format!("{hop}={rate}"),
        None => format!("-={rate}"),
    };
    parts.iter().map(text).collect::<Vec<_>>().join(" ")
}

fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Terms => "terms",
        Cause::Lapsed => "lapsed",
        Cause::Ended => "ended",
        Cause::Exhausted => "exhausted",
    }
}

/// Goes through the journal twice: what state a posting has depends on what comes later.
fn postings(args: &ExportArgs, out: &mut impl Write) -> Result<(), String> {
    let whole = whole(&args.dir)?;
    let now = now();
    Row::heading(out, args.format, POSTINGS).map_err(text)?;
    let mut walk = walk(&args.dir)?;
    let mut flows = HashMap::new();
    let mut boot = String::new();
    while let Some((number, body, applied)) = walk.step().map_err(text)? {
        if number > whole.last() {
            break;
        }
        for made in applied {
            let flow = flows.get(&made.meter.flow);
            posting(&whole, &made, &now, flow, &boot).write(out, args.format).map_err(text)?;
        }
        match body {
            Body::Flow(flow) => {
                let words = (row::session(&flow.session), row::sender(&flow.sender));
                flows.insert(flow.flow, words);
            }
            Body::Started(started) => {
                flows.clear();
                boot = row::hex(&started.boot);
            }
            _ => {}
        }
    }
    Ok(())
}

fn posting(
    whole: &Replay,
    posting: &Posting,
    now: &Moment,
    flow: Option<&(String, String)>,
    boot: &str,
) -> Row {
    let mut row = Row::new(POSTINGS)
        .number("record", posting.number)
        .text("boot", boot)
        .number("flow", posting.meter.flow)
        .text("payment", name(posting.meter.payment))
        .neighbour(&posting.meter.neighbour)
        .text("rate", posting.rate)
        .number("from_ms", posting.from.at_ms)
        .number("to_ms", posting.to.at_ms)
        .number("from_wall_ms", posting.from.wall_ms)
        .number("to_wall_ms", posting.to.wall_ms)
        .text("amount", posting.amount)
        .text("returned", whole.returned(posting.number))
        .text("state", whole.state(posting, now).name())
        .truth("gap", posting.gap);
    if let Some((session, sender)) = flow {
        row = row.text("session", session).text("sender", sender);
    }
    let theirs = [posting.debit, posting.credit].map(|place| whole.account(place));
    for account in theirs.into_iter().flatten() {
        if let Account::Neighbour(_, Some(id)) = account {
            row = row.text("account", row::account_id(id));
        }
    }
    row
}

/// What open segments came to by the last proved instant, in the order of the accounts.
pub(super) fn running(replay: &Replay) -> Vec<i128> {
    let mut sums = vec![0_i128; replay.accounts().len()];
    for Open { debit, credit, amount, .. } in replay.open() {
        let amount = i128::try_from(amount).unwrap_or(i128::MAX);
        for (place, amount) in [(debit, -amount), (credit, amount)] {
            if let Some(sum) = sums.get_mut(place.index()) {
                *sum = sum.saturating_add(amount);
            }
        }
    }
    sums
}

fn accounts(args: &ExportArgs, out: &mut impl Write) -> Result<(), String> {
    let replay = whole(&args.dir)?;
    let states = replay.by_state(&now());
    let running = running(&replay);
    Row::heading(out, args.format, ACCOUNTS).map_err(text)?;
    for (place, (account, balance)) in replay.accounts().enumerate() {
        let state = states.get(place).copied().unwrap_or_default();
        let posted = [state.provisional, state.settled, state.disputed];
        let posted = posted.iter().fold(0_i128, |sum, part| sum.saturating_add(*part));
        let row = Row::new(ACCOUNTS)
            .text("balance", balance)
            .text("provisional", state.provisional)
            .text("final", state.settled)
            .text("disputed", state.disputed)
            .text("carried", balance.saturating_sub(posted))
            .text("running", running.get(place).copied().unwrap_or_default());
        let row = match account {
            Account::Own(payment) => row.text("owner", "own").text("payment", name(*payment)),
            Account::Neighbour(neighbour, id) => {
                let row = row.text("owner", "neighbour").neighbour(neighbour);
                match id {
                    Some(id) => row.text("account", row::account_id(id)),
                    None => row,
                }
            }
        };
        row.write(out, args.format).map_err(text)?;
    }
    Ok(())
}
