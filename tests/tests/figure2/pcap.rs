//! Reads capture files (draft-ietf-opsawg-pcap sections 4 and 5) of Ethernet frames with RSVP.

use crate::support::wire::{Message, u32_at};

/// All RSVP messages of a file, in its order; the error says where it is not a capture file.
pub(crate) fn messages(file: &[u8]) -> Result<Vec<Message>, String> {
    // Little-endian or big-endian, with nanoseconds.
    let swap = match file.get(..4) {
        Some([0x4d, 0x3c, 0xb2, 0xa1]) => true,
        Some([0xa1, 0xb2, 0x3c, 0x4d]) => false,
        other => return Err(format!("magic number {other:02x?}")),
    };
    let word = |at: usize| {
        let word = u32_at(file, at).ok_or_else(|| format!("it ends at {}", file.len()))?;
        Ok::<u32, String>(if swap { word.swap_bytes() } else { word })
    };
    let version = if swap { [2, 0, 4, 0] } else { [0, 2, 0, 4] };
    if file.get(4..8) != Some(&version) || word(20)? != 1 {
        return Err("not version 2.4 with Ethernet frames".to_owned());
    }
    let mut messages = Vec::new();
    let mut at = 24;
    let mut last = (0, 0);
    while at < file.len() {
        let time = (word(at)?, word(at + 4)?);
        if time < last || time.1 >= 1_000_000_000 {
            return Err(format!("time {time:?} at {at} after {last:?}"));
        }
        last = time;
        let (captured, length) = (word(at + 8)?, word(at + 12)?);
        let start = at + 16;
        let end = start + captured as usize;
        let frame = file.get(start..end).ok_or("the last record is cut")?;
        if captured != length {
            return Err(format!("{captured} of {length} octets at {at}"));
        }
        messages.push(message(frame).ok_or_else(|| format!("no RSVP message at {at}"))?);
        at = end;
    }
    Ok(messages)
}

/// The RSVP message in IPv4 in Ethernet.
fn message(frame: &[u8]) -> Option<Message> {
    let packet = frame.get(14..)?;
    if frame.get(12..14)? != [0x08, 0x00] || packet.get(9)? != &46 {
        return None;
    }
    let header = usize::from(packet.first()? & 15) * 4;
    let total = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
    Message::parse(packet.get(header..total)?)
}
