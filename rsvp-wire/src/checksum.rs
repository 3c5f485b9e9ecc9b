//! The Internet checksum over an RSVP message (RFC 2205 section 3.1.1, RFC 1071).

/// The 16-bit one's complement of the one's complement sum of `bytes`.
///
/// Over a message that carries a right checksum the result is 0; over a message whose checksum
/// field is 0 the result is what belongs into that field (see [`for_header`]).
///
/// ```
/// // The example of RFC 1071 section 3.
/// assert_eq!(rsvp_wire::checksum::of(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
/// ```
#[must_use]
pub fn of(bytes: &[u8]) -> u16 {
    // One's complement addition is associative over any word size that is a multiple of 16 bits,
    // so 32-bit words are summed into 64 bits and folded once at the end. A message has at most
    // 65,535 bytes; the sum cannot overflow before 2^32 words.
    let (words, rest) = bytes.as_chunks::<4>();
    let mut sum = 0_u64;
    for word in words {
        sum += u64::from(u32::from_be_bytes(*word));
    }
    let mut last = [0; 4];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    fold(sum + u64::from(u32::from_be_bytes(last)))
}

/// What the checksum field has to hold for a message whose checksum field is 0 at present.
///
/// A computed 0 is sent as 0xffff, since 0 means that no checksum was transmitted.
#[must_use]
pub fn for_header(bytes: &[u8]) -> u16 {
    match of(bytes) {
        0 => 0xffff,
        sum => sum,
    }
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    // `sum` is at most 0xffff here, so the conversion keeps every bit.
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::of;

    /// The definition, word by word.
    fn slow(bytes: &[u8]) -> u16 {
        let mut sum = 0_u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn agrees_with_the_definition_at_every_length() {
        let bytes: std::vec::Vec<u8> = (0..600_u32).map(|i| (i * 167 + 251) as u8).collect();
        for end in 0..bytes.len() {
            assert_eq!(of(&bytes[..end]), slow(&bytes[..end]), "length {end}");
        }
        assert_eq!(of(&[0xff; 400]), slow(&[0xff; 400]));
    }
}
