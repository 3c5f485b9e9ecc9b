//! The thread that makes records durable, and tells the runtime when they are.
//!
//! The runtime [submits](Writer::submit) and goes on; the thread takes whatever has come by then,
//! writes it at once and syncs it (group commit): the more is submitted, the more shares a sync.
//! When the disk fails, everything that was not acknowledged is kept in order and tried again
//! every second in a new file, until the disk is well; the memory for what waits is bounded.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{error, fmt, io};

use tokio::sync::mpsc::UnboundedSender;
use tracing::{error, info, warn};

use super::journal::{AppendError, Journal, encode};
use super::record::Body;
use super::sign::PublicKey;
use super::storage::Storage;

/// What the thread has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// All records up to the one that was submitted under this number are durable.
    Durable(u64),
    /// The oldest period that was handed in and not named by such an event is closed, durably.
    PeriodClosed,
    /// The disk failed. What was submitted is kept and tried again; nothing is acknowledged until
    /// [`Recovered`](Event::Recovered).
    Failed {
        /// Why.
        error: String,
    },
    /// The disk is well again, and all that had been kept is durable, as the next
    /// [`Durable`](Event::Durable) says.
    Recovered,
    /// A record has waited longer for the disk than [`Settings::slow`].
    Slow,
    /// None does any more.
    Swift,
    /// The signing key was changed, or could not be.
    KeyRotated(Result<PublicKey, String>),
}

/// How the thread works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The most bytes of records that wait to be taken.
    pub queue_bytes: usize,
    /// How long a record may wait before the disk is called slow.
    pub slow: Duration,
    /// How long to wait before a disk that failed is tried again.
    pub retry: Duration,
    /// A head is signed after this time, if anything was written.
    pub head: Duration,
    /// For how long after a record that was waited for the thread looks for the next one before it
    /// sleeps, and lets all others run meanwhile: waking it takes longer than a swift disk.
    pub linger: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            queue_bytes: 64 * 1024 * 1024,
            slow: Duration::from_secs(2),
            retry: Duration::from_secs(1),
            head: Duration::from_secs(60),
            linger: Duration::from_millis(1),
        }
    }
}

/// Why a record was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubmitError {
    /// Too much waits for the disk already.
    Full,
    /// The record is too long for a frame.
    TooLong,
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("too many records wait for the disk"),
            Self::TooLong => AppendError::TooLong.fmt(f),
        }
    }
}

impl error::Error for SubmitError {}

/// Records that were given up when the thread was stopped, since the disk did not take them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unwritten {
    /// How many.
    pub records: usize,
}

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records could not be written", self.records)
    }
}

impl error::Error for Unwritten {}

/// The runtime's end of the thread.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    scratch: Vec<u8>,
    /// Encoded bodies of the records that are being submitted together.
    bodies: Vec<u8>,
    items: Vec<Item>,
    thread: Option<JoinHandle<Result<(), Unwritten>>>,
    watch: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    filled: Condvar,
    closing: Condvar,
    /// Something was handed in since the thread looked last.
    handed_in: AtomicBool,
    queue_bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    queue: Queue,
    /// When the oldest record was submitted that the thread has taken.
    taken: Option<Instant>,
    closing: bool,
    /// Another key is asked for.
    rotate: bool,
}

/// Encoded records in order.
#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    items: VecDeque<Item>,
}

#[derive(Debug, Clone, Copy)]
struct Item {
    length: usize,
    id: Option<u64>,
    ends_file: bool,
    at: Instant,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Starts the thread, which tells `events` what happens.
    ///
    /// # Errors
    ///
    /// If there can be no more threads.
    pub fn start<S>(
        journal: Journal<S>,
        settings: Settings,
        events: UnboundedSender<Event>,
    ) -> io::Result<Self>
    where
        S: Storage + Send + 'static,
        S::File: Send,
    {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            filled: Condvar::new(),
            closing: Condvar::new(),
            handed_in: AtomicBool::new(false),
            queue_bytes: settings.queue_bytes,
        });
        let watch = {
            let (shared, events, slow) = (Arc::clone(&shared), events.clone(), settings.slow);
            thread::Builder::new()
                .name("journal-watch".to_owned())
                .spawn(move || watch(&shared, &events, slow))?
        };
        let thread = {
            let shared = Arc::clone(&shared);
            let worker = Worker {
                journal,
                settings,
                events,
                shared,
                failed: false,
                durable: None,
                period: false,
                unsigned: None,
                waited_for: false,
            };
            thread::Builder::new().name("journal".to_owned()).spawn(move || worker.run())?
        };
        Ok(Self {
            shared,
            scratch: Vec::new(),
            bodies: Vec::new(),
            items: Vec::new(),
            thread: Some(thread),
            watch: Some(watch),
        })
    }

    /// Hands in a record. Numbers rise; [`Event::Durable`] names the last one that is durable.
    ///
    /// # Errors
    ///
    /// If it is not taken: nothing of it will be written.
    pub fn submit(&mut self, id: u64, body: &Body) -> Result<(), SubmitError> {
        self.submit_all(id, [body])
    }

    /// Hands in records that belong together under one number: all are taken, or none.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit).
    pub fn submit_all<'a>(
        &mut self,
        id: u64,
        bodies: impl IntoIterator<Item = &'a Body>,
    ) -> Result<(), SubmitError> {
        let encoded = self.encode(bodies);
        if let Some(last) = self.items.last_mut() {
            last.id = Some(id);
        }
        self.hand_in(encoded)
    }

    /// Hands in a record that nobody waits for.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit).
    pub fn note(&mut self, body: &Body) -> Result<(), SubmitError> {
        let encoded = self.encode([body]);
        self.hand_in(encoded)
    }

    /// Goes over to a new signing key behind what was submitted;
    /// [`Event::KeyRotated`] says when that is done.
    pub fn rotate_key(&self) {
        self.shared.lock().rotate = true;
        self.shared.filled.notify_one();
    }

    /// How long the oldest record has waited that is not durable yet.
    pub fn waiting(&self) -> Option<Duration> {
        Some(self.shared.lock().oldest()?.elapsed())
    }

    /// Writes what was handed in and ends the thread. A disk that fails is tried once more only.
    ///
    /// # Errors
    ///
    /// If records could not be written.
    pub fn stop(mut self) -> Result<(), Unwritten> {
        self.close()
    }

    fn close(&mut self) -> Result<(), Unwritten> {
        self.shared.lock().closing = true;
        self.shared.filled.notify_all();
        self.shared.closing.notify_all();
        if let Some(watch) = self.watch.take() {
            let _ = watch.join();
        }
        let result = self.thread.take().map(JoinHandle::join);
        result.unwrap_or(Ok(Ok(()))).unwrap_or(Err(Unwritten { records: 0 }))
    }

    fn encode<'a>(
        &mut self,
        bodies: impl IntoIterator<Item = &'a Body>,
    ) -> Result<(), SubmitError> {
        self.bodies.clear();
        self.items.clear();
        let at = Instant::now();
        for body in bodies {
            let bytes = encode(body, &mut self.scratch).map_err(|_| SubmitError::TooLong)?;
            self.bodies.extend_from_slice(bytes);
            let ends_file = matches!(body, Body::Period(_));
            self.items.push(Item { length: bytes.len(), id: None, ends_file, at });
        }
        Ok(())
    }

    fn hand_in(&mut self, encoded: Result<(), SubmitError>) -> Result<(), SubmitError> {
        encoded?;
        let mut state = self.shared.lock();
        let queue = &mut state.queue;
        if queue.bytes.len().saturating_add(self.bodies.len()) > self.shared.queue_bytes {
            return Err(SubmitError::Full);
        }
        let was_empty = queue.items.is_empty();
        queue.bytes.extend_from_slice(&self.bodies);
        queue.items.extend(self.items.iter().copied());
        drop(state);
        self.shared.handed_in.store(true, Ordering::Release);
        if was_empty {
            self.shared.filled.notify_one();
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Err(unwritten) = self.close() {
            error!("ledger: {unwritten}");
        }
    }
}

impl State {
    fn oldest(&self) -> Option<Instant> {
        self.taken.or_else(|| self.queue.items.front().map(|item| item.at))
    }
}

/// Says when records wait too long: the thread cannot, as long as the disk holds it.
fn watch(shared: &Shared, events: &UnboundedSender<Event>, bound: Duration) {
    let pause = bound / 4;
    let mut slow = false;
    let mut state = shared.lock();
    while !state.closing {
        let (next, _) =
            shared.closing.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner);
        state = next;
        let waits = state.oldest().is_some_and(|oldest| oldest.elapsed() > bound);
        if waits != slow {
            slow = waits;
            let _ = events.send(if slow { Event::Slow } else { Event::Swift });
        }
    }
}

struct Worker<S: Storage> {
    journal: Journal<S>,
    settings: Settings,
    events: UnboundedSender<Event>,
    shared: Arc<Shared>,
    failed: bool,
    /// Number of the last record in the batch that somebody waits for.
    durable: Option<u64>,
    /// Whether the batch ends with a period.
    period: bool,
    /// When a head is due.
    unsigned: Option<Instant>,
    /// Whether somebody waited for what was written last, and may have more to write.
    waited_for: bool,
}

/// What there is to do.
enum Task {
    Write,
    Sign,
    Rotate,
    Close,
}

impl<S: Storage> Worker<S> {
    fn run(mut self) -> Result<(), Unwritten> {
        let mut queue = Queue::default();
        loop {
            match self.next(&mut queue) {
                Task::Write => self.write(&mut queue)?,
                Task::Sign => {
                    self.journal.sign();
                    self.commit(0, None)?;
                }
                Task::Rotate => {
                    let key = self.journal.rotate_key().map_err(|error| error.to_string());
                    let _ = self.events.send(Event::KeyRotated(key));
                    self.commit(0, None)?;
                }
                Task::Close => {
                    self.journal.sign();
                    return self.commit(0, None);
                }
            }
        }
    }

    /// Waits for something to do; what was submitted is in `queue` then.
    fn next(&mut self, queue: &mut Queue) -> Task {
        queue.bytes.clear();
        queue.items.clear();
        if !self.journal.unsigned() {
            self.unsigned = None;
        } else if self.unsigned.is_none() {
            self.unsigned = Some(Instant::now());
        }
        self.linger();
        let mut state = self.shared.lock();
        loop {
            if !state.queue.items.is_empty() {
                self.shared.handed_in.store(false, Ordering::Release);
                std::mem::swap(&mut state.queue, queue);
                state.taken = queue.items.front().map(|item| item.at);
                return Task::Write;
            }
            if std::mem::take(&mut state.rotate) {
                return Task::Rotate;
            }
            if state.closing {
                return Task::Close;
            }
            let left =
                self.unsigned.map(|since| self.settings.head.saturating_sub(since.elapsed()));
            let waited = match left {
                Some(Duration::ZERO) => return Task::Sign,
                Some(left) => self
                    .shared
                    .filled
                    .wait_timeout(state, left)
                    .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state),
                None => self.shared.filled.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
            state = waited;
        }
    }

    /// Looks for more to write for a while.
    fn linger(&mut self) {
        if !std::mem::take(&mut self.waited_for) {
            return;
        }
        let since = Instant::now();
        while !self.shared.handed_in.load(Ordering::Acquire)
            && since.elapsed() < self.settings.linger
        {
            thread::yield_now();
        }
    }

    fn write(&mut self, queue: &mut Queue) -> Result<(), Unwritten> {
        let mut rest = queue.bytes.as_slice();
        while let Some(item) = queue.items.front().copied() {
            let Some((body, behind)) = rest.split_at_checked(item.length) else {
                break;
            };
            match self.journal.append_encoded(body, item.ends_file) {
                Ok(_) => {}
                Err(AppendError::BatchFull) => {
                    self.commit(queue.items.len(), Some(item.at))?;
                    continue;
                }
                // Cannot be: it was encoded within the bound.
                Err(error) => error!("ledger: a record is left out: {error}"),
            }
            self.durable = item.id.or(self.durable);
            self.period |= item.ends_file;
            rest = behind;
            queue.items.pop_front();
        }
        self.commit(0, None)
    }

    /// Makes the batch durable and says so, however long that takes, unless the thread is to end.
    /// `behind` records wait in the queue behind it, the first of them since `oldest`.
    fn commit(&mut self, behind: usize, oldest: Option<Instant>) -> Result<(), Unwritten> {
        while let Err(error) = self.journal.sync() {
            if !self.failed {
                self.failed = true;
                error!(
                    "ledger: the disk failed, nothing new is approved until it is well: {error}"
                );
                let _ = self.events.send(Event::Failed { error: error.to_string() });
            }
            if !self.wait_for_retry() {
                let queued = self.shared.lock().queue.items.len();
                let records = behind.saturating_add(self.journal.in_batch()).saturating_add(queued);
                return Err(Unwritten { records });
            }
        }
        if std::mem::take(&mut self.failed) {
            info!("ledger: the disk is well again");
            let _ = self.events.send(Event::Recovered);
        }
        self.shared.lock().taken = oldest;
        if let Some(id) = self.durable.take() {
            self.waited_for = true;
            if self.events.send(Event::Durable(id)).is_err() {
                warn!("ledger: nobody listens for acknowledgements any more");
            }
        }
        if std::mem::take(&mut self.period) {
            let _ = self.events.send(Event::PeriodClosed);
        }
        Ok(())
    }

    /// Waits until the disk is to be tried again; false if the thread is to end instead.
    fn wait_for_retry(&self) -> bool {
        let state = self.shared.lock();
        if state.closing {
            return false;
        }
        let waited = self
            .shared
            .closing
            .wait_timeout_while(state, self.settings.retry, |state| !state.closing);
        drop(waited);
        true
    }
}
