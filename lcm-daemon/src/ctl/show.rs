//! `lcmctl show`.

use clap::{Args, ValueEnum};

use super::table::{Table, or_dash};
use super::{Daemon, authentication};
use crate::control::Request;
use crate::control::client::{Client, ClientError};
use crate::control::protocol::{Reply, What};
use crate::engine::show::NeighbourView;
use crate::engine::show::{
    AccountsView, DownstreamView, InterfaceState, QualityView, ReservationView, SenderId,
    SessionView, UpstreamView,
};

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    daemon: Daemon,
    /// What to list.
    #[arg(value_enum)]
    what: Kind,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// Path state and what is announced.
    Sessions,
    /// Reservations and who pays for them.
    Reservations,
    /// Interfaces and their prices.
    Interfaces,
    /// What neighbours owe and are owed.
    Accounts,
    /// Secured interfaces and neighbours, their keys, and what was not believed.
    Authentication,
    /// Neighbours that reduce refreshes (RFC 2961) or are greeted (RFC 3209).
    Neighbours,
}

pub(crate) fn run(args: &ShowArgs) -> Result<(), ClientError> {
    let what = match args.what {
        Kind::Sessions => What::Sessions,
        Kind::Reservations => What::Reservations,
        Kind::Interfaces => What::Interfaces,
        Kind::Accounts => What::Accounts,
        Kind::Authentication => What::Authentication,
        Kind::Neighbours => What::Neighbours,
    };
    let reply = Client::connect(&args.daemon.socket)?.ask(&Request::Show { what })?;
    if args.json {
        println!("{}", json(&reply).map_err(|e| ClientError::Refused(e.to_string()))?);
        return Ok(());
    }
    match &reply {
        Reply::Sessions(list) => {
            print!("{}", sessions(list));
            if list.iter().flat_map(charges_told).next().is_some() {
                print!("\n{}", arises(list));
            }
        }
        Reply::Reservations(list) => print!("{}", reservations(list)),
        Reply::Interfaces(list) => print!("{}", interfaces(list)),
        Reply::Accounts(accounts) => print!("{}", self::accounts(accounts)),
        Reply::Authentication { associations, dropped } => {
            print!("{}", authentication::associations(associations));
            if !dropped.is_empty() {
                print!("\n{}", authentication::dropped(dropped));
            }
        }
        Reply::Neighbours(list) => print!("{}", neighbours(list)),
        _ => {}
    }
    Ok(())
}

fn json(reply: &Reply) -> serde_json::Result<String> {
    match reply {
        Reply::Sessions(list) => serde_json::to_string_pretty(list),
        Reply::Reservations(list) => serde_json::to_string_pretty(list),
        Reply::Interfaces(list) => serde_json::to_string_pretty(list),
        Reply::Accounts(accounts) => serde_json::to_string_pretty(accounts),
        Reply::Authentication { associations, dropped } => {
            let both = serde_json::json!({ "associations": associations, "dropped": dropped });
            serde_json::to_string_pretty(&both)
        }
        Reply::Neighbours(list) => serde_json::to_string_pretty(list),
        other => serde_json::to_string_pretty(other),
    }
}

fn neighbours(list: &[NeighbourView]) -> Table {
    let columns = ["NEIGHBOUR", "INTERFACE", "REDUCES", "NUMBERS", "UNACKED", "STATES", "HELLO"];
    let mut table = Table::new(columns);
    for neighbour in list {
        table.row([
            neighbour.address.to_string(),
            or_dash(neighbour.interface.as_deref()),
            yes_no(neighbour.refresh_reduction),
            yes_no(neighbour.message_ids),
            neighbour.unacknowledged.to_string(),
            neighbour.states.to_string(),
            or_dash(neighbour.hello.as_deref()),
        ]);
    }
    table
}

fn yes_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

pub(super) fn sender_text(sender: &SenderId) -> String {
    format!("{}:{}", sender.source, sender.id)
}

fn sessions(list: &[SessionView]) -> Table {
    let mut table = Table::new([
        "SESSION", "SENDER", "PHOP", "IN", "OUT", "EXPIRES", "C", "M", "r ppm", "S", "PAYS",
    ]);
    for session in list {
        for sender in &session.senders {
            let charging = sender.charging.as_ref();
            let paid = charging.and_then(|state| state.payment.as_ref());
            table.row([
                session.session.to_string(),
                sender_text(&sender.sender),
                sender.phop.map_or("local".to_owned(), |hop| hop.to_string()),
                or_dash(sender.incoming.as_deref()),
                sender.outgoing.join(","),
                or_dash(sender.expires_in_ms.map(seconds)),
                or_dash(charging.map(|state| state.total_charge)),
                or_dash(charging.map(|state| state.max_total_charge)),
                or_dash(charging.map(|state| state.sender_fraction_ppm)),
                or_dash(charging.map(|state| state.sponsored)),
                or_dash(paid.map(|payment| payment.debited)),
            ]);
        }
    }
    table
}

/// The senders of a session of whose charges somebody wants to know where they arise.
fn charges_told(session: &SessionView) -> impl Iterator<Item = (&SenderId, &DownstreamView)> {
    let charged = session.senders.iter();
    let told = charged.filter_map(|sender| Some((&sender.sender, sender.charging.as_ref()?)));
    told.filter(|(_, charging)| !charging.arises.is_empty())
}

fn arises(list: &[SessionView]) -> Table {
    let mut table = Table::new(["SESSION", "SENDER", "C", "ARISES AT", "PART"]);
    for session in list {
        for (sender, charging) in charges_told(session) {
            for part in &charging.arises {
                table.row([
                    session.session.to_string(),
                    sender_text(sender),
                    charging.total_charge.to_string(),
                    part.hop.map_or("not told".to_owned(), |hop| hop.to_string()),
                    part.rate.to_string(),
                ]);
            }
        }
    }
    table
}

fn reservations(list: &[ReservationView]) -> Table {
    let mut table = Table::new([
        "SESSION",
        "SENDER",
        "NEXT HOP",
        "OUT",
        "STYLE",
        "RATE",
        "EXPIRES",
        "L",
        "C",
        "DEBITED",
        "CEILING",
        "PAID DOWN",
        "REPORTS",
        "QUALITY",
        "IDENTITY",
    ]);
    let payers = |rsb: &'_ ReservationView| {
        let mut payers: Vec<Option<UpstreamView>> = vec![rsb.charging.clone()];
        payers.extend(rsb.more_payers.iter().cloned().map(Some));
        payers
    };
    for (rsb, charging) in
        list.iter().flat_map(|rsb| payers(rsb).into_iter().map(move |p| (rsb, p)))
    {
        let charging = charging.as_ref();
        table.row([
            rsb.session.to_string(),
            sender_text(&rsb.sender),
            next_hop(rsb, charging),
            rsb.interface.clone(),
            rsb.style.clone(),
            rsb.traffic.rate.to_string(),
            or_dash(rsb.expires_in_ms.map(seconds)),
            or_dash(charging.map(|state| state.local_price)),
            or_dash(charging.map(|state| state.agreed_total)),
            or_dash(charging.map(|state| state.debited)),
            or_dash(charging.map(|state| state.ceiling)),
            or_dash(charging.map(|state| state.payment_downstream)),
            or_dash(charging.map(reports)),
            or_dash(charging.map(|state| quality(&state.quality))),
            or_dash(rsb.identity.clone()),
        ]);
    }
    table
}

/// The next hop, and who pays from behind it.
fn next_hop(rsb: &ReservationView, charging: Option<&UpstreamView>) -> String {
    match charging {
        Some(state) if state.payer != rsb.next_hop && rsb.interface != "local" => {
            format!("{} by {}", state.payer, rsb.next_hop)
        }
        _ => rsb.next_hop.to_string(),
    }
}

/// Whether it is in place, and how long it was not.
fn quality(of: &QualityView) -> String {
    let state = match (&of.outage, of.in_place_ms) {
        (Some(why), _) => format!("out: {why}"),
        (None, Some(_)) => "in place".to_owned(),
        (None, None) => "pending".to_owned(),
    };
    match of.outages {
        0 => state,
        count => format!("{state}, {count} outages of {} ms", of.outage_ms),
    }
}

/// Whether what the next hop reports fits what it was told.
fn reports(state: &UpstreamView) -> String {
    match &state.mismatch {
        None => "fit".to_owned(),
        Some(mismatch) if state.alarm => format!("ALARM: {mismatch}"),
        Some(mismatch) => format!("differ: {mismatch}"),
    }
}

fn interfaces(list: &[InterfaceState]) -> Table {
    let mut table = Table::new([
        "INDEX",
        "NAME",
        "STATE",
        "MTU",
        "RSVP",
        "CHARGING",
        "PRICE",
        "MAX",
        "TARIFF",
        "ADDRESSES",
    ]);
    let yes = |flag: bool| if flag { "yes" } else { "no" }.to_owned();
    for interface in list {
        table.row([
            interface.index.to_string(),
            interface.name.clone(),
            if interface.up { "up" } else { "down" }.to_owned(),
            interface.mtu.to_string(),
            yes(interface.rsvp),
            yes(interface.charging),
            interface.price.to_string(),
            interface.max_price.to_string(),
            format!("{:08x}", interface.tariff_version),
            interface.addresses.join(" "),
        ]);
    }
    table
}

fn accounts(view: &AccountsView) -> Table {
    let mut table = Table::new(["NEIGHBOUR", "RATE", "BALANCE"]);
    for account in &view.accounts {
        let within = if account.internal { " (internal)" } else { "" };
        table.row([
            format!("{}{within}", account.neighbour),
            account.rate.to_string(),
            account.amount.clone(),
        ]);
    }
    if view.folded_accounts > 0 {
        let name = format!("{} older accounts", view.folded_accounts);
        table.row([name, "0".to_owned(), view.folded_amount.clone()]);
    }
    if view.accounts.iter().any(|account| account.internal) {
        let (rate, amount) = (view.internal_rate.to_string(), view.internal_amount.clone());
        table.row(["all internal".to_owned(), rate, amount]);
    }
    table.row(["all".to_owned(), view.rate.to_string(), view.amount.clone()]);
    table
}

fn seconds(ms: u64) -> String {
    format!("{}.{}s", ms / 1000, ms % 1000 / 100)
}
