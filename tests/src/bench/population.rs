//! Sessions that stand: a generator and a sink that set many of them up end to end, refresh them
//! every period, in whole or by number, and answer what the router changes.
//!
//! ```text
//!  generator ──PATH──▶ router ──PATH──▶ sink
//!            ◀──RESV──        ◀──RESV──
//!            ──PATH, ESTABLISHED──▶      (charging.md T12: from here on it is charged)
//! ```

use std::time::{Duration, Instant};

use lcm_daemon::lab::LabError;
use rsvp_wire::{Message, MessageType};

use super::end::{End, await_any, is};
use super::messages::{MESSAGE_BYTES, Quote, Saying, Seen, seen};
use super::numbers::Numbers;
use super::router::Bench;
use super::traffic::{BURST, TICK};

/// Sessions that are set up at once.
const WINDOW: u32 = 512;
/// Nothing has come for so long: the router is done.
const QUIET: Duration = Duration::from_millis(300);
/// What did not come back after this is asked for again.
const RETRY: Duration = Duration::from_millis(800);
/// The same while the router starts.
const WARM_UP: Duration = Duration::from_millis(50);
/// A router that does not answer for so long is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest wait for the next message.
const IDLE: Duration = Duration::from_millis(1);

/// A session as the generator knows it.
#[derive(Debug, Clone, Copy, Default)]
struct Sender {
    changes: u32,
    established: Option<u32>,
    more_bucket: u32,
    returned: bool,
}

/// A session as the sink knows it.
#[derive(Debug, Clone, Copy, Default)]
struct Receiver {
    quote: Option<Quote>,
    changes: u32,
    reserved: bool,
}

/// What came to both ends so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// PATHs at the sink.
    pub paths: u64,
    /// RESVs at the generator.
    pub resvs: u64,
    /// Numbers in the router's Srefreshes.
    pub numbers: u64,
    /// Refreshes that both ends sent, in whole or as a number.
    pub refreshes: u64,
    /// Sessions whose quote is the one that is looked for.
    pub priced: u32,
    /// RESVTEARs, and RESVERRs.
    pub tears: u64,
    pub resv_errors: u64,
    /// Other errors, and messages that could not be read.
    pub others: u64,
    /// Messages that did not pass through the router's hands.
    pub bypassed: u64,
    /// Messages that the kernel refused to send.
    pub unsent: u64,
}

/// Generator and sink, and all sessions between them.
pub(crate) struct Population {
    generator: End,
    sink: End,
    up: Vec<Sender>,
    down: Vec<Receiver>,
    up_numbers: Numbers,
    down_numbers: Numbers,
    /// Sessions of which a PATH, or a RESV, is to be sent that says something new.
    tell_down: Vec<u32>,
    tell_up: Vec<u32>,
    /// The sink answers PATHs of sessions below this number.
    pub(crate) answers_below: u32,
    /// The total that is looked for at the sink.
    pub(crate) price_awaited: u64,
    /// Sessions whose RESV came back.
    returned: u32,
    /// Where the next refresh begins, and how many were sent since refreshing began.
    cursor: u32,
    pub(crate) counts: Counts,
    /// What was odd first.
    pub(crate) first_oddity: Option<String>,
    heard: Instant,
    /// When a PATH came to the sink last.
    pub(crate) last_path: Instant,
}

impl Population {
    /// Opens both ends; with `numbers` they reduce refreshes.
    ///
    /// # Errors
    /// If sockets are refused.
    pub(crate) fn open(bench: &Bench, numbers: bool) -> Result<Population, LabError> {
        let (to_generator, to_sink) = bench.router_addresses;
        let sender = bench.generator_end.1;
        let now = Instant::now();
        Ok(Population {
            generator: End::open(&bench.generator, bench.generator_end, to_generator, sender)?,
            sink: End::open(&bench.sink, bench.sink_end, to_sink, sender)?,
            up: Vec::new(),
            down: Vec::new(),
            up_numbers: Numbers::new(numbers),
            down_numbers: Numbers::new(numbers),
            tell_down: Vec::new(),
            tell_up: Vec::new(),
            answers_below: u32::MAX,
            price_awaited: u64::MAX,
            returned: 0,
            cursor: 0,
            counts: Counts::default(),
            first_oddity: None,
            heard: now,
            last_path: now,
        })
    }

    /// Sessions so far.
    pub(crate) fn sessions(&self) -> u32 {
        u32::try_from(self.up.len()).unwrap_or(u32::MAX)
    }

    /// Sessions whose RESV has come back.
    pub(crate) fn standing(&self) -> u32 {
        self.returned
    }

    /// Sets up sessions until so many stand end to end, and waits until all is quiet.
    ///
    /// # Errors
    /// If the router ends or does not answer for a minute.
    pub(crate) fn grow(&mut self, bench: &mut Bench, sessions: u32) -> Result<(), LabError> {
        let mut progress = (Instant::now(), self.returned);
        let mut asked = Instant::now();
        while self.returned < sessions {
            let open = self.sessions() - self.returned;
            // The first one waits until the router is there: others would be forwarded past it.
            let (window, retry) = if self.returned == 0 { (1, WARM_UP) } else { (WINDOW, RETRY) };
            let room = window.saturating_sub(open).min(BURST).min(sessions - self.sessions());
            self.begin(room)?;
            if !self.pump()? {
                self.wait(IDLE)?;
            }
            if self.returned > progress.1 {
                progress = (Instant::now(), self.returned);
            } else if progress.0.elapsed() > PATIENCE {
                return Err(self.stuck(bench, "a set-up"));
            } else if progress.0.elapsed().min(asked.elapsed()) > retry {
                bench.check()?;
                self.ask_again()?;
                asked = Instant::now();
            }
        }
        self.counts.bypassed = 0;
        self.settle()
    }

    /// Sends the first PATHs of so many new sessions.
    pub(crate) fn begin(&mut self, count: u32) -> Result<(), LabError> {
        for _ in 0..count {
            let number = self.sessions();
            self.up.push(Sender::default());
            self.down.push(Receiver::default());
            self.queue_path(number, true)?;
        }
        self.flush()
    }

    /// Sends a PATH that says something new of its sender, which goes on at once (RFC 2205
    /// section 3.1.3).
    pub(crate) fn change(&mut self, number: u32) -> Result<(), LabError> {
        if let Some(sender) = at_mut(&mut self.up, number) {
            sender.more_bucket += 1;
        }
        self.queue_path(number, true)?;
        self.flush()
    }

    /// Sends the PATH of a session again as it is.
    pub(crate) fn repeat(&mut self, number: u32) -> Result<(), LabError> {
        self.queue_path(number, false)?;
        self.flush()
    }

    /// Whether a PATH of a session came through the router.
    pub(crate) fn is_through(&self, number: u32) -> bool {
        let receiver = usize::try_from(number).ok().and_then(|at| self.down.get(at));
        receiver.is_some_and(|receiver| receiver.quote.is_some())
    }

    /// Packets that the kernel dropped because a receive buffer of the ends was full.
    pub(crate) fn drops(&self) -> Result<u64, LabError> {
        let (above, below) =
            (self.generator.socket.kernel_drops()?, self.sink.socket.kernel_drops()?);
        Ok(u64::from(above) + u64::from(below))
    }

    /// Sends the RESV of a session whose PATH was not answered yet.
    pub(crate) fn reserve(&mut self, number: u32) -> Result<(), LabError> {
        self.queue_resv(number, true)?;
        self.flush()
    }

    /// Tears the reservation of a session down.
    pub(crate) fn leave(&mut self, number: u32) -> Result<(), LabError> {
        let Some(receiver) = at_mut(&mut self.down, number) else { return Ok(()) };
        let Some(quote) = receiver.quote.filter(|_| receiver.reserved) else { return Ok(()) };
        receiver.reserved = false;
        let number = self.down_numbers.of(number, true);
        let saying = Saying { number, ..Saying::default() };
        let mut buffer = [0; MESSAGE_BYTES];
        let length = self.sink.templates.resv_tear(&quote, &saying, &mut buffer);
        let length = length.map_err(|error| LabError::caused("writing a RESVTEAR", error))?;
        self.sink.queue_to_router(buffer.get(..length).unwrap_or_default());
        self.flush()
    }

    /// Forgets that sessions were returned or established: the router begins anew.
    pub(crate) fn router_died(&mut self) {
        self.returned = 0;
        for sender in &mut self.up {
            sender.returned = false;
            sender.changes += u32::from(sender.established.is_some());
            sender.established = None;
        }
    }

    /// Keeps all sessions refreshed for a time, each once a period at both ends; stops when `done`.
    pub(crate) fn live(
        &mut self,
        period: Duration,
        time: Duration,
        mut done: impl FnMut(&mut Population) -> Result<bool, LabError>,
    ) -> Result<Duration, LabError> {
        let start = Instant::now();
        let (mut refreshed, mut next_tick) = (0_u64, TICK);
        while start.elapsed() < time && !done(self)? {
            let elapsed = start.elapsed();
            if elapsed >= next_tick {
                next_tick = elapsed + TICK;
                let due = elapsed.as_secs_f64() / period.as_secs_f64() * self.up.len() as f64;
                let late = (due as u64).saturating_sub(refreshed).min(u64::from(BURST));
                for _ in 0..late {
                    self.refresh_next()?;
                }
                refreshed += late;
                self.up_numbers.queue(&mut self.generator, false)?;
                self.down_numbers.queue(&mut self.sink, false)?;
                self.flush()?;
            }
            if !self.pump()? {
                self.wait(next_tick.saturating_sub(start.elapsed()).min(IDLE))?;
            }
        }
        Ok(start.elapsed())
    }

    /// Takes what comes until nothing has come for a while.
    pub(crate) fn settle(&mut self) -> Result<(), LabError> {
        let start = Instant::now();
        self.heard = start;
        while self.heard.elapsed() < QUIET && start.elapsed() < PATIENCE {
            if !self.pump()? {
                self.wait(IDLE)?;
            }
        }
        Ok(())
    }

    /// Takes one batch at each end and sends what follows from it; true if anything came.
    pub(crate) fn pump(&mut self) -> Result<bool, LabError> {
        let below = self.take_at_sink()?;
        let above = self.take_at_generator()?;
        for number in std::mem::take(&mut self.tell_up) {
            self.queue_resv(number, true)?;
        }
        for number in std::mem::take(&mut self.tell_down) {
            self.queue_path(number, true)?;
        }
        for number in std::mem::take(&mut self.up_numbers.unknown) {
            self.queue_path(number, false)?;
        }
        for number in std::mem::take(&mut self.down_numbers.unknown) {
            self.queue_resv(number, false)?;
        }
        self.up_numbers.queue(&mut self.generator, false)?;
        self.down_numbers.queue(&mut self.sink, false)?;
        self.flush()?;
        self.counts.numbers = self.up_numbers.heard + self.down_numbers.heard;
        if below || above {
            self.heard = Instant::now();
        }
        Ok(below || above)
    }

    fn take_at_sink(&mut self) -> Result<bool, LabError> {
        if !self.sink.receive()? {
            return Ok(false);
        }
        let mut from_router = Vec::new();
        for (_, bytes) in self.sink.batch.iter() {
            each_message(bytes, &mut |parsed| match parsed {
                Ok(message) => {
                    self.down_numbers.take(message);
                    from_router.extend(told(message));
                }
                Err(why) => from_router.push(Err(why)),
            });
        }
        for told in from_router {
            match told {
                Ok(Seen::Path(quote)) if !is(&quote.phop, self.sink.router) => {
                    self.counts.bypassed += 1;
                }
                Ok(Seen::Path(quote)) => self.take_path(quote),
                other => self.odd("sink", other),
            }
        }
        Ok(true)
    }

    fn take_path(&mut self, quote: Quote) {
        self.counts.paths += 1;
        self.last_path = Instant::now();
        let Some(receiver) = at_mut(&mut self.down, quote.session) else { return };
        if receiver.quote == Some(quote) {
            return;
        }
        if quote.total == self.price_awaited
            && receiver.quote.is_none_or(|before| before.total != quote.total)
        {
            self.counts.priced += 1;
        }
        receiver.changes += u32::from(receiver.quote.is_some());
        receiver.quote = Some(quote);
        if quote.session < self.answers_below {
            self.tell_up.push(quote.session);
        }
    }

    fn take_at_generator(&mut self) -> Result<bool, LabError> {
        if !self.generator.receive()? {
            return Ok(false);
        }
        let mut from_router = Vec::new();
        for (_, bytes) in self.generator.batch.iter() {
            each_message(bytes, &mut |parsed| match parsed {
                Ok(message) => {
                    self.up_numbers.take(message);
                    from_router.extend(told(message));
                }
                Err(why) => from_router.push(Err(why)),
            });
        }
        for told in from_router {
            match told {
                Ok(Seen::Resv { nhop, .. }) if !is(&nhop, self.generator.router) => {
                    self.counts.bypassed += 1;
                }
                Ok(Seen::Resv { session, sequence, .. }) => self.take_resv(session, sequence),
                other => self.odd("generator", other),
            }
        }
        Ok(true)
    }

    fn take_resv(&mut self, session: u32, sequence: u32) {
        self.counts.resvs += 1;
        let Some(sender) = at_mut(&mut self.up, session) else { return };
        if !sender.returned {
            sender.returned = true;
            self.returned += 1;
        }
        // Later payments of a reservation that stands are in place at once (charging.md T12).
        if sender.established.is_none() {
            sender.established = Some(sequence);
            sender.changes += 1;
            self.tell_down.push(session);
        }
    }

    fn odd(&mut self, place: &str, what: Result<Seen, String>) {
        match what {
            Ok(Seen::Other(MessageType::ResvTear)) => return self.counts.tears += 1,
            // A payment that crossed a new price on its way (charging.md T5).
            Ok(Seen::Other(MessageType::ResvErr)) => return self.counts.resv_errors += 1,
            _ => {}
        }
        self.counts.others += 1;
        self.first_oddity.get_or_insert_with(|| format!("at the {place}: {what:?}"));
    }

    /// Refreshes the next session at both ends.
    fn refresh_next(&mut self) -> Result<(), LabError> {
        let number = self.cursor;
        self.cursor = if number + 1 < self.sessions() { number + 1 } else { 0 };
        self.counts.refreshes += 1;
        if !self.up_numbers.refresh(number) {
            self.queue_path(number, false)?;
        }
        let reserved = at_mut(&mut self.down, number).is_some_and(|receiver| receiver.reserved);
        self.counts.refreshes += u64::from(reserved);
        if reserved && !self.down_numbers.refresh(number) {
            self.queue_resv(number, false)?;
        }
        Ok(())
    }

    /// Sends the PATHs again that brought no RESV.
    fn ask_again(&mut self) -> Result<(), LabError> {
        let missing: Vec<u32> = (0..self.sessions())
            .zip(&self.up)
            .filter(|(_, sender)| !sender.returned)
            .map(|(number, _)| number)
            .take(WINDOW as usize)
            .collect();
        for number in missing {
            if let Some(receiver) = at_mut(&mut self.down, number) {
                // The answer may have been lost on the way back as well.
                receiver.quote = None;
            }
            self.queue_path(number, false)?;
        }
        self.flush()
    }

    fn queue_path(&mut self, number: u32, new: bool) -> Result<(), LabError> {
        let Some(&mut Sender { changes, established, more_bucket, .. }) =
            at_mut(&mut self.up, number)
        else {
            return Ok(());
        };
        let id = self.up_numbers.of(number, new);
        let saying = Saying { changes, established, more_bucket, number: id };
        let end = &mut self.generator;
        let mut buffer = [0; MESSAGE_BYTES];
        let length = end.templates.path_saying(number, end.interface, &saying, &mut buffer);
        let length = length.map_err(|error| LabError::caused("writing a PATH", error))?;
        end.queue_path(number, buffer.get(..length).unwrap_or_default());
        Ok(())
    }

    fn queue_resv(&mut self, number: u32, new: bool) -> Result<(), LabError> {
        let Some(receiver) = at_mut(&mut self.down, number) else { return Ok(()) };
        let Some(quote) = receiver.quote else { return Ok(()) };
        receiver.reserved = true;
        let changes = receiver.changes;
        let number = self.down_numbers.of(number, new);
        let saying = Saying { changes, number, ..Saying::default() };
        let mut buffer = [0; MESSAGE_BYTES];
        let length = self.sink.templates.resv_saying(&quote, &saying, &mut buffer);
        let length = length.map_err(|error| LabError::caused("writing a RESV", error))?;
        self.sink.queue_to_router(buffer.get(..length).unwrap_or_default());
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LabError> {
        self.counts.unsent += self.generator.flush()? + self.sink.flush()?;
        Ok(())
    }

    fn wait(&self, time: Duration) -> Result<(), LabError> {
        await_any([&self.generator, &self.sink], time)
    }

    /// Why nothing goes on.
    pub(crate) fn stuck(&self, bench: &Bench, what: &str) -> LabError {
        LabError::new(format!(
            "{what} did not come within {PATIENCE:?}: {} of {} sessions stand; {:?}; {:?}\n{}",
            self.returned,
            self.sessions(),
            self.counts,
            self.first_oddity,
            bench.log_tail()
        ))
    }

    /// What is to be said of what was odd, if anything was.
    pub(crate) fn oddities(&self, when: &str) -> Vec<String> {
        let Counts { others, bypassed, unsent, .. } = self.counts;
        let counts = [
            (others, "messages that were errors, or could not be read"),
            (bypassed, "messages that the kernel forwarded past the router"),
            (unsent, "messages that the kernel refused to send"),
        ];
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let mut notes: Vec<String> =
            counts.map(|(count, what)| format!("{when}: {count} {what}")).collect();
        notes.extend(self.first_oddity.iter().map(|text| format!("{when}, the first: {text}")));
        notes
    }
}

/// A message, or each one in a Bundle.
fn each_message(bytes: &[u8], take: &mut impl FnMut(Result<&Message<'_>, String>)) {
    match Message::parse(bytes) {
        Ok(Message::Bundle(bundle)) => {
            for part in bundle.parts() {
                match Message::parse(part) {
                    Ok(message) => take(Ok(&message)),
                    Err(error) => take(Err(error.to_string())),
                }
            }
        }
        Ok(message) => take(Ok(&message)),
        Err(error) => take(Err(error.to_string())),
    }
}

/// What a message says of a session; nothing if it is about numbers alone.
fn told(message: &Message<'_>) -> Option<Result<Seen, String>> {
    (!matches!(message, Message::Ack(_) | Message::Srefresh(_))).then(|| seen(message))
}

fn at_mut<T>(all: &mut [T], number: u32) -> Option<&mut T> {
    usize::try_from(number).ok().and_then(|at| all.get_mut(at))
}
