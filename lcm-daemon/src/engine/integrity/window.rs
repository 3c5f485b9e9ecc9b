//! Sequence numbers: which were seen, and which come next (RFC 2747 sections 3 and 4.2).

/// Whether `new` is larger than `old`, modulo 2⁶⁴.
pub(super) fn newer(new: u64, old: u64) -> bool {
    let ahead = new.wrapping_sub(old);
    ahead != 0 && ahead < 1 << 63
}

/// The last numbers that one sending system used with one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    /// No number up to this one is accepted any more.
    floor: u64,
    /// Those above it that were accepted, the largest last.
    seen: Vec<u64>,
}

impl Window {
    /// Accepts what is larger than the number that an Integrity Response had.
    pub(crate) fn after(number: u64) -> Self {
        Self { floor: number, seen: Vec::new() }
    }

    /// Accepts one number and what is larger, where nobody was asked for a first one.
    pub(crate) fn starting_with(number: u64) -> Self {
        Self { floor: number.wrapping_sub(1), seen: vec![number] }
    }

    /// Takes a number if it is neither a replay nor older than the last `size` ones.
    pub(crate) fn accept(&mut self, number: u64, size: usize) -> bool {
        if !newer(number, self.floor) {
            return false;
        }
        let place = self.seen.iter().rposition(|seen| !newer(*seen, number));
        let below = place.is_none() && self.seen.len() >= size.max(1);
        if below || place.and_then(|place| self.seen.get(place)) == Some(&number) {
            return false;
        }
        self.seen.insert(place.map_or(0, |place| place + 1), number);
        while self.seen.len() > size.max(1) {
            self.floor = self.seen.remove(0);
        }
        true
    }

    /// The largest number accepted, or asked for.
    pub(crate) fn largest(&self) -> u64 {
        self.seen.last().copied().unwrap_or(self.floor)
    }
}

/// Numbers for what this node sends: the wall clock's seconds above, a counter below, which is
/// RFC 2747 section 3.2. Chosen because a clock survives a restart without the disk, whose loss
/// would otherwise silence the node at all its neighbours.
///
/// One sequence serves all keys: it is unique for each of them. The first number is that of the
/// next second, so that a daemon that is started again in the second in which it died, however many
/// messages it had sent, is ahead of what it used. A clock that goes back while the daemon runs does
/// no harm; the counter goes on from the largest number used.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sequence {
    last: Option<u64>,
}

impl Sequence {
    /// The next number; `unix_s` is the wall clock.
    pub(crate) fn next(&mut self, unix_s: u32) -> u64 {
        let clock = u64::from(unix_s) << 32;
        let next = match self.last {
            None => clock.wrapping_add(1 << 32),
            Some(last) => {
                let following = last.wrapping_add(1);
                if newer(clock, following) { clock } else { following }
            }
        };
        self.last = Some(next);
        next
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_is_taken_once_and_within_the_window_in_any_order() {
        let mut window = Window::after(100);
        for (number, expected) in [
            (100, false),
            (99, false),
            (105, true),
            (103, true),
            (103, false),
            (101, true),
            (105, false),
            // The list is full: 101 leaves it.
            (106, true),
            (101, false),
            (102, false),
            (104, true),
            // 103 left it.
            (103, false),
        ] {
            assert_eq!(window.accept(number, 3), expected, "{number} in {window:?}");
        }
    }

    #[test]
    fn a_window_of_one_takes_no_disorder() {
        let mut window = Window::starting_with(7);
        assert!(!window.accept(7, 1) && !window.accept(6, 1));
        assert!(window.accept(9, 1) && !window.accept(8, 1) && window.accept(10, 1));
    }

    #[test]
    fn numbers_wrap() {
        let mut window = Window::after(u64::MAX - 1);
        assert!(window.accept(u64::MAX, 4) && window.accept(1, 4) && window.accept(0, 4));
        assert!(!window.accept(u64::MAX, 4) && !window.accept(u64::MAX - 3, 4));
        assert_eq!(window.largest(), 1);
    }

    #[test]
    fn numbers_rise_whatever_the_clock_does_and_across_a_restart_within_its_second() {
        let mut sequence = Sequence::default();
        let mut last = 0;
        for unix_s in [1_000, 1_000, 1_000, 1_005, 900, 900, 1_005, 1_006] {
            let next = sequence.next(unix_s);
            assert!(next > last, "{next} at {unix_s}");
            last = next;
        }
        assert!(Sequence::default().next(1_006) > last);
        let mut before = Sequence { last: Some((u64::from(u32::MAX) << 32) | 5) };
        assert!(newer(before.next(0), (u64::from(u32::MAX) << 32) | 5), "beyond 2106");
    }

    proptest! {
        /// As if every number ever taken were remembered: none is taken twice, all that rise are
        /// taken, and no more than the window is kept.
        #[test]
        fn nothing_is_taken_twice(
            numbers in proptest::collection::vec(0_u64..60, 1..200),
            size in 1_usize..20,
            start in any::<u64>(),
        ) {
            let mut window = Window::after(start);
            let mut taken = std::collections::BTreeSet::new();
            for number in numbers {
                let rises = taken.last().is_none_or(|last| number > *last);
                let accepted = window.accept(start.wrapping_add(number), size);
                prop_assert!(!accepted || !taken.contains(&number));
                prop_assert!(accepted || !rises || number == 0);
                if accepted {
                    taken.insert(number);
                }
                prop_assert!(window.seen.len() <= size);
            }
        }
    }
}
