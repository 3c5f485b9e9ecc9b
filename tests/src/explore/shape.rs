//! What makes two states the same: everything but where their clocks stand.
//!
//! A state is compared by its image, in which instants and serial numbers are made relative.
//! Instants are known by their names in an engine's image. Epochs, sequences and instances start
//! from the wall clock (T17), whose seconds no other number of a state comes near, so they are
//! known by their values, in images and in messages alike.
//!
//! Serial numbers are compared with each other and with the wall clock, and never with anything
//! that is yet to come: whatever is numbered later is numbered from the wall clock. So of a number
//! behind the wall clock only its place among the others counts, of one ahead of it the distance.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::world::UNIX_START;

/// How far serial numbers may lie from the wall clock of the start.
const SERIALS: std::ops::Range<u32> = UNIX_START - 1_000..UNIX_START + (1 << 20);
/// No rule looks further back than this, in microseconds: 2H and the validity of prices at R = 30 s.
pub(super) const LOOKBACK_US: u64 = 100_000_000;

/// A fingerprint: 128 bits, so that among a billion states two different ones are taken for the
/// same with a probability of 10⁻²¹.
pub(super) type Fingerprint = u128;

/// Two hashes at once.
#[derive(Debug, Clone)]
pub(super) struct Print(DefaultHasher, DefaultHasher);

impl Print {
    pub(super) fn new() -> Self {
        let mut second = DefaultHasher::new();
        0x5eed_u64.hash(&mut second);
        Self(DefaultHasher::new(), second)
    }

    pub(super) fn add(&mut self, value: &(impl Hash + ?Sized)) {
        value.hash(&mut self.0);
        value.hash(&mut self.1);
    }

    pub(super) fn finish(&self) -> Fingerprint {
        u128::from(self.0.finish()) << 64 | u128::from(self.1.finish())
    }
}

/// The image of a part of a state, with its clocks taken out.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    text: Fingerprint,
    instants: Vec<u64>,
    serials: Vec<u32>,
}

impl Shape {
    /// From an engine's image.
    pub(super) fn of_image(image: &str) -> Self {
        let bytes = image.as_bytes();
        let mut text = Vec::with_capacity(bytes.len());
        let (mut instants, mut serials) = (Vec::new(), Vec::new());
        let mut at = 0;
        while at < bytes.len() {
            if !bytes[at].is_ascii_digit() {
                text.push(bytes[at]);
                at += 1;
                continue;
            }
            let digits = bytes[at..].iter().take_while(|b| b.is_ascii_digit()).count();
            let number: u64 = image[at..at + digits].parse().unwrap_or(u64::MAX);
            let scale = if text.ends_with(b"Instant(") {
                1
            } else if text.ends_with(b"Millis(") {
                1_000
            } else {
                0
            };
            if scale > 0 && number != u64::MAX {
                instants.push(number.saturating_mul(scale));
                text.push(b'@');
            } else if u32::try_from(number).is_ok_and(|number| SERIALS.contains(&number)) {
                serials.push(number as u32);
                text.push(b'#');
            } else {
                text.extend_from_slice(&bytes[at..at + digits]);
            }
            at += digits;
        }
        let mut print = Print::new();
        print.add(&text);
        Self { text: print.finish(), instants, serials }
    }

    /// From an RSVP message: whole words, of which the checksum says nothing of its own.
    pub(super) fn of_message(bytes: &[u8]) -> Self {
        let mut print = Print::new();
        let mut serials = Vec::new();
        for (at, word) in bytes.chunks(4).enumerate() {
            let number = word.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
            match at {
                0 => print.add(&(number >> 16)),
                _ if SERIALS.contains(&number) => {
                    serials.push(number);
                    print.add(&());
                }
                _ => print.add(&number),
            }
        }
        Self { text: print.finish(), instants: Vec::new(), serials }
    }
}

/// How the clocks stand as a state is compared.
#[derive(Debug)]
pub(super) struct Relative {
    now_us: u64,
    unix_s: u32,
    /// Serial numbers behind the wall clock, in order.
    behind: BTreeSet<u32>,
    ahead: bool,
}

impl Relative {
    pub(super) fn new<'a>(
        now_us: u64,
        unix_s: u32,
        shapes: impl Iterator<Item = &'a Shape>,
    ) -> Self {
        let mut relative = Self { now_us, unix_s, behind: BTreeSet::new(), ahead: false };
        for serial in shapes.flat_map(|shape| &shape.serials) {
            if *serial < unix_s {
                relative.behind.insert(*serial);
            } else {
                relative.ahead = true;
            }
        }
        relative
    }

    /// Where within its second the wall clock stands, if that makes a difference.
    pub(super) fn phase(&self) -> Option<u64> {
        self.ahead.then_some(self.now_us % 1_000_000)
    }

    pub(super) fn instant(&self, at: u64) -> i64 {
        let ago = self.now_us.saturating_sub(at).min(LOOKBACK_US);
        at.saturating_sub(self.now_us) as i64 - ago as i64
    }

    fn serial(&self, serial: u32) -> i64 {
        if serial < self.unix_s {
            -(self.behind.range(serial..).count() as i64)
        } else {
            i64::from(serial - self.unix_s)
        }
    }

    pub(super) fn add(&self, shape: &Shape, print: &mut Print) {
        print.add(&shape.text);
        shape.instants.iter().for_each(|at| print.add(&self.instant(*at)));
        shape.serials.iter().for_each(|serial| print.add(&self.serial(*serial)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(image: &str, now_us: u64, unix_s: u32) -> Fingerprint {
        let shape = Shape::of_image(image);
        let relative = Relative::new(now_us, unix_s, std::iter::once(&shape));
        let mut print = Print::new();
        relative.add(&shape, &mut print);
        print.finish()
    }

    #[test]
    fn states_are_the_same_whenever_they_occur() {
        let at = |now: u64, serial: u32| {
            format!("a: Instant({}), b: Millis({}), epoch: {serial}", now + 5_000, now / 1_000)
        };
        let start = UNIX_START;
        let first = print(&at(1_000_000, start), 1_000_000, start);
        assert_eq!(print(&at(9_000_000, start + 8), 9_000_000, start + 8), first);
        assert_ne!(print(&at(9_000_000, start + 9), 9_000_000, start + 8), first, "ahead");
        assert_ne!(print(&at(9_000_000, start + 8), 9_000_001, start + 8), first, "later");
        assert_eq!(
            print(&at(9_000_000, start + 3), 9_000_000, start + 8),
            print(&at(9_000_000, start + 1), 9_000_000, start + 8),
            "how far behind is nothing"
        );
        assert_ne!(print("never: 7", 0, start), print("never: 8", 0, start));
    }
}
