//! What crosses the links, as the kernel saw it.
//!
//! One packet socket in each tapped namespace, all of them read by one thread. Time stamps and
//! directions are the kernel's own, so packets of different links can be put into one order.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, IoSliceMut, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce, ReceiveTimestampns, RxqOvfl};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType,
    recvmsg, setsockopt, socket,
};
use nix::sys::time::TimeSpec;

use super::error::{Attempt, LabError};
use super::network::Network;
use super::node::NodeHandle;
use super::pcap::PcapWriter;
use super::rsvp_packet::RsvpPacket;

/// Receive buffer of a packet socket in bytes: some ten thousand messages.
const RECEIVE_BUFFER: usize = 16 << 20;
/// How long a packet is held back for earlier ones that come from another socket.
const SETTLING: Duration = Duration::from_millis(1);
/// How long the reader may take to catch up, on a machine that has other things to do.
const CATCHING_UP: Duration = Duration::from_secs(10);
/// Longest frame that is taken, in bytes.
const FRAME_BYTES: usize = 65_536;

/// A place to listen at.
#[derive(Debug, Clone)]
pub struct Tap {
    /// The node.
    pub node: NodeHandle,
    /// Its interface.
    pub interface: String,
    /// What to call the place: [`Captured::label`], and the name of the capture file.
    pub label: String,
}

/// Which way a packet went, seen from the tapped node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Into the node.
    In,
    /// Out of the node.
    Out,
}

/// One captured RSVP packet.
#[derive(Debug, Clone)]
pub struct Captured {
    /// When the kernel saw it, in nanoseconds since the Unix epoch.
    pub timestamp_ns: u64,
    /// Label of the tap.
    pub label: Arc<str>,
    /// Name of the tapped node.
    pub node: Arc<str>,
    /// Name of the tapped interface.
    pub interface: Arc<str>,
    /// Which way it went.
    pub direction: Direction,
    /// The whole Ethernet frame.
    pub frame: Vec<u8>,
}

impl Captured {
    /// The message and its IP header; `None` for a fragment.
    #[must_use]
    pub fn rsvp(&self) -> Option<RsvpPacket<'_>> {
        RsvpPacket::parse(&self.frame)
    }
}

/// A running capture.
#[derive(Debug)]
pub struct Capture {
    packets: Receiver<Captured>,
    /// An octet asks the reader to catch up; the end of the pipe ends it.
    orders: Option<PipeWriter>,
    caught_up: Receiver<()>,
    reader: Option<JoinHandle<Result<(), LabError>>>,
}

impl Capture {
    /// Starts to listen. With a directory, each tap's packets also go to `<label>.pcap` in it,
    /// complete whenever nothing is left to read.
    ///
    /// # Errors
    /// If an interface is missing, the kernel refuses a packet socket, or a file cannot be made.
    pub fn start(taps: Vec<Tap>, pcap_dir: Option<&Path>) -> Result<Capture, LabError> {
        let mut listeners: Vec<Listener> = Vec::new();
        for tap in taps {
            let ifindex = tap.node.ifindex(&tap.interface)?;
            let file = pcap_dir.map(|dir| create_pcap(dir, &tap.label)).transpose()?;
            let place = Place {
                label: tap.label.into(),
                node: tap.node.name().into(),
                interface: tap.interface.into(),
                file,
            };
            let known = listeners.iter().position(|listener| listener.node == tap.node.name());
            if known.is_none() {
                listeners.push(Listener::open(&tap.node)?);
            }
            let last = listeners.len().saturating_sub(1);
            if let Some(listener) = listeners.get_mut(known.unwrap_or(last)) {
                listener.places.insert(ifindex, place);
            }
        }
        let (sender, packets) = channel();
        let (catching_up, caught_up) = channel();
        let (taken, orders) = std::io::pipe().attempt(|| "making a pipe".into())?;
        let reader = thread::Builder::new()
            .name("capture".to_owned())
            .spawn(move || read_all(listeners, &taken, &sender, &catching_up))
            .attempt(|| "starting the capture thread".into())?;
        Ok(Capture { packets, orders: Some(orders), caught_up, reader: Some(reader) })
    }

    /// Listens on every link of a network, at its first end, under the link's name.
    ///
    /// # Errors
    /// Those of [`Capture::start`].
    pub fn of_links(network: &Network, pcap_dir: Option<&Path>) -> Result<Capture, LabError> {
        let mut taps = Vec::new();
        for link in network.links() {
            let [first, _] = &link.ends;
            taps.push(Tap {
                node: network.get(&first.node)?,
                interface: first.interface.clone(),
                label: link.name(),
            });
        }
        Capture::start(taps, pcap_dir)
    }

    /// The next packet, waiting for it at most for `timeout`.
    #[must_use]
    pub fn next(&self, timeout: Duration) -> Option<Captured> {
        self.packets.recv_timeout(timeout).ok()
    }

    /// The first packet that `wanted` turns into something; all packets before it are dropped.
    ///
    /// # Errors
    /// If none comes within `timeout`: how many others came.
    pub fn wait_for<T>(
        &self,
        timeout: Duration,
        what: &str,
        mut wanted: impl FnMut(&Captured) -> Option<T>,
    ) -> Result<T, LabError> {
        let deadline = Instant::now() + timeout;
        let mut others = 0_usize;
        while let Some(packet) = self.next(deadline.saturating_duration_since(Instant::now())) {
            if let Some(found) = wanted(&packet) {
                return Ok(found);
            }
            others += 1;
        }
        Err(LabError::new(format!(
            "{what} was not seen within {timeout:?}; {others} other packets were"
        )))
    }

    /// All packets that the kernel saw by now and that were not taken, in the order of their times:
    /// whatever a daemon sent before it answered a request is among them.
    #[must_use]
    pub fn drain(&self) -> Vec<Captured> {
        // A reader that has failed says so when it is joined.
        if let Some(mut orders) = self.orders.as_ref()
            && orders.write_all(&[0]).is_ok()
        {
            let _ = self.caught_up.recv_timeout(CATCHING_UP);
        }
        let mut packets: Vec<Captured> = self.packets.try_iter().collect();
        packets.sort_by_key(|packet| packet.timestamp_ns);
        packets
    }

    /// Ends the capture; gives the packets that were not taken before, up to this moment, in the
    /// order of their times.
    ///
    /// # Errors
    /// If reading or writing failed at any time, or the kernel had to drop packets.
    pub fn stop(mut self) -> Result<Vec<Captured>, LabError> {
        self.join()?;
        Ok(self.drain())
    }

    fn join(&mut self) -> Result<(), LabError> {
        // The reader sees the closed pipe, empties the sockets a last time and ends.
        self.orders = None;
        match self.reader.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(LabError::new("the capture thread panicked")),
            None => Ok(()),
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.join();
    }
}

/// A tap while the capture runs.
struct Place {
    label: Arc<str>,
    node: Arc<str>,
    interface: Arc<str>,
    file: Option<PcapWriter<BufWriter<File>>>,
}

/// The packet socket of one namespace; it hears all interfaces.
struct Listener {
    node: String,
    socket: OwnedFd,
    /// By interface index.
    places: HashMap<u32, Place>,
    /// Frames lost to a full receive buffer.
    lost: u32,
}

/// One frame's circumstances.
struct Arrival {
    length: usize,
    ifindex: u32,
    direction: Direction,
    timestamp_ns: u64,
    /// Frames that the socket has lost since it was opened, if any.
    lost: Option<u32>,
}

impl Listener {
    fn open(node: &NodeHandle) -> Result<Listener, LabError> {
        let socket = node.attempt("opening a packet socket", || {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)?;
            setsockopt(&socket, ReceiveTimestampns, &true)?;
            setsockopt(&socket, RxqOvfl, &1)?;
            // Only the first user namespace may exceed net.core.rmem_max.
            if setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER).is_err() {
                setsockopt(&socket, RcvBuf, &RECEIVE_BUFFER)?;
            }
            Ok::<OwnedFd, Errno>(socket)
        })?;
        Ok(Listener { node: node.name().to_owned(), socket, places: HashMap::new(), lost: 0 })
    }

    fn check_complete(&self) -> Result<(), LabError> {
        match self.lost {
            0 => Ok(()),
            lost => Err(LabError::new(format!(
                "the capture in node {} lost {lost} frames: it could not keep up",
                self.node
            ))
            .advise("raise net.core.rmem_max, or capture less")),
        }
    }

    /// Takes all frames that are there.
    fn read(&mut self, buffer: &mut [u8], packets: &mut Vec<Captured>) -> Result<(), LabError> {
        while let Some(arrival) =
            receive(&self.socket, buffer).attempt(|| format!("capturing in node {}", self.node))?
        {
            self.lost = arrival.lost.unwrap_or(self.lost);
            let frame = buffer.get(..arrival.length).unwrap_or_default();
            let Some(place) = self.places.get_mut(&arrival.ifindex) else { continue };
            if !is_rsvp(frame) {
                continue;
            }
            if let Some(file) = &mut place.file {
                file.write(arrival.timestamp_ns, frame)
                    .attempt(|| format!("writing the capture of {}", place.label))?;
            }
            packets.push(Captured {
                timestamp_ns: arrival.timestamp_ns,
                label: Arc::clone(&place.label),
                node: Arc::clone(&place.node),
                interface: Arc::clone(&place.interface),
                direction: arrival.direction,
                frame: frame.to_vec(),
            });
        }
        for place in self.places.values_mut() {
            if let Some(file) = &mut place.file {
                file.flush().attempt(|| format!("writing the capture of {}", place.label))?;
            }
        }
        Ok(())
    }
}

/// The capture thread: reads until the other end of `orders` is closed.
///
/// Between two sockets a later packet may be read first; so packets rest for [`SETTLING`] and go on
/// in the order of their times. Whoever orders an octet gets at once what there was by then.
fn read_all(
    mut listeners: Vec<Listener>,
    mut orders: &PipeReader,
    packets: &Sender<Captured>,
    caught_up: &Sender<()>,
) -> Result<(), LabError> {
    let mut buffer = vec![0; FRAME_BYTES];
    let mut resting: Vec<Captured> = Vec::new();
    loop {
        let mut fds = vec![PollFd::new(orders.as_fd(), PollFlags::POLLIN)];
        let sockets = listeners.iter().map(|listener| listener.socket.as_fd());
        fds.extend(sockets.map(|socket| PollFd::new(socket, PollFlags::POLLIN)));
        let timeout = if resting.is_empty() { PollTimeout::NONE } else { PollTimeout::from(1u8) };
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(LabError::caused("waiting for packets", error)),
        }
        let mut octets = [0; 16];
        let ordered = match fds.first().and_then(PollFd::any) {
            Some(true) => Some(orders.read(&mut octets).unwrap_or(0)),
            _ => None,
        };
        let stop = ordered == Some(0);
        let settling = if ordered.is_some() { Duration::ZERO } else { SETTLING };
        let settled_ns = nanoseconds(unix_time().saturating_sub(settling));
        for listener in &mut listeners {
            listener.read(&mut buffer, &mut resting)?;
        }
        resting.sort_by_key(|packet| packet.timestamp_ns);
        let count = resting.partition_point(|packet| stop || packet.timestamp_ns < settled_ns);
        for packet in resting.drain(..count) {
            // Nobody listens any more when the capture is being dropped: the files still count.
            let _ = packets.send(packet);
        }
        for _ in 0..ordered.unwrap_or(0) {
            let _ = caught_up.send(());
        }
        if stop {
            return listeners.iter().try_for_each(Listener::check_complete);
        }
    }
}

fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos().try_into().unwrap_or(u64::MAX)
}

/// One frame from a packet socket, or `None` if there is none.
fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> std::io::Result<Option<Arrival>> {
    let mut control = nix::cmsg_space!(TimeSpec, u32);
    let mut slices = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_DONTWAIT;
    let message = loop {
        match recvmsg::<LinkAddr>(socket.as_raw_fd(), &mut slices, Some(&mut control), flags) {
            Ok(message) => break message,
            Err(Errno::EAGAIN) => return Ok(None),
            // An interface went down: the socket goes on with the others.
            Err(Errno::EINTR | Errno::ENETDOWN) => {}
            Err(error) => return Err(error.into()),
        }
    };
    let address = message.address.ok_or(ErrorKind::InvalidData)?;
    let (mut stamp, mut lost) = (None, None);
    for control in message.cmsgs()? {
        match control {
            ControlMessageOwned::ScmTimestampns(time) => stamp = duration(time),
            ControlMessageOwned::RxqOvfl(count) => lost = Some(count),
            _ => {}
        }
    }
    let outgoing = address.pkttype() == libc::PACKET_OUTGOING;
    Ok(Some(Arrival {
        length: message.bytes,
        ifindex: u32::try_from(address.ifindex()).unwrap_or(0),
        direction: if outgoing { Direction::Out } else { Direction::In },
        timestamp_ns: nanoseconds(stamp.unwrap_or_else(unix_time)),
        lost,
    }))
}

fn duration(time: TimeSpec) -> Option<Duration> {
    Some(Duration::new(time.tv_sec().try_into().ok()?, time.tv_nsec().try_into().ok()?))
}

/// True if the frame holds IP protocol 46, in IPv6 perhaps after hop-by-hop options or a fragment
/// header; fragments count.
fn is_rsvp(frame: &[u8]) -> bool {
    const RSVP: u8 = super::rsvp_packet::RSVP.0;
    const HOP_BY_HOP: u8 = 0;
    const FRAGMENT: u8 = 44;
    let byte = |offset: usize| frame.get(offset).copied();
    match frame.get(12..14) {
        Some([0x08, 0x00]) => byte(14 + 9) == Some(RSVP),
        Some([0x86, 0xdd]) => {
            let (mut next, mut at) = (byte(14 + 6), 14 + 40);
            if next == Some(HOP_BY_HOP) {
                let length = byte(at + 1).map_or(0, usize::from);
                (next, at) = (byte(at), at + (length + 1) * 8);
            }
            if next == Some(FRAGMENT) {
                next = byte(at);
            }
            next == Some(RSVP)
        }
        _ => false,
    }
}

fn create_pcap(dir: &Path, label: &str) -> Result<PcapWriter<BufWriter<File>>, LabError> {
    std::fs::create_dir_all(dir).attempt(|| format!("creating {}", dir.display()))?;
    let path = dir.join(format!("{label}.pcap"));
    PcapWriter::create(&path).attempt(|| format!("creating {}", path.display()))
}
