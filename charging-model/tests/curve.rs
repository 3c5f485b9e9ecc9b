//! Price curves: whatever is done to one, it never promises less than what it was made of.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests")]

use charging_model::{CURVE_POINTS_MAX, Curve, Rate};
use proptest::collection::vec;
use proptest::prelude::*;

fn curve(points: &[(u64, u64)]) -> Curve {
    Curve::new(points.iter().map(|(at, rate)| (*at, Rate(*rate)))).unwrap()
}

/// The curve at a quantity as a fraction (numerator, denominator), not rounded.
fn exactly(curve: &Curve, quantity: u64) -> (i128, i128) {
    let points: Vec<(i128, i128)> =
        curve.points().iter().map(|(at, rate)| ((*at).into(), rate.0.into())).collect();
    let quantity = i128::from(quantity);
    let next = points.iter().position(|(at, _)| *at > quantity).unwrap_or(points.len());
    if next == 0 || points.len() == 1 {
        return (points[0].1, 1);
    }
    let low = (next - 1).min(points.len() - 2);
    let ((a, from), (b, to)) = (points[low], points[low + 1]);
    (from * (b - a) + (to - from) * (quantity - a), b - a)
}

/// Whether `rate` is not below a sum of fractions, and by less than `slack` above it.
fn holds(rate: Rate, parts: &[(i128, i128)], slack: i128) -> bool {
    let common: i128 = parts.iter().map(|(_, width)| width).product();
    let sum: i128 = parts.iter().map(|(above, width)| above * (common / width)).sum();
    let rate = i128::from(rate.0) * common;
    rate >= sum && rate < sum + slack * common
}

fn curves() -> impl Strategy<Value = Curve> {
    let steps = vec((1_u64..1_000, 0_u64..500), 0..30);
    (0_u64..50, 0_u64..2_000, steps).prop_map(|(at, rate, steps)| {
        let mut points = vec![(at, rate)];
        for (further, dearer) in steps {
            let (at, rate) = points[points.len() - 1];
            points.push((at + further, rate + dearer));
        }
        curve(&points)
    })
}

#[test]
fn r114_a_curve_is_linear_between_its_points_and_goes_on_behind_them() {
    let curve = curve(&[(100, 10), (200, 20), (300, 50)]);
    for (quantity, rate) in [(0, 10), (100, 10), (150, 15), (155, 16), (250, 35), (400, 80)] {
        assert_eq!(curve.at(quantity), Some(Rate(rate)), "{quantity}");
    }
    assert_eq!(Curve::level(Rate(7)).at(u64::MAX), Some(Rate(7)));
    assert_eq!(self::curve(&[(1, 0), (2, 3)]).at(u64::MAX), None);
}

#[test]
fn curves_that_are_none_are_refused() {
    for points in [&[][..], &[(5, 1), (5, 2)], &[(6, 1), (5, 2)], &[(5, 2), (6, 1)]] {
        assert_eq!(Curve::new(points.iter().map(|(at, rate)| (*at, Rate(*rate)))), None);
    }
}

#[test]
fn curves_of_different_supports_are_added_where_either_bends() {
    let sum = curve(&[(0, 0), (100, 100)]).plus(&curve(&[(50, 10), (150, 20)])).unwrap();
    let expected = [(0, 10), (50, 60), (100, 115), (150, 170)];
    assert_eq!(sum, curve(&expected));
    let rounded = curve(&[(0, 0), (3, 1)]).plus(&curve(&[(1, 0), (2, 0)])).unwrap();
    assert_eq!(rounded.at(2), Some(Rate(1)));
    assert!(rounded.at(300).unwrap() >= Rate(100), "{rounded:?}");
}

proptest! {
    #[test]
    fn r114_a_sum_never_understates(a in curves(), b in curves(), at in 0_u64..60_000) {
        let sum = a.plus(&b).unwrap();
        // Behind the last point rounding grows with the distance.
        let last = sum.points()[sum.points().len() - 1].0;
        let slack = if at <= last { 7 } else { 1_000_000 };
        prop_assert!(holds(sum.at(at).unwrap(), &[exactly(&a, at), exactly(&b, at)], slack));
    }

    #[test]
    fn r114_a_part_never_understates(a in curves(), count in 1_u64..9, at in 0_u64..60_000) {
        let part = a.shared_by(count).unwrap();
        let (above, width) = exactly(&a, at);
        let last = part.points()[part.points().len() - 1].0;
        let slack = if at <= last { 3 } else { 1_000_000 };
        prop_assert!(holds(part.at(at).unwrap(), &[(above, width * i128::from(count))], slack));
    }

    #[test]
    fn r114_what_a_node_asks_for_anyhow_is_charged_anyhow(
        a in curves(), least in 0_u64..40_000, at in 0_u64..60_000
    ) {
        let kept = a.from_quantity(least).unwrap();
        let slack = if at <= least { 1 } else { 1_000_000 };
        prop_assert!(holds(kept.at(at).unwrap(), &[exactly(&a, at.max(least))], slack));
    }

    #[test]
    fn r114_a_curve_of_fewer_points_is_an_upper_hull(a in curves(), at in 0_u64..60_000) {
        let thin = a.clone().thinned(CURVE_POINTS_MAX).unwrap();
        prop_assert!(thin.points().len() <= CURVE_POINTS_MAX);
        prop_assert!(holds(thin.at(at).unwrap(), &[exactly(&a, at)], 1 << 60));
        prop_assert!(Curve::new(thin.points().to_vec()).is_some());
        // Nothing is raised that need not be.
        prop_assert!(a.points().len() > CURVE_POINTS_MAX || thin == a);
    }

    #[test]
    fn a_curve_is_nowhere_below_what_it_was_lifted_to(
        a in curves(), rate in 0_u64..20_000, at in 0_u64..60_000
    ) {
        let lifted = a.clone().at_least(Rate(rate)).unwrap();
        prop_assert!(lifted.at(at).unwrap() >= Rate(rate).max(a.at(at).unwrap()));
        prop_assert!(Curve::new(lifted.points().to_vec()).is_some());
    }

    #[test]
    fn the_greatest_that_fits_is_found_to_the_unit(
        a in curves(), budget in 0_u64..20_000, most in 0_u64..60_000
    ) {
        let fits = |at| a.at(at).is_some_and(|rate| rate.0 <= budget);
        match Curve::greatest(0, most, fits) {
            Some(found) => prop_assert!(fits(found) && (found == most || !fits(found + 1))),
            None => prop_assert!(!fits(0)),
        }
    }

    #[test]
    fn no_curve_makes_it_overflow(
        points in vec((any::<u64>(), any::<u64>()), 1..40), more in any::<u64>(), at in any::<u64>()
    ) {
        let (mut quantities, mut rates): (Vec<u64>, Vec<u64>) = points.into_iter().unzip();
        quantities.sort_unstable();
        quantities.dedup();
        rates.sort_unstable();
        let points = quantities.into_iter().zip(rates.into_iter().map(Rate));
        let curve = Curve::new(points).unwrap();
        for made in [
            curve.plus(&Curve::level(Rate(more))), curve.shared_by(more), curve.from_quantity(at),
            curve.clone().at_least(Rate(more)), curve.clone().thinned(4),
        ].into_iter().flatten() {
            let _ = made.at(at);
        }
    }
}
