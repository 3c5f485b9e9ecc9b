//! The equations of the model, one function each.
//!
//! Notation: i previous hop, j this hop, k any next hop; C total charge, c the part of C_j that
//! one branch carries, L local price, r the sender's fraction, S the sponsored amount, RP receiver
//! payment (flows upstream), SP sender payment (flows downstream), X the sender's local take, E
//! earnings. The paper's section 3.2 is the case S = r·C; its formulas hold for any S with S_0 = 0:
//!
//! E_j = Σ(C_k − S_k) + ΣS_k − S_j − (C_j − S_j) = ΣC_k − C_j = ΣL.

use crate::money::{Overflow, Ppm, Rate};

/// C_k = c_{j,k} + L_{j,k} (paper 3.2, 3.4).
pub fn total_charge(carried: Rate, local: Rate) -> Result<Rate, Overflow> {
    carried.plus(local, "C_k = c + L")
}

/// M_k = M_j + Lmax_{j,k}: the unicast worst case (paper 3.4).
pub fn max_total_charge(max_upstream: Rate, max_local: Rate) -> Result<Rate, Overflow> {
    max_upstream.plus(max_local, "M_k = M_j + Lmax")
}

/// S_k = ⌈r·C_k⌉: the sender absorbs the remainder, so that a receiver never pays above the exact
/// (1−r)·C_k.
pub fn sponsored(fraction: Ppm, total: Rate) -> Rate {
    fraction.ceil_of(total)
}

/// RP_{k,j} = C_k − S_k, the claim on the next hop; (1−r)·C_k in the paper (3.2, 3.3).
pub fn receiver_payment(total: Rate, sponsored: Rate) -> Result<Rate, Overflow> {
    total.minus(sponsored, "RP = C − S")
}

/// X_j = ΣS_k − S_j, the part of the sender's payment that this hop takes for itself; always by
/// difference, never r·L. A negative take is an error.
pub fn sender_take(sponsored_below: u128, sponsored_here: Rate) -> Result<Rate, Overflow> {
    let take = sponsored_below.checked_sub(sponsored_here.wide());
    take.ok_or(Overflow::new("X_j = ΣS_k − S_j"))
        .and_then(|x| Rate::from_wide(x, "X_j = ΣS_k − S_j"))
}

/// SP_{i,j} = ΣSP_{j,k} + X_j (paper 3.2: ΣSP + r·ΣL).
pub fn sender_payment(below: u128, take: Rate) -> Result<Rate, Overflow> {
    let sum = below.checked_add(take.wide()).ok_or(Overflow::new("SP = ΣSP_k + X_j"))?;
    Rate::from_wide(sum, "SP = ΣSP_k + X_j")
}

/// E_j = ΣRP_{k,j} + SP_{i,j} − ΣSP_{j,k} − RP_{j,i} (paper 3.2).
pub fn earnings(
    rp_received: u128,
    sp_received: Rate,
    sp_paid: u128,
    rp_paid: Rate,
) -> Result<i128, Overflow> {
    let fault = Overflow::new("E_j");
    let credit = rp_received.checked_add(sp_received.wide()).ok_or(fault)?;
    let debit = sp_paid.checked_add(rp_paid.wide()).ok_or(fault)?;
    let credit = i128::try_from(credit).map_err(|_| fault)?;
    let debit = i128::try_from(debit).map_err(|_| fault)?;
    credit.checked_sub(debit).ok_or(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r050_total_charge_is_share_plus_local_price() {
        assert_eq!(total_charge(Rate(50), Rate(40)), Ok(Rate(90)));
        let too_much = total_charge(Rate::MAX, Rate(1)).unwrap_err();
        assert_eq!(too_much.operation, "C_k = c + L");
    }

    #[test]
    fn r053_receiver_payment_is_total_less_sponsored() {
        let thirty = Ppm::new(300_000).unwrap();
        for (total, rp) in [(90, 63), (110, 77), (160, 112), (100, 70), (0, 0)] {
            let s = sponsored(thirty, Rate(total));
            assert_eq!(receiver_payment(Rate(total), s), Ok(Rate(rp)));
        }
        assert!(receiver_payment(Rate(1), Rate(2)).is_err());
    }

    #[test]
    fn the_sender_absorbs_the_remainder() {
        let third = Ppm::new(333_333).unwrap();
        assert_eq!(sponsored(third, Rate(10)), Rate(4));
        assert_eq!(sponsored(Ppm::ONE, Rate::MAX), Rate::MAX);
        assert_eq!(sponsored(Ppm::ZERO, Rate::MAX), Rate::ZERO);
        assert!(Ppm::new(1_000_001).is_err());
    }

    #[test]
    fn r054_sender_payment_adds_the_take_by_difference() {
        // IS2 of the figure: S_k are 33 and 27, S_j is 30, IS3 reports 15.
        let take = sender_take(60, Rate(30)).unwrap();
        assert_eq!(sender_payment(15, take), Ok(Rate(45)));
        assert!(sender_take(29, Rate(30)).is_err());
        assert!(sender_payment(u128::from(u64::MAX), Rate(1)).is_err());
    }

    #[test]
    fn r055_earnings_are_the_local_prices() {
        // IS2: receives 63 + 77 and 45, pays 15 and 70.
        assert_eq!(earnings(140, Rate(45), 15, Rate(70)), Ok(100));
        assert_eq!(earnings(0, Rate::ZERO, 0, Rate::MAX), Ok(-i128::from(u64::MAX)));
    }
}
