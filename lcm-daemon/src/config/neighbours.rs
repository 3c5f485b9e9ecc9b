//! What was agreed with single neighbours: `[[neighbour]]`, a contract for each.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;

use toml::Spanned;

use super::check::{account, refused};
use super::problem::Problems;
use super::{Contract, HopRecords, MissingPayment};
use super::{exchange, raw};

/// Checks every `[[neighbour]]`; what a table leaves out is as in `general`.
pub(super) fn check(
    general: &Contract,
    tables: Vec<Spanned<raw::Neighbour>>,
    problems: &mut Problems<'_>,
) -> BTreeMap<IpAddr, Contract> {
    let mut neighbours = BTreeMap::new();
    for table in tables {
        let place = table.span();
        let raw = table.into_inner();
        let own = raw.account.and_then(|given| account(given, problems));
        let missing: Option<MissingPayment> = raw.on_missing_payment.map(Spanned::into_inner);
        let told: Option<HopRecords> = raw.hop_record.map(Spanned::into_inner);
        let refused = raw.refused_sender_accounts.map(|given| refused(given, problems));
        let exchange = raw.exchange.and_then(|given| exchange::check(given, problems));
        let Some(given) = raw.address else {
            problems.missing(
                place,
                "neighbour.address".to_owned(),
                "a [[neighbour]] needs an address",
                "add address = \"192.0.2.1\", the one that its messages name as RSVP_HOP",
            );
            continue;
        };
        let Ok(address) = given.get_ref().parse::<IpAddr>() else {
            problems.at(
                given.span(),
                "not an address".to_owned(),
                "write an IPv4 or IPv6 address, as in \"192.0.2.1\"".to_owned(),
            );
            continue;
        };
        let contract = Contract {
            account: own.or_else(|| general.account.clone()),
            on_missing_payment: missing.unwrap_or(general.on_missing_payment),
            hop_record: told.unwrap_or(general.hop_record),
            refused_sender_accounts: refused
                .unwrap_or_else(|| general.refused_sender_accounts.clone()),
            role: raw.role.map(Spanned::into_inner),
            exchange,
        };
        match neighbours.entry(address) {
            Entry::Vacant(free) => drop(free.insert(contract)),
            Entry::Occupied(_) => problems.at(
                given.span(),
                "another [[neighbour]] has this address".to_owned(),
                "put what was agreed with a neighbour into one table".to_owned(),
            ),
        }
    }
    neighbours
}
