//! What a transaction offers per gas, and how it outbids itself.

use serde::{Deserialize, Serialize};

/// The two prices of an EIP-1559 transaction, in wei per gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fees {
    /// Most that is paid in all.
    pub(crate) max_wei: u128,
    /// Most that the block's producer gets of it.
    pub(crate) tip_wei: u128,
}

impl Fees {
    /// A first offer: it stays valid while the base fee doubles, which takes at least six full
    /// blocks (EIP-1559: at most an eighth more each). `None` when even the present base fee is
    /// above `cap_wei`.
    pub(crate) fn first(base_wei: u128, tip_wei: u128, cap_wei: u128) -> Option<Self> {
        let max_wei = base_wei
            .saturating_mul(2)
            .saturating_add(tip_wei)
            .min(cap_wei);
        (max_wei >= base_wei).then_some(Self {
            max_wei,
            tip_wei: tip_wei.min(max_wei),
        })
    }

    /// An offer that replaces this one: both prices at least an eighth higher, because nodes
    /// demand a tenth (geth `txpool.pricebump`). `None` when `cap_wei` leaves no room for that.
    pub(crate) fn bumped(self, base_wei: u128, tip_wei: u128, cap_wei: u128) -> Option<Self> {
        let wanted = base_wei.saturating_mul(2).saturating_add(tip_wei);
        let max_wei = eighth_more(self.max_wei).max(wanted).min(cap_wei);
        let tip_wei = eighth_more(self.tip_wei).max(tip_wei).min(max_wei);
        (max_wei >= tenth_more(self.max_wei) && tip_wei >= tenth_more(self.tip_wei))
            .then_some(Self { max_wei, tip_wei })
    }
}

/// `wei` and an eighth of it, rounded up, and at least one more.
fn eighth_more(wei: u128) -> u128 {
    wei.saturating_add(wei.div_ceil(8).max(1))
}

/// `wei` and a tenth of it, rounded up, and at least one more: the least that nodes take.
fn tenth_more(wei: u128) -> u128 {
    wei.saturating_add(wei.div_ceil(10).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: u128 = 1_000_000;

    #[test]
    fn a_first_offer_survives_a_doubled_base_fee() {
        assert_eq!(
            Fees::first(100, 7, CAP),
            Some(Fees {
                max_wei: 207,
                tip_wei: 7
            })
        );
    }

    #[test]
    fn no_offer_is_made_above_the_cap() {
        assert_eq!(Fees::first(CAP + 1, 1, CAP), None);
        assert_eq!(
            Fees::first(CAP, 1, CAP),
            Some(Fees {
                max_wei: CAP,
                tip_wei: 1
            })
        );
    }

    #[test]
    fn a_bump_raises_both_prices_by_a_tenth_or_is_not_made() {
        let mut fees = Fees {
            max_wei: 1,
            tip_wei: 0,
        };
        let mut bumps = 0;
        while let Some(next) = fees.bumped(0, 0, CAP) {
            assert!(next.max_wei * 10 >= fees.max_wei * 11 && next.max_wei > fees.max_wei);
            assert!(next.tip_wei * 10 >= fees.tip_wei * 11 && next.tip_wei > fees.tip_wei);
            assert!(next.max_wei <= CAP && next.tip_wei <= next.max_wei);
            (fees, bumps) = (next, bumps + 1);
        }
        assert!(
            bumps < 200,
            "the number of attempts is bounded by the cap: {bumps}"
        );
        assert!(
            fees.max_wei * 11 > CAP * 10 - 11,
            "it stops only next to the cap: {fees:?}"
        );
    }

    #[test]
    fn a_bump_follows_the_base_fee_when_that_rose_more() {
        let fees = Fees {
            max_wei: 100,
            tip_wei: 10,
        };
        assert_eq!(
            fees.bumped(500, 10, CAP),
            Some(Fees {
                max_wei: 1010,
                tip_wei: 12
            })
        );
    }
}
