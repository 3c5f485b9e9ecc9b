//! IPv6 beside IPv4: the sockets that this node has for it.

use std::future::pending;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use tokio::io::unix::AsyncFd;

use super::{clear_readable, now};
use crate::config::Role;
use crate::engine::Engine;
use crate::io::ip6::{LocalSocket, TransitSocket, is_spoken};
use crate::io::{SocketSettings, watch};

/// Messages read from a socket before other work gets its turn.
const MESSAGES_PER_TURN: usize = 256;
/// Errors in a row after which a socket is left until something new arrives on it: a warning each
/// turn for ever would help nobody.
const FAILURES_MOST: usize = 16;

/// RSVP over IPv6.
pub(super) struct Ip6 {
    local: AsyncFd<LocalSocket>,
    /// A host has none: nothing passes through it.
    transit: Option<AsyncFd<TransitSocket>>,
}

impl Ip6 {
    /// Opens what the kernel allows; `None` where it speaks IPv4 only. What is missing is logged.
    pub(super) fn open(role: Role, settings: &SocketSettings) -> io::Result<Option<Self>> {
        if !is_spoken() {
            tracing::info!("this kernel does not speak IPv6; neither does the daemon");
            return Ok(None);
        }
        let local = watch(LocalSocket::open(settings)?)?;
        let transit = match role {
            Role::Host => None,
            Role::Router => match TransitSocket::open(settings.receive_buffer) {
                Ok(socket) => Some(watch(socket)?),
                Err(error) => {
                    tracing::error!(%error, "PATHs over IPv6 pass through unseen and uncharged");
                    None
                }
            },
        };
        Ok(Some(Self { local, transit }))
    }

    /// The socket for what is sent, and for groups.
    pub(super) fn local(&self) -> &LocalSocket {
        self.local.get_ref()
    }

    /// Says which addresses are this node's.
    pub(super) fn set_own(&mut self, own: impl Iterator<Item = IpAddr>) {
        if let Some(transit) = &mut self.transit {
            transit.get_mut().set_own(own);
        }
    }

    /// Packets lost since the start because a receive buffer was full.
    pub(super) fn kernel_drops(&self) -> u32 {
        let transit = self.transit.as_ref().map(|socket| socket.get_ref().kernel_drops());
        let drops = [Some(self.local().kernel_drops()), transit].into_iter().flatten();
        drops.map(Result::unwrap_or_default).fold(0, u32::wrapping_add)
    }

    /// Resolves when there may be something to receive; never where there is no IPv6.
    pub(super) async fn readable(ip6: Option<&Self>) -> io::Result<()> {
        let Some(ip6) = ip6 else { return pending().await };
        let transit = async {
            match &ip6.transit {
                Some(socket) => socket.readable().await.map(|mut guard| guard.retain_ready()),
                None => pending().await,
            }
        };
        tokio::select! {
            ready = ip6.local.readable() => ready.map(|mut guard| guard.retain_ready()),
            ready = transit => ready,
        }
    }

    /// Resolves when what is sent may leave again; never where there is no IPv6.
    pub(super) async fn writable(ip6: Option<&Self>) -> io::Result<()> {
        let Some(ip6) = ip6 else { return pending().await };
        ip6.local.writable().await.map(|mut guard| guard.clear_ready())
    }

    /// Gives the engine what has arrived.
    pub(super) fn receive(&mut self, engine: &mut Engine) {
        let mut failures = 0;
        for _ in 0..MESSAGES_PER_TURN {
            match self.local.get_mut().receive() {
                Ok((meta, message)) => engine.handle_packet(now(), meta, message),
                Err(error) => {
                    if ended(&self.local, &error, &mut failures) {
                        break;
                    }
                }
            }
        }
        let Some(transit) = &mut self.transit else { return };
        let mut failures = 0;
        for _ in 0..MESSAGES_PER_TURN {
            match transit.get_mut().receive() {
                Ok(Some((meta, message))) => engine.handle_packet(now(), meta, message),
                Ok(None) => {}
                Err(error) => {
                    if ended(transit, &error, &mut failures) {
                        break;
                    }
                }
            }
        }
    }
}

/// Nothing was received: because nothing waits, or for a reason of one packet or one route; then the
/// socket lives, and more may wait. True if it is left until something new arrives: nothing waits, or
/// so many reasons in a row are none of one packet.
fn ended<T: AsRawFd>(socket: &AsyncFd<T>, error: &io::Error, failures: &mut usize) -> bool {
    match error.kind() {
        io::ErrorKind::Interrupted => return false,
        io::ErrorKind::WouldBlock => {}
        _ => {
            *failures += 1;
            if *failures == 1 {
                tracing::warn!(%error, "receiving over IPv6 failed");
            }
            if *failures < FAILURES_MOST {
                return false;
            }
        }
    }
    clear_readable(socket);
    true
}
