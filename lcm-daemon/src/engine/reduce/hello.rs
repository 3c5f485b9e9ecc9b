//! Hello between neighbours (RFC 3209 section 5): who falls silent is noticed within 3.5 periods, and
//! who has restarted by its instance.

use rsvp_wire::message::HelloMessage;
use rsvp_wire::object::Hello;
use rsvp_wire::{MessageType, MessageWriter};

use super::super::Engine;
use super::super::counters::{Counters, bump};
use super::super::outbox::{Outbox, Output};
use super::super::record::RecordId;
use super::super::time::{Instant, Now, Span};
use super::peer::Peer;
use super::{PeerKey, Reduce};

/// How long a neighbour is greeted after it said anything else: it refreshes within that, or has
/// nothing more to say.
const TRACKED: Span = Span::from_millis(157_500);
/// Messages with a wrong instance of ours that are borne.
const WRONG_MAX: u8 = 3;

/// What is known of a neighbour by Hello.
#[derive(Debug, Clone)]
pub(crate) struct Greeting {
    /// Our instance towards it; never 0.
    instance: u32,
    /// The instance that it told last; 0 for none.
    theirs: u32,
    /// When it told one.
    heard: Option<Instant>,
    /// When it asked.
    asked: Option<Instant>,
    wrong: u8,
    /// It has told our instance, so it knows us.
    agreed: bool,
    /// It restarted, and has not told our new instance yet.
    restarted: bool,
    /// Between two of our messages; nothing for a neighbour that is not greeted.
    period: Span,
    /// When the next one goes.
    next: Option<Instant>,
    /// It answered once, and does so no more.
    pub(crate) lost: bool,
}

/// What an operator is told of a neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeighbourNews {
    /// It did not answer for 3.5 periods of Hello.
    Silent,
    /// It has begun anew, and lost what it was told: it is told again.
    Restarted,
    /// It answers Hello, the first time or again.
    Greeted,
}

impl NeighbourNews {
    /// The word that stands in counters and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Restarted => "restarted",
            Self::Greeted => "greeted",
        }
    }
}

impl Greeting {
    pub(super) fn new(instance: u32) -> Self {
        Self {
            instance: instance.max(1),
            theirs: 0,
            heard: None,
            asked: None,
            wrong: 0,
            agreed: false,
            restarted: false,
            period: Span::default(),
            next: None,
            lost: false,
        }
    }

    /// Communication is lost: what is told from now on has another instance (section 5.3).
    fn lose(&mut self) {
        self.instance = self.instance.wrapping_add(1).max(1);
        (self.theirs, self.heard, self.wrong, self.agreed) = (0, None, 0, false);
    }

    /// Takes the instances of a message; what that means.
    fn hear(&mut self, now: Instant, hello: Hello) -> Option<NeighbourNews> {
        let Hello { ack, source_instance, destination_instance } = hello;
        let reflects = destination_instance == self.instance;
        let restarted = self.agreed && {
            let reset = source_instance != self.theirs;
            let wrong = !reflects && (ack || destination_instance != 0);
            self.wrong = if wrong { self.wrong.saturating_add(1) } else { 0 };
            reset || (ack && wrong) || self.wrong > WRONG_MAX
        };
        if restarted {
            self.lose();
            self.restarted = true;
        }
        if source_instance == 0 {
            return restarted.then_some(NeighbourNews::Restarted);
        }
        // Until both have told each other their instances, either may change its own: it has
        // noticed that the other one has.
        self.theirs = source_instance;
        self.heard = Some(now);
        self.lost = false;
        if restarted {
            return Some(NeighbourNews::Restarted);
        }
        if self.agreed || !reflects {
            return None;
        }
        self.agreed = true;
        (!std::mem::take(&mut self.restarted)).then_some(NeighbourNews::Greeted)
    }

    /// True if nothing was heard for 3.5 periods.
    fn is_silent(&self, now: Instant) -> bool {
        let most = self.period.as_micros().saturating_mul(7) / 2;
        self.heard.is_some_and(|at| now.since(at) >= most)
    }
}

impl Reduce {
    /// Greets a neighbour every `hello_ms` from now on, unless that is 0.
    pub(super) fn greet(&mut self, now: Instant, key: PeerKey, hello_ms: u32) {
        let Some(peer) = self.peers.get_mut(&key).filter(|_| hello_ms > 0) else { return };
        let period = Span::from_millis(u64::from(hello_ms));
        peer.greeting.period = period;
        if peer.greeting.next.is_some() {
            return;
        }
        // It was not watched until now.
        peer.greeting.heard = peer.greeting.heard.map(|_| now);
        let at = now + Span::from_micros(self.rng.u64(0..=period.as_micros()));
        peer.greeting.next = Some(at);
        self.hellos.insert((at, key));
    }
}

impl Peer {
    /// How it stands by Hello: `None` for a neighbour that is not greeted.
    pub(crate) fn hello(&self) -> Option<&'static str> {
        let greeting = &self.greeting;
        let state = match (greeting.lost, greeting.theirs) {
            (true, _) => "silent",
            (false, 0) => "asked",
            (false, _) => "alive",
        };
        (greeting.period != Span::default()).then_some(state)
    }
}

impl Outbox {
    /// Asks the neighbours that are due whether they are alive; who has just become silent.
    pub(super) fn greet_due(&mut self, counters: &mut Counters, now: Instant) -> Vec<PeerKey> {
        let mut fallen = Vec::new();
        while let Some(&(at, key)) = self.reduce.hellos.first().filter(|(at, _)| *at <= now) {
            self.reduce.hellos.remove(&(at, key));
            let Some(peer) = self.reduce.peers.get_mut(&key) else { continue };
            let greeting = &mut peer.greeting;
            greeting.next = None;
            if now.since(peer.spoke) > TRACKED.as_micros() {
                // It has said nothing else for long: there is nothing between us to be watched.
                *greeting = Greeting::new(greeting.instance);
                continue;
            }
            let next = now + greeting.period;
            greeting.next = Some(next);
            let silent = greeting.is_silent(now);
            if silent {
                greeting.lose();
                greeting.lost = true;
                // What it was told counts for nothing until it says itself what it can do.
                peer.generation = peer.generation.wrapping_add(1);
                peer.capable = false;
                peer.numbers = false;
            }
            let greeting = &peer.greeting;
            let asked =
                greeting.asked.is_some_and(|at| now.since(at) < greeting.period.as_micros());
            self.reduce.hellos.insert((next, key));
            if silent {
                fallen.push(key);
                self.tell(counters, key, NeighbourNews::Silent);
            }
            if !asked {
                self.hello(counters, key, false);
            }
        }
        fallen
    }

    pub(super) fn tell(&mut self, counters: &mut Counters, key: PeerKey, news: NeighbourNews) {
        bump(&mut counters.neighbours, news.name());
        let interface = self.reduce.peers.get(&key).map_or(0, |peer| peer.interface);
        self.push(Output::Neighbour { address: key.1, interface, news });
    }

    fn hello(&mut self, counters: &mut Counters, key: PeerKey, ack: bool) {
        let Some(peer) = self.reduce.peers.get(&key) else { return };
        let Greeting { instance, theirs, .. } = peer.greeting;
        // It is answered at once and asked again if lost: numbers would only add to it.
        let (to, meta) = (super::To { peer: None, ..peer.to(key) }, peer.meta(key));
        let hello = Hello { ack, source_instance: instance, destination_instance: theirs };
        let build = |w: &mut MessageWriter<'_>| w.object(&hello);
        self.send(counters, to, meta, MessageType::Hello, RecordId::NONE, build);
    }
}

impl Engine {
    /// Takes a Hello: an answer is given, and a restart noticed.
    pub(crate) fn handle_hello(&mut self, now: Now, message: &HelloMessage<'_>, key: PeerKey) {
        let peer = self.core.outbox.reduce.peers.get(&key);
        let port = peer.and_then(|peer| self.core.interfaces.get(peer.interface));
        let wanted = port.is_some_and(|port| port.settings.hello_ms > 0);
        // Who is not on the link is no neighbour by this measure, and may be heard by any interface.
        let peer = self.core.outbox.reduce.peers.get_mut(&key);
        let Some(peer) = peer.filter(|peer| peer.near && wanted) else {
            return self.core.counters.drop("hello_not_wanted");
        };
        let news = peer.greeting.hear(now.at, message.hello);
        if !message.hello.ack {
            peer.greeting.asked = Some(now.at);
        }
        if let Some(news) = news {
            let super::super::Core { outbox, counters, .. } = &mut self.core;
            outbox.tell(counters, key, news);
            if news == NeighbourNews::Restarted {
                self.peer_restarted(now, key);
            }
        }
        if !message.hello.ack {
            let super::super::Core { outbox, counters, .. } = &mut self.core;
            outbox.hello(counters, key, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn hello(ack: bool, source_instance: u32, destination_instance: u32) -> Hello {
        Hello { ack, source_instance, destination_instance }
    }

    #[test]
    fn a_changed_instance_is_a_restart_and_changes_ours() {
        let mut greeting = Greeting::new(7);
        assert_eq!(greeting.hear(at(0), hello(false, 3, 0)), None);
        assert_eq!(greeting.hear(at(1), hello(true, 3, 7)), Some(NeighbourNews::Greeted));
        assert_eq!(greeting.hear(at(2), hello(true, 4, 7)), Some(NeighbourNews::Restarted));
        assert_eq!((greeting.instance, greeting.theirs), (8, 4));
        assert_eq!(greeting.hear(at(3), hello(true, 4, 8)), None, "it was told of already");
        // An acknowledgement of an instance that was not sent.
        assert_eq!(greeting.hear(at(4), hello(true, 4, 9)), Some(NeighbourNews::Restarted));
        assert_eq!(greeting.hear(at(5), hello(true, 4, 9)), None);
        // Requests may be wrong for a while: they may have crossed ours.
        let wrong: Vec<_> = (0..4).map(|_| greeting.hear(at(6), hello(false, 4, 8))).collect();
        assert_eq!(wrong, [None, None, None, Some(NeighbourNews::Restarted)]);
    }

    #[test]
    fn two_that_change_their_instances_come_to_rest() {
        let (mut a, mut b) = (Greeting::new(1), Greeting::new(100));
        let tell = |from: &Greeting, to: &mut Greeting, ack| {
            to.hear(at(0), hello(ack, from.instance, from.theirs))
        };
        let round = |a: &mut Greeting, b: &mut Greeting| {
            let news = [tell(a, b, false), tell(b, a, true), tell(b, a, false), tell(a, b, true)];
            news.into_iter().flatten().filter(|news| *news == NeighbourNews::Restarted).count()
        };
        round(&mut a, &mut b);
        assert!(a.agreed && b.agreed);
        a = Greeting::new(50);
        assert_eq!(round(&mut a, &mut b), 1);
        b.lose();
        assert!(round(&mut a, &mut b) <= 1);
        assert_eq!(round(&mut a, &mut b) + round(&mut a, &mut b), 0);
        assert!(a.agreed && b.agreed);
    }

    #[test]
    fn silence_is_three_and_a_half_periods() {
        let mut greeting = Greeting::new(7);
        greeting.period = Span::from_millis(1_000);
        assert!(!greeting.is_silent(at(90_000)), "it was never heard");
        greeting.hear(at(1_000), hello(true, 3, 7));
        assert!(!greeting.is_silent(at(4_499)) && greeting.is_silent(at(4_500)));
    }
}
