//! Who is secured, and what was not believed, as operators read it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::super::Engine;
use super::super::show::interface_name;
use super::super::time::Now;
use super::refusals::Counted;
use super::{Peer, keys};

/// An association.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssociationView {
    /// The interface, where it is one of an interface.
    pub interface: Option<String>,
    /// The neighbour, where it is one of a neighbour.
    pub neighbour: Option<IpAddr>,
    /// It is about POLICY_DATA objects.
    pub policy: bool,
    /// What is sent is signed.
    pub signs: bool,
    /// What is not signed is dropped.
    pub demands: bool,
    /// Its keys.
    pub keys: Vec<KeyView>,
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    /// Key identifier.
    pub id: u64,
    /// Algorithm.
    pub algorithm: String,
    /// `signs`, `accepted`, `overdue` (ended, and the last one), `ended` or `not begun`.
    pub state: String,
    /// The systems that sign with it.
    pub peers: Vec<PeerView>,
}

/// A system that signs with a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerView {
    /// Its address.
    pub address: IpAddr,
    /// The largest sequence number; absent while it is asked for it.
    pub sequence: Option<u64>,
}

/// What was not believed of a neighbour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisbeliefView {
    /// Interface; `other` for all neighbours beyond those that are told apart.
    pub interface: String,
    /// The address that the messages named, which may be forged.
    pub neighbour: Option<IpAddr>,
    /// How many messages were dropped, by reason.
    pub dropped: Vec<(String, u64)>,
}

impl Engine {
    /// The associations with their keys and who uses them.
    pub fn show_associations(&self, now: Now) -> Vec<AssociationView> {
        let guard = &self.core.integrity;
        let unix_s = u64::from(now.unix_s);
        let associations = guard.associations.iter().enumerate();
        let view = |(at, one): (usize, &crate::config::Authentication)| {
            let signing = keys::signing(one, unix_s).filter(|_| one.sign);
            let key = |key: &crate::config::Key| {
                let accepted = keys::accepted(one, unix_s).find(|found| found.key.id == key.id);
                let signs = signing.is_some_and(|found| found.key.id == key.id);
                let state = match accepted {
                    Some(found) if found.overdue => "overdue",
                    _ if signs => "signs",
                    Some(_) => "accepted",
                    None if key.start.is_some_and(|start| start > unix_s) => "not begun",
                    None if key.end.is_some_and(|end| end <= unix_s) => "ended",
                    None => "not used now",
                };
                let of = guard.peers.iter();
                let of = of.filter(|(peer, _)| guard.peer(at, key.id, peer.address) == **peer);
                let mut peers: Vec<PeerView> = of
                    .map(|(peer, known)| PeerView {
                        address: peer.address,
                        sequence: match known {
                            Peer::Known(window) => Some(window.largest()),
                            Peer::Asked(_) => None,
                        },
                    })
                    .collect();
                peers.sort_by_key(|peer| peer.address);
                let algorithm = key.algorithm.name().to_owned();
                KeyView { id: key.id, algorithm, state: state.to_owned(), peers }
            };
            AssociationView {
                interface: one.interface.clone(),
                neighbour: one.neighbour,
                policy: one.policy,
                signs: one.sign,
                demands: one.demand,
                keys: one.keys.iter().map(key).collect(),
            }
        };
        associations.map(view).collect()
    }

    /// What was not believed so far.
    pub fn show_disbelief(&self) -> Vec<DisbeliefView> {
        let core = &self.core;
        let named = |Counted { of, reasons }: Counted| {
            let interface = of.map(|(interface, _)| interface_name(core, interface));
            let dropped = reasons.into_iter().map(|(why, count)| (why.name().to_owned(), count));
            DisbeliefView {
                interface: interface.unwrap_or_else(|| "other".to_owned()),
                neighbour: of.map(|(_, neighbour)| neighbour),
                dropped: dropped.collect(),
            }
        };
        core.integrity.refusals.iter().map(named).collect()
    }
}
