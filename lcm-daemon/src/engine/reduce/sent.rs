//! What was said last, as far as a refresh must know it.

/// One message as it was sent last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(super) number: u32,
    /// Of the message and of whom it was for.
    pub(super) digest: u64,
}

impl Sent {
    pub(crate) fn new(number: u32, digest: u64) -> Self {
        Self { number, digest }
    }

    /// True if the message with this digest says the same to the same neighbour.
    pub(crate) fn says(self, digest: u64) -> bool {
        self.digest == digest
    }

    pub(crate) fn number(self) -> u32 {
        self.number
    }
}

/// The PATHs of one sender by interface. Nearly every sender of a million has one or none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum SentPaths {
    #[default]
    Nowhere,
    On(u32, Sent),
    Several(Box<[(u32, Sent)]>),
}

impl SentPaths {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, Sent)> + '_ {
        let (one, several): (_, &[_]) = match self {
            Self::Nowhere => (None, &[]),
            Self::On(interface, sent) => (Some((*interface, *sent)), &[]),
            Self::Several(all) => (None, all),
        };
        one.into_iter().chain(several.iter().copied())
    }

    pub(crate) fn get(&self, interface: u32) -> Option<Sent> {
        self.iter().find(|(other, _)| *other == interface).map(|(_, sent)| sent)
    }

    pub(crate) fn set(&mut self, interface: u32, sent: Option<Sent>) {
        let new = sent.map(|sent| (interface, sent));
        let kept = self.iter().filter(|(other, _)| *other != interface);
        let mut all: Vec<(u32, Sent)> = kept.chain(new).collect();
        *self = match all.pop() {
            None => Self::Nowhere,
            Some((interface, sent)) if all.is_empty() => Self::On(interface, sent),
            Some(last) => {
                all.push(last);
                Self::Several(all.into())
            }
        };
    }

    /// Forgets interfaces; the numbers of what was sent there.
    pub(crate) fn take(&mut self, mut which: impl FnMut(u32) -> bool) -> Vec<u32> {
        let gone: Vec<(u32, Sent)> =
            self.iter().filter(|(interface, _)| which(*interface)).collect();
        for (interface, _) in &gone {
            self.set(*interface, None);
        }
        gone.into_iter().map(|(_, sent)| sent.number).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_kept_for_each_interface() {
        let sent = |number| Sent { number, digest: 0 };
        let mut paths = SentPaths::default();
        paths.set(2, Some(sent(5)));
        assert_eq!(paths, SentPaths::On(2, sent(5)));
        paths.set(3, Some(sent(6)));
        paths.set(2, Some(sent(7)));
        assert_eq!(
            (paths.get(2), paths.get(3), paths.get(4)),
            (Some(sent(7)), Some(sent(6)), None)
        );
        assert_eq!(paths.take(|interface| interface == 2), [7]);
        assert_eq!(paths, SentPaths::On(3, sent(6)));
        assert_eq!(paths.take(|_| true), [6]);
        assert_eq!(paths, SentPaths::Nowhere);
    }
}
