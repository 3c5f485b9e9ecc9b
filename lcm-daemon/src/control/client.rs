//! The client's end of the control socket, blocking.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::protocol::{Reply, Request};

/// A connection to a daemon.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    reader: BufReader<UnixStream>,
}

/// Why a daemon could not be asked, or what it refused.
#[derive(Debug)]
pub enum ClientError {
    /// The socket could not be used.
    Socket(PathBuf, io::Error),
    /// The daemon said something that is not a reply.
    Nonsense(PathBuf, String),
    /// The daemon refused.
    Refused(String),
}

impl std::fmt::Display for ClientError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path, error) => write!(
                f,
                "control socket {}: {error}; is lcm-daemon running, and may you open it?",
                path.display()
            ),
            Self::Nonsense(path, line) => write!(
                f,
                "control socket {}: not a reply: {line:?}; is this lcm-daemon, of this version?",
                path.display()
            ),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for ClientError {}

impl Client {
    /// Connects to the daemon that listens at `path`.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let stream =
            UnixStream::connect(path).map_err(|e| ClientError::Socket(path.to_owned(), e))?;
        Ok(Self { path: path.to_owned(), reader: BufReader::new(stream) })
    }

    /// Asks, and waits for the reply; notices that come before it are skipped.
    pub fn ask(&mut self, request: &Request) -> Result<Reply, ClientError> {
        let mut line = serde_json::to_string(request)
            .map_err(|e| ClientError::Nonsense(self.path.clone(), e.to_string()))?;
        line.push('\n');
        let socket = |e| ClientError::Socket(self.path.clone(), e);
        self.reader.get_mut().write_all(line.as_bytes()).map_err(socket)?;
        loop {
            match self.next_reply()? {
                Some(Reply::Notice(_)) => {}
                Some(Reply::Error(why)) => return Err(ClientError::Refused(why)),
                Some(reply) => return Ok(reply),
                None => {
                    let gone = io::ErrorKind::UnexpectedEof.into();
                    return Err(ClientError::Socket(self.path.clone(), gone));
                }
            }
        }
    }

    /// The next line from the daemon, or `None` if it closed the connection.
    pub fn next_reply(&mut self) -> Result<Option<Reply>, ClientError> {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line);
        match read.map_err(|e| ClientError::Socket(self.path.clone(), e))? {
            0 => Ok(None),
            _ => serde_json::from_str(&line)
                .map(Some)
                .map_err(|_| ClientError::Nonsense(self.path.clone(), line.trim_end().to_owned())),
        }
    }

    /// Bounds how long a reply may take.
    pub fn set_timeout(&self, timeout: Duration) -> Result<(), ClientError> {
        self.reader
            .get_ref()
            .set_read_timeout(Some(timeout))
            .map_err(|e| ClientError::Socket(self.path.clone(), e))
    }
}
