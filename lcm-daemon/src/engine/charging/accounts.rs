//! Accounts that neighbours name, kept once each: a million flows of one neighbour name the same.

use std::collections::{BTreeMap, HashSet};

use charging_model::flow::Account;

/// Accounts that are kept to be shared. A neighbour that names a new one every time makes copies
/// for itself alone.
const MOST: usize = 4_096;

/// The accounts seen so far, by id_type.
#[derive(Debug, Clone, Default)]
pub(crate) struct Accounts {
    known: BTreeMap<u8, HashSet<Named>>,
    count: usize,
}

/// An account that is found by its identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named(Account);

impl std::hash::Hash for Named {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.id().hash(state);
    }
}

impl std::borrow::Borrow<[u8]> for Named {
    fn borrow(&self) -> &[u8] {
        self.0.id()
    }
}

impl Accounts {
    /// The account of this kind and identifier.
    pub(crate) fn get(&mut self, kind: u8, id: &[u8]) -> Account {
        let of_kind = self.known.entry(kind).or_default();
        if let Some(Named(account)) = of_kind.get(id) {
            return account.clone();
        }
        let account = Account::new(kind, id);
        if self.count < MOST {
            self.count += 1;
            of_kind.insert(Named(account.clone()));
        }
        account
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_kept_once_and_strangers_cannot_fill_memory() {
        let mut accounts = Accounts::default();
        let first = accounts.get(2, b"a@example");
        assert!(std::ptr::eq(first.id(), accounts.get(2, b"a@example").id()));
        assert_ne!(first, accounts.get(1, b"a@example"));
        for number in 0..2 * MOST {
            accounts.get(1, number.to_string().as_bytes());
        }
        let kept: usize = accounts.known.values().map(HashSet::len).sum();
        assert_eq!(kept, MOST);
    }
}
