//! What a hop adds to an ADSPEC (RFC 2210 section 3.3, RFC 2212, RFC 2215).

use crate::iana::{parameter, service};
use crate::object::float::Float;
use crate::object::intserv::BREAK_BIT;
use crate::packet::OBJECT_HEADER_LEN;

/// What this hop's outgoing interface contributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdspecHop {
    /// Bandwidth for reservations, in bytes a second.
    pub bandwidth: Float,
    /// Latency in microseconds; `u32::MAX` if it is not known.
    pub latency_us: u32,
    /// MTU in bytes.
    pub mtu: u32,
    /// Whether the previous IP hops did not all speak RSVP (Send_TTL differs from the IP TTL).
    pub non_rsvp_hop_passed: bool,
    /// Error terms C (bytes) and D (microseconds) of the guaranteed service; none if this hop does
    /// not offer it.
    pub guaranteed: Option<(u32, u32)>,
    /// Whether this hop offers controlled-load service.
    pub controlled_load: bool,
}

/// Composes this hop's values into an ADSPEC object, header included, in place.
///
/// Lengths do not change. The fragment of a service that this hop does not offer gets its break
/// bit; so does the empty guaranteed fragment, which could only be filled in by growing the object.
/// Bytes that are no checked ADSPEC are left as they are from the first malformed block on.
pub fn update_adspec(object: &mut [u8], hop: &AdspecHop) {
    let Some((_, mut rest)) = object.split_at_mut_checked(OBJECT_HEADER_LEN + 4) else { return };
    while let Some((header, after)) = rest.split_first_chunk_mut::<4>() {
        let [number, flags, high, low] = header;
        let length = usize::from(u16::from_be_bytes([*high, *low])) * 4;
        let Some((data, next)) = after.split_at_mut_checked(length) else { return };
        let broken = match *number {
            service::GENERAL => hop.non_rsvp_hop_passed,
            service::GUARANTEED => hop.guaranteed.is_none() || data.is_empty(),
            service::CONTROLLED_LOAD => !hop.controlled_load,
            _ => true,
        };
        if broken {
            *flags |= BREAK_BIT;
        }
        update_parameters(*number, data, hop);
        rest = next;
    }
}

fn update_parameters(service: u8, mut rest: &mut [u8], hop: &AdspecHop) {
    while let Some((header, after)) = rest.split_first_chunk_mut::<4>() {
        let [number, _flags, high, low] = header;
        let length = usize::from(u16::from_be_bytes([*high, *low])) * 4;
        let Some((data, next)) = after.split_at_mut_checked(length) else { return };
        if let Ok(word) = <&mut [u8; 4]>::try_from(data) {
            let value = compose(service, *number, u32::from_be_bytes(*word), hop);
            *word = value.to_be_bytes();
        }
        rest = next;
    }
}

/// The composition function of one parameter; parameters that this hop knows nothing of stay.
fn compose(service: u8, number: u8, value: u32, hop: &AdspecHop) -> u32 {
    // A service that is not offered here keeps its values: its break bit says that they are stale.
    let offered = match service {
        service::GENERAL => true,
        service::GUARANTEED => hop.guaranteed.is_some(),
        service::CONTROLLED_LOAD => hop.controlled_load,
        _ => false,
    };
    if !offered {
        return value;
    }
    let (c, d) = hop.guaranteed.unwrap_or_default();
    match (service, number) {
        (service::GENERAL, parameter::IS_HOPS) => value.saturating_add(1),
        // The bits of non-negative singles order like their values.
        (_, parameter::PATH_BANDWIDTH) => value.min(hop.bandwidth.to_bits()),
        // RFC 2215 section 3.4: u32::MAX is "indeterminate", and a sum beyond it becomes that.
        (_, parameter::PATH_LATENCY) => value.saturating_add(hop.latency_us),
        (_, parameter::PATH_MTU) => value.min(hop.mtu),
        (service::GUARANTEED, parameter::C_TOT | parameter::C_SUM) => value.saturating_add(c),
        (service::GUARANTEED, parameter::D_TOT | parameter::D_SUM) => value.saturating_add(d),
        _ => value,
    }
}
