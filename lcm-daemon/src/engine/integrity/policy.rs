//! INTEGRITY inside POLICY_DATA (RFC 2750 section 3.2 and appendix B): charging neighbours believe
//! each other across routers that carry their elements without understanding them.
//!
//! Such a router repeats an object as it came whenever it refreshes its own state, and mixes those
//! of several flows. So a number is not spent by being seen: for each flow, origin and kind of
//! element an object is believed that is newer than all before it, or that is the last one again.
//! What was not heard of for as long as any state may live is forgotten, and all that is not newer
//! than it with it, so that nothing forgotten comes back.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ahash::RandomState;
use rsvp_wire::digest::{self, Algorithm};
use rsvp_wire::iana::class;
use rsvp_wire::object::{Hop, Integrity, PolicyData, Session};
use rsvp_wire::{EncodeObject as _, Message, Packet};

use super::super::Core;
use super::super::interfaces::Interfaces;
use super::super::time::{Instant, Span, lifetime};
use super::refusals::{Disbelief, refuse};
use super::window::newer;
use super::{Guard, keys, reserved_on};
use crate::packet::PacketMeta;

/// Bytes of an INTEGRITY object before its number.
const NUMBER_AT: usize = 12;

/// The last number of one flow's elements.
#[derive(Debug, Clone, Copy)]
struct Last {
    number: u64,
    origin: Origin,
    at: Instant,
}

/// Who signs, and by what.
type Origin = (usize, u64, IpAddr);

/// Numbers of POLICY_DATA objects.
#[derive(Debug, Clone)]
pub(crate) struct PolicyNumbers {
    last: HashMap<Box<[u8]>, Last, RandomState>,
    floors: BTreeMap<Origin, u64>,
    /// So many entries, and those that are over are looked for.
    sweep_at: usize,
}

impl PolicyNumbers {
    pub(super) fn new(hasher: RandomState) -> Self {
        Self { last: HashMap::with_hasher(hasher), floors: BTreeMap::new(), sweep_at: 64 }
    }

    pub(super) fn clear(&mut self) {
        self.last.clear();
        self.floors.clear();
    }

    /// Judges a number whose digest is right.
    fn accept(&mut self, flow: &[u8], new: Last, keep: Span, most: usize) -> Result<(), Disbelief> {
        if let Some(last) = self.last.get_mut(flow) {
            if newer(last.number, new.number) {
                return Err(Disbelief::Replay);
            }
            *last = new;
            return Ok(());
        }
        let floor = self.floors.get(&new.origin);
        if floor.is_some_and(|floor| !newer(new.number, *floor)) {
            return Err(Disbelief::Replay);
        }
        if self.last.len() >= self.sweep_at.min(most) {
            self.sweep(new.at, keep);
        }
        if self.last.len() >= most {
            return Err(Disbelief::TooMany);
        }
        self.last.insert(flow.into(), new);
        Ok(())
    }

    fn sweep(&mut self, now: Instant, keep: Span) {
        let floors = &mut self.floors;
        self.last.retain(|_, last| {
            let alive = now < last.at + keep;
            if !alive {
                let floor = floors.entry(last.origin).or_insert(last.number);
                if newer(last.number, *floor) {
                    *floor = last.number;
                }
            }
            alive
        });
        self.sweep_at = (2 * self.last.len()).max(64);
    }
}

impl Guard {
    /// The association of objects that a charging neighbour makes, or that are made for it.
    fn of_policy(&self, ports: &Interfaces, interface: u32, peer: Option<IpAddr>) -> Option<usize> {
        let named = peer.and_then(|peer| self.policy_by_neighbour.get(&peer));
        named.copied().or_else(|| {
            let name = &ports.get(interface)?.kernel.name;
            self.policy_by_interface.get(name).copied()
        })
    }

    /// Whether all that speaks of charges on an interface has to be signed.
    fn policy_closed(&self, ports: &Interfaces, interface: u32) -> bool {
        let name = ports.get(interface).map(|port| &port.kernel.name);
        let here = |one: &&crate::config::Authentication| {
            one.policy && one.demand && name.is_some() && one.interface.as_ref() == name
        };
        self.associations.iter().any(|one| here(&one))
    }

    pub(super) fn has_policy(&self) -> bool {
        self.associations.iter().any(|one| one.policy)
    }

    /// What marks an INTEGRITY object of ours whose digest is still missing: nobody else knows it,
    /// so nobody can have us sign what is not ours.
    fn placeholder(&self, at: usize) -> Option<u64> {
        let (first, _) = self.secret.split_first_chunk::<8>()?;
        let index = u64::from(u16::try_from(at).ok()?);
        Some((u64::from_be_bytes(*first) & !0xffff) | index)
    }

    fn placed(&self, number: u64) -> Option<usize> {
        let at = usize::try_from(number & 0xffff).ok()?;
        (self.placeholder(at) == Some(number)).then_some(at)
    }
}

impl Core {
    /// The INTEGRITY option of an object for a charging neighbour behind an interface, or for all
    /// of them there; its number and digest are filled in as the message leaves.
    pub(crate) fn policy_integrity(
        &self,
        interface: u32,
        to: Option<IpAddr>,
    ) -> Option<Integrity<'static>> {
        let guard = &self.integrity;
        let at = guard.of_policy(&self.interfaces, interface, to)?;
        let association = guard.associations.get(at).filter(|one| one.sign)?;
        let found = keys::signing(association, u64::from(self.unix_s));
        // Without a key the message is held back where it leaves, rather than sent unsigned.
        let (key_id, algorithm) =
            found.map_or((0, Algorithm::HmacMd5), |found| (found.key.id, found.key.algorithm));
        let sequence = guard.placeholder(at)?;
        Some(Integrity { flags: 0, key_id, sequence, digest: algorithm.blank() })
    }

    /// Notes which POLICY_DATA objects of a message are not to be believed.
    pub(crate) fn judge_policy(&mut self, meta: PacketMeta, message: &Message<'_>) {
        self.disbelieved.clear();
        if !self.integrity.has_policy() {
            return;
        }
        let Some(session) = message.session() else { return };
        let hop = message.packet().objects_of(class::RSVP_HOP).next();
        let hop = hop.and_then(|raw| Hop::decode(&raw).ok());
        let sender = hop.map_or(meta.source, |hop| hop.address);
        // An open interface is no way around a secured one.
        let interface = reserved_on(message.packet()).unwrap_or(meta.interface);
        for data in message.packet().policy_data() {
            let for_another = |hop: Hop| !self.interfaces.owns(hop.address);
            if !self.speaks_of_charges(&data) || data.destination_hop().is_some_and(for_another) {
                continue;
            }
            let origin = data.originating_hop().map_or(sender, |hop| hop.address);
            let kind = message.packet().message_type().into();
            if let Err(why) = self.judge(interface, origin, kind, &session, &data) {
                self.disbelieved.push((data.raw().offset, why));
                refuse(self, meta.interface, origin, true, why);
            }
        }
    }

    /// Whether a message has objects whose proof is judged here: again each time, since the key that
    /// proves them may have ended.
    pub(crate) fn is_policy_signed(&self, message: &Message<'_>) -> bool {
        let signed = |data: PolicyData<'_>| data.integrity().is_some();
        self.integrity.has_policy() && message.packet().policy_data().any(signed)
    }

    fn speaks_of_charges(&self, data: &PolicyData<'_>) -> bool {
        let Some(context) = &self.charging else { return false };
        let types = [context.ptypes.dcpe, context.ptypes.ucpe, context.ptypes.chg_err];
        data.elements().any(|element| types.contains(&element.ptype))
    }

    fn judge(
        &mut self,
        interface: u32,
        origin: IpAddr,
        kind: u8,
        session: &Session,
        data: &PolicyData<'_>,
    ) -> Result<(), Disbelief> {
        let guard = &self.integrity;
        let Some(at) = guard.of_policy(&self.interfaces, interface, Some(origin)) else {
            let closed = guard.policy_closed(&self.interfaces, interface);
            return if closed { Err(Disbelief::UnknownKey) } else { Ok(()) };
        };
        let Some(association) = guard.associations.get(at) else { return Ok(()) };
        let Some(integrity) = data.integrity() else {
            return if association.demand { Err(Disbelief::Missing) } else { Ok(()) };
        };
        let usable = keys::verifying(association, integrity.key_id, u64::from(self.unix_s));
        let usable = usable.map_err(|none| match none {
            keys::NoKey::Unknown => Disbelief::UnknownKey,
            keys::NoKey::NotLive => Disbelief::KeyNotLive,
        })?;
        let key = keys::wire_key(usable.key).ok_or(Disbelief::UnknownKey)?;
        digest::verify_policy(data, session, &key).map_err(|_| Disbelief::WrongDigest)?;
        let flow = flow_of(at, kind, session, data);
        let origin = (at, integrity.key_id, origin);
        let last = Last { number: integrity.sequence, origin, at: self.at };
        let rsvp = &self.config.rsvp;
        let keep = lifetime(rsvp.accept_refresh_max_ms, u32::from(rsvp.lifetime_multiplier));
        let most = self.config.limits.max_senders.max(self.config.limits.max_reservations);
        self.integrity.policy_numbers.accept(&flow, last, keep, most as usize)
    }

    /// Why an object of the message in hand is not believed.
    pub(crate) fn disbelief(&self, data: &PolicyData<'_>) -> Option<Disbelief> {
        let offset = data.raw().offset;
        self.disbelieved.iter().find(|(at, _)| *at == offset).map(|(_, why)| *why)
    }
}

/// What an object is about: the same for each of its newer versions, and for no other.
fn flow_of(at: usize, kind: u8, session: &Session, data: &PolicyData<'_>) -> Vec<u8> {
    let mut flow = at.to_be_bytes().to_vec();
    flow.push(kind);
    let mut object = [0; 24];
    let length = session.key().encode(&mut object).unwrap_or(0);
    flow.extend_from_slice(object.get(..length).unwrap_or_default());
    let lasting = data.options().filter(|o| o.class != class::INTEGRITY);
    lasting.for_each(|option| flow.extend_from_slice(option.bytes));
    data.elements().for_each(|element| flow.extend_from_slice(&element.ptype.to_be_bytes()));
    if let Some(integrity) = data.integrity() {
        flow.extend_from_slice(&integrity.key_id.to_be_bytes());
    }
    flow
}

/// Fills in numbers and digests of our POLICY_DATA objects; `None` if one cannot be signed, else
/// whether there were any.
pub(super) fn sign_policies(guard: &mut Guard, unix_s: u32, message: &mut [u8]) -> Option<bool> {
    let mut ours = Vec::new();
    let mut session = None;
    if let Ok(packet) = Packet::parse_header(message) {
        let raw = packet.objects_of(class::SESSION).next();
        session = raw.and_then(|raw| Session::decode(&raw).ok());
        for data in packet.policy_data() {
            let option = data.options().find(|option| option.class == class::INTEGRITY);
            let number = data.integrity().map(|integrity| integrity.sequence);
            if let (Some(option), Some(at)) = (option, number.and_then(|n| guard.placed(n))) {
                let raw = data.raw();
                ours.push((at, raw.offset..raw.offset + raw.bytes.len(), option.offset));
            }
        }
    }
    for (at, object, option) in &ours {
        let key_id = Packet::parse_header(message).ok().and_then(|packet| {
            let mut objects = packet.policy_data();
            objects.find(|data| data.raw().offset == object.start)?.integrity()
        })?;
        let Guard { associations, sequence, .. } = &mut *guard;
        let now = u64::from(unix_s);
        let found = keys::signing_by_id(associations.get(*at)?, key_id.key_id, now)?;
        let key = keys::wire_key(found.key)?;
        let number = option + NUMBER_AT;
        message.get_mut(number..number + 8)?.copy_from_slice(&sequence.next(unix_s).to_be_bytes());
        let bytes = message.get_mut(object.clone())?;
        digest::sign_policy(bytes, session.as_ref()?, &key).ok()?;
    }
    Some(!ours.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Span = Span::from_millis(1_000);

    fn numbers() -> PolicyNumbers {
        PolicyNumbers::new(RandomState::with_seed(1))
    }

    fn last(number: u64, ms: u64) -> Last {
        let origin = (0, 1, IpAddr::from([192, 0, 2, 1]));
        Last { number, origin, at: Instant::from_millis(ms) }
    }

    #[test]
    fn the_last_object_may_be_repeated_but_no_older_one() {
        let mut numbers = numbers();
        let mut accept = |flow: &[u8], number| numbers.accept(flow, last(number, 0), KEEP, 100);
        assert_eq!(accept(b"a", 5), Ok(()));
        assert_eq!(accept(b"a", 5), Ok(()), "as an ignorant router repeats it");
        assert_eq!(accept(b"b", 3), Ok(()), "another flow has its own order");
        assert_eq!(accept(b"a", 7), Ok(()));
        assert_eq!(accept(b"a", 5), Err(Disbelief::Replay));
        assert_eq!(accept(b"b", 2), Err(Disbelief::Replay));
    }

    #[test]
    fn what_is_forgotten_does_not_come_back() {
        let mut numbers = numbers();
        for flow in 0..64_u64 {
            let new = last(100 + flow, 0);
            assert_eq!(numbers.accept(&flow.to_be_bytes(), new, KEEP, 1_000), Ok(()));
        }
        assert_eq!(numbers.accept(b"new", last(500, 2_000), KEEP, 1_000), Ok(()));
        assert_eq!(numbers.last.len(), 1);
        for old in [100, 163] {
            let again =
                numbers.accept(&(old - 100_u64).to_be_bytes(), last(old, 2_000), KEEP, 1_000);
            assert_eq!(again, Err(Disbelief::Replay), "{old}");
        }
        assert_eq!(numbers.accept(b"other", last(164, 2_000), KEEP, 1_000), Ok(()));
    }

    #[test]
    fn so_many_flows_and_no_more() {
        let mut numbers = numbers();
        for flow in 0..100_u64 {
            let new = numbers.accept(&flow.to_be_bytes(), last(flow + 1, 0), KEEP, 70);
            assert_eq!(new, if flow < 70 { Ok(()) } else { Err(Disbelief::TooMany) });
        }
    }
}
