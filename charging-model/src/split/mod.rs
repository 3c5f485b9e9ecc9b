//! How a hop divides what it is charged among its branches.
//!
//! The mechanism is the largest remainder: whole units whose sum is exactly the total, ties going
//! to the branch that comes first. The strategy, which only says how the branches weigh against
//! each other, is a [`SplitPolicy`]: one file each, with no number of its own.

mod equal;
mod expected;
mod incremental;
mod operator;
mod quantity;
mod receivers;

use std::fmt;
use std::net::IpAddr;

pub use equal::EqualNextHop;
pub use expected::Expecting;
pub use incremental::Incremental;
pub use operator::OperatorWeights;
pub use quantity::ByQuantity;
pub use receivers::ByReceivers;

/// The outgoing interface of local receivers: a branch that ends in this very node, at price zero.
pub const LOCAL_GROUP: u32 = 0;

/// One branch: a next hop behind an outgoing interface. Branches stand in this order everywhere,
/// which is the order that decides ties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BranchKey {
    /// The outgoing interface (kernel index); [`LOCAL_GROUP`] for receivers in this node.
    pub group: u32,
    /// The charging next hop (the UCPE's Originating RSVP_HOP).
    pub hop: IpAddr,
}

impl fmt::Display for BranchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on interface {}", self.hop, self.group)
    }
}

/// What is reserved on a branch, as far as a strategy may care (RFC 2210).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Flowspec {
    /// The service number.
    pub service: u16,
    /// Token rate, bit/s.
    pub rate: u64,
    /// Bucket depth, bytes.
    pub bucket: u64,
    /// What is set aside, bit/s: R of guaranteed service, else the token rate.
    pub reserved: u64,
    /// Slack of guaranteed service, microseconds.
    pub slack_us: u32,
}

/// What a policy may know about a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BranchFacts {
    /// Which branch. The address is unspecified for a hop that nobody knows yet.
    pub key: BranchKey,
    /// What is reserved there, bit/s; for a hop that nobody knows yet, all that the sender sends.
    pub quantity: u64,
    /// Receivers below, as reported; 1 if nobody said, or said 0.
    pub receivers_below: u32,
    /// Place in the order of joining: whoever came later has a higher one, whoever is still to
    /// come the highest. It outlives a new instance of the reservation.
    pub joined: u32,
    /// What is reserved there, where the caller tells.
    pub flowspec: Option<Flowspec>,
}

impl BranchFacts {
    /// Whether this is a hop that may join, and which nobody knows yet. It is quoted this price:
    /// a strategy does well to give it no less weight than it may come to have.
    pub fn is_anyone(&self) -> bool {
        self.key.hop.is_unspecified()
    }
}

/// The strategy of a split: weights, nothing else. Whole units are the mechanism's business.
pub trait SplitPolicy: fmt::Debug + Send + Sync {
    /// Appends one weight for each of `branches`, in their order. If all weights are zero, the
    /// branches share equally; a missing weight counts as zero and a superfluous one is ignored.
    fn weights(&self, branches: &[BranchFacts], weights: &mut Vec<u64>);

    /// The weight of members who are not there yet but are counted on, given the `weights` of
    /// those who are: their part of C_j is carried by this hop. Not asked where the sender covers
    /// a part, nor by end systems, nor for what an interface costs.
    fn absent(&self, weights: &[u64]) -> u64 {
        let _ = weights;
        0
    }

    /// Whether all weights are always the same and nobody is counted on who is not there: then the
    /// mechanism never asks.
    fn is_equal(&self) -> bool {
        false
    }
}

/// The parts of `total` that `count` equal branches carry, in their order: the first
/// `total mod count` branches carry one unit more.
pub fn equal_parts(total: u64, count: usize) -> impl Iterator<Item = u64> {
    // usize is at most 64 bits on every supported target.
    let branches = count as u64;
    let share = total.checked_div(branches).unwrap_or(0);
    let rest = total.checked_rem(branches).unwrap_or(0);
    (0..branches).map(move |index| share + u64::from(index < rest))
}

/// Replaces `shares` by whole parts of `total`, one for each weight, whose sum is exactly `total`
/// (no parts if there are no weights). Each part is the floor or the ceiling of its exact quota;
/// the units left over go to the largest remainders, ties to the earlier branch.
pub fn largest_remainder(total: u64, weights: &[u64], shares: &mut Vec<u64>) {
    shares.clear();
    let count = weights.len();
    let sum: u128 = weights.iter().map(|w| u128::from(*w)).sum();
    let first = weights.first().copied().unwrap_or(0);
    if sum == 0 || weights.iter().all(|w| *w == first) {
        shares.extend(equal_parts(total, count));
        return;
    }
    let mut left = total;
    let mut remainders = Vec::with_capacity(count);
    for (index, weight) in weights.iter().enumerate() {
        let product = u128::from(total) * u128::from(*weight);
        // weight ≤ sum, so the quotient is at most total and fits.
        let floor = u64::try_from(product / sum).unwrap_or(total);
        shares.push(floor);
        left = left.saturating_sub(floor);
        remainders.push((std::cmp::Reverse(product % sum), index));
    }
    remainders.sort_unstable();
    for (_, index) in remainders {
        if left == 0 {
            break;
        }
        if let Some(share) = shares.get_mut(index) {
            *share += 1;
            left -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(total: u64, weights: &[u64]) -> Vec<u64> {
        let mut shares = vec![9; 3];
        largest_remainder(total, weights, &mut shares);
        shares
    }

    #[test]
    fn ties_go_to_the_earlier_branch() {
        assert_eq!(split(100, &[1, 1, 1]), [34, 33, 33]);
        assert_eq!(split(101, &[7, 7, 7]), [34, 34, 33]);
        assert_eq!(split(5, &[0, 0]), [3, 2]);
        assert_eq!(split(5, &[]), [0; 0]);
        assert_eq!(split(1, &[0, 1]), [0, 1]);
    }

    #[test]
    fn largest_remainders_get_the_units_left() {
        // Quotas 1.4, 2.1, 3.5: floors 1 2 3, one unit left, to the remainder .5.
        assert_eq!(split(7, &[20, 30, 50]), [1, 2, 4]);
        let all = [u64::MAX, u64::MAX - 1, 1];
        assert_eq!(
            split(u64::MAX, &all).iter().map(|s| u128::from(*s)).sum::<u128>(),
            u64::MAX.into()
        );
    }

    #[test]
    fn the_quick_equal_parts_are_the_largest_remainder() {
        for total in 0..40 {
            for count in 1..9 {
                let slow = split(total, &vec![3; count]);
                let quick: Vec<_> = equal_parts(total, count).collect();
                assert_eq!(slow, quick);
                assert_eq!(quick.iter().sum::<u64>(), total);
            }
        }
        assert_eq!(equal_parts(7, 0).count(), 0);
    }
}
