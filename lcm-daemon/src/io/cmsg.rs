//! Control messages of `sendmsg` and `recvmsg`, as plain bytes in the kernel's layout.
//!
//! One control message is `{ usize length; i32 level; i32 type; data }`, padded to the size of a
//! `usize`; the length counts the header and the data but not the padding (cmsg(3)).

use std::net::Ipv4Addr;

/// Octets of `struct cmsghdr`.
const HEADER: usize = size_of::<usize>() + 8;

/// Octets of one control buffer: room for the packet information, the TTL and the IP options of a
/// sent message.
const CAPACITY: usize = 96;

/// A buffer for the control messages of one packet, aligned as the kernel wants it.
#[derive(Debug, Clone)]
#[repr(C, align(8))]
pub(super) struct ControlBuffer {
    bytes: [u8; CAPACITY],
    used: usize,
}

impl ControlBuffer {
    /// An empty buffer.
    pub(super) const fn new() -> ControlBuffer {
        ControlBuffer { bytes: [0; CAPACITY], used: 0 }
    }

    /// Octets that a receive call may write.
    pub(super) const fn capacity() -> usize {
        CAPACITY
    }

    /// The whole buffer, for a receive call to write to.
    pub(super) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr()
    }

    /// What was written by [`ControlBuffer::push`].
    pub(super) fn written(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }

    /// Forgets what was written.
    pub(super) fn clear(&mut self) {
        self.used = 0;
    }

    /// Appends one control message; false if there is no room.
    fn push(&mut self, level: i32, kind: i32, data: &[u8]) -> bool {
        let length = HEADER + data.len();
        let end = self.used + length.next_multiple_of(size_of::<usize>());
        let Some(place) = self.bytes.get_mut(self.used..end) else { return false };
        let (header, body) = place.split_at_mut(HEADER);
        let (length_field, kind_fields) = header.split_at_mut(size_of::<usize>());
        length_field.copy_from_slice(&length.to_ne_bytes());
        let (level_field, type_field) = kind_fields.split_at_mut(4);
        level_field.copy_from_slice(&level.to_ne_bytes());
        type_field.copy_from_slice(&kind.to_ne_bytes());
        if let Some(target) = body.get_mut(..data.len()) {
            target.copy_from_slice(data);
        }
        self.used = end;
        true
    }

    /// `IP_PKTINFO` of a message to send: the interface to leave by (0 for any) and the source
    /// address (unspecified for the kernel's choice).
    pub(super) fn push_packet_info(&mut self, interface: u32, source: Ipv4Addr) -> bool {
        let [i0, i1, i2, i3] = interface.to_ne_bytes();
        let [s0, s1, s2, s3] = source.octets();
        let data = [i0, i1, i2, i3, s0, s1, s2, s3, 0, 0, 0, 0];
        self.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &data)
    }

    /// `IP_TTL` of a message to send.
    pub(super) fn push_ttl(&mut self, ttl: u8) -> bool {
        self.push(libc::IPPROTO_IP, libc::IP_TTL, &i32::from(ttl).to_ne_bytes())
    }

    /// `IP_RETOPTS` of a message to send: the IP options.
    pub(super) fn push_options(&mut self, options: &[u8]) -> bool {
        self.push(libc::IPPROTO_IP, libc::IP_RETOPTS, options)
    }

    /// The interface on which a received packet came in, from its `IP_PKTINFO`; `length` octets of
    /// the buffer were written by the kernel.
    ///
    /// The address in `ipi_spec_dst` is passed over on purpose: it is our address towards the
    /// packet's source, which under asymmetric routing is not that of the incoming interface.
    pub(super) fn received_interface(&self, length: usize) -> Option<u32> {
        let mut rest = self.bytes.get(..length)?;
        loop {
            let (size, after_size) = rest.split_first_chunk()?;
            let (level, after_level) = after_size.split_first_chunk()?;
            let (kind, _) = after_level.split_first_chunk()?;
            let size = usize::from_ne_bytes(*size);
            let data = rest.get(HEADER..size)?;
            let level = i32::from_ne_bytes(*level);
            let kind = i32::from_ne_bytes(*kind);
            if (level, kind) == (libc::IPPROTO_IP, libc::IP_PKTINFO) {
                return data.first_chunk().map(|index| u32::from_ne_bytes(*index));
            }
            rest = rest.get(size.next_multiple_of(size_of::<usize>())..)?;
        }
    }
}
