//! Traces that applications wait for, and replies to requesters that listen by UDP.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use tokio::sync::oneshot;

use crate::control::convert;
use crate::control::protocol::{Reply, TraceSpec};
use crate::engine::{Engine, Now, TraceId, TraceView};

/// Who waits for what, and the sockets by which strangers' tools are answered.
#[derive(Debug, Default)]
pub(super) struct Traces {
    waiting: HashMap<TraceId, oneshot::Sender<Reply>>,
    sockets: [Option<UdpSocket>; 2],
}

impl Traces {
    /// Begins a trace whose end is the reply.
    pub(super) fn begin(
        &mut self,
        engine: &mut Engine,
        now: Now,
        spec: &TraceSpec,
        reply: oneshot::Sender<Reply>,
    ) {
        match engine.trace(now, convert::trace(spec)) {
            Ok(id) => drop(self.waiting.insert(id, reply)),
            Err(error) => drop(reply.send(Reply::Error(error.to_string()))),
        }
    }

    /// A trace has ended.
    pub(super) fn end(&mut self, id: TraceId, view: TraceView) {
        if let Some(reply) = self.waiting.remove(&id) {
            // Who has gone away is not told.
            let _ = reply.send(Reply::Trace(Box::new(view)));
        }
    }

    /// Sends a reply by UDP.
    pub(super) fn send(&mut self, to: SocketAddr, message: &[u8]) -> io::Result<()> {
        let any: IpAddr = match to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let [v4, v6] = &mut self.sockets;
        let slot = if to.is_ipv4() { v4 } else { v6 };
        let socket = match slot {
            Some(socket) => socket,
            None => {
                let socket = UdpSocket::bind((any, 0))?;
                socket.set_nonblocking(true)?;
                slot.insert(socket)
            }
        };
        socket.send_to(message, to).map(drop)
    }
}
