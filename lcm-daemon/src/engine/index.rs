//! Where something lies in a slab, by a key that it keeps itself: a table of a million keys of their
//! own would be half empty, and most of what a lookup costs in memory.

use std::hash::Hash;

use ahash::RandomState;
use hashbrown::HashTable;

/// Slots by key.
#[derive(Debug, Clone)]
pub(super) struct Index {
    slots: HashTable<usize>,
    hasher: RandomState,
}

impl Index {
    /// An empty one; `hasher` is keyed, so that strangers cannot aim at one bucket.
    pub(super) fn new(hasher: RandomState) -> Self {
        Self { slots: HashTable::new(), hasher }
    }

    /// The slot whose key is `key`; `key_of` tells that of a slot.
    pub(super) fn find<K>(&self, key: &K, key_of: impl Fn(usize) -> Option<K>) -> Option<usize>
    where
        K: Hash + Eq,
    {
        let hash = self.hasher.hash_one(Some(key));
        self.slots.find(hash, |slot| key_of(*slot).as_ref() == Some(key)).copied()
    }

    /// Adds a slot, which has its key already, and which no other one has.
    pub(super) fn insert<K>(&mut self, slot: usize, key_of: impl Fn(usize) -> Option<K>)
    where
        K: Hash,
    {
        let Self { slots, hasher } = self;
        let hash = |slot: &usize| hasher.hash_one(key_of(*slot));
        slots.insert_unique(hash(&slot), slot, hash);
    }

    /// Forgets a slot, which still has its key.
    pub(super) fn remove<K>(&mut self, slot: usize, key_of: impl Fn(usize) -> Option<K>)
    where
        K: Hash,
    {
        let hash = self.hasher.hash_one(key_of(slot));
        if let Ok(found) = self.slots.find_entry(hash, |other| *other == slot) {
            found.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use slab::Slab;

    use super::*;

    #[test]
    fn slots_are_found_by_what_lies_in_them() {
        for seed in 0..20 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut slab, mut expected) = (Slab::new(), BTreeMap::new());
            let mut index = Index::new(RandomState::with_seed(7));
            for _ in 0..2_000 {
                let key = rng.u32(..300);
                let key_of = |slab: &Slab<u32>, slot: usize| slab.get(slot).copied();
                let found = index.find(&key, |slot| key_of(&slab, slot));
                assert_eq!(found, expected.get(&key).copied(), "seed {seed}");
                match found {
                    None => {
                        let slot = slab.insert(key);
                        index.insert(slot, |slot| key_of(&slab, slot));
                        expected.insert(key, slot);
                    }
                    Some(slot) => {
                        index.remove(slot, |slot| key_of(&slab, slot));
                        slab.remove(slot);
                        expected.remove(&key);
                    }
                }
            }
        }
    }
}
