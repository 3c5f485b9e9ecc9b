//! Who may ask what over the control socket: by the user at its other end, as the kernel says
//! (`SO_PEERCRED`), and the Unix groups of that user.

use std::ffi::CString;
use std::io;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

use super::protocol::Request;
use crate::config::Control;
use crate::ledger::record::Actor;

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    /// To look at state and accounts.
    Read,
    /// To send and to receive as this node: whoever may open the socket may.
    Use,
    /// To open, credit, limit and close accounts, to correct what was charged, and to bill it.
    Credit,
    /// To change what this node asks for and how it works: prices, refresh periods, periods of
    /// the books, whether anybody is let in, for which hosts it speaks.
    Price,
}

impl Right {
    /// What a request needs.
    pub(crate) fn of(request: &Request) -> Self {
        match request {
            Request::Show { .. }
            | Request::Note { .. }
            | Request::ListAccounts
            | Request::Trace(_) => Self::Read,
            // To speak for a host behind this node, and have the node pay for it, is no use of one's
            // own.
            Request::Send(send) if send.proxy.is_some() => Self::Price,
            Request::Send(_) | Request::Receive(_) | Request::Close { .. } => Self::Use,
            Request::Account(_) | Request::Correct { .. } | Request::IssueBills { .. } => {
                Self::Credit
            }
            _ => Self::Price,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Read => "read state and accounts",
            Self::Use => "open sessions",
            Self::Credit => {
                "open, credit, limit and close accounts, or correct and bill what was charged"
            }
            Self::Price => "change prices and how the node works",
        }
    }

    const fn setting(self) -> &'static str {
        match self {
            Self::Read | Self::Use => "read_groups",
            Self::Credit => "credit_groups",
            Self::Price => "price_groups",
        }
    }
}

/// The user at the other end of a connection, and what it may have done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) actor: Actor,
    /// Why it may not, where it may not.
    refused: Vec<(Right, String)>,
}

impl Peer {
    /// The user of this number, with the rights that its groups give it when it connects. Names may
    /// be asked of a directory that takes its time, so that is done on another thread: this one
    /// has packets to look at.
    pub(crate) async fn look_up(uid: u32, gid: u32, roles: Control) -> io::Result<Self> {
        let found = tokio::task::spawn_blocking(move || Known::new(uid, gid).peer(&roles));
        found.await.map_err(io::Error::other)
    }

    /// Whether it may have something done; otherwise who may.
    pub(crate) fn may(&self, right: Right) -> Result<(), &str> {
        let refused = self.refused.iter().find(|(known, _)| *known == right);
        refused.map_or(Ok(()), |(_, why)| Err(why))
    }
}

/// A user as the system knows it.
struct Known {
    actor: Actor,
    groups: Vec<Gid>,
}

impl Known {
    fn new(uid: u32, gid: u32) -> Self {
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let name = user.map(|user| user.name).unwrap_or_default();
        let gid = Gid::from_raw(gid);
        let of_user = CString::new(name.as_str()).ok().filter(|_| !name.is_empty());
        let groups = of_user.and_then(|name| getgrouplist(&name, gid).ok());
        Self { actor: Actor { uid, name }, groups: groups.unwrap_or_else(|| vec![gid]) }
    }

    fn peer(self, roles: &Control) -> Peer {
        let rights = [Right::Read, Right::Use, Right::Credit, Right::Price].into_iter();
        let refused = |right| Some((right, self.may(right, roles).err()?));
        Peer { refused: rights.filter_map(refused).collect(), actor: self.actor }
    }

    /// Whether it may have something done; otherwise who may. Root and the daemon's own user may do
    /// all, and where no groups are named whoever may open the socket.
    fn may(&self, right: Right, roles: &Control) -> Result<(), String> {
        let groups = match right {
            Right::Use => None,
            Right::Read => roles.read_groups.as_ref(),
            Right::Credit => roles.credit_groups.as_ref(),
            Right::Price => roles.price_groups.as_ref(),
        };
        let Some(groups) = groups else { return Ok(()) };
        let uid = self.actor.uid;
        if uid == 0 || uid == Uid::effective().as_raw() || self.is_in(groups) {
            return Ok(());
        }
        let who = if self.actor.name.is_empty() { "?" } else { &self.actor.name };
        let (may, setting) = (right.words(), right.setting());
        Err(match groups.as_slice() {
            [] => {
                format!("user {who} (uid {uid}) may not {may}: only root may (control.{setting})")
            }
            groups => format!(
                "user {who} (uid {uid}) may not {may}: that needs one of the groups {} \
                 (control.{setting})",
                groups.join(", ")
            ),
        })
    }

    fn is_in(&self, groups: &[String]) -> bool {
        let gid = |name: &String| Group::from_name(name).ok().flatten().map(|group| group.gid);
        groups.iter().filter_map(gid).any(|gid| self.groups.contains(&gid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(uid: u32, groups: &[u32]) -> Known {
        let groups = groups.iter().copied().map(Gid::from_raw).collect();
        Known { actor: Actor { uid, name: "bob".to_owned() }, groups }
    }

    #[test]
    fn groups_say_who_may_read_credit_and_price() {
        let root = Group::from_gid(Gid::from_raw(0)).unwrap().unwrap();
        let roles = Control {
            read_groups: None,
            credit_groups: Some(vec!["no-such-group".to_owned(), root.name]),
            price_groups: Some(Vec::new()),
        };
        let (bob, teller) = (peer(65_533, &[65_533]), peer(65_533, &[65_533, 0]));
        assert_eq!(bob.may(Right::Read, &roles), Ok(()));
        assert_eq!(bob.may(Right::Use, &roles), Ok(()));
        let refused = bob.may(Right::Credit, &roles).unwrap_err();
        assert!(
            refused.contains("bob (uid 65533) may not open, credit")
                && refused.contains("no-such-group")
        );
        assert_eq!(teller.may(Right::Credit, &roles), Ok(()));
        assert!(teller.may(Right::Price, &roles).unwrap_err().contains("only root"));
        assert_eq!(peer(0, &[]).may(Right::Price, &roles), Ok(()));
        let told = bob.peer(&roles);
        assert_eq!((told.may(Right::Read), told.may(Right::Use)), (Ok(()), Ok(())));
        assert_eq!(told.may(Right::Credit), Err(refused.as_str()));
        assert_eq!(teller.peer(&roles).may(Right::Credit), Ok(()));
    }

    /// To speak for a host behind the node is the operator's to allow, to send as the node anybody's.
    #[test]
    fn sending_for_others_is_for_those_who_set_prices() {
        use crate::control::protocol::{Place, SendRequest, SessionName, TrafficSpec};
        let send = |proxy| {
            Request::Send(SendRequest {
                session: SessionName {
                    destination: "10.0.3.7:5000".parse().unwrap(),
                    protocol: 17,
                },
                source: "10.0.1.7:4000".parse().unwrap(),
                traffic: TrafficSpec {
                    rate: 1,
                    bucket: 1,
                    peak: None,
                    min_policed: 64,
                    max_packet: 1_500,
                },
                ttl: 63,
                interface: None,
                proxy,
                share: None,
                detach: false,
            })
        };
        assert_eq!(Right::of(&send(None)), Right::Use);
        assert_eq!(Right::of(&send(Some(Place::Anywhere))), Right::Price);
    }
}
