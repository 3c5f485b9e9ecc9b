//! Shared reservation styles (WF, SE): what each sender's charges take of a shared link.
//!
//! On a link that several senders share, the local price is Λ = max_s L_s, and sender s is
//! charged ℓ_s = Λ·L_s/ΣL of it; then every sender is charged as by itself, and the payments to
//! several previous hops add up. With the local price alone attributed, any weights conserve
//! money; with the weights L_s, ℓ_s ≤ L_s, so that nobody is ever charged more than the PATH, in
//! which the style is still unknown, announced (charging model, section 1 and D4 to D6).

use crate::money::Rate;
use crate::split::largest_remainder;

/// The shares ℓ_s of Λ = max_s L_s, in the order of `prices` (L_s of the senders that the merged
/// filter selects on this link). Whole units: they sum to Λ exactly, none is above its L_s, and a
/// lone sender has its own L.
pub fn shared_local_prices(prices: &[Rate]) -> Vec<Rate> {
    let shared = prices.iter().copied().max().unwrap_or_default();
    let weights: Vec<_> = prices.iter().map(|price| price.0).collect();
    let mut shares = Vec::with_capacity(weights.len());
    largest_remainder(shared.0, &weights, &mut shares);
    shares.into_iter().map(Rate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(prices: &[u64]) -> Vec<u64> {
        let prices: Vec<_> = prices.iter().copied().map(Rate).collect();
        shared_local_prices(&prices).into_iter().map(|rate| rate.0).collect()
    }

    #[test]
    fn the_shares_of_a_link_sum_to_its_dearest_sender() {
        assert_eq!(shares(&[]), [0; 0]);
        assert_eq!(shares(&[70]), [70]);
        assert_eq!(shares(&[50, 50]), [25, 25]);
        assert_eq!(shares(&[10, 20, 30]), [5, 10, 15]);
        assert_eq!(shares(&[1, 1, 1]), [1, 0, 0]);
        assert_eq!(shares(&[0, 0]), [0, 0]);
        assert_eq!(shares(&[u64::MAX, u64::MAX]), [1 << 63, (1 << 63) - 1]);
    }
}
