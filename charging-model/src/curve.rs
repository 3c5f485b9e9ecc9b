//! What a charge comes to by how much is reserved: piecewise linear, in exact integers.
//!
//! A curve is a promise of the kind "no more than this": whatever is done to one here, rounding and
//! thinning included, raises it or leaves it as it is, and never lowers it anywhere.

use crate::money::Rate;

/// The most points of a curve that is announced; of more the upper hull is taken.
pub const CURVE_POINTS_MAX: usize = 16;

/// Charges by quantity: linear between the points, level before the first, and the last slope goes
/// on. More never costs less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Curve {
    /// (bit/s, rate): at least one, bit/s ascending, rates not falling.
    points: Vec<(u64, Rate)>,
}

/// A point of a line, not rounded: the least integer that is not below it, and whether it is that.
#[derive(Clone, Copy)]
struct Above {
    rate: u64,
    exact: bool,
}

/// The line through two points at `quantity`, which may lie behind both but not before the first;
/// `None` if it does not fit, or falls.
fn line(low: (u64, Rate), high: (u64, Rate), quantity: u64) -> Option<Above> {
    let width = u128::from(high.0.checked_sub(low.0).filter(|width| *width > 0)?);
    let along = u128::from(quantity.checked_sub(low.0)?);
    let rise = u128::from(high.1.0.checked_sub(low.1.0)?).checked_mul(along)?;
    let exact = rise.checked_rem(width)? == 0;
    let rise = u64::try_from(rise.div_ceil(width)).ok()?;
    Some(Above { rate: low.1.0.checked_add(rise)?, exact })
}

impl Curve {
    /// The same for every quantity.
    pub fn level(rate: Rate) -> Self {
        Self { points: vec![(0, rate)] }
    }

    /// A curve through these points; `None` without any, or if they do not ascend in bit/s, or fall.
    pub fn new(points: impl IntoIterator<Item = (u64, Rate)>) -> Option<Self> {
        let points: Vec<_> = points.into_iter().collect();
        let ascends = points.windows(2).all(|pair| match pair {
            [a, b] => a.0 < b.0 && a.1 <= b.1,
            _ => true,
        });
        (!points.is_empty() && ascends).then_some(Self { points })
    }

    /// Its points, (bit/s, rate).
    pub fn points(&self) -> &[(u64, Rate)] {
        &self.points
    }

    fn above(&self, quantity: u64) -> Option<Above> {
        let next = self.points.partition_point(|(at, _)| *at <= quantity);
        let exact = |(_, rate): (u64, Rate)| Above { rate: rate.0, exact: true };
        let Some(low) = next.checked_sub(1).and_then(|low| self.points.get(low)) else {
            return self.points.first().copied().map(exact);
        };
        if low.0 == quantity {
            return Some(exact(*low));
        }
        if let Some(high) = self.points.get(next) {
            return line(*low, *high, quantity);
        }
        match self.points.as_slice() {
            [.., before, last] => line(*before, *last, quantity),
            _ => Some(exact(*low)),
        }
    }

    /// The charge for this many bit/s, rounded up; `None` if it does not fit.
    pub fn at(&self, quantity: u64) -> Option<Rate> {
        self.above(quantity).map(|above| Rate(above.rate))
    }

    /// The sum of two curves, or what is never below it; `None` if it does not fit.
    pub fn plus(&self, other: &Self) -> Option<Self> {
        let mut at: Vec<u64> = self.points.iter().chain(&other.points).map(|(at, _)| *at).collect();
        at.sort_unstable();
        at.dedup();
        let last = at.len().checked_sub(1)?;
        let mut points = Vec::with_capacity(at.len());
        let mut rounded = 0;
        for (place, quantity) in at.into_iter().enumerate() {
            let (own, more) = (self.above(quantity)?, other.above(quantity)?);
            let mut rate = own.rate.checked_add(more.rate)?;
            if place == last {
                // What was added before the last point must not make the last slope any flatter.
                rate = rate.checked_add(rounded)?;
            }
            rounded = u64::from(!own.exact) + u64::from(!more.exact);
            points.push((quantity, Rate(rate)));
        }
        Some(Self { points })
    }

    /// What less than `least` costs as much as: a branch of a node that asks for `least` anyhow.
    pub fn from_quantity(&self, least: u64) -> Option<Self> {
        if least == 0 {
            return Some(self.clone());
        }
        let own = self.above(least)?;
        let behind = self.points.iter().filter(|(at, _)| *at > least);
        let mut points = vec![(least, Rate(own.rate))];
        points.extend(behind.copied());
        match (self.points.as_slice(), points.as_mut_slice()) {
            // All points lie before it, and their last slope goes on behind it.
            ([.., _, _], [_]) => {
                let further = least.checked_mul(2)?;
                let there = self.above(further)?;
                let rounded = u64::from(!own.exact);
                points.push((further, Rate(there.rate.checked_add(rounded)?)));
            }
            // The slope behind it is the last one, and it may have been rounded up.
            (_, [_, last]) => last.1 = Rate(last.1.0.checked_add(u64::from(!own.exact))?),
            _ => {}
        }
        Some(Self { points })
    }

    /// The part of one of `count` who share the whole equally: never less than its share.
    pub fn shared_by(&self, count: u64) -> Option<Self> {
        let mut rounded = 0;
        let mut points = Vec::with_capacity(self.points.len());
        let last = self.points.len().checked_sub(1)?;
        for (place, (quantity, rate)) in self.points.iter().enumerate() {
            let mut part = rate.0.checked_div(count)?;
            let exact = rate.0.checked_rem(count)? == 0;
            part = part.checked_add(u64::from(!exact))?;
            if place == last {
                part = part.checked_add(rounded)?;
            }
            rounded = u64::from(!exact);
            points.push((*quantity, Rate(part)));
        }
        Some(Self { points })
    }

    /// Nowhere below this rate.
    pub fn at_least(self, rate: Rate) -> Option<Self> {
        if self.points.iter().all(|(_, own)| *own >= rate) {
            return Some(self);
        }
        // Raising every point to it raises what lies between; the last slope must not fall.
        let before = self.points.clone();
        let mut points: Vec<_> = before.iter().map(|(at, own)| (*at, (*own).max(rate))).collect();
        if let ([.., a, b], Some(last)) = (before.as_slice(), points.last_mut()) {
            let lifted = rate.0.saturating_sub(a.1.0);
            last.1 = last.1.max(Rate(b.1.0.checked_add(lifted)?));
        }
        Some(Self { points })
    }

    /// Of at most `most` points, at least four, and nowhere below what it was: a point below the line
    /// between its neighbours is left out, and where there is none, the next one is raised to the
    /// line that comes up to it; each time where it raises least.
    pub fn thinned(mut self, most: usize) -> Option<Self> {
        while self.points.len() > most.max(4) {
            let all = 1..self.points.len().saturating_sub(1);
            let found = all.filter_map(|at| Some((at, self.without(at)?)));
            if let Some((at, (_, raised))) = found.min_by_key(|(_, (cost, _))| *cost) {
                self.points.get_mut(at + 1)?.1 = raised;
                self.points.remove(at);
            } else {
                // The first step is taken earlier: more never costs less.
                let raised = self.points.get(2)?.1;
                self.points.get_mut(1)?.1 = raised;
                self.points.remove(2);
            }
        }
        Some(self)
    }

    /// What leaving out the point at this place raises the curve by, and the next point to.
    fn without(&self, at: usize) -> Option<(u64, Rate)> {
        let (before, here) = (*self.points.get(at.checked_sub(1)?)?, *self.points.get(at)?);
        let next = *self.points.get(at + 1)?;
        let chord = line(before, next, here.0)?;
        if chord.rate > here.1.0 || (chord.exact && chord.rate == here.1.0) {
            // The last slope, which goes on, must not become flatter.
            let level = chord.exact && chord.rate == here.1.0;
            let last = self.points.get(at + 2).is_none();
            return (level || !last).then_some((chord.rate - here.1.0, next.1));
        }
        let raised = Rate(line(before, here, next.0)?.rate);
        let after = self.points.get(at + 2);
        // Nor may it where the point before the last is raised, nor the curve fall behind it.
        if after.is_some_and(|after| raised > after.1 || self.points.get(at + 3).is_none()) {
            return None;
        }
        Some((raised.0.checked_sub(next.1.0)?, raised))
    }

    /// The greatest quantity of at most `most` that `fits`, where more never fits when less does not;
    /// `None` if not even `least` does.
    pub fn greatest(least: u64, most: u64, fits: impl Fn(u64) -> bool) -> Option<u64> {
        if least > most || !fits(least) {
            return None;
        }
        let (mut low, mut high) = (least, most);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if fits(middle) { low = middle } else { high = middle - 1 }
        }
        Some(low)
    }
}
