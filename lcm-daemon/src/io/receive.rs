//! Receiving RSVP packets in batches.
#![allow(unsafe_code)]

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::cmsg::ControlBuffer;
use super::ipv4::{self, Skip};
use crate::packet::PacketMeta;

/// How many packets were not handed on, by reason, since the batch was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SkipCounters {
    counts: [u64; Skip::ALL.len()],
}

impl SkipCounters {
    /// Every reason with its count, also those that never happened.
    pub fn iter(&self) -> impl Iterator<Item = (Skip, u64)> + '_ {
        Skip::ALL.into_iter().zip(self.counts)
    }

    /// How many packets were skipped for this reason.
    #[must_use]
    pub fn get(&self, reason: Skip) -> u64 {
        self.iter().find(|(skip, _)| *skip == reason).map_or(0, |(_, count)| count)
    }

    /// How many packets were skipped for any reason.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn add(&mut self, reason: Skip) {
        for (skip, count) in Skip::ALL.into_iter().zip(&mut self.counts) {
            if skip == reason {
                *count += 1;
            }
        }
    }
}

/// Memory for one batch of received packets, made once and used for ever.
#[derive(Debug)]
pub struct RecvBatch {
    /// `CAPACITY` places of `PACKET_BYTES` each.
    bytes: Vec<u8>,
    controls: Vec<ControlBuffer>,
    /// What was read of each good packet, and where in `bytes` its RSVP message lies.
    accepted: Vec<(PacketMeta, Range<usize>)>,
    skipped: SkipCounters,
}

impl Default for RecvBatch {
    fn default() -> Self {
        RecvBatch::new()
    }
}

impl RecvBatch {
    /// Packets in one batch.
    pub const CAPACITY: usize = 64;

    /// Largest IP packet taken, in octets; a longer one is counted as [`Skip::OverLong`]. A little
    /// above the usual jumbo frame, and not a power of two, so that the packets of a batch do not
    /// all fall into the same cache set.
    pub const PACKET_BYTES: usize = 9216;

    /// An empty batch; takes about 0.6 MB.
    #[must_use]
    pub fn new() -> RecvBatch {
        RecvBatch {
            bytes: vec![0; Self::CAPACITY * Self::PACKET_BYTES],
            controls: vec![ControlBuffer::new(); Self::CAPACITY],
            accepted: Vec::with_capacity(Self::CAPACITY),
            skipped: SkipCounters::default(),
        }
    }

    /// The good packets of the last receive call in order of arrival, each as what IP said of it
    /// and the RSVP message without the IP header.
    pub fn iter(&self) -> impl Iterator<Item = (PacketMeta, &[u8])> {
        self.accepted
            .iter()
            .map(|(meta, range)| (*meta, self.bytes.get(range.clone()).unwrap_or_default()))
    }

    /// Counters of the packets that `iter` never showed.
    #[must_use]
    pub fn skipped(&self) -> &SkipCounters {
        &self.skipped
    }

    /// Takes up to [`RecvBatch::CAPACITY`] packets off the socket; see `RawSocket::recv_batch`.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.accepted.clear();
        // SAFETY: iovec and mmsghdr are plain C data; all zeros (null pointers, zero lengths) is a
        // valid value of either.
        let (mut vectors, mut headers) = unsafe {
            (
                std::mem::zeroed::<[libc::iovec; RecvBatch::CAPACITY]>(),
                std::mem::zeroed::<[libc::mmsghdr; RecvBatch::CAPACITY]>(),
            )
        };
        let places = self.bytes.chunks_exact_mut(Self::PACKET_BYTES).zip(&mut self.controls);
        for ((header, vector), (place, control)) in headers.iter_mut().zip(&mut vectors).zip(places)
        {
            vector.iov_base = place.as_mut_ptr().cast();
            vector.iov_len = place.len();
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = ControlBuffer::capacity();
        }
        let received = receive_many(socket, &mut headers)?;
        for (index, header) in headers.iter().take(received).enumerate() {
            match self.examine(index, header) {
                Ok(packet) => self.accepted.push(packet),
                Err(reason) => self.skipped.add(reason),
            }
        }
        Ok(received)
    }

    /// Reads what the kernel wrote for the packet at this place.
    fn examine(
        &self,
        index: usize,
        header: &libc::mmsghdr,
    ) -> Result<(PacketMeta, Range<usize>), Skip> {
        if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
            return Err(Skip::OverLong);
        }
        let interface = self
            .controls
            .get(index)
            .and_then(|control| control.received_interface(header.msg_hdr.msg_controllen))
            .ok_or(Skip::NoInterface)?;
        let start = index * Self::PACKET_BYTES;
        let length = usize::try_from(header.msg_len).map_err(|_| Skip::OverLong)?;
        let packet = self.bytes.get(start..start + length).ok_or(Skip::OverLong)?;
        let (meta, range) = ipv4::parse(packet, interface)?;
        Ok((meta, start + range.start..start + range.end))
    }
}

/// recvmmsg(2), again if a signal came between; at least one message or an error.
fn receive_many(socket: BorrowedFd<'_>, headers: &mut [libc::mmsghdr]) -> io::Result<usize> {
    let count = libc::c_uint::try_from(headers.len()).map_err(io::Error::other)?;
    loop {
        // SAFETY: `headers` holds `count` entries whose iovec and control pointers lead, with the
        // right lengths, to buffers that the caller borrows mutably for longer than this call; the
        // name pointers are null. A null timeout is allowed.
        let result = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                count,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        if let Ok(received) = usize::try_from(result) {
            return Ok(received);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
