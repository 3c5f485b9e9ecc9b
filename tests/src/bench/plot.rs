//! Plots of costs against the number of sessions, as SVG.
//!
//! Sessions are on a logarithmic axis; costs are, too, where the largest is many times the smallest,
//! otherwise they begin at zero, so that heights can be compared.

use lcm_daemon::chart::{self, Chart, Line};

use super::figure::grouped;
use super::outcome::{Curve, Plot};

/// Steps of a picture's axis from one end to the other.
const STEPS: f64 = 1_000_000.0;
/// From this ratio of the largest cost to the smallest on, costs are on a logarithmic axis.
const WIDE: f64 = 30.0;

/// An axis: what is at its ends, and how a value is put between them.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Axis {
    /// From one power of ten to another.
    Decades(i32, i32),
    /// From zero on, in steps.
    Linear { most: f64, step: f64 },
}

impl Axis {
    /// Whole decades about some values.
    fn decades(values: impl Iterator<Item = f64> + Clone) -> Axis {
        let least = values.clone().fold(f64::INFINITY, f64::min).log10().floor();
        let most = values.fold(f64::MIN_POSITIVE, f64::max).log10().ceil();
        let least = if least.is_finite() { least as i32 } else { 0 };
        Axis::Decades(least, (most as i32).max(least + 1))
    }

    /// What suits some costs.
    fn of_costs(values: impl Iterator<Item = f64> + Clone) -> Axis {
        let most = values.clone().fold(0.0, f64::max);
        let least = values.clone().fold(f64::INFINITY, f64::min);
        if least > 0.0 && most / least > WIDE {
            return Axis::decades(values);
        }
        let rough = if most > 0.0 { most / 4.0 } else { 1.0 };
        let unit = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|n| n * unit >= rough).unwrap_or(10.0);
        let step = step * unit;
        Axis::Linear { most: (most / step).ceil().max(1.0) * step, step }
    }

    /// Where a value lies, from 0 to 1.
    fn place(self, value: f64) -> f64 {
        match self {
            Axis::Decades(least, most) => {
                (value.max(f64::MIN_POSITIVE).log10() - f64::from(least)) / f64::from(most - least)
            }
            Axis::Linear { most, .. } => value / most,
        }
    }

    /// Values that are written beside it.
    fn marks(self) -> Vec<f64> {
        match self {
            Axis::Decades(least, most) => (least..=most).map(|n| 10_f64.powi(n)).collect(),
            Axis::Linear { most, step } => {
                (0..=(most / step).round() as i32).map(|n| f64::from(n) * step).collect()
            }
        }
    }

    /// As one of a picture, on which [`Axis::step`] finds the places.
    fn drawn(self, label: String) -> chart::Axis {
        let marks = self.marks().into_iter().map(|mark| (self.step(mark), number(mark))).collect();
        chart::Axis { label, from: 0, to: STEPS as u64, marks }
    }

    fn step(self, value: f64) -> u64 {
        (self.place(value).clamp(0.0, 1.0) * STEPS).round() as u64
    }
}

/// Draws a plot.
pub(super) fn svg(plot: &Plot) -> String {
    let points = plot.curves.iter().flat_map(|curve| curve.points.iter().copied());
    let across = Axis::decades(points.clone().map(|(sessions, _)| sessions));
    let up = Axis::of_costs(points.map(|(_, cost)| cost));
    let line = |Curve { name, points }: &Curve| Line {
        name: name.clone(),
        points: points.iter().map(|(x, y)| (across.step(*x), up.step(*y))).collect(),
        steps: false,
    };
    let chart = Chart {
        title: plot.title.clone(),
        x: across.drawn("sessions".to_owned()),
        y: up.drawn(plot.unit.clone()),
        lines: plot.curves.iter().map(line).collect(),
    };
    chart.to_string()
}

/// A value beside an axis, with as many digits as it needs.
fn number(value: f64) -> String {
    let digits = if value >= 1.0 || value == 0.0 { 0 } else { (-value.log10()).ceil() as usize };
    let digits = if value.fract() != 0.0 { digits.max(1) } else { digits };
    grouped(value, digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_that_are_alike_begin_at_zero() {
        let axis = Axis::of_costs([700.0, 820.0].into_iter());
        assert_eq!(axis, Axis::Linear { most: 1_000.0, step: 500.0 });
        assert_eq!((axis.place(0.0), axis.place(500.0)), (0.0, 0.5));
        assert_eq!(Axis::of_costs([0.02, 9.0].into_iter()), Axis::Decades(-2, 1));
        assert_eq!(Axis::of_costs([0.0].into_iter()), Axis::Linear { most: 1.0, step: 1.0 });
    }

    #[test]
    fn a_plot_has_each_curve_with_its_name() {
        let curves = ["a < b", "c"].map(|name| Curve {
            name: name.to_owned(),
            points: vec![(1_000.0, 3.0), (1_000_000.0, 4.0)],
        });
        let (title, unit) = ("Costs".to_owned(), "µs".to_owned());
        let svg = svg(&Plot { file: "costs", title, unit, curves: curves.into() });
        assert!(svg.contains(">a &lt; b<") && svg.contains(">1,000,000<"), "{svg}");
        assert!(svg.contains("points=\"96,"), "a thousand stands at the left: {svg}");
    }

    #[test]
    fn marks_have_the_digits_they_need() {
        assert_eq!([0.0, 0.01, 2.5, 1_000.0].map(number), ["0", "0.01", "2.5", "1,000"]);
    }
}
