//! The daemon's end of the control socket.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::rc::Rc;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use super::protocol::{NoticeLine, Reply, Request};
use super::roles::{Peer, Right};
use crate::config::Control;
use crate::engine::Handle;
use crate::ledger::record::Actor;

/// Longest request line in bytes; a longer one ends the connection.
const MAX_LINE: usize = 64 * 1024;

/// Notices that may wait for a client that does not read; more are dropped.
const MAX_NOTICES: usize = 1024;

/// Calls that may wait for the engine.
pub(crate) const MAX_CALLS: usize = 256;

/// What connections ask of the loop that owns the engine.
#[derive(Debug)]
pub(crate) enum Call {
    /// A request, who asks, and where its reply and later notices go.
    Ask(Box<Request>, Actor, oneshot::Sender<Reply>, mpsc::Sender<NoticeLine>),
    /// A connection ended: these registrations go with it.
    Gone(Vec<Handle>),
    /// The configuration was read again: its keys, identities and tariffs hold from now on.
    Configuration(Box<crate::config::Config>),
    /// The metrics page.
    Metrics(oneshot::Sender<Result<String, String>>),
}

/// Binds the control socket: only its owner and group may use it. A socket that a dead daemon
/// left behind is replaced; one that answers is not.
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    if path.exists() {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another daemon listens here; stop it or set daemon.control_socket",
            ));
        }
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Accepts connections until the daemon ends.
pub(crate) async fn serve(
    listener: UnixListener,
    roles: Control,
    calls: mpsc::Sender<Call>,
) -> io::Result<()> {
    let calls = Rc::new((calls, roles));
    loop {
        let (stream, _) = listener.accept().await?;
        let calls = Rc::clone(&calls);
        tokio::task::spawn_local(async move {
            let (calls, roles) = &*calls;
            if let Err(error) = converse(stream, roles, calls).await {
                tracing::debug!(%error, "control connection ended");
            }
        });
    }
}

async fn converse(
    stream: UnixStream,
    roles: &Control,
    calls: &mpsc::Sender<Call>,
) -> io::Result<()> {
    let credentials = stream.peer_cred()?;
    let peer = Peer::look_up(credentials.uid(), credentials.gid(), roles.clone()).await?;
    let (read, mut write) = stream.into_split();
    let (notices, mut news) = mpsc::channel(MAX_NOTICES);
    let mut reader = BufReader::new(read);
    let mut owned = Vec::new();
    let mut line = Vec::new();
    let result = loop {
        tokio::select! {
            read = read_line(&mut reader, &mut line) => match read {
                Ok(true) => {
                    let reply = answer(&line, &peer, calls, &notices, &mut owned).await;
                    line.clear();
                    if let Err(error) = write_reply(&mut write, &reply).await {
                        break Err(error);
                    }
                }
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            },
            Some(notice) = news.recv() => {
                if let Err(error) = write_reply(&mut write, &Reply::Notice(notice)).await {
                    break Err(error);
                }
            }
        }
    };
    if !owned.is_empty() {
        let _ = calls.send(Call::Gone(owned)).await;
    }
    result
}

/// Reads up to a line feed; false at the end of the stream. What was read stays in `line` if the
/// future is dropped, so it may be raced against other work.
async fn read_line(reader: &mut BufReader<OwnedReadHalf>, line: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        let buffer = reader.fill_buf().await?;
        if buffer.is_empty() {
            return Ok(false);
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(buffer.len(), |at| at + 1);
        line.extend_from_slice(buffer.get(..taken).unwrap_or_default());
        reader.consume(taken);
        if line.len() > MAX_LINE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "request line too long"));
        }
        if end.is_some() {
            return Ok(true);
        }
    }
}

async fn answer(
    line: &[u8],
    peer: &Peer,
    calls: &mpsc::Sender<Call>,
    notices: &mpsc::Sender<NoticeLine>,
    owned: &mut Vec<Handle>,
) -> Reply {
    let request: Request = match serde_json::from_slice(line) {
        Ok(request) => request,
        Err(error) => return Reply::Error(format!("request is not understood: {error}")),
    };
    if let Err(refused) = peer.may(Right::of(&request)) {
        tracing::warn!(uid = peer.actor.uid, user = %peer.actor.name, "{refused}");
        return Reply::Error(refused.to_owned());
    }
    let detached = match &request {
        Request::Send(send) => send.detach,
        Request::Receive(receive) => receive.detach,
        _ => true,
    };
    let (reply, answer) = oneshot::channel();
    if calls
        .send(Call::Ask(Box::new(request), peer.actor.clone(), reply, notices.clone()))
        .await
        .is_err()
    {
        return Reply::Error("the daemon is stopping".to_owned());
    }
    let reply = answer.await.unwrap_or(Reply::Error("the daemon is stopping".to_owned()));
    if let (Reply::Handle(handle), false) = (&reply, detached) {
        owned.push(Handle(*handle));
    }
    reply
}

async fn write_reply(write: &mut OwnedWriteHalf, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    write.write_all(&line).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a line of so many bytes is taken.
    fn takes(length: usize) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let (here, there) = UnixStream::pair().unwrap();
            let (read, _write) = here.into_split();
            let mut text = vec![b'a'; length - 1];
            text.push(b'\n');
            let (_rest, mut write) = there.into_split();
            let mut reader = BufReader::new(read);
            let mut line = Vec::new();
            let written = async {
                // The reader may leave early.
                let _ = write.write_all(&text).await;
                drop(write);
            };
            let (read, ()) = tokio::join!(
                async {
                    let read = read_line(&mut reader, &mut line).await;
                    drop(reader);
                    read
                },
                written
            );
            matches!(read, Ok(true))
        })
    }

    #[test]
    fn a_line_has_a_bound_also_where_it_ends_in_what_was_read_last() {
        assert!(takes(MAX_LINE));
        assert!(!takes(MAX_LINE + 1));
    }
}
