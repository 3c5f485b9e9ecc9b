//! Prices over a day, where demand reacts to them.

use lcm_tests::day::{self, BASE, Day, Sample};

/// The price in each sample of these hours.
fn prices(day: &Day, from: u64, to: u64) -> Vec<u64> {
    day.between(from, to).iter().map(|sample| sample.price).collect()
}

/// From five to one: little is wanted, then much, then more. Prices rise until as many are priced out
/// as there is no room for, and then they stand: they do not go up and down with those who come and
/// leave because of them.
#[test]
fn r116_prices_of_a_day_settle_and_do_not_oscillate() {
    for seed in 1..=2 {
        let day = day::play(seed, 5, 8);
        let idle = prices(&day, 6, 7);
        assert!(idle.iter().all(|price| *price == BASE), "seed {seed}: {idle:?}");
        for (from, to) in [(7, 11), (11, 13)] {
            let all = prices(&day, from, to);
            let settled = &all[all.len() - 12..];
            let (least, most) = (settled.iter().min().unwrap(), settled.iter().max().unwrap());
            assert!(*least > 2 * BASE, "seed {seed}: {all:?}");
            assert!(most * 100 <= least * 120, "seed {seed}: {all:?}");
            let moves: Vec<bool> =
                all.windows(2).filter(|w| w[0] != w[1]).map(|w| w[1] > w[0]).collect();
            let turns = moves.windows(2).filter(|pair| pair[0] != pair[1]).count();
            assert!(turns <= 2, "seed {seed}: {all:?}");
        }
        let Sample { wanting, reserved, .. } = *day.samples.last().unwrap();
        assert!(
            reserved < wanting && reserved > wanting / 2,
            "seed {seed}: {reserved} of {wanting}"
        );
        // Fifty sessions over six links: two messages a refresh each, and half as many again.
        let refreshes = 50 * 2 * 7 * 3_600 / 90;
        assert!(day.messages_an_hour() <= refreshes * 3 / 2, "{}", day.messages_an_hour());
    }
}
