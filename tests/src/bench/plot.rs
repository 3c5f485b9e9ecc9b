//! Plots of costs against the number of sessions, as SVG.
//!
//! Sessions are on a logarithmic axis; costs are, too, where the largest is many times the smallest,
//! otherwise they begin at zero, so that heights can be compared.

use std::fmt::Write;

use super::figure::grouped;
use super::outcome::{Curve, Plot};

/// The picture, and the field of the curves in it, in pixels.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 616.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 268.0;
/// From this ratio of the largest cost to the smallest on, costs are on a logarithmic axis.
const WIDE: f64 = 30.0;
/// Colours that are told apart with any eyes, and in grey by their marks.
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];
const DASHES: [&str; 4] = ["none", "7 4", "2 3", "9 3 2 3"];

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
}

/// Draws a plot.
pub(super) fn svg(plot: &Plot) -> String {
    let points = plot.curves.iter().flat_map(|curve| curve.points.iter().copied());
    let across = Axis::decades(points.clone().map(|(sessions, _)| sessions));
    let up = Axis::of_costs(points.map(|(_, cost)| cost));
    let x = |value: f64| LEFT + across.place(value) * (RIGHT - LEFT);
    let y = |value: f64| BOTTOM - up.place(value) * (BOTTOM - TOP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    text(&mut svg, LEFT, 20.0, "start", &format!("{}, {}", plot.title, plot.unit));
    for mark in across.marks() {
        line(&mut svg, [x(mark), TOP, x(mark), BOTTOM]);
        text(&mut svg, x(mark), BOTTOM + 18.0, "middle", &number(mark));
    }
    for mark in up.marks() {
        line(&mut svg, [LEFT, y(mark), RIGHT, y(mark)]);
        text(&mut svg, LEFT - 8.0, y(mark) + 4.0, "end", &number(mark));
    }
    text(&mut svg, f64::midpoint(LEFT, RIGHT), BOTTOM + 36.0, "middle", "sessions");
    let style = COLOURS.into_iter().zip(DASHES).cycle();
    for ((at, curve), (colour, dash)) in (0..).zip(&plot.curves).zip(style) {
        draw(&mut svg, curve, (&x, &y), (colour, dash));
        let (column, row) = (f64::from(at % 2), f64::from(at / 2));
        let (left, base) = (LEFT + column * 270.0, BOTTOM + 58.0 + row * 18.0);
        let _ = writeln!(
            svg,
            "<path d=\"M{left:.1} {:.1}h30\" stroke=\"{colour}\" stroke-width=\"2\" \
             stroke-dasharray=\"{dash}\"/>",
            base - 4.0
        );
        text(&mut svg, left + 36.0, base, "start", &curve.name);
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(
    svg: &mut String,
    curve: &Curve,
    (x, y): (&dyn Fn(f64) -> f64, &dyn Fn(f64) -> f64),
    (colour, dash): (&str, &str),
) {
    let places: Vec<(f64, f64)> = curve.points.iter().map(|&(s, c)| (x(s), y(c))).collect();
    let joined: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" \
         stroke-dasharray=\"{dash}\"/>",
        joined.join(" ")
    );
    for (x, y) in places {
        let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
    }
}

fn line(svg: &mut String, [x1, y1, x2, y2]: [f64; 4]) {
    let _ = writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#ddd\"/>"
    );
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ =
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>");
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
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains(">a &lt; b<") && svg.contains(">1,000,000<"), "{svg}");
        assert!(svg.contains("points=\"84.0,"), "a thousand stands at the left: {svg}");
    }

    #[test]
    fn marks_have_the_digits_they_need() {
        assert_eq!([0.0, 0.01, 2.5, 1_000.0].map(number), ["0", "0.01", "2.5", "1,000"]);
    }
}
