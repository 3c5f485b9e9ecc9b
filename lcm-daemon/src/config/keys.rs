//! The files that hold the keys of `[[authentication]]` and `[[identity]]`: one secret each, for the daemon alone.
//!
//! ```text
//! 5f3a…            hexadecimal digits, as `openssl rand -hex 32` prints them
//! hex:5f3a…        the same
//! text:passphrase  the bytes of the text, as routers of others are configured
//! ```

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Config, Secret};

/// Longest file of a key in bytes.
const FILE_BYTES_MAX: u64 = 4_096;
/// Shortest secret in bytes: less can be tried out.
const SECRET_BYTES_MIN: usize = 8;

/// Why keys cannot be used: a line for each file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFileErrors(Vec<(PathBuf, String)>);

impl std::error::Error for KeyFileErrors {}

impl fmt::Display for KeyFileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (path, what)) in self.0.iter().enumerate() {
            let line = if place > 0 { "\n" } else { "" };
            write!(f, "{line}key file {}: {what}", path.display())?;
        }
        Ok(())
    }
}

impl Config {
    /// Reads the files of all keys.
    ///
    /// # Errors
    /// For every file that cannot be read, that others may read, or that holds no key.
    pub fn load_keys(&mut self) -> Result<(), KeyFileErrors> {
        let Config { authentication, identities, .. } = self;
        let keys = authentication.iter_mut().flat_map(|one| &mut one.keys);
        let keys = keys.map(|key| (&key.file, &mut key.secret));
        let of_identities = identities.iter_mut().flat_map(|rule| {
            let own = rule.present.iter_mut().filter_map(|ours| ours.key.as_mut());
            rule.admit.values_mut().filter_map(|admitted| admitted.key.as_mut()).chain(own)
        });
        load(keys.chain(of_identities.map(|key| (&key.file, &mut key.secret))))
    }
}

fn load<'a>(
    all: impl Iterator<Item = (&'a PathBuf, &'a mut Option<Secret>)>,
) -> Result<(), KeyFileErrors> {
    let mut errors = Vec::new();
    for (file, secret) in all {
        match read_secret(file) {
            Ok(found) => *secret = Some(found),
            Err(what) => errors.push((file.clone(), what)),
        }
    }
    errors.dedup();
    if errors.is_empty() { Ok(()) } else { Err(KeyFileErrors(errors)) }
}

/// Reads the secret in one file.
///
/// # Errors
/// If it cannot be read, if others may read it, or if it holds no key: what is wrong, and a remedy.
pub fn read_secret(path: &Path) -> Result<Secret, String> {
    let shown = path.display();
    let ours = nix::unistd::Uid::effective().as_raw();
    let mut file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("{error}; give it to the daemon's user: chown {ours} {shown}")
        }
        _ => format!("{error}; make one with `umask 077; openssl rand -hex 32 > {shown}`"),
    })?;
    let status = file.metadata().map_err(|error| error.to_string())?;
    if !status.is_file() {
        return Err("not a plain file; name one that holds a key".to_owned());
    }
    if ![0, ours].contains(&status.uid()) {
        return Err(format!(
            "belongs to user {}, who can change it; if you trust what it holds, chown root {shown}",
            status.uid()
        ));
    }
    let mode = status.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!(
            "others than its owner may use it (mode {mode:03o}); if nobody has, chmod 600 {shown}, \
             else take a new key"
        ));
    }
    let mut text = String::new();
    let limited = (&mut file).take(FILE_BYTES_MAX).read_to_string(&mut text);
    limited.map_err(|error| format!("{error}; a key is a line of text"))?;
    secret_of(text.trim_end_matches(['\n', '\r']))
}

/// Reads a secret as its file holds it.
///
/// # Errors
/// If it is none: what is wrong, and a remedy.
pub fn secret_of(text: &str) -> Result<Secret, String> {
    let bytes = match text.split_once(':') {
        Some(("text", passphrase)) => Some(passphrase.as_bytes().to_vec()),
        Some(("hex", digits)) => hexadecimal(digits),
        _ => hexadecimal(text),
    };
    let remedy = "write hexadecimal digits, as from `openssl rand -hex 32`, or text:PASSPHRASE";
    match bytes {
        None => Err(format!("holds no key; {remedy}")),
        Some(bytes) if bytes.len() < SECRET_BYTES_MIN => {
            Err(format!("{} bytes are too few for a key; {remedy}", bytes.len()))
        }
        Some(bytes) => Ok(Secret::new(&bytes)),
    }
}

fn hexadecimal(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.trim();
    if !digits.is_ascii() || !digits.len().is_multiple_of(2) {
        return None;
    }
    let pair = |at: usize| {
        let pair = digits.get(at..at + 2).filter(|pair| !pair.contains('+'))?;
        u8::from_str_radix(pair, 16).ok()
    };
    (0..digits.len()).step_by(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn read_back(text: &str, mode: u32) -> Result<Secret, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        read_secret(&path)
    }

    #[test]
    fn a_key_is_hexadecimal_or_text() {
        let eight = Secret::new(b"\x00\x11\x22\x33\x44\x55\xaa\xff");
        for text in ["001122334455aaff\n", "hex:001122334455AAFF"] {
            assert_eq!(read_back(text, 0o600), Ok(eight.clone()));
        }
        assert_eq!(read_back("text:pass phrase \n", 0o400), Ok(Secret::new(b"pass phrase ")));
        for text in ["", "00112233445566", "0011223344556", "x011223344556677", "+1+1+1+1+1+1+1+1"]
        {
            assert!(read_back(text, 0o600).unwrap_err().contains("openssl rand -hex 32"), "{text}");
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_with_what_to_do() {
        for mode in [0o640, 0o604, 0o620, 0o644, 0o666] {
            let error = read_back("001122334455aaff\n", mode).unwrap_err();
            assert!(error.contains("chmod 600") && error.contains(&format!("{mode:o}")), "{error}");
        }
    }

    #[test]
    fn every_bad_file_is_named() {
        let text = "[[authentication]]\ninterface = \"eth0\"\nkeys = [\
                    { id = 1, algorithm = \"hmac-md5\", file = \"/no/such/1\" },\
                    { id = 2, algorithm = \"hmac-md5\", file = \"/no/such/2\" }]\n";
        let mut config = Config::parse(text, "test").unwrap();
        let errors = config.load_keys().unwrap_err().to_string();
        assert_eq!(errors.lines().count(), 2, "{errors}");
        assert!(errors.contains("/no/such/1") && errors.contains("/no/such/2"), "{errors}");
    }

    #[test]
    fn no_secret_is_printed() {
        let secret = Secret::new(b"hidden words");
        assert_eq!(format!("{secret:?}"), "secret of 12 bytes");
    }
}
