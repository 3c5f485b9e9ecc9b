//! A figure measured several times: its median and how far the rounds lie apart.

use std::fmt;

use serde_json::{Value, json};

/// What the rounds of a measurement came to, ascending.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Figure {
    rounds: Vec<f64>,
}

impl Figure {
    /// Of the values of all rounds; what is no number is left out.
    pub(crate) fn of(rounds: impl IntoIterator<Item = f64>) -> Figure {
        let mut rounds: Vec<f64> = rounds.into_iter().filter(|value| value.is_finite()).collect();
        rounds.sort_by(f64::total_cmp);
        Figure { rounds }
    }

    /// The middle one, or the mean of the two in the middle; 0 without any.
    pub(crate) fn median(&self) -> f64 {
        let upper = self.rounds.get(self.rounds.len() / 2).copied().unwrap_or_default();
        if self.rounds.len() % 2 == 1 {
            return upper;
        }
        let lower = self
            .rounds
            .len()
            .checked_sub(2)
            .and_then(|_| self.rounds.get(self.rounds.len() / 2 - 1).copied());
        lower.map_or(upper, |lower| f64::midpoint(lower, upper))
    }

    /// The smallest.
    pub(crate) fn min(&self) -> f64 {
        self.rounds.first().copied().unwrap_or_default()
    }

    /// The largest.
    pub(crate) fn max(&self) -> f64 {
        self.rounds.last().copied().unwrap_or_default()
    }

    /// All values times a factor.
    pub(crate) fn times(&self, factor: f64) -> Figure {
        Figure::of(self.rounds.iter().map(|value| value * factor))
    }

    /// The median, rounded, for a program.
    pub(crate) fn json(&self, digits: usize) -> Value {
        json!(rounded(self.median(), digits))
    }

    /// Smallest and largest, rounded, for a program.
    pub(crate) fn spread(&self, digits: usize) -> Value {
        json!([rounded(self.min(), digits), rounded(self.max(), digits)])
    }

    /// As `median (min..max)`, or the value alone if there was one round only.
    pub(crate) fn text(&self, digits: usize) -> String {
        let grouped = |value: f64| grouped(value, digits);
        match self.rounds.len() {
            0 => "-".to_owned(),
            1 => grouped(self.median()),
            _ => format!(
                "{} ({}..{})",
                grouped(self.median()),
                grouped(self.min()),
                grouped(self.max())
            ),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(2))
    }
}

/// A value with so many digits behind the point.
pub(crate) fn rounded(value: f64, digits: usize) -> f64 {
    let scale = 10_f64.powi(i32::try_from(digits).unwrap_or_default());
    (value * scale).round() / scale
}

/// A number with so many digits behind the point, and commas between thousands.
pub(crate) fn grouped(value: f64, digits: usize) -> String {
    let plain = format!("{value:.digits$}");
    let (whole, rest) = plain.split_at(plain.find('.').unwrap_or(plain.len()));
    let mut text = String::new();
    let digits_in_all = whole.chars().filter(char::is_ascii_digit).count();
    let mut left = digits_in_all;
    for c in whole.chars() {
        if c.is_ascii_digit() {
            if left < digits_in_all && left % 3 == 0 {
                text.push(',');
            }
            left -= 1;
        }
        text.push(c);
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_between_the_extremes() {
        let figure = Figure::of([9.0, 3.0, 4.0, f64::NAN]);
        assert_eq!((figure.median(), figure.min(), figure.max()), (4.0, 3.0, 9.0));
        assert_eq!(figure.text(1), "4.0 (3.0..9.0)");
        assert_eq!(Figure::of([1.0, 2.0]).median(), 1.5);
        assert_eq!(Figure::of([7.0]).text(0), "7");
        assert_eq!(Figure::default().text(0), "-");
        assert_eq!(Figure::default().median(), 0.0);
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(grouped(1_234_567.25, 1), "1,234,567.2");
        assert_eq!(grouped(-1_000.0, 0), "-1,000");
        assert_eq!(grouped(999.0, 0), "999");
    }
}
