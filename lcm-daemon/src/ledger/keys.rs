//! The file of the signing key: `DIR/signing.key`, 64 hexadecimal digits, for its owner alone.
//!
//! A new key is staged as `signing.key.new` before the record that names it is written, and takes
//! its place afterwards; a crash between the two is settled by what the journal says.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::{error, fmt};

use super::journal::Last;
use super::sign::{PublicKey, Signer, hex};

const NAME: &str = "signing.key";
const STAGED: &str = "signing.key.new";

/// Why a signing key cannot be used.
#[derive(Debug)]
pub enum KeyError {
    /// Its file cannot be read or written.
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Others than its owner may read it.
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It holds no key.
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The journal was signed by another key.
    Other {
        /// The file, if there is one.
        path: PathBuf,
        /// The public key that signed the journal.
        expected: PublicKey,
    },
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Permissions { path, mode } => write!(
                f,
                "{}: others than its owner may read it (mode {mode:03o}); if nobody has, \
                 chmod 600 it",
                path.display()
            ),
            Self::Malformed { path } => write!(
                f,
                "{}: holds no signing key (64 hexadecimal digits); restore it from the backup",
                path.display()
            ),
            Self::Other { path, expected } => write!(
                f,
                "{}: the journal was signed by another key, {}; restore that from the backup",
                path.display(),
                hex(expected)
            ),
        }
    }
}

impl error::Error for KeyError {}

/// The key of a directory, whose journal was last signed by `last`; made if both are new.
pub(super) fn open(dir: &Path, last: Option<PublicKey>) -> Result<Signer, KeyError> {
    settle(dir, last)?;
    let path = dir.join(NAME);
    let signer = match (read(&path)?, last) {
        (Some(signer), _) => signer,
        (None, None) => {
            let signer = make(&dir.join(STAGED))?;
            adopt(dir)?;
            signer
        }
        (None, Some(expected)) => return Err(KeyError::Other { path, expected }),
    };
    match last {
        Some(expected) if signer.public() != expected => Err(KeyError::Other { path, expected }),
        _ => Ok(signer),
    }
}

/// The key that is in use in a directory; none is made.
pub(crate) fn existing(dir: &Path) -> Result<Signer, KeyError> {
    let path = dir.join(NAME);
    read(&path)?.ok_or(KeyError::Malformed { path })
}

/// Refuses a key that is not the one that signed the journal.
pub(super) fn same(last: &Last, signer: &Signer) -> Result<(), KeyError> {
    match last.key {
        Some(expected) if expected != signer.public() => {
            Err(KeyError::Other { path: PathBuf::from(NAME), expected })
        }
        _ => Ok(()),
    }
}

/// Makes a key that is to follow the one in use.
pub(super) fn stage(dir: &Path) -> Result<Signer, KeyError> {
    make(&dir.join(STAGED))
}

/// Puts the staged key in the place of the one in use.
pub(super) fn adopt(dir: &Path) -> Result<(), KeyError> {
    let path = dir.join(NAME);
    fs::rename(dir.join(STAGED), &path)
        .and_then(|()| File::open(dir)?.sync_all())
        .map_err(|error| KeyError::Io { path, error })
}

/// Ends a change of keys that a crash interrupted.
fn settle(dir: &Path, last: Option<PublicKey>) -> Result<(), KeyError> {
    let path = dir.join(STAGED);
    let staged = match read(&path) {
        Ok(None) => return Ok(()),
        Ok(staged) => staged,
        // Cut off while it was made, so nothing was signed with it.
        Err(KeyError::Malformed { .. }) => None,
        Err(error) => return Err(error),
    };
    if last.is_some() && staged.map(|signer| signer.public()) == last {
        adopt(dir)
    } else {
        fs::remove_file(&path).map_err(|error| KeyError::Io { path, error })
    }
}

fn read(path: &Path) -> Result<Option<Signer>, KeyError> {
    let failed = |error| KeyError::Io { path: path.to_owned(), error };
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Permissions { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    let secret = secret(text.trim_end());
    secret
        .map(|secret| Some(Signer::new(&secret)))
        .ok_or_else(|| KeyError::Malformed { path: path.to_owned() })
}

fn secret(text: &str) -> Option<[u8; 32]> {
    let mut secret = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (place, byte) in secret.iter_mut().enumerate() {
        let at = place.saturating_mul(2);
        *byte = u8::from_str_radix(text.get(at..at.saturating_add(2))?, 16).ok()?;
    }
    Some(secret)
}

fn make(path: &Path) -> Result<Signer, KeyError> {
    let failed = |error| KeyError::Io { path: path.to_owned(), error };
    let mut secret = [0; 32];
    let random = Path::new("/dev/urandom");
    File::open(random)
        .and_then(|mut file| file.read_exact(&mut secret))
        .map_err(|error| KeyError::Io { path: random.to_owned(), error })?;
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    let dir = path.parent().unwrap_or(Path::new("."));
    writeln!(file, "{}", hex(&secret))
        .and_then(|()| file.sync_all())
        .and_then(|()| File::open(dir)?.sync_all())
        .map_err(failed)?;
    Ok(Signer::new(&secret))
}
