//! Shards of gossip: each order has one, and who offers hears every bid that it can serve.
#![allow(clippy::unwrap_used)]

mod market;

use std::collections::BTreeSet;

use alloy_primitives::U256;
use market::{bid, job, offer};
use outcry_protocol::class::{Class, ClassRange};
use outcry_protocol::fit::judge;
use outcry_protocol::shard::{ShardSet, Sharding};
use outcry_protocol::types::{Bid, Offer, Resources};
use proptest::prelude::*;

const NUMBERS: [u16; 7] = [1, 2, 4, 8, 16, 32, 64];

fn sharding(shards: u16) -> Sharding {
    Sharding::try_from(shards).unwrap()
}

fn resources(memory_mib: u32, disk_mib: u32, gpus: u16) -> Resources {
    Resources {
        memoryMib: memory_mib,
        diskMib: disk_mib,
        gpuClass: 0,
        gpuCount: gpus,
        egressMib: 0,
    }
}

/// About as many of every size.
fn any_resources() -> impl Strategy<Value = Resources> {
    let amount = || (0u32..32).prop_flat_map(|bits| 0..=u32::MAX >> bits);
    let gpus = prop_oneof![3 => Just(0u16), 1 => 1u16..3];
    (amount(), amount(), gpus).prop_map(|(memory, disk, gpus)| resources(memory, disk, gpus))
}

fn any_regions() -> impl Strategy<Value = U256> {
    let one = any::<u8>().prop_map(|region| U256::from(1) << region);
    let two =
        (any::<u8>(), any::<u8>()).prop_map(|(a, b)| (U256::from(1) << a) | (U256::from(1) << b));
    prop_oneof![3 => one, 1 => two, 1 => Just(U256::MAX)]
}

fn any_sharding() -> impl Strategy<Value = Sharding> {
    proptest::sample::select(NUMBERS.to_vec()).prop_map(sharding)
}

fn any_range() -> impl Strategy<Value = ClassRange> {
    let classes: Vec<Class> = Class::all().collect();
    (0..classes.len(), 0..classes.len()).prop_map(move |(a, b)| {
        let (first, last) = (classes[a.min(b)], classes[a.max(b)]);
        format!("{first}..{last}").parse().unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn every_order_has_one_shard_of_the_deployment(
        sharding in any_sharding(), wants in any_resources(), regions in any_regions(), has in any_resources(), region: u8,
    ) {
        let bid = Bid { resources: wants, regions, ..bid(1) };
        let offer = Offer { resources: has, region, ..offer() };
        prop_assert!(sharding.all().contains(sharding.of_bid(&bid)));
        prop_assert!(sharding.all().contains(sharding.of_offer(&offer)));
        if sharding.is_one() {
            prop_assert_eq!((sharding.of_bid(&bid), sharding.of_offer(&offer)), (0, 0));
        }
    }

    #[test]
    fn whoever_offers_hears_its_own_offers_and_every_bid_that_they_fit(
        sharding in any_sharding(), wants in any_resources(), regions in any_regions(), has in any_resources(),
        region: u8, accepted: bool, larger: bool,
    ) {
        let mut regions = regions;
        let mut has = has;
        if accepted {
            regions = if regions.count_ones() == 1 { U256::from(1) << region } else { regions | (U256::from(1) << region) };
        }
        if larger {
            has.memoryMib = has.memoryMib.max(wants.memoryMib);
            has.diskMib = has.diskMib.max(wants.diskMib);
            has.gpuCount = has.gpuCount.max(wants.gpuCount);
        }
        let bid = Bid { resources: wants, regions, ..bid(1) };
        let offer = Offer { resources: has, region, ..offer() };
        let served = sharding.served_by(&offer.resources, offer.region);
        prop_assert!(served.contains(sharding.of_offer(&offer)));
        if judge(&bid, &job(1), &offer, |_| false).is_some() {
            prop_assert!(served.contains(sharding.of_bid(&bid)));
        }
        prop_assert!(served.is_within(sharding.all()));
    }

    #[test]
    fn who_takes_some_classes_in_some_regions_hears_all_orders_of_these(
        sharding in any_sharding(), classes in any_range(), regions in proptest::collection::btree_set(any::<u8>(), 0..4),
        wants in any_resources(), region: u8, several: bool,
    ) {
        let taken = sharding.taking(classes, &regions);
        let is_meant = classes.contains(Class::of(&wants)) && (regions.is_empty() || regions.contains(&region));
        let accepted = if several { U256::MAX } else { U256::from(1) << region };
        let bid = Bid { resources: wants.clone(), regions: accepted, ..bid(1) };
        let offer = Offer { resources: wants, region, ..offer() };
        if is_meant {
            prop_assert!(taken.contains(sharding.of_bid(&bid)));
            prop_assert!(taken.contains(sharding.of_offer(&offer)));
        }
        prop_assert!(taken.is_within(sharding.all()) && !taken.is_empty());
    }

    #[test]
    fn a_set_of_shards_has_one_text(bits: u64) {
        let set = ShardSet::from_bits(bits);
        prop_assert_eq!(set.to_string().parse::<ShardSet>().unwrap(), set);
        prop_assert_eq!(set.iter().collect::<ShardSet>(), set);
        prop_assert_eq!(set.len(), set.iter().count());
        let json = serde_json::to_string(&set).unwrap();
        prop_assert_eq!(serde_json::from_str::<ShardSet>(&json).unwrap(), set);
    }
}

/// A slot holds bids beyond the class that it sells whole.
#[test]
fn a_slot_with_little_disk_hears_the_bids_that_its_memory_serves() {
    let sharding = sharding(4);
    let slot = resources(4096, 4096, 0);
    assert_eq!(Class::of_slot(&slot).unwrap().to_string(), "256m");
    let wants = resources(4096, 64, 0);
    let fits = Offer {
        resources: slot.clone(),
        ..offer()
    };
    let bid = Bid {
        resources: wants,
        ..bid(1)
    };
    assert!(judge(&bid, &job(1), &fits, |_| false).is_some());
    assert_eq!(sharding.of_bid(&bid), 2);
    assert!(sharding.served_by(&slot, 1).contains(2));
}

#[test]
fn regions_share_the_places_evenly_and_none_has_that_of_any_region() {
    for (shards, places) in [(16, 4), (64, 16)] {
        let mut shared = vec![0; 64];
        for region in 0..=u8::MAX {
            let offer = Offer { region, ..offer() };
            shared[usize::from(sharding(shards).of_offer(&offer))] += 1;
        }
        let used: Vec<i32> = shared.into_iter().filter(|count| *count > 0).collect();
        assert_eq!(used.len(), places - 1);
        assert!(used.iter().max().unwrap() - used.iter().min().unwrap() <= 1);
        let any = sharding(shards).of_bid(&Bid {
            regions: U256::MAX,
            resources: offer().resources,
            ..bid(1)
        });
        let lies_there = |region| {
            let offer = Offer { region, ..offer() };
            sharding(shards).of_offer(&offer) == any
        };
        assert!(!(0..=u8::MAX).any(lies_there));
    }
}

#[test]
fn a_small_slot_in_one_region_needs_few_shards() {
    let served = |memory| sharding(64).served_by(&resources(memory, 0, 0), 7);
    assert_eq!(served(512).to_string(), "0,8");
    assert_eq!(served(2048).to_string(), "0,8,16,24");
    assert_eq!(served(1 << 20).len(), 8);
    let all = sharding(64).taking(ClassRange::ALL, &BTreeSet::new());
    assert_eq!(all, sharding(64).all());
    assert_eq!(all.to_string(), "0-63");
    let few = sharding(64).taking("..512m".parse().unwrap(), &[7].into());
    assert_eq!(few.to_string(), "0,8");
}

#[test]
fn only_powers_of_two_up_to_64_are_numbers_of_shards() {
    let valid: Vec<u16> = (0..=300)
        .filter(|n| Sharding::try_from(*n).is_ok())
        .collect();
    assert_eq!(valid, NUMBERS);
    assert!(serde_json::from_str::<Sharding>("3").is_err());
    assert_eq!(serde_json::to_string(&sharding(8)).unwrap(), "8");
}

#[test]
fn what_is_no_set_or_range_is_refused() {
    for text in [
        "64", "0-64", "3-1", "1,0", "0,1", "0-1,2", "-", "0-", "a", "0, 1", ",",
    ] {
        assert!(text.parse::<ShardSet>().is_err(), "{text}");
    }
    for text in ["", "1g", "2g..1g", "1g-gpu..1g", "1g...2g", "1x..2g"] {
        assert!(text.parse::<ClassRange>().is_err(), "{text}");
    }
    for text in ["..", "1g..", "..1g-gpu", "256m-gpu..", "512m..4g"] {
        assert_eq!(text.parse::<ClassRange>().unwrap().to_string(), text);
    }
}
