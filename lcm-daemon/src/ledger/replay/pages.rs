//! A table by numbers that are given out in turn: neighbours in number are neighbours in memory.
//! A long replay spends most of its time waiting for memory.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasherDefault;

use ahash::AHasher;
use serde::{Deserialize, Serialize};

/// Numbers that share a page.
const PAGE: u64 = u32::BITS as u64;

/// Values by number.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Pages<T> {
    /// The numbers are ours, so no stranger chooses what collides.
    pages: HashMap<u64, Page<T>, BuildHasherDefault<AHasher>>,
}

/// Values whose numbers differ in the last bits only, in the order of their numbers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Page<T> {
    /// A bit for each that is there.
    held: u32,
    values: Vec<T>,
}

impl<T> Page<T> {
    /// Where the value of this bit stands, or would.
    fn place(&self, bit: u32) -> usize {
        (self.held & (bit - 1)).count_ones() as usize
    }
}

/// The page of a number, and its bit there.
fn place(number: u64) -> (u64, u32) {
    (number / PAGE, 1 << (number % PAGE))
}

impl<T: Default> Pages<T> {
    /// The value of this number. One that is not there begins if `may_begin` says so.
    pub(super) fn slot(&mut self, number: u64, may_begin: impl Fn() -> bool) -> Option<&mut T> {
        let (page, bit) = place(number);
        let page = match self.pages.entry(page) {
            Entry::Occupied(page) => page.into_mut(),
            Entry::Vacant(place) => {
                may_begin().then(|| place.insert(Page { held: 0, values: Vec::new() }))?
            }
        };
        let place = page.place(bit);
        if page.held & bit == 0 {
            if !may_begin() {
                return None;
            }
            page.held |= bit;
            page.values.insert(place, T::default());
        }
        page.values.get_mut(place)
    }

    /// The value of this number, if it is there.
    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let (page, bit) = place(number);
        let page = self.pages.get_mut(&page).filter(|page| page.held & bit != 0)?;
        let place = page.place(bit);
        page.values.get_mut(place)
    }

    /// Takes out the value of this number.
    pub(super) fn remove(&mut self, number: u64) {
        let (at, bit) = place(number);
        let Some(page) = self.pages.get_mut(&at).filter(|page| page.held & bit != 0) else {
            return;
        };
        let place = page.place(bit);
        page.values.remove(place);
        page.held &= !bit;
        if page.held == 0 {
            self.pages.remove(&at);
        }
    }

    /// All values, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.pages
            .iter()
            .flat_map(|(page, Page { held, values })| numbers(*page, *held).zip(values))
    }

    /// All values, in no order.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.pages.values_mut().flat_map(|page| &mut page.values)
    }

    /// All values in the order of their numbers.
    pub(super) fn into_sorted(self) -> impl Iterator<Item = (u64, T)> {
        let mut pages: Vec<_> = self.pages.into_iter().collect();
        pages.sort_unstable_by_key(|(page, _)| *page);
        pages.into_iter().flat_map(|(page, Page { held, values })| numbers(page, held).zip(values))
    }
}

/// The numbers of a page's values.
fn numbers(page: u64, held: u32) -> impl Iterator<Item = u64> {
    (0..u32::BITS)
        .filter(move |bit| held & (1 << bit) != 0)
        .map(move |bit| page.saturating_mul(PAGE).saturating_add(bit.into()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn pages_hold_what_a_map_holds() {
        let mut rng = fastrand::Rng::with_seed(7);
        let (mut pages, mut map) = (Pages::<u64>::default(), BTreeMap::new());
        for round in 0..20_000 {
            let number = rng.u64(..300);
            match rng.u8(..3) {
                0 => {
                    pages.remove(number);
                    map.remove(&number);
                }
                1 => {
                    let value = pages.slot(number, || true).unwrap();
                    assert_eq!(*value, map.insert(number, round).unwrap_or_default());
                    *value = round;
                }
                _ => {
                    let mut known = map.get(&number).copied();
                    assert_eq!(pages.get_mut(number), known.as_mut());
                    assert_eq!(pages.slot(number, || false), known.as_mut());
                }
            }
        }
        let found: BTreeMap<u64, u64> = pages.iter().map(|(number, v)| (number, *v)).collect();
        assert_eq!(found, map);
        assert_eq!(pages.values_mut().count(), map.len());
        assert!(pages.pages.values().all(|page| page.held != 0));
        assert_eq!(pages.into_sorted().collect::<Vec<_>>(), map.into_iter().collect::<Vec<_>>());
    }
}
