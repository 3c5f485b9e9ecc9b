//! What a record came to.

use super::Posting;

/// What a record came to: the postings that it closed, mostly one or none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    pub(super) first: Option<Posting>,
    pub(super) more: Vec<Posting>,
    /// What a grant gave back of which postings.
    pub(super) returned: Vec<(u64, u128)>,
}

impl Applied {
    pub(super) fn one(posting: Option<Posting>) -> Self {
        Self { first: posting, ..Self::default() }
    }

    /// The postings that it closed.
    pub fn postings(&self) -> impl Iterator<Item = &Posting> {
        self.first.iter().chain(&self.more)
    }

    /// What a record of a grant gives back, by the numbers of the postings.
    #[must_use]
    pub fn returned(&self) -> &[(u64, u128)] {
        &self.returned
    }
}

impl IntoIterator for Applied {
    type Item = Posting;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Posting>, std::vec::IntoIter<Posting>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.more)
    }
}
