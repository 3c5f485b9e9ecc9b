//! Which key is used when (RFC 2747 sections 5.1 and 5.3).

use rsvp_wire::digest;

use crate::config::{Authentication, Key, KeyUse};

/// A key that can be used, and whether only because all keys have ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usable<'k> {
    pub(crate) key: &'k Key,
    /// The last key has ended, and stays in use until there is another (section 5.3).
    pub(crate) overdue: bool,
}

/// A key as the digest takes it; `None` if its file was not read.
pub(crate) fn wire_key(key: &Key) -> Option<digest::Key<'_>> {
    let secret = key.secret.as_ref()?;
    Some(digest::Key { algorithm: key.algorithm, secret: secret.bytes() })
}

fn signs(key: &&Key) -> bool {
    key.usage != KeyUse::Receive && key.secret.is_some()
}

fn verifies(key: &&Key) -> bool {
    key.usage != KeyUse::Send && key.secret.is_some()
}

fn started(key: &Key, unix_s: u64) -> bool {
    key.start.is_none_or(|start| start <= unix_s)
}

fn live(key: &Key, unix_s: u64) -> bool {
    started(key, unix_s) && key.end.is_none_or(|end| unix_s < end)
}

/// The keys that may be used at an instant: the live ones, or the one that ended last.
fn usable<'k>(
    keys: impl Iterator<Item = &'k Key> + Clone,
    unix_s: u64,
) -> impl Iterator<Item = Usable<'k>> {
    let any_live = keys.clone().any(|key| live(key, unix_s));
    let last = keys.clone().filter(|key| started(key, unix_s)).max_by_key(|key| key.end);
    let last = last.filter(|_| !any_live).map(|key| Usable { key, overdue: true });
    let live = keys.filter(move |key| live(key, unix_s));
    live.map(|key| Usable { key, overdue: false }).chain(last)
}

/// The key to sign with: of several live ones the newest that neighbours can be expected to accept,
/// which is from the middle of its overlap with the one before. Keys without a start go by their
/// order in the configuration, the first one signs.
pub(crate) fn signing(association: &Authentication, unix_s: u64) -> Option<Usable<'_>> {
    let keys = association.keys.iter().filter(signs);
    let mut chosen: Option<(u64, Usable<'_>)> = None;
    for found in usable(keys.clone(), unix_s) {
        let from = switched_at(found.key, keys.clone());
        let waits = from > unix_s && keys.clone().any(|other| other.id != found.key.id);
        let rank = if waits { 0 } else { from };
        if chosen.as_ref().is_none_or(|(best, _)| rank > *best) {
            chosen = Some((rank, found));
        }
    }
    chosen.map(|(_, found)| found)
}

/// When a key takes over: the middle between its start and the end of what was there before it.
fn switched_at<'k>(key: &Key, all: impl Iterator<Item = &'k Key>) -> u64 {
    let Some(start) = key.start else { return 0 };
    let before = all.filter(|other| other.id != key.id && other.start.unwrap_or(0) < start);
    let ends = before.filter_map(|other| other.end).filter(|end| *end > start).max();
    ends.map_or(start, |end| start + (end - start) / 2)
}

/// The key to sign with that a challenge names.
pub(crate) fn signing_by_id(
    association: &Authentication,
    id: u64,
    unix_s: u64,
) -> Option<Usable<'_>> {
    let keys = association.keys.iter().filter(signs);
    usable(keys, unix_s).find(|found| found.key.id == id)
}

/// Why there is no key to verify with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// None has this identifier.
    Unknown,
    /// It has one, outside of its lifetime.
    NotLive,
}

/// The key to verify with.
pub(crate) fn verifying(
    association: &Authentication,
    id: u64,
    unix_s: u64,
) -> Result<Usable<'_>, NoKey> {
    let keys = association.keys.iter().filter(verifies);
    let found = usable(keys.clone(), unix_s).find(|found| found.key.id == id);
    found.ok_or_else(|| match keys.clone().any(|key| key.id == id) {
        true => NoKey::NotLive,
        false => NoKey::Unknown,
    })
}

/// The keys that a neighbour may sign with now.
pub(crate) fn accepted(
    association: &Authentication,
    unix_s: u64,
) -> impl Iterator<Item = Usable<'_>> {
    usable(association.keys.iter().filter(verifies), unix_s)
}

/// Whether all keys for one of the two ways have ended.
pub(crate) fn overdue(association: &Authentication, unix_s: u64) -> Option<u64> {
    let sending = usable(association.keys.iter().filter(signs), unix_s);
    let receiving = usable(association.keys.iter().filter(verifies), unix_s);
    sending.chain(receiving).find(|found| found.overdue).map(|found| found.key.id)
}

#[cfg(test)]
mod tests {
    use rsvp_wire::digest::Algorithm;

    use super::*;
    use crate::config::{Handshake, Secret};

    fn key(id: u64, start: Option<u64>, end: Option<u64>) -> Key {
        Key {
            id,
            algorithm: Algorithm::HmacSha256,
            file: "/etc/lcm/keys/1".into(),
            usage: KeyUse::Both,
            start,
            end,
            secret: Some(Secret::new(b"a secret of some length")),
        }
    }

    fn with(keys: impl IntoIterator<Item = Key>) -> Authentication {
        Authentication {
            interface: None,
            neighbour: Some([192, 0, 2, 1].into()),
            policy: false,
            sign: true,
            demand: true,
            handshake: Handshake::Off,
            window: 32,
            keys: keys.into_iter().collect(),
        }
    }

    fn signs_with(association: &Authentication, at: u64) -> Option<(u64, bool)> {
        signing(association, at).map(|found| (found.key.id, found.overdue))
    }

    fn accepts(association: &Authentication, at: u64) -> Vec<u64> {
        accepted(association, at).map(|found| found.key.id).collect()
    }

    #[test]
    fn the_sender_changes_keys_in_the_middle_of_their_overlap() {
        let both = with([key(1, Some(100), Some(300)), key(2, Some(200), Some(400))]);
        let expected = [(99, None), (100, Some(1)), (249, Some(1)), (250, Some(2)), (399, Some(2))];
        for (at, id) in expected {
            assert_eq!(signs_with(&both, at), id.map(|id| (id, false)), "at {at}");
        }
        for (at, ids) in [(199, vec![1]), (200, vec![1, 2]), (299, vec![1, 2]), (300, vec![2])] {
            assert_eq!(accepts(&both, at), ids, "at {at}");
        }
        assert_eq!(verifying(&both, 1, 300).map(|_| ()), Err(NoKey::NotLive));
        assert_eq!(verifying(&both, 3, 300).map(|_| ()), Err(NoKey::Unknown));
    }

    #[test]
    fn of_keys_without_lifetimes_the_first_signs_and_all_are_accepted() {
        let both = with([key(7, None, None), key(3, None, None)]);
        assert_eq!(signs_with(&both, 5), Some((7, false)));
        assert_eq!(accepts(&both, 5), [7, 3]);
    }

    #[test]
    fn a_key_that_follows_on_one_without_end_takes_over_at_its_start() {
        let both = with([key(1, None, None), key(2, Some(100), None)]);
        assert_eq!(signs_with(&both, 99), Some((1, false)));
        assert_eq!(signs_with(&both, 100), Some((2, false)));
    }

    #[test]
    fn a_new_key_alone_does_not_wait_for_the_middle_when_the_old_one_is_gone() {
        let mut both = with([key(1, None, Some(300)), key(2, Some(200), None)]);
        both.keys[0].usage = KeyUse::Receive;
        assert_eq!(signs_with(&both, 201), Some((2, false)));
    }

    #[test]
    fn the_last_key_is_used_beyond_its_end() {
        let ended = with([key(1, None, Some(100)), key(2, Some(50), Some(200))]);
        assert_eq!(signs_with(&ended, 500), Some((2, true)));
        assert_eq!(accepts(&ended, 500), [2]);
        assert_eq!((overdue(&ended, 199), overdue(&ended, 200)), (None, Some(2)));
        let early = with([key(1, Some(900), None)]);
        assert_eq!(signs_with(&early, 500), None, "a key that has not begun is none");
    }

    #[test]
    fn each_way_has_its_keys() {
        let mut both = with([key(1, None, None), key(2, None, None)]);
        both.keys[0].usage = KeyUse::Receive;
        both.keys[1].usage = KeyUse::Send;
        assert_eq!(signs_with(&both, 1), Some((2, false)));
        assert_eq!(accepts(&both, 1), [1]);
        assert!(signing_by_id(&both, 1, 1).is_none() && signing_by_id(&both, 2, 1).is_some());
    }
}
