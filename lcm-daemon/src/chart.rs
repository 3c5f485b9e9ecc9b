//! Pictures: lines over an axis, as SVG (W3C, SVG 1.1).
//!
//! Coordinates are whole tenths of a pixel and everything is in the order given, so the same numbers
//! are the same octets, and a picture can be compared with the one of before.

use std::fmt::{self, Write};

const WIDTH: u64 = 860;
const HEIGHT: u64 = 360;
const LEFT: u64 = 96;
const RIGHT: u64 = 24;
const TOP: u64 = 44;
const BOTTOM: u64 = 56;
/// Height of a line of the legend.
const LEGEND: u64 = 18;
/// Colours that the colour-blind tell apart (Okabe and Ito), and dashes for those who print.
const INKS: [(&str, &str); 6] = [
    ("#0072b2", ""),
    ("#d55e00", "6 3"),
    ("#009e73", "2 2"),
    ("#cc79a7", "8 3 2 3"),
    ("#56b4e9", "12 4"),
    ("#000000", "1 3"),
];
/// Marks of an axis without marks of its own, at most.
const MARKS_MOST: u64 = 6;

/// One axis.
#[derive(Debug, Clone, Default)]
pub struct Axis {
    /// What it counts, with its unit.
    pub label: String,
    /// Where it begins.
    pub from: u64,
    /// Where it ends; what lies beyond is drawn there.
    pub to: u64,
    /// Where a mark stands, and what is written at it.
    pub marks: Vec<(u64, String)>,
}

impl Axis {
    /// From 0 to at least `most`, marked in round numbers.
    #[must_use]
    pub fn up_to(label: &str, most: u64) -> Self {
        let most = most.max(1);
        let mut step: u64 = 1;
        for factor in [2, 5, 10].into_iter().cycle() {
            if most.div_ceil(step) <= MARKS_MOST {
                break;
            }
            // 1, 2, 5, 10, 20, ...
            step = match factor {
                2 => step.saturating_mul(2),
                5 => step.saturating_mul(5) / 2,
                _ => step.saturating_mul(2),
            };
        }
        let to = most.div_ceil(step).saturating_mul(step);
        let marks = (0..=to / step).map(|at| (at * step, thousands(at * step))).collect();
        Self { label: label.to_owned(), from: 0, to, marks }
    }

    /// How far along a value lies, of a length in tenths.
    fn place(&self, value: u64, length: u64) -> u64 {
        let whole = u128::from(self.to.saturating_sub(self.from).max(1));
        let along = u128::from(value.clamp(self.from, self.to.max(self.from)) - self.from);
        u64::try_from(along * u128::from(length) / whole).unwrap_or(length)
    }
}

/// One line.
#[derive(Debug, Clone, Default)]
pub struct Line {
    /// What it shows.
    pub name: String,
    /// Its points, by x.
    pub points: Vec<(u64, u64)>,
    /// A value holds until the next one, instead of leading to it.
    pub steps: bool,
}

/// A picture.
#[derive(Debug, Clone, Default)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// Along.
    pub x: Axis,
    /// Up.
    pub y: Axis,
    /// What is drawn.
    pub lines: Vec<Line>,
}

impl fmt::Display for Chart {
    /// As an SVG document.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let height = HEIGHT + LEGEND * self.lines.len() as u64;
        writeln!(
            f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             font-family=\"sans-serif\" font-size=\"12\">"
        )?;
        writeln!(f, "<title>{}</title>", Text(&self.title))?;
        writeln!(f, "<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>")?;
        writeln!(f, "<text x=\"{LEFT}\" y=\"24\" font-size=\"15\">{}</text>", Text(&self.title))?;
        self.axes(f)?;
        for (at, line) in self.lines.iter().enumerate() {
            let (colour, dashes) = INKS.get(at % INKS.len()).copied().unwrap_or_default();
            let ink = format!(
                "fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\" stroke-dasharray=\"{dashes}\""
            );
            writeln!(f, "<polyline {ink} points=\"{}\"/>", self.points(line))?;
            let y = HEIGHT + LEGEND * at as u64;
            let (from, to, text) = (LEFT, LEFT + 36, LEFT + 44);
            writeln!(f, "<polyline {ink} points=\"{from},{y} {to},{y}\"/>")?;
            writeln!(f, "<text x=\"{text}\" y=\"{}\">{}</text>", y + 4, Text(&line.name))?;
        }
        writeln!(f, "</svg>")
    }
}

impl Chart {
    fn axes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (value, text) in &self.y.marks {
            let y = Tenths(self.y_of(*value));
            let line = "stroke=\"#dddddd\"";
            writeln!(f, "<line x1=\"{LEFT}\" y1=\"{y}\" x2=\"{right}\" y2=\"{y}\" {line}/>")?;
            let x = LEFT - 8;
            let to = "text-anchor=\"end\" dominant-baseline=\"middle\"";
            writeln!(f, "<text x=\"{x}\" y=\"{y}\" {to}>{}</text>", Text(text))?;
        }
        for (value, text) in &self.x.marks {
            let x = Tenths(self.x_of(*value));
            let end = bottom + 5;
            let line = "stroke=\"#000000\"";
            writeln!(f, "<line x1=\"{x}\" y1=\"{bottom}\" x2=\"{x}\" y2=\"{end}\" {line}/>")?;
            let y = bottom + 20;
            writeln!(f, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">{}</text>", Text(text))?;
        }
        writeln!(
            f,
            "<polyline fill=\"none\" stroke=\"#000000\" \
             points=\"{LEFT},{TOP} {LEFT},{bottom} {right},{bottom}\"/>"
        )?;
        let (middle, below) = (LEFT.midpoint(right), bottom + 40);
        let label = Text(&self.x.label);
        writeln!(f, "<text x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\">{label}</text>")?;
        let up = TOP.midpoint(bottom);
        writeln!(
            f,
            "<text transform=\"translate(16 {up}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            Text(&self.y.label)
        )
    }

    fn points(&self, line: &Line) -> String {
        let mut text = String::new();
        let mut before: Option<u64> = None;
        for (x, y) in &line.points {
            let (x, y) = (Tenths(self.x_of(*x)), self.y_of(*y));
            if let Some(before) = before.filter(|_| line.steps) {
                // A String takes whatever is written to it.
                let _ = write!(text, "{x},{} ", Tenths(before));
            }
            let _ = write!(text, "{x},{} ", Tenths(y));
            before = Some(y);
        }
        text.truncate(text.trim_end().len());
        text
    }

    fn x_of(&self, value: u64) -> u64 {
        LEFT * 10 + self.x.place(value, (WIDTH - LEFT - RIGHT) * 10)
    }

    fn y_of(&self, value: u64) -> u64 {
        (HEIGHT - BOTTOM) * 10 - self.y.place(value, (HEIGHT - TOP - BOTTOM) * 10)
    }
}

/// Tenths of a pixel.
struct Tenths(u64);

impl fmt::Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 10, self.0 % 10) {
            (whole, 0) => write!(f, "{whole}"),
            (whole, tenth) => write!(f, "{whole}.{tenth}"),
        }
    }
}

/// Text as XML has it.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                // XML has no other control characters.
                control if control.is_control() => f.write_char(' ')?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// A number in groups of three digits.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_marked_in_round_numbers() {
        for (most, to) in [(0, 1), (6, 6), (7, 8), (70, 80), (1_234, 1_500), (40_000, 40_000)] {
            let axis = Axis::up_to("", most);
            assert_eq!(axis.to, to, "{most}: {axis:?}");
            assert!(axis.marks.len() <= 8, "{most}: {axis:?}");
        }
        let axis = Axis::up_to("", 12_000_000);
        assert_eq!(axis.marks[1].1, "2 000 000");
        let endless = Axis::up_to("", u64::MAX);
        assert!(endless.marks.len() <= 8, "{endless:?}");
    }

    #[test]
    fn lines_are_drawn_to_scale_and_text_is_quoted() {
        let chart = Chart {
            title: "a < b & c".to_owned(),
            x: Axis { label: "h".to_owned(), from: 0, to: 74, marks: vec![(0, "0".to_owned())] },
            y: Axis::up_to("rate", 5),
            lines: vec![Line { name: "x".to_owned(), points: vec![(0, 0), (37, 5)], steps: true }],
        };
        let text = chart.to_string();
        assert!(text.contains("<title>a &lt; b &amp; c</title>"), "{text}");
        assert!(text.contains("points=\"96,304 466,304 466,44\""), "{text}");
        assert!(text.ends_with("</svg>\n"));
        assert_eq!(text, chart.to_string());
        let sloped = Line { steps: false, ..chart.lines[0].clone() };
        assert_eq!(chart.points(&sloped), "96,304 466,44");
    }
}
