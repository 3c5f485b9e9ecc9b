//! Charging elements for people.

use core::fmt;

use crate::charging::{ChargingFlags, ChgErr, Dcpe, Terms, Ucpe};

impl fmt::Display for Dcpe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { currency, service, total, max_total, validity_ms, epoch, .. } = self;
        write!(
            f,
            "total {total} max {max_total} currency {currency} service {service} \
             validity {validity_ms} ms epoch {epoch}{}{}",
            self.flags, self.terms
        )
    }
}

impl fmt::Display for Ucpe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { payment, announced_total, sender_payment, local_sum, .. } = self;
        let Self { epoch_echo, sequence, instance, .. } = self;
        write!(
            f,
            "payment {payment} A {announced_total} sender payment {sender_payment} B {local_sum} \
             currency {} service {} epoch {epoch_echo} sequence {sequence} instance {instance} \
             account {}{}{}",
            self.currency, self.service, self.account, self.flags, self.terms
        )
    }
}

impl fmt::Display for ChgErr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, currency, required, offered, epoch, sequence, .. } = self;
        write!(
            f,
            "reason {reason:#06x} required {required} offered {offered} currency {currency} \
             epoch {epoch} sequence {sequence}{}",
            self.terms
        )
    }
}

impl fmt::Display for ChargingFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.contains(Self::NON_CHARGING_HOP) {
            f.write_str(" non-charging hop")
        } else {
            Ok(())
        }
    }
}

/// Each TLV that is there, with a space in front.
impl fmt::Display for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let small = [
            ("sender fraction ppm", self.sender_fraction.map(u64::from)),
            ("limit per receiver", self.limit_per_receiver),
            ("limit per hop", self.limit_per_hop),
            ("max hops", self.max_hops.map(u64::from)),
            ("sponsored", self.sponsored),
            ("quantity bit/s", self.quantity),
            ("receivers below", self.receivers_below.map(u64::from)),
            ("established", self.established.map(u64::from)),
        ];
        for (name, value) in small {
            if let Some(value) = value {
                write!(f, " {name} {value}")?;
            }
        }
        if let Some(account) = &self.account {
            write!(f, " account {account}")?;
        }
        if let Some(refund) = &self.refund {
            write!(
                f,
                " refund {} threshold {} ms",
                refund.policy.name(),
                u32::from(refund.threshold) * 100
            )?;
        }
        for record in self.hop_records() {
            write!(f, " hop {} price {}", record.address, record.local_price)?;
        }
        for point in self.price_curve() {
            write!(f, " curve {} bit/s {}", point.bits_per_s, point.rate)?;
        }
        for it in self.refunded() {
            write!(f, " refunded {} for {} ms", it.amount, it.time_ms)?;
        }
        for tlv in self.unknown_tlvs() {
            write!(f, " TLV {} ({} bytes)", tlv.kind, tlv.value.len())?;
        }
        Ok(())
    }
}
