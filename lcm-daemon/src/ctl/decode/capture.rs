//! Capture files: pcap (draft-ietf-opsawg-pcap) and pcapng (draft-ietf-opsawg-pcapng), read as a
//! stream, one record in memory at a time.

use std::fmt;
use std::io::{self, Read};

use pcap_parser::pcapng::{Block, EnhancedPacketBlock, InterfaceDescriptionBlock};
use pcap_parser::{PcapHeader, parse_block_be, parse_block_le, parse_pcap_header};

/// The longest record or block that is believed. Longer ones mean a damaged file, since captures
/// are cut at 256 KiB a packet.
const RECORD_MAX: usize = 16 << 20;
/// The most interfaces of one section that are believed.
const INTERFACES_MAX: usize = 65_536;
const PCAP_HEADER_LEN: usize = 24;
const PCAPNG_SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const NANOSECONDS_PER_SECOND: i128 = 1_000_000_000;

/// One captured frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    /// Its number in the file, from 1, as other tools count.
    pub(super) number: u64,
    /// When it was captured, in nanoseconds since the Unix epoch, if the file says.
    pub(super) time_ns: Option<i128>,
    /// The link type, as <https://www.tcpdump.org/linktypes.html> numbers them.
    pub(super) link_type: u32,
    /// The capture's interface, 0 in a pcap file.
    pub(super) interface: u32,
    /// What was captured.
    pub(super) data: &'a [u8],
    /// Whether the frame was longer than what was captured.
    pub(super) cut: bool,
}

/// Why a capture cannot be read, or not to its end.
#[derive(Debug)]
pub(crate) enum CaptureError {
    /// The file cannot be opened or read.
    Io(io::Error),
    /// The first bytes are those of no capture.
    NotACapture([u8; 4]),
    /// The file ends within its header.
    NoHeader {
        /// Bytes that there are.
        length: u64,
    },
    /// The file ends within a record.
    Truncated {
        /// Whole frames before.
        frames: u64,
        /// Where the record begins, in bytes.
        offset: u64,
        /// Bytes that the record says it has; none where its own header is not whole.
        wanted: Option<u64>,
        /// Bytes of it that there are.
        there: u64,
    },
    /// A record or block says what cannot be.
    Damaged {
        /// Whole frames before.
        frames: u64,
        /// Where the record begins, in bytes.
        offset: u64,
        /// What is wrong.
        fault: String,
    },
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot be read: {error}"),
            Self::NotACapture([0x1f, 0x8b, ..]) => {
                f.write_str("is compressed with gzip; pass what `gunzip -c` makes of it")
            }
            Self::NotACapture([0x28, 0xb5, 0x2f, 0xfd]) => {
                f.write_str("is compressed with zstd; pass what `zstd -dc` makes of it")
            }
            Self::NotACapture(first) => {
                let bytes = first.map(|byte| format!("{byte:02x}")).join(" ");
                write!(f, "is neither a pcap nor a pcapng capture: it begins with {bytes}")
            }
            Self::NoHeader { length } => {
                write!(f, "is no whole capture: it ends after {length} bytes, within its header")
            }
            Self::Truncated { frames, offset, wanted, there } => {
                write!(
                    f,
                    "is cut off: {frames} whole frames were read, the record at byte {offset} has "
                )?;
                match wanted {
                    Some(wanted) => write!(f, "{there} of its {wanted} bytes"),
                    None => write!(f, "{there} bytes, too few for a record's header"),
                }
            }
            Self::Damaged { frames, offset, fault } => write!(
                f,
                "is damaged: {frames} whole frames were read, the record at byte {offset} {fault}"
            ),
        }
    }
}

impl std::error::Error for CaptureError {}

impl From<io::Error> for CaptureError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What an interface of a pcapng section says about its packets.
#[derive(Debug, Clone, Copy)]
struct Interface {
    link_type: u32,
    /// Where packets were cut, 0 for nowhere.
    snaplen: u32,
    /// Time units in a second.
    resolution: u128,
    /// Added to every time, in seconds.
    offset_s: i128,
}

#[derive(Debug)]
enum Format {
    Pcap { header: PcapHeader },
    PcapNg { big_endian: bool, interfaces: Vec<Interface> },
}

/// A capture being read.
#[derive(Debug)]
pub(super) struct Capture<R> {
    input: R,
    format: Format,
    /// The record being looked at, header included.
    record: Vec<u8>,
    /// Where that record begins.
    offset: u64,
    /// Frames read so far.
    frames: u64,
}

impl<R: Read> Capture<R> {
    /// Reads the file's header.
    ///
    /// # Errors
    /// The input cannot be read or is no capture.
    pub(super) fn open(mut input: R) -> Result<Self, CaptureError> {
        let mut record = Vec::new();
        let length = append(&mut input, &mut record, 4)?;
        let Some(&first) = record.first_chunk::<4>() else {
            return Err(CaptureError::NoHeader { length: length as u64 });
        };
        if first == PCAPNG_SECTION {
            let format = Format::PcapNg { big_endian: false, interfaces: Vec::new() };
            return Ok(Self { input, format, record, offset: 0, frames: 0 });
        }
        let rest = append(&mut input, &mut record, PCAP_HEADER_LEN - 4)?;
        if let Ok((_, header)) = parse_pcap_header(&record) {
            let format = Format::Pcap { header };
            let offset = PCAP_HEADER_LEN as u64;
            return Ok(Self { input, format, record: Vec::new(), offset, frames: 0 });
        }
        let magic = [0xa1b2_c3d4, 0xa1b2_3c4d, 0xa1b2_cd34, 0xd4c3_b2a1, 0x4d3c_b2a1_u32];
        if rest < PCAP_HEADER_LEN - 4 && magic.contains(&u32::from_le_bytes(first)) {
            return Err(CaptureError::NoHeader { length: (4 + rest) as u64 });
        }
        Err(CaptureError::NotACapture(first))
    }

    /// The next frame; none at the end of the file.
    ///
    /// # Errors
    /// The file ends within a record, or a record is damaged.
    pub(super) fn next(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        match self.format {
            Format::Pcap { .. } => self.next_record(),
            Format::PcapNg { .. } => self.next_packet_block(),
        }
    }

    fn damaged(&self, fault: impl Into<String>) -> CaptureError {
        CaptureError::Damaged { frames: self.frames, offset: self.offset, fault: fault.into() }
    }

    /// Reads on until the record has `length` bytes. False if there was not a single byte.
    fn fill(&mut self, length: usize, declared: bool) -> Result<bool, CaptureError> {
        if let Some(missing) = length.checked_sub(self.record.len()) {
            append(&mut self.input, &mut self.record, missing)?;
        }
        if self.record.len() >= length {
            return Ok(true);
        }
        if self.record.is_empty() {
            return Ok(false);
        }
        Err(CaptureError::Truncated {
            frames: self.frames,
            offset: self.offset,
            wanted: declared.then_some(length as u64),
            there: self.record.len() as u64,
        })
    }

    /// The length that a record says it has, if it can be believed.
    fn believe(&self, length: u64) -> Result<usize, CaptureError> {
        match usize::try_from(length) {
            Ok(length) if length <= RECORD_MAX => Ok(length),
            _ => Err(self.damaged(format!(
                "says that it has {length} bytes; more than {RECORD_MAX} are not believed"
            ))),
        }
    }

    fn next_record(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        let Format::Pcap { header } = &self.format else { return Ok(None) };
        let (big_endian, nanoseconds) = (header.is_bigendian(), header.is_nanosecond_precision());
        // The upper bits say how long the frame check sequence is, if there is one.
        let link_type = header.network.0.cast_unsigned() & 0xffff;
        let header_len = if header.is_modified_format() { 24 } else { 16 };
        self.offset += self.record.len() as u64;
        self.record.clear();
        if !self.fill(header_len, false)? {
            return Ok(None);
        }
        let word = |at| word(&self.record, at, big_endian);
        let (seconds, fraction, captured, original) = (word(0), word(4), word(8), word(12));
        let length = self.believe(u64::from(captured) + header_len as u64)?;
        self.fill(length, true)?;
        self.frames += 1;
        let unit = if nanoseconds { 1 } else { 1000 };
        Ok(Some(Frame {
            number: self.frames,
            time_ns: Some(
                i128::from(seconds) * NANOSECONDS_PER_SECOND + i128::from(fraction) * unit,
            ),
            link_type,
            interface: 0,
            data: self.record.get(header_len..).unwrap_or_default(),
            cut: captured < original,
        }))
    }

    /// Reads blocks up to one that holds a packet.
    fn next_packet_block(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        loop {
            if !self.next_block()? {
                return Ok(None);
            }
            let kind = self.record.first_chunk::<4>().copied().unwrap_or_default();
            let Format::PcapNg { big_endian, interfaces } = &mut self.format else {
                return Ok(None);
            };
            let parsed = if *big_endian {
                parse_block_be(&self.record)
            } else {
                parse_block_le(&self.record)
            };
            let Ok((_, block)) = parsed else {
                return Err(self.damaged(format!("is malformed: type {kind:02x?}")));
            };
            match block {
                Block::SectionHeader(_) => interfaces.clear(),
                Block::InterfaceDescription(_) if interfaces.len() >= INTERFACES_MAX => {
                    return Err(self.damaged("describes one interface too many"));
                }
                Block::InterfaceDescription(description) => {
                    interfaces.push(interface(&description, *big_endian));
                }
                Block::EnhancedPacket(_) | Block::SimplePacket(_) => break,
                _ => {}
            }
        }
        self.packet().map(Some)
    }

    /// Brings the next block into the buffer; false at the end of the file.
    fn next_block(&mut self) -> Result<bool, CaptureError> {
        // Only before the first block the buffer holds what has not been looked at yet.
        if self.record.len() > 4 {
            self.offset += self.record.len() as u64;
            self.record.clear();
        }
        if !self.fill(8, false)? {
            return Ok(false);
        }
        if self.record.starts_with(&PCAPNG_SECTION) {
            self.fill(12, false)?;
            let is_big = match self.record.get(8..12) {
                Some([0x1a, 0x2b, 0x3c, 0x4d]) => true,
                Some([0x4d, 0x3c, 0x2b, 0x1a]) => false,
                _ => return Err(self.damaged("begins a section without a byte-order magic")),
            };
            if let Format::PcapNg { big_endian, .. } = &mut self.format {
                *big_endian = is_big;
            }
        }
        let big_endian = matches!(self.format, Format::PcapNg { big_endian: true, .. });
        let length = word(&self.record, 4, big_endian);
        if length < 12 || !length.is_multiple_of(4) {
            return Err(self.damaged(format!("is a block of {length} bytes, which cannot be")));
        }
        let length = self.believe(length.into())?;
        self.fill(length, true)
    }

    /// The frame of the packet block in the buffer.
    fn packet(&mut self) -> Result<Frame<'_>, CaptureError> {
        let Format::PcapNg { big_endian, interfaces } = &self.format else {
            return Err(self.damaged("is no block"));
        };
        // Cheap: an enhanced packet's options are the only thing that is copied.
        let parsed =
            if *big_endian { parse_block_be(&self.record) } else { parse_block_le(&self.record) };
        let unknown = |id| self.damaged(format!("names interface {id}, which is not described"));
        let (id, data, original, time_ns) = match parsed {
            Ok((_, Block::EnhancedPacket(packet))) => {
                let interface = interfaces.get(packet.if_id as usize);
                let interface = interface.ok_or_else(|| unknown(packet.if_id))?;
                let data = packet.data.get(..packet.caplen as usize).unwrap_or(packet.data);
                (packet.if_id, data, packet.origlen, Some(time(&packet, interface)))
            }
            Ok((_, Block::SimplePacket(packet))) => {
                let interface = interfaces.first().ok_or_else(|| unknown(0))?;
                let limit = if interface.snaplen == 0 { u32::MAX } else { interface.snaplen };
                let captured = packet.origlen.min(limit) as usize;
                let data = packet.data.get(..captured).unwrap_or(packet.data);
                (0, data, packet.origlen, None)
            }
            _ => return Err(self.damaged("holds no packet")),
        };
        let link_type = interfaces.get(id as usize).map_or(u32::MAX, |known| known.link_type);
        let number = self.frames + 1;
        let cut = data.len() < original as usize;
        self.frames = number;
        Ok(Frame { number, time_ns, link_type, interface: id, data, cut })
    }
}

/// Appends up to `count` bytes; fewer at the end of the input only.
fn append(input: &mut impl Read, to: &mut Vec<u8>, count: usize) -> io::Result<usize> {
    input.by_ref().take(count as u64).read_to_end(to)
}

fn word(record: &[u8], at: usize, big_endian: bool) -> u32 {
    let bytes = record.get(at..).and_then(<[u8]>::first_chunk::<4>).copied().unwrap_or_default();
    if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
}

fn interface(description: &InterfaceDescriptionBlock<'_>, big_endian: bool) -> Interface {
    let exponent = u32::from(description.if_tsresol & 0x7f);
    let base: u128 = if description.if_tsresol & 0x80 != 0 { 2 } else { 10 };
    // The parser reads this option as little-endian whatever the section is.
    let offset = description.if_tsoffset;
    let offset = if big_endian { offset.swap_bytes() } else { offset };
    Interface {
        link_type: description.linktype.0.cast_unsigned() & 0xffff,
        snaplen: description.snaplen,
        resolution: base.checked_pow(exponent).unwrap_or(u128::MAX),
        offset_s: offset.into(),
    }
}

/// When a packet was captured, in nanoseconds since the Unix epoch.
fn time(packet: &EnhancedPacketBlock<'_>, interface: &Interface) -> i128 {
    let ticks = u128::from(packet.ts_high) << 32 | u128::from(packet.ts_low);
    // 64 bits times 10^9 fit into 94 bits.
    let ns = ticks * NANOSECONDS_PER_SECOND.unsigned_abs() / interface.resolution;
    ns.cast_signed() + interface.offset_s * NANOSECONDS_PER_SECOND
}
