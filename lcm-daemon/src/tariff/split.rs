//! How what the previous hop behind an interface charges is shared by the next hops: which of the
//! model's strategies, with which numbers.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use charging_model::SplitPolicy;
use charging_model::split::{
    ByQuantity, ByReceivers, EqualNextHop, Expecting, Incremental, OperatorWeights,
};
use sha2::{Digest, Sha256};

/// A strategy and its settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Split {
    /// Every next hop carries the same; as if there were at least so many.
    #[default]
    Equal,
    /// As [`Split::Equal`], and as if there were at least so many next hops.
    EqualOf(u64),
    /// By the receivers below each, and as if there were at least so many in all; 0 expects none.
    Receivers(u64),
    /// By what each reserves.
    Quantity,
    /// The first pays, later ones pay what they add.
    Incremental,
    /// By what the operator says.
    Weights {
        /// Of these next hops.
        neighbours: BTreeMap<IpAddr, u64>,
        /// Of all others.
        otherwise: u64,
    },
}

impl Split {
    /// Every next hop carries the same, and as many are counted as there are.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        *self == Split::Equal
    }

    /// The strategy; `joining` is what a next hop that nobody knows yet may come to weigh on each
    /// outgoing interface.
    #[must_use]
    pub fn policy(&self, joining: &BTreeMap<u32, u64>) -> Arc<dyn SplitPolicy> {
        let expecting = |members: u64, by: Arc<dyn SplitPolicy>| -> Arc<dyn SplitPolicy> {
            if members > 0 { Arc::new(Expecting { members, by }) } else { by }
        };
        match self {
            Split::Equal => Arc::new(EqualNextHop),
            Split::EqualOf(members) => expecting(*members, Arc::new(EqualNextHop)),
            Split::Receivers(members) => expecting(*members, Arc::new(ByReceivers)),
            Split::Quantity => Arc::new(ByQuantity),
            Split::Incremental => Arc::new(Incremental),
            Split::Weights { neighbours, otherwise } => Arc::new(OperatorWeights {
                by_hop: neighbours.clone(),
                joining: joining.clone(),
                otherwise: *otherwise,
            }),
        }
    }

    /// What identifies it in records, as [`Tariff::version`](super::Tariff::version) does a tariff;
    /// 0 for the equal split.
    #[must_use]
    pub fn version(&self) -> u32 {
        match Sha256::digest(self.to_string()).first_chunk() {
            Some(first) if !self.is_equal() => u32::from_be_bytes(*first),
            _ => 0,
        }
    }
}

impl fmt::Display for Split {
    /// As a table of the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Split::Equal => f.write_str("{ kind = \"equal\" }"),
            Split::EqualOf(members) => {
                write!(f, "{{ kind = \"equal\", expected_members = {members} }}")
            }
            Split::Receivers(0) => f.write_str("{ kind = \"receivers\" }"),
            Split::Receivers(members) => {
                write!(f, "{{ kind = \"receivers\", expected_members = {members} }}")
            }
            Split::Quantity => f.write_str("{ kind = \"quantity\" }"),
            Split::Incremental => f.write_str("{ kind = \"incremental\" }"),
            Split::Weights { neighbours, otherwise } => {
                let each: Vec<String> = neighbours
                    .iter()
                    .map(|(hop, weight)| format!("\"{hop}\" = {weight}"))
                    .collect();
                write!(
                    f,
                    "{{ kind = \"weights\", neighbours = {{ {} }}, otherwise = {otherwise} }}",
                    each.join(", ")
                )
            }
        }
    }
}
