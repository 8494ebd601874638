//! Money: rounded as the specification says, and equal to unbounded arithmetic wherever it fits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod market;

use alloy_primitives::{U256, U512};
use market::offer;
use outcry_protocol::deal::{audit_fee, audit_rate, packed_resources};
use outcry_protocol::money::{self, MoneyError, Tariff};
use outcry_protocol::types::{Bid, Deal, Offer, Resources};
use proptest::prelude::*;

const E18: u128 = 1_000_000_000_000_000_000;

/// Numbers of every magnitude up to `bits`.
fn magnitude(bits: u32) -> impl Strategy<Value = u128> {
    (any::<u128>(), 128 - bits..=128).prop_map(|(n, shift)| n.checked_shr(shift).unwrap_or(0))
}

fn wide(n: impl TryInto<u128>) -> U512 {
    U512::from(n.try_into().ok().unwrap())
}

fn ceil_div(a: U512, b: U512) -> U512 {
    (a + b - U512::from(1)) / b
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn unit_prices_are_the_exact_sum(
        prices in proptest::array::uniform5(magnitude(128)),
        amounts in proptest::array::uniform3(any::<u32>()), gpus in any::<u16>(),
    ) {
        let [cycle, memory, disk, gpu, egress] = prices;
        let priced = Offer {
            cyclePrice: cycle, memoryPrice: memory, diskPrice: disk, gpuPrice: gpu, egressPrice: egress, ..offer()
        };
        let [memory_mib, disk_mib, egress_mib] = amounts;
        let reserved = Resources {
            memoryMib: memory_mib, diskMib: disk_mib, gpuClass: 0, gpuCount: gpus, egressMib: egress_mib,
        };
        let exact = wide(cycle)
            + wide(memory) * wide(memory_mib)
            + wide(disk) * wide(disk_mib)
            + wide(gpu) * wide(gpus)
            + wide(egress) * wide(egress_mib);
        match money::unit_price(&priced, &reserved) {
            Ok(price) => prop_assert_eq!(wide(price), exact),
            Err(error) => {
                prop_assert_eq!(error, MoneyError::UnitPrice);
                prop_assert!(exact > wide(u128::MAX));
            }
        }
    }

    #[test]
    fn a_task_costs_its_start_fee_and_its_work_rounded_up_but_never_more_than_the_cap(
        start_fee in magnitude(128), unit_price in magnitude(128), price_cap in magnitude(128), cycles in any::<u64>(),
        less in any::<u64>(),
    ) {
        let tariff = Tariff { start_fee, unit_price, price_cap };
        let exact = wide(start_fee) + ceil_div(wide(cycles) * wide(unit_price), wide(E18));
        prop_assert_eq!(wide(tariff.task_price(cycles)), exact.min(wide(price_cap)));
        prop_assert!(tariff.task_price(cycles.min(less)) <= tariff.task_price(cycles));
    }

    #[test]
    fn a_deal_never_costs_more_than_its_escrow(
        start_fee in magnitude(100), unit_price in magnitude(100), price_cap in magnitude(100),
        limit in 1u64..1 << 44, shares in proptest::collection::vec(0u64..=1000, 1..40),
    ) {
        let tariff = Tariff { start_fee, unit_price, price_cap };
        let cycles = shares.iter().map(|share| (u128::from(limit) * u128::from(*share) / 1000) as u64);
        let price = tariff.deal_price(cycles).unwrap();
        prop_assert!(price <= tariff.escrow(limit, shares.len() as u32).unwrap());
    }

    #[test]
    fn a_bid_exposes_what_its_tasks_lock_as_deals_of_their_own(
        price_cap in magnitude(128), tip in magnitude(128), audit_fee in magnitude(128), tasks in 1u32..=1 << 20,
    ) {
        let exact = (wide(price_cap) + wide(tip) + wide(tip) + wide(audit_fee)) * wide(tasks);
        match money::bid_exposure(price_cap, tasks, tip, audit_fee) {
            Ok(exposure) => prop_assert_eq!(wide(exposure), exact),
            Err(error) => {
                prop_assert_eq!(error, MoneyError::Amount);
                prop_assert!(exact > wide(u128::MAX));
            }
        }
    }

    #[test]
    fn a_deal_carries_the_audit_terms_of_its_bid_beside_what_it_reserves(
        rate in any::<u16>(), fee in magnitude(96), amounts in proptest::array::uniform3(any::<u32>()), region in any::<u8>(),
    ) {
        let [memory_mib, disk_mib, egress_mib] = amounts;
        let reserved = Resources { memoryMib: memory_mib, diskMib: disk_mib, gpuClass: 0, gpuCount: 0, egressMib: egress_mib };
        let plain = Bid { resources: reserved, ..market::bid(1) };
        let audited = Bid { auditRateBps: rate, auditFee: fee, ..plain.clone() };
        let deal = Deal { resources: packed_resources(&audited, region), ..Deal::default() };
        prop_assert_eq!((audit_rate(&deal), audit_fee(&deal)), (rate, fee));
        let low = (U256::from(1) << 136) - U256::from(1);
        prop_assert_eq!(deal.resources & low, packed_resources(&plain, region));
    }

    #[test]
    fn collateral_rounds_up_and_fees_round_down(amount in magnitude(128), bps in 0u32..1_000_000, fee_bps in 0u16..=10_000) {
        let exact = ceil_div(wide(amount) * wide(bps), wide(10_000u32));
        match money::collateral(amount, bps) {
            Ok(collateral) => prop_assert_eq!(wide(collateral), exact),
            Err(_) => prop_assert!(exact > wide(u128::MAX)),
        }
        prop_assert_eq!(wide(money::fee(amount, fee_bps)), wide(amount) * wide(fee_bps) / wide(10_000u32));
        let slash = money::slash(amount);
        prop_assert_eq!(slash.to_buyer + slash.burned, amount);
        prop_assert!(slash.burned >= slash.to_buyer && slash.burned - slash.to_buyer <= 1);
    }
}

#[test]
fn an_input_hasher_agrees_with_the_root_of_the_whole() {
    use outcry_protocol::hash::{InputHasher, input_root};
    let bytes: Vec<u8> = (0..5_000u32).map(|i| (i % 251) as u8).collect();
    for cut in [0, 1, 127, 128, 129, 4_999] {
        let mut hasher = InputHasher::new(bytes.len() as u64);
        hasher.write(&bytes[..cut]);
        hasher.write(&bytes[cut..]);
        assert_eq!(hasher.finish(), Some(input_root(&bytes)));
    }
    let mut short = InputHasher::new(10);
    short.write(&[0; 9]);
    assert_eq!(short.finish(), None);
    let mut long = InputHasher::new(10);
    long.write(&[0; 11]);
    assert_eq!(long.finish(), None);
}
