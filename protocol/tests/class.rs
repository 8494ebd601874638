//! Classes of resources: which deals have comparable prices.

#![allow(clippy::unwrap_used)]

use outcry_protocol::class::Class;
use outcry_protocol::types::Resources;
use proptest::prelude::*;

fn resources(memory_mib: u32, disk_mib: u32, gpus: u16) -> Resources {
    Resources {
        memoryMib: memory_mib,
        diskMib: disk_mib,
        gpuClass: 0,
        gpuCount: gpus,
        egressMib: 7,
    }
}

fn name(memory_mib: u32, disk_mib: u32, gpus: u16) -> String {
    Class::of(&resources(memory_mib, disk_mib, gpus)).to_string()
}

#[test]
fn a_deal_belongs_to_the_smallest_shape_that_holds_what_it_reserves() {
    assert_eq!(name(0, 0, 0), "256m");
    assert_eq!(name(256, 4096, 0), "256m");
    assert_eq!(name(257, 0, 0), "512m");
    assert_eq!(name(1024, 0, 0), "1g");
    assert_eq!(name(1025, 0, 0), "2g");
    // 16 MiB of disk for each MiB of memory; the scarcer of both decides.
    assert_eq!(name(1024, 16_384, 0), "1g");
    assert_eq!(name(1024, 16_385, 0), "2g");
    assert_eq!(name(1024, 0, 1), "1g-gpu");
    assert_eq!(name(u32::MAX, u32::MAX, u16::MAX), "4p-gpu");
}

#[test]
fn a_slot_sells_the_largest_shape_that_it_holds_whole() {
    let sold = |memory, disk, gpus| Class::of_slot(&resources(memory, disk, gpus));
    assert_eq!(sold(1023, 1 << 20, 0).unwrap().to_string(), "512m");
    assert_eq!(sold(1024, 1 << 20, 0).unwrap().to_string(), "1g");
    assert_eq!(sold(1024, 4096, 2).unwrap().to_string(), "256m-gpu");
    assert_eq!(sold(255, 1 << 20, 0), None);
}

#[test]
fn numbers_and_names_are_those_of_one_class_each() {
    for class in Class::all() {
        assert_eq!(Class::from_id(class.id()), Some(class));
        assert_eq!(class.to_string().parse(), Ok(class));
        let json = serde_json::to_string(&class).unwrap();
        assert_eq!(serde_json::from_str::<Class>(&json).unwrap(), class);
    }
    let ids: Vec<u8> = (0..=u8::MAX)
        .filter(|id| Class::from_id(*id).is_some())
        .collect();
    assert_eq!(ids, Class::all().map(Class::id).collect::<Vec<_>>());
    assert!("1024m".parse::<Class>().is_err());
    assert!("1g-".parse::<Class>().is_err());
}

proptest! {
    #[test]
    fn what_a_deal_reserves_fits_its_class_and_not_the_next_smaller_one(
        memory: u32, disk: u32, gpus in 0u16..3,
    ) {
        let class = Class::of(&resources(memory, disk, gpus));
        prop_assert!(u64::from(memory) <= class.memory_mib() && u64::from(disk) <= class.disk_mib());
        prop_assert_eq!(class.has_gpu(), gpus > 0);
        if class.memory_mib() > 256 {
            prop_assert!(
                u64::from(memory) > class.memory_mib() / 2 || u64::from(disk) > class.disk_mib() / 2
            );
        }
    }

    #[test]
    fn whatever_reserves_no_more_than_a_class_fits_the_slots_that_sell_it(
        memory: u32, disk: u32, slot_memory: u32, slot_disk: u32,
    ) {
        let Some(sold) = Class::of_slot(&resources(slot_memory, slot_disk, 0)) else { return Ok(()) };
        if Class::of(&resources(memory, disk, 0)) <= sold {
            prop_assert!(memory <= slot_memory && disk <= slot_disk);
        }
    }
}
