//! Where a journal's files lie: the disk, or in tests one that fails.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use super::lock::{self, Lock};

/// A directory with the files of a journal.
pub trait Storage {
    /// One of its files.
    type File: Stored;

    /// How messages name a file.
    fn path(&self, name: &str) -> PathBuf;
    /// The names of all files.
    fn names(&self) -> io::Result<Vec<String>>;
    /// Makes an empty file, in the place of one that has this name.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// Opens a file, to be changed too if `write`.
    fn open(&self, name: &str, write: bool) -> io::Result<Self::File>;
    /// Gives a file another name, in the place of one that has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Returns when the names of the files are durable.
    fn sync_names(&self) -> io::Result<()>;
    /// Whether somebody may be writing now.
    fn in_use(&self) -> bool;
}

/// A file of a journal.
pub trait Stored {
    /// Its length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Reads at an offset, and says how much; nothing at the end.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Writes at an offset, and says how much.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize>;
    /// Returns when all that was written is durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
    /// Forgets what memory holds of the file, so that it is read from the disk again.
    fn forget(&self);
}

impl<S: Storage> Storage for &S {
    type File = S::File;

    fn path(&self, name: &str) -> PathBuf {
        S::path(self, name)
    }
    fn names(&self) -> io::Result<Vec<String>> {
        S::names(self)
    }
    fn create(&self, name: &str) -> io::Result<S::File> {
        S::create(self, name)
    }
    fn open(&self, name: &str, write: bool) -> io::Result<S::File> {
        S::open(self, name, write)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        S::rename(self, from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        S::remove(self, name)
    }
    fn sync_names(&self) -> io::Result<()> {
        S::sync_names(self)
    }
    fn in_use(&self) -> bool {
        S::in_use(self)
    }
}

/// Writes all of `bytes` at an offset.
///
/// # Errors
///
/// Those of the storage; part of the bytes may have been written.
pub(super) fn write_all(
    file: &mut impl Stored,
    mut offset: u64,
    mut bytes: &[u8],
) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(offset, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                bytes = bytes.get(count..).unwrap_or_default();
                offset = offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A directory of the machine.
#[derive(Debug)]
pub struct Disk {
    dir: PathBuf,
    /// Of who writes here.
    lock: Option<Lock>,
}

impl Disk {
    /// The directory, to be read only.
    pub fn read_only(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), lock: None }
    }

    /// The directory, made if it is not there, and claimed: nobody else writes in it as long as
    /// this value lives.
    ///
    /// # Errors
    ///
    /// If it cannot be made, or another process has claimed it.
    pub fn claim(dir: &Path) -> Result<Self, lock::Refused> {
        make(dir).map_err(|error| lock::Refused::Io { path: dir.to_owned(), error })?;
        Ok(Self { dir: dir.to_owned(), lock: Some(Lock::take(dir)?) })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Makes a directory that is not there, and those above it, for their owner alone; whatever the
/// umask, which may be made for sockets and take away the right to enter.
pub(super) fn make(dir: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !dir.exists()).collect();
    for dir in missing.into_iter().rev().filter(|dir| !dir.as_os_str().is_empty()) {
        fs::create_dir(dir)?;
        fs::set_permissions(dir, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

impl Storage for Disk {
    type File = File;

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.path(name))
    }

    fn open(&self, name: &str, write: bool) -> io::Result<File> {
        OpenOptions::new().read(true).write(write).open(self.path(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn in_use(&self) -> bool {
        self.lock.is_none() && lock::holder(&self.dir).is_some()
    }
}

impl Stored for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, into, offset)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        std::os::unix::fs::FileExt::write_at(self, bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn forget(&self) {
        // Advice: where it is not taken, what memory holds is what was written.
        let _ = posix_fadvise(self, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    }
}
