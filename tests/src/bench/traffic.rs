//! Generator and sink: offers set-ups, answers them, counts both end to end.

use std::time::{Duration, Instant};

use lcm_daemon::lab::LabError;

use super::end::{End, await_any, is};
use super::messages::{MESSAGE_BYTES, Quote, Seen, read};
use super::router::{Bench, Kind, PRICE};

/// PATHs sent before the sockets are looked at again.
pub(super) const BURST: u32 = 64;
/// PATHs at an even rate leave in groups, one each time that this has passed. So how many messages
/// a router finds when it looks does not depend on how fast the generator happens to be.
pub(super) const TICK: Duration = Duration::from_micros(250);
/// Most set-ups kept on their way at saturation.
const WINDOW: usize = 1024;
/// Kernel memory that one of our messages takes in a receive buffer, with room to spare.
const MESSAGE_IN_BUFFER: usize = 1536;
/// Longest wait for the next message.
const IDLE: Duration = Duration::from_millis(1);
/// Without any progress for so long, what is still missing is taken for lost.
const LOST_AFTER: Duration = Duration::from_millis(500);
/// Time for a router to start and for all neighbours to know each other's addresses.
const WARM_UP: Duration = Duration::from_secs(10);
/// After this time a PATH of the warm-up is sent again.
const WARM_UP_RETRY: Duration = Duration::from_millis(50);

/// What came, beyond what was hoped for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Oddities {
    /// PATHs at the sink of sessions whose PATH had come already; not answered.
    pub(crate) further_paths: u64,
    /// RESVs at the generator of sessions whose RESV had come already.
    pub(crate) further_resvs: u64,
    /// Messages that did not pass through the router's hands: the kernel forwarded them.
    pub(crate) bypassed: u64,
    /// Messages that were no PATH and no RESV, such as errors.
    pub(crate) others: u64,
    /// Messages that the kernel would not send.
    pub(crate) unsent: u64,
    /// What was wrong first, in words.
    pub(crate) first: Option<String>,
}

impl Oddities {
    fn note(&mut self, text: impl FnOnce() -> String) {
        self.first.get_or_insert_with(text);
    }
}

/// Generator and sink of one [`Bench`].
pub(crate) struct Traffic {
    generator: End,
    sink: End,
    /// Quotes to be answered by the sink.
    answers: Vec<Quote>,
    kind: Kind,
    /// Number of sessions for which a PATH was sent: the next one's number.
    offered: u32,
    /// By session: a PATH came to the sink, a RESV to the generator.
    through: Vec<bool>,
    returned: Vec<bool>,
    /// Set-ups whose RESV has come back.
    delivered: u32,
    pub(crate) oddities: Oddities,
}

impl Traffic {
    /// Opens both ends and passes a first set-up, waiting for the router to be ready.
    ///
    /// # Errors
    /// If sockets are refused, the router ends, or no set-up comes back.
    pub(crate) fn open(bench: &mut Bench) -> Result<Traffic, LabError> {
        let (to_generator, to_sink) = bench.router_addresses;
        let sender = bench.generator_end.1;
        let mut traffic = Traffic {
            generator: End::open(&bench.generator, bench.generator_end, to_generator, sender)?,
            sink: End::open(&bench.sink, bench.sink_end, to_sink, sender)?,
            answers: Vec::new(),
            kind: bench.kind,
            offered: 0,
            through: Vec::new(),
            returned: Vec::new(),
            delivered: 0,
            oddities: Oddities::default(),
        };
        traffic.warm_up(bench)?;
        Ok(traffic)
    }

    /// Set-ups offered so far.
    pub(crate) fn offered(&self) -> u32 {
        self.offered
    }

    /// Set-ups delivered so far.
    pub(crate) fn delivered(&self) -> u32 {
        self.delivered
    }

    /// Offers set-ups at an even rate for a time, then waits for the last ones; returns how many a
    /// second it did offer, which is less if this process was held up.
    pub(crate) fn offer_evenly(
        &mut self,
        per_second: u32,
        time: Duration,
    ) -> Result<f64, LabError> {
        let at = |time: Duration| {
            let count = u128::from(per_second) * time.as_micros() / 1_000_000;
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        let (start, before, total) = (Instant::now(), self.offered, at(time));
        let mut next_tick = TICK;
        while self.offered - before < total {
            let elapsed = start.elapsed();
            if elapsed >= next_tick {
                let ticks = elapsed.as_micros() / TICK.as_micros();
                let last_tick = TICK * u32::try_from(ticks).unwrap_or(u32::MAX);
                next_tick = last_tick + TICK;
                // A generator that was held up catches up in bursts of a bounded size.
                let due = at(last_tick).min(total) - (self.offered - before);
                self.offer(due.min(BURST))?;
            }
            if !self.pump()? {
                self.wait(next_tick.saturating_sub(start.elapsed()))?;
            }
        }
        let offered_per_s = f64::from(total) / start.elapsed().as_secs_f64();
        self.settle()?;
        Ok(offered_per_s)
    }

    /// Keeps as many set-ups on their way as the router's receive buffer is sure to hold, for a
    /// time; returns how many came back in that time.
    pub(crate) fn saturate(&mut self, time: Duration) -> Result<u32, LabError> {
        // The router is granted what this process is.
        let room = self.sink.socket.receive_buffer()? / MESSAGE_IN_BUFFER;
        let window = u32::try_from(room.clamp(1, WINDOW)).unwrap_or(1);
        let (start, before) = (Instant::now(), self.delivered);
        let mut written_off = 0;
        let mut progress = Instant::now();
        while start.elapsed() < time {
            let missing = self.offered - self.delivered - written_off;
            self.offer(window.saturating_sub(missing).min(BURST))?;
            if self.pump()? {
                progress = Instant::now();
            } else if progress.elapsed() > LOST_AFTER {
                written_off = self.offered - self.delivered;
                progress = Instant::now();
            } else if missing >= window {
                self.wait(IDLE)?;
            }
        }
        let delivered = self.delivered - before;
        self.settle()?;
        Ok(delivered)
    }

    /// Sends PATHs for so many new sessions.
    fn offer(&mut self, count: u32) -> Result<(), LabError> {
        for _ in 0..count {
            let number = self.offered;
            self.queue_path(number)?;
            self.offered += 1;
            self.through.push(false);
            self.returned.push(false);
        }
        self.oddities.unsent += self.generator.flush()?;
        Ok(())
    }

    fn queue_path(&mut self, number: u32) -> Result<(), LabError> {
        let end = &mut self.generator;
        let mut buffer = [0; MESSAGE_BYTES];
        let length = end
            .templates
            .path(number, end.interface, &mut buffer)
            .map_err(|error| LabError::caused("writing a PATH", error))?;
        end.queue_path(number, buffer.get(..length).unwrap_or_default());
        Ok(())
    }

    /// Takes one batch at each end and answers it; true if a set-up made progress.
    fn pump(&mut self) -> Result<bool, LabError> {
        let answered = self.pump_sink()?;
        let returned = self.pump_generator()?;
        Ok(answered || returned)
    }

    /// Answers the PATHs that have come to the sink, each session's first one; true if any.
    fn pump_sink(&mut self) -> Result<bool, LabError> {
        if !self.sink.receive()? {
            return Ok(false);
        }
        for (_, message) in self.sink.batch.iter() {
            match read(message) {
                Ok(Seen::Path(quote)) if !is(&quote.phop, self.sink.router) => {
                    self.oddities.bypassed += 1;
                }
                Ok(Seen::Path(quote)) if first(&mut self.through, quote.session) => {
                    if self.kind.charges() && quote.total != PRICE {
                        self.oddities.note(|| format!("a quote of {}, not {PRICE}", quote.total));
                    }
                    self.answers.push(quote);
                }
                Ok(Seen::Path(_)) => self.oddities.further_paths += 1,
                other => {
                    self.oddities.others += 1;
                    self.oddities.note(|| format!("at the sink: {other:?}"));
                }
            }
        }
        let answered = self.queue_answers()?;
        self.oddities.unsent += self.sink.flush()?;
        Ok(answered)
    }

    /// Writes a RESV for each quote that waits; true if any did.
    fn queue_answers(&mut self) -> Result<bool, LabError> {
        let any = !self.answers.is_empty();
        for quote in self.answers.drain(..) {
            let mut buffer = [0; MESSAGE_BYTES];
            let written = self.sink.templates.resv(&quote, &mut buffer);
            let length = written.map_err(|error| LabError::caused("writing a RESV", error))?;
            self.sink.queue_to_router(buffer.get(..length).unwrap_or_default());
        }
        Ok(any)
    }

    /// Counts the RESVs that have come to the generator; true if one was awaited.
    fn pump_generator(&mut self) -> Result<bool, LabError> {
        let before = self.delivered;
        if !self.generator.receive()? {
            return Ok(false);
        }
        for (_, message) in self.generator.batch.iter() {
            match read(message) {
                Ok(Seen::Resv { nhop, .. }) if !is(&nhop, self.generator.router) => {
                    self.oddities.bypassed += 1;
                }
                Ok(Seen::Resv { session, .. }) if first(&mut self.returned, session) => {
                    self.delivered += 1;
                }
                Ok(Seen::Resv { .. }) => self.oddities.further_resvs += 1,
                other => {
                    self.oddities.others += 1;
                    self.oddities.note(|| format!("at the generator: {other:?}"));
                }
            }
        }
        Ok(self.delivered > before)
    }

    /// Waits for what is still on its way.
    fn settle(&mut self) -> Result<(), LabError> {
        let mut progress = Instant::now();
        while self.delivered < self.offered && progress.elapsed() < LOST_AFTER {
            if self.pump()? {
                progress = Instant::now();
            } else {
                self.wait(IDLE)?;
            }
        }
        Ok(())
    }

    /// Waits until something comes to either end, at most for a time.
    fn wait(&self, time: Duration) -> Result<(), LabError> {
        await_any([&self.generator, &self.sink], time)
    }

    /// Repeats the PATH of the first session until its RESV has come back.
    fn warm_up(&mut self, bench: &mut Bench) -> Result<(), LabError> {
        let start = Instant::now();
        self.offer(1)?;
        let mut sent = Instant::now();
        while self.delivered == 0 {
            bench.check()?;
            if start.elapsed() > WARM_UP {
                return Err(LabError::new(format!(
                    "no set-up came through the {} within {WARM_UP:?}: PATH reached the sink: {}; \
                     {:?}\n{}",
                    self.kind.name(),
                    self.through.first().is_some_and(|&through| through),
                    self.oddities,
                    bench.log_tail(),
                )));
            }
            if sent.elapsed() > WARM_UP_RETRY {
                // The answer may have been lost on the way back as well.
                self.through.fill(false);
                self.queue_path(0)?;
                self.oddities.unsent += self.generator.flush()?;
                sent = Instant::now();
            }
            self.pump()?;
            self.wait(IDLE)?;
        }
        self.oddities = Oddities::default();
        Ok(())
    }
}

/// Marks a session; true the first time.
fn first(marks: &mut [bool], session: u32) -> bool {
    let mark = usize::try_from(session).ok().and_then(|session| marks.get_mut(session));
    mark.is_some_and(|mark| !std::mem::replace(mark, true))
}
