//! A disk in memory that fails: on demand, at random, and by losing power.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::{fmt, io};

use fastrand::Rng;

use super::super::storage::{Storage, Stored};

const SECTOR: usize = 512;

/// A disk; clones are the same one.
#[derive(Clone)]
pub(super) struct Sim {
    state: Arc<(Mutex<State>, Condvar)>,
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sim")
    }
}

#[derive(Debug)]
pub(super) struct SimFile {
    sim: Sim,
    id: usize,
}

pub(super) struct State {
    rng: Rng,
    files: Vec<Contents>,
    names: BTreeMap<String, usize>,
    /// Names that a power loss leaves, and what was changed since.
    durable_names: BTreeMap<String, usize>,
    changes: Vec<Change>,
    /// How likely a change fails.
    pub(super) failing: f64,
    /// Syncs fail.
    pub(super) failing_syncs: bool,
    /// A sync says yes and does nothing.
    pub(super) lying: bool,
    /// Syncs wait.
    pub(super) stuck: bool,
    /// Operations until the process dies.
    pub(super) dies_in: Option<u32>,
    dead: bool,
}

#[derive(Debug, Clone)]
enum Change {
    Create(String, usize),
    Rename(String, String),
    Remove(String),
}

#[derive(Debug, Default, Clone)]
struct Contents {
    memory: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

impl Contents {
    /// Moves some of the dirty sectors to the disk, each if `keep` says so.
    fn flush(&mut self, mut keep: impl FnMut() -> bool) {
        let dirty = std::mem::take(&mut self.dirty);
        if self.memory.len() < self.durable.len() && keep() {
            self.durable.truncate(self.memory.len());
        }
        for sector in dirty {
            let start = (sector * SECTOR).min(self.memory.len());
            let end = (start + SECTOR).min(self.memory.len());
            if start < end && keep() {
                if self.durable.len() < end {
                    self.durable.resize(end, 0);
                }
                self.durable[start..end].copy_from_slice(&self.memory[start..end]);
            }
        }
    }

    /// What memory holds and needs not write is read from the disk again.
    fn forget(&mut self) {
        for start in (0..self.memory.len()).step_by(SECTOR) {
            if self.dirty.contains(&(start / SECTOR)) {
                continue;
            }
            let end = (start + SECTOR).min(self.memory.len());
            for at in start..end {
                self.memory[at] = self.durable.get(at).copied().unwrap_or(0);
            }
        }
    }
}

fn apply(names: &mut BTreeMap<String, usize>, change: &Change) {
    match change {
        Change::Create(name, id) => {
            names.insert(name.clone(), *id);
        }
        Change::Rename(from, to) => {
            if let Some(id) = names.remove(from) {
                names.insert(to.clone(), id);
            }
        }
        Change::Remove(name) => {
            names.remove(name);
        }
    }
}

impl State {
    /// Whether an operation that changes something works.
    fn operate(&mut self) -> io::Result<()> {
        if let Some(left) = &mut self.dies_in {
            match left.checked_sub(1) {
                Some(less) => *left = less,
                None => self.dead = true,
            }
        }
        if self.dead {
            return Err(io::Error::other("the process is dead"));
        }
        if self.rng.f64() < self.failing {
            let errors = [libc::ENOSPC, libc::EIO, libc::EROFS];
            let error = self.rng.choice(errors).unwrap_or(libc::EIO);
            return Err(io::Error::from_raw_os_error(error));
        }
        Ok(())
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.names, &change);
        self.changes.push(change);
    }

    fn id(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Sim {
    pub(super) fn new(seed: u64) -> Self {
        let state = State {
            rng: Rng::with_seed(seed),
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            failing: 0.0,
            failing_syncs: false,
            lying: false,
            stuck: false,
            dies_in: None,
            dead: false,
        };
        Self { state: Arc::new((Mutex::new(state), Condvar::new())) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().unwrap()
    }

    /// Syncs wait from now on, or no more.
    pub(super) fn stick(&self, stuck: bool) {
        self.state().stuck = stuck;
        self.state.1.notify_all();
    }

    /// Another process starts on the same machine: what memory holds is still there.
    pub(super) fn restart(&self) {
        let mut state = self.state();
        state.dead = false;
        state.dies_in = None;
        state.failing = 0.0;
    }

    /// The power goes and comes back: of what was not synced, some sectors remain, and some of
    /// the changes of names, in order.
    pub(super) fn lose_power(&self) {
        self.restart();
        let state = &mut *self.state();
        let kept = state.rng.usize(0..=state.changes.len());
        for change in state.changes.drain(..).take(kept) {
            apply(&mut state.durable_names, &change);
        }
        state.names = state.durable_names.clone();
        let luck = state.rng.f64();
        for file in &mut state.files {
            file.flush(|| state.rng.f64() < luck);
            // The length is written apart from the contents.
            if file.durable.len() < file.memory.len() && state.rng.bool() {
                let length = state.rng.usize(file.durable.len()..=file.memory.len());
                file.durable.resize(length, 0);
            }
            file.memory = file.durable.clone();
        }
    }

    pub(super) fn read(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        let id = state.id(name).unwrap();
        state.files[id].memory.clone()
    }

    /// Puts a file there, durably.
    pub(super) fn put(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state();
        let id = state.files.len();
        let contents =
            Contents { memory: bytes.to_vec(), durable: bytes.to_vec(), ..Contents::default() };
        state.files.push(contents);
        state.names.insert(name.to_owned(), id);
        state.durable_names.insert(name.to_owned(), id);
    }
}

impl Storage for Sim {
    type File = SimFile;

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(name)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let mut state = self.state();
        state.operate()?;
        let id = state.files.len();
        state.files.push(Contents::default());
        state.change(Change::Create(name.to_owned(), id));
        Ok(SimFile { sim: self.clone(), id })
    }

    fn open(&self, name: &str, write: bool) -> io::Result<SimFile> {
        let mut state = self.state();
        if write {
            state.operate()?;
        }
        let id = state.id(name)?;
        Ok(SimFile { sim: self.clone(), id })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        state.id(from)?;
        state.change(Change::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        state.change(Change::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        if !state.lying {
            state.durable_names = state.names.clone();
            state.changes.clear();
        }
        Ok(())
    }

    fn in_use(&self) -> bool {
        false
    }
}

impl Stored for SimFile {
    fn length(&self) -> io::Result<u64> {
        Ok(u64::try_from(self.sim.state().files[self.id].memory.len()).unwrap())
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let state = self.sim.state();
        let bytes = &state.files[self.id].memory;
        let from = bytes.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let count = from.len().min(into.len());
        into[..count].copy_from_slice(&from[..count]);
        Ok(count)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.sim.state();
        let works = state.operate();
        // A write that fails, or is short, may have written some of it.
        let all = works.is_ok() && state.rng.u8(..) > 20;
        let count = if all { bytes.len() } else { state.rng.usize(0..=bytes.len()) };
        let start = usize::try_from(offset).unwrap();
        let end = start + count;
        let file = &mut state.files[self.id];
        if count > 0 {
            if file.memory.len() < end {
                file.memory.resize(end, 0);
            }
            file.memory[start..end].copy_from_slice(&bytes[..count]);
            file.dirty.extend(start / SECTOR..end.div_ceil(SECTOR));
        }
        works.map(|()| count.max(1).min(bytes.len())).and_then(|written| {
            if written == count { Ok(count) } else { Err(io::ErrorKind::Interrupted.into()) }
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.sim.state();
        while state.stuck {
            state = self.sim.state.1.wait(state).unwrap();
        }
        let works = match state.operate() {
            Ok(()) if state.failing_syncs => Err(io::Error::from_raw_os_error(libc::EIO)),
            works => works,
        };
        let state = &mut *state;
        let file = &mut state.files[self.id];
        match &works {
            _ if state.dead => {}
            Ok(()) if state.lying => {}
            Ok(()) => {
                file.flush(|| true);
                let length = file.memory.len();
                file.durable.resize(length, 0);
            }
            // Some of it is on the disk, and memory takes all of it for written.
            Err(_) => file.flush(|| state.rng.bool()),
        }
        works
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut state = self.sim.state();
        state.operate()?;
        let length = usize::try_from(length).unwrap();
        let file = &mut state.files[self.id];
        file.memory.truncate(length);
        file.dirty.insert(length / SECTOR);
        Ok(())
    }

    fn forget(&self) {
        self.sim.state().files[self.id].forget();
    }
}
