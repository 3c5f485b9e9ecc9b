//! Captures as files: the classic pcap format with nanoseconds
//! (draft-ietf-opsawg-pcap, sections 4 and 5).

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Marks nanosecond time stamps; its byte order is that of the whole file.
const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
/// Format version 2.4.
const VERSION: (u16, u16) = (2, 4);
/// Longest packet that a record holds, in bytes.
const SNAP_LENGTH: u32 = 262_144;
/// LINKTYPE_ETHERNET.
const LINK_TYPE: u32 = 1;
const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;

/// A capture file of Ethernet frames that is being written.
#[derive(Debug)]
pub(crate) struct PcapWriter<W: Write> {
    out: W,
}

impl PcapWriter<BufWriter<File>> {
    /// Creates the file, or empties the one that is there.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        PcapWriter::new(BufWriter::new(File::create(path)?))
    }
}

impl<W: Write> PcapWriter<W> {
    /// Writes the file header.
    pub(crate) fn new(mut out: W) -> io::Result<Self> {
        let mut header = [0; 24];
        let mut rest = header.as_mut_slice();
        rest.write_all(&MAGIC_NANOSECONDS.to_ne_bytes())?;
        rest.write_all(&VERSION.0.to_ne_bytes())?;
        rest.write_all(&VERSION.1.to_ne_bytes())?;
        rest.write_all(&[0; 8])?; // time zone and accuracy, always 0
        rest.write_all(&SNAP_LENGTH.to_ne_bytes())?;
        rest.write_all(&LINK_TYPE.to_ne_bytes())?;
        out.write_all(&header)?;
        Ok(PcapWriter { out })
    }

    /// Appends one frame; `timestamp_ns` counts from the Unix epoch.
    pub(crate) fn write(&mut self, timestamp_ns: u64, frame: &[u8]) -> io::Result<()> {
        let too_large = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let seconds = u32::try_from(timestamp_ns / NANOSECONDS_PER_SECOND).map_err(too_large)?;
        let nanoseconds =
            u32::try_from(timestamp_ns % NANOSECONDS_PER_SECOND).map_err(too_large)?;
        let length = u32::try_from(frame.len()).map_err(too_large)?;
        for field in [seconds, nanoseconds, length, length] {
            self.out.write_all(&field.to_ne_bytes())?;
        }
        self.out.write_all(frame)
    }

    /// Brings everything to the file.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_and_record_are_laid_out_as_specified() {
        let mut bytes = Vec::new();
        let mut writer = PcapWriter::new(&mut bytes).unwrap();
        writer.write(1_700_000_000_000_000_007, &[1, 2, 3]).unwrap();
        let words = |range: std::ops::Range<usize>| -> Vec<u32> {
            bytes[range]
                .chunks(4)
                .map(|word| u32::from_ne_bytes(word.try_into().unwrap()))
                .collect()
        };
        assert_eq!(words(0..4), [0xa1b2_3c4d]);
        assert_eq!(bytes[4..8], [2u16.to_ne_bytes(), 4u16.to_ne_bytes()].concat());
        assert_eq!(words(8..24), [0, 0, 262_144, 1]);
        assert_eq!(words(24..40), [1_700_000_000, 7, 3, 3]);
        assert_eq!(bytes[40..], [1, 2, 3]);
    }
}
