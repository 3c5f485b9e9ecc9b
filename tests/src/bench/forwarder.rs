//! The bare forwarder: the least that a transit router must do, on the daemon's own socket.
//!
//! It rewrites the previous hop, the TTLs and the checksum of what it receives and sends it on; it
//! knows no sessions. What it costs is what the kernel costs.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::ExitCode;

use lcm_daemon::io::raw_socket::{RawSocket, SocketSettings};
use lcm_daemon::io::receive::RecvBatch;
use lcm_daemon::lab::LabError;
use lcm_daemon::packet::{PacketMeta, TransmitMeta, TransmitQueue};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rsvp_wire::{MessageType, checksum};

/// Offset of the checksum in the common header (RFC 2205, section 3.1.1).
const CHECKSUM: std::ops::Range<usize> = 2..4;
/// Offset of Send_TTL in the common header.
const SEND_TTL: usize = 4;
/// Bytes of the common header.
const HEADER: usize = 8;
/// Class of RSVP_HOP.
const RSVP_HOP: u8 = 3;
/// Longest message that is forwarded, in bytes.
const MESSAGE: usize = 2048;

/// Where the forwarder stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Interface towards the sink.
    pub downstream: u32,
    /// Own address there.
    pub downstream_address: Ipv4Addr,
    /// Own address towards the generator.
    pub upstream_address: Ipv4Addr,
    /// The generator's address.
    pub generator: Ipv4Addr,
}

impl Place {
    /// As arguments of the process.
    pub(crate) fn arguments(&self) -> [String; 4] {
        [
            self.downstream.to_string(),
            self.downstream_address.to_string(),
            self.upstream_address.to_string(),
            self.generator.to_string(),
        ]
    }

    fn from_arguments(arguments: &[OsString]) -> Option<Place> {
        let [downstream, downstream_address, upstream_address, generator] = arguments else {
            return None;
        };
        Some(Place {
            downstream: downstream.to_str()?.parse().ok()?,
            downstream_address: downstream_address.to_str()?.parse().ok()?,
            upstream_address: upstream_address.to_str()?.parse().ok()?,
            generator: generator.to_str()?.parse().ok()?,
        })
    }
}

/// The forwarder's process.
#[must_use]
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    let Some(place) = Place::from_arguments(&arguments) else {
        eprintln!("forwarder: arguments: {arguments:?}");
        return ExitCode::from(2);
    };
    match forward(place) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("forwarder: {error}");
            ExitCode::FAILURE
        }
    }
}

fn forward(place: Place) -> Result<(), LabError> {
    let mut socket = RawSocket::open(&SocketSettings::default())?;
    let mut batch = RecvBatch::new();
    let mut queue = TransmitQueue::default();
    loop {
        match socket.recv_batch(&mut batch) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                wait(&socket, PollFlags::POLLIN)?;
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        queue.clear();
        for (meta, message) in batch.iter() {
            rewrite(&place, &meta, message, &mut queue);
        }
        let mut first = 0;
        while first < queue.len() {
            let report = socket.send_batch(&queue, first);
            first = report.next;
            if report.blocked {
                wait(&socket, PollFlags::POLLOUT)?;
            }
        }
    }
}

fn wait(socket: &RawSocket, events: PollFlags) -> Result<(), LabError> {
    match poll(&mut [PollFd::new(socket.as_fd(), events)], PollTimeout::NONE) {
        Ok(_) | Err(nix::Error::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Queues the message with the forwarder as its previous hop; a PATH goes on to its destination,
/// everything else to the generator.
fn rewrite(place: &Place, meta: &PacketMeta, message: &[u8], queue: &mut TransmitQueue) {
    let mut copy = [0; MESSAGE];
    let Some(copy) = copy.get_mut(..message.len()) else { return };
    copy.copy_from_slice(message);
    let is_path = copy.get(1) == Some(&u8::from(MessageType::Path));
    let ttl = meta.ttl.saturating_sub(1);
    let (own, lih) = if is_path {
        (place.downstream_address, place.downstream)
    } else {
        (place.upstream_address, 0)
    };
    set_hop(copy, own, lih);
    set(copy, SEND_TTL, &[ttl]);
    set(copy, CHECKSUM.start, &[0, 0]);
    let sum = checksum::of(copy).to_be_bytes();
    set(copy, CHECKSUM.start, &sum);
    let meta = if is_path {
        TransmitMeta {
            interface: Some(place.downstream),
            gateway: None,
            source: Some(meta.source),
            destination: meta.destination,
            ttl,
            router_alert: true,
        }
    } else {
        TransmitMeta {
            interface: None,
            gateway: None,
            source: Some(place.upstream_address.into()),
            destination: place.generator.into(),
            ttl,
            router_alert: false,
        }
    };
    queue.push(meta, copy);
}

/// Overwrites address and handle of the (IPv4) RSVP_HOP object.
fn set_hop(message: &mut [u8], address: Ipv4Addr, lih: u32) {
    let mut at = HEADER;
    while let Some(&[high, low, class, _]) = message.get(at..at + 4) {
        if class == RSVP_HOP {
            set(message, at + 4, &address.octets());
            set(message, at + 8, &lih.to_be_bytes());
            return;
        }
        // No object is shorter than its header: a wrong length must not stop us here for ever.
        at += usize::from(u16::from_be_bytes([high, low])).max(4);
    }
}

fn set(message: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(to) = message.get_mut(at..at + bytes.len()) {
        to.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use rsvp_wire::object::Hop;

    use super::super::messages::{MESSAGE_BYTES, Seen, Templates, read};
    use super::*;

    #[test]
    fn only_hop_and_ttl_change() {
        let place = Place {
            downstream: 5,
            downstream_address: Ipv4Addr::new(10, 0, 2, 1),
            upstream_address: Ipv4Addr::new(10, 0, 1, 2),
            generator: Ipv4Addr::new(10, 0, 1, 1),
        };
        let mut buffer = [0; MESSAGE_BYTES];
        let length =
            Templates::new(place.generator, place.generator).path(1, 2, &mut buffer).unwrap();
        let meta = PacketMeta {
            interface: 2,
            source: place.generator.into(),
            destination: Ipv4Addr::new(10, 128, 0, 1).into(),
            ttl: 64,
            router_alert: true,
        };
        let mut queue = TransmitQueue::default();
        rewrite(&place, &meta, &buffer[..length], &mut queue);
        let (sent, bytes) = queue.iter().next().unwrap();
        assert_eq!((sent.ttl, bytes[SEND_TTL], sent.interface), (63, 63, Some(5)));
        let Seen::Path(quote) = read(bytes).unwrap() else { panic!("a PATH") };
        assert_eq!(quote.phop, Hop { address: place.downstream_address.into(), lih: 5 });
        assert_eq!(bytes.len(), length);
    }
}
