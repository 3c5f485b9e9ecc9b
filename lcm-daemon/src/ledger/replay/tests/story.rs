//! Records as a daemon could write them, from a seed.

use super::*;

/// One payer's doings in a flow.
#[derive(Clone, Copy, Default)]
struct Branch {
    consent: Option<(u64, u32)>,
    rate: u64,
    /// Lapsed at this instant, when this rate ran.
    lapsed: Option<(u64, u64)>,
}

/// A writer of records.
pub(super) struct Story {
    rng: fastrand::Rng,
    pub(super) records: Vec<Body>,
    now: u64,
    boot: u8,
    flows: Vec<(u64, [Branch; 3])>,
    upstream: Vec<(u64, u64)>,
    next_flow: u64,
}

impl Story {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let now = rng.u64(0..50);
        let records = vec![started(1, now)];
        Self { rng, records, now, boot: 1, flows: vec![], upstream: vec![], next_flow: 1 }
    }

    /// Writes some records more.
    pub(super) fn go_on(&mut self, steps: usize) {
        for _ in 0..steps {
            self.now += self.rng.u64(0..8);
            match self.rng.u32(0..12) {
                0 => self.records.push(Body::Alive(stamp(self.now))),
                1 => self.new_flow(),
                2 => self.upstream(),
                _ => self.branch(),
            }
        }
    }

    fn new_flow(&mut self) {
        self.records.push(flow(self.next_flow));
        self.flows.push((self.next_flow, Default::default()));
        self.next_flow += self.rng.u64(1..3);
    }

    fn upstream(&mut self) {
        let Some(&(number, _)) = self.rng.choice(&self.flows) else { return };
        let place = self.upstream.iter().position(|(flow, _)| *flow == number);
        match place {
            None => {
                self.records.push(offer(self.now, number, 1, CEILING));
                self.upstream.push((number, 0));
            }
            Some(place) if self.rng.u8(0..4) == 0 => {
                for payment in [Payment::ReceiverOut, Payment::SenderIn] {
                    let turned = runs(self.now, meter(number, payment, 1), 0, Cause::Ended);
                    self.records.push(turned);
                }
                self.upstream.remove(place);
            }
            Some(_) => {
                let rate = self.rng.u64(0..=CEILING);
                let payment = [Payment::ReceiverOut, Payment::SenderIn];
                let payment = payment[self.rng.usize(0..2)];
                let turned = runs(self.now, meter(number, payment, 1), rate, Cause::Terms);
                self.records.push(turned);
            }
        }
    }

    fn branch(&mut self) {
        let Self { rng, records, now, flows, .. } = self;
        if flows.is_empty() {
            return;
        }
        let place = rng.usize(0..flows.len());
        let (number, branches) = &mut flows[place];
        let last = rng.u8(0..3);
        let branch = &mut branches[usize::from(last)];
        let last = last + 2;
        let (rp, sp) =
            (meter(*number, Payment::ReceiverIn, last), meter(*number, Payment::SenderOut, last));
        let Some((ceiling, instance)) = branch.consent else {
            let terms = (rng.u64(0..=CEILING), rng.u32(..));
            records.push(consent(*now, *number, last, terms.0, terms.1));
            *branch = Branch { consent: Some(terms), ..Branch::default() };
            return;
        };
        match rng.u8(0..6) {
            0 => {
                // The end, in either order.
                let end = runs(*now, rp, 0, Cause::Ended);
                let sp_end = runs(*now, sp, 0, Cause::Ended);
                let close = closed(*now, *number, last, rng.bool());
                let mut both = if rng.bool() { [end, close] } else { [close, end] }.to_vec();
                both.push(sp_end);
                records.append(&mut both);
                *branch = Branch::default();
            }
            1 if branch.rate > 0 => {
                let at = now.saturating_sub(rng.u64(0..4));
                // Not before it was opened: the writer knows no more than that here.
                let opened = records.iter().rev().find_map(|body| match body {
                    Body::Runs(runs) if runs.meter == rp => Some(runs.at_ms),
                    _ => None,
                });
                let at = at.max(opened.unwrap_or(0));
                records.push(runs(at, rp, 0, Cause::Lapsed));
                branch.lapsed = Some((at, branch.rate));
                branch.rate = 0;
            }
            2 => {
                // Other terms, and what runs follows them.
                let new = rng.u64(0..=CEILING);
                records.push(consent(*now, *number, last, new, instance));
                branch.consent = Some((new, instance));
                branch.lapsed = branch.lapsed.map(|(at, rate)| (at, rate.min(new)));
                if branch.rate > new {
                    records.push(runs(*now, rp, new, Cause::Terms));
                    branch.rate = new;
                }
            }
            3 => records.push(runs(*now, sp, rng.u64(0..50), Cause::Terms)),
            _ => {
                let rate = rng.u64(0..=ceiling);
                let first = rng.bool();
                let turned = runs(*now, rp, rate, Cause::Terms);
                let gap = branch.lapsed.take().filter(|(at, _)| *at < *now && rng.bool());
                let gap = gap.filter(|_| rate > 0).map(|(from_ms, old)| {
                    let rate = old.min(rate);
                    Body::Gap(Gap { meter: rp, from_ms, to_ms: *now, rate })
                });
                let mut both: Vec<Body> = gap.into_iter().chain([turned]).collect();
                if first {
                    both.reverse();
                }
                records.append(&mut both);
                branch.rate = rate;
            }
        }
    }

    /// The daemon dies with the last records unwritten, or stops, and starts again; perhaps on
    /// another boot.
    pub(super) fn restart(&mut self) {
        let first = self.records.iter().rposition(|body| matches!(body, Body::Started(_)));
        let first = first.unwrap_or(0) + 1;
        if self.rng.u8(0..4) == 0 {
            self.records.push(Body::Stopped(stamp(self.now)));
        } else {
            let kept = self.rng.usize(first..=self.records.len());
            self.records.truncate(kept);
        }
        self.now += self.rng.u64(0..100);
        if self.rng.bool() {
            self.boot += 1;
            self.now = self.rng.u64(0..50);
        }
        self.records.push(started(self.boot, self.now));
        self.flows.clear();
        self.upstream.clear();
        self.next_flow = 1;
    }
}
