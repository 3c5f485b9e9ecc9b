//! `split` of an interface: how what is charged on it is shared.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;
use toml::Spanned;

use super::check::number;
use super::problem::Problems;
use super::raw::Given;
use crate::tariff::Split;

/// More members than that nobody expects.
const MEMBERS_MAX: u32 = 1_000_000;

/// `split = { kind = "equal", … }`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { kind = \"receivers\" }")]
pub(super) struct Raw {
    kind: Given<Kind>,
    expected_members: Given<u64>,
    neighbours: Given<BTreeMap<String, u64>>,
    otherwise: Given<u64>,
}

/// The strategies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Equal,
    Receivers,
    Quantity,
    Incremental,
    Weights,
}

/// The strategy that is given; the equal split where something is wrong.
pub(super) fn check(given: &Spanned<Raw>, problems: &mut Problems<'_>) -> Split {
    let raw = given.get_ref();
    let Some(kind) = raw.kind.as_ref().map(|kind| *kind.get_ref()) else {
        problems.at(
            given.span(),
            "a split needs a kind".to_owned(),
            "add kind = \"equal\", \"receivers\", \"quantity\", \"incremental\" or \"weights\""
                .to_owned(),
        );
        return Split::Equal;
    };
    strangers(raw, kind, problems);
    let members = raw.expected_members.as_ref();
    let members = u64::from(number(members, 0, 1..=MEMBERS_MAX, " members", problems));
    match kind {
        Kind::Equal if members > 1 => Split::EqualOf(members),
        Kind::Equal => Split::Equal,
        Kind::Receivers => Split::Receivers(members),
        Kind::Quantity => Split::Quantity,
        Kind::Incremental => Split::Incremental,
        Kind::Weights => weights(given, problems),
    }
}

/// Complains about settings that a strategy does not have.
fn strangers(raw: &Raw, kind: Kind, problems: &mut Problems<'_>) {
    let members = raw.expected_members.as_ref().map(Spanned::span);
    let neighbours = raw.neighbours.as_ref().map(Spanned::span);
    let otherwise = raw.otherwise.as_ref().map(Spanned::span);
    let counts = matches!(kind, Kind::Equal | Kind::Receivers);
    for (place, name, fits, kinds) in [
        (members, "expected_members", counts, "\"equal\" or \"receivers\""),
        (neighbours, "neighbours", kind == Kind::Weights, "\"weights\""),
        (otherwise, "otherwise", kind == Kind::Weights, "\"weights\""),
    ] {
        if let Some(place) = place.filter(|_| !fits) {
            problems.at(
                place,
                format!("{name} says nothing in a split of this kind"),
                format!("remove it, or write kind = {kinds}"),
            );
        }
    }
}

fn weights(given: &Spanned<Raw>, problems: &mut Problems<'_>) -> Split {
    let raw = given.get_ref();
    let otherwise = raw.otherwise.as_ref().map_or(1, |weight| *weight.get_ref());
    let mut neighbours = BTreeMap::new();
    let Some(listed) = &raw.neighbours else {
        problems.at(
            given.span(),
            "a split by weights needs the weights of neighbours".to_owned(),
            "add neighbours = { \"192.0.2.1\" = 3 }; all others weigh otherwise = 1".to_owned(),
        );
        return Split::Equal;
    };
    for (address, weight) in listed.get_ref() {
        match address.parse::<IpAddr>() {
            Ok(hop) => drop(neighbours.insert(hop, *weight)),
            Err(_) => problems.at(
                listed.span(),
                format!("\"{address}\" is not an address"),
                "write next hops as they are in lcmctl show, such as \"192.0.2.1\"".to_owned(),
            ),
        }
    }
    if otherwise == 0 && neighbours.values().all(|weight| *weight == 0) {
        problems.at(
            given.span(),
            "nobody would carry anything".to_owned(),
            "give a weight above 0 to one neighbour at least, or to otherwise".to_owned(),
        );
    }
    Split::Weights { neighbours, otherwise }
}
