//! `lcmctl show authentication`: who is secured, by which keys, and what was not believed.

use super::table::{Table, or_dash};
use crate::engine::{AssociationView, DisbeliefView, PeerView};

/// A line for each key.
pub(super) fn associations(list: &[AssociationView]) -> Table {
    let mut table =
        Table::new(["WITH", "OF", "SIGNS", "DEMANDS", "KEY", "ALGORITHM", "STATE", "PEERS"]);
    for one in list {
        let names = [one.neighbour.map(|n| n.to_string()), one.interface.clone()];
        let with: Vec<String> = names.into_iter().flatten().collect();
        for key in &one.keys {
            let peers: Vec<String> = key.peers.iter().map(peer).collect();
            table.row([
                with.join(" on "),
                if one.policy { "policy data" } else { "messages" }.to_owned(),
                yes(one.signs),
                yes(one.demands),
                key.id.to_string(),
                key.algorithm.clone(),
                key.state.clone(),
                or_dash((!peers.is_empty()).then(|| peers.join(" "))),
            ]);
        }
    }
    table
}

/// A line for each neighbour and reason.
pub(super) fn dropped(list: &[DisbeliefView]) -> Table {
    let mut table = Table::new(["INTERFACE", "NEIGHBOUR", "REASON", "DROPPED"]);
    for one in list {
        for (reason, count) in &one.dropped {
            table.row([
                one.interface.clone(),
                or_dash(one.neighbour),
                reason.clone(),
                count.to_string(),
            ]);
        }
    }
    table
}

fn peer(peer: &PeerView) -> String {
    match peer.sequence {
        Some(sequence) => format!("{} at {sequence}", peer.address),
        None => format!("{} asked", peer.address),
    }
}

fn yes(it_does: bool) -> String {
    if it_does { "yes" } else { "no" }.to_owned()
}
