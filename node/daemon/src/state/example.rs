//! Orders and deals for tests of the pure core.
#![allow(clippy::unwrap_used, dead_code)]

use alloy::primitives::{Address, B256, U256};
use outcry_protocol::hash::job_hash;
use outcry_protocol::types::{Bid, Deal, JobSpec, Offer, Resources};

pub(crate) const BUYER: Address = Address::repeat_byte(0xb1);
pub(crate) const PROVIDER: Address = Address::repeat_byte(0xf1);
pub(crate) const TOKEN: Address = Address::repeat_byte(0x70);
pub(crate) const START: u64 = 1_000_000;

pub(crate) fn job(tasks: u32) -> JobSpec {
    JobSpec {
        machineVersion: 1,
        imageRoot: B256::repeat_byte(1),
        inputsRoot: B256::repeat_byte(2),
        manifest: B256::repeat_byte(3),
        source: B256::repeat_byte(4),
        cycleLimit: 1_000_000_000,
        pageLimit: 256,
        slotLimit: 65_536,
        outputLimit: 1 << 20,
        taskCount: tasks,
    }
}

pub(crate) fn bid(job: &JobSpec, salt: u64) -> Bid {
    Bid {
        buyer: BUYER,
        token: TOKEN,
        jobHash: job_hash(job),
        tasks: job.taskCount,
        cyclesExpected: 500_000_000,
        resources: Resources {
            memoryMib: 64,
            diskMib: 64,
            gpuClass: 0,
            gpuCount: 0,
            egressMib: 1,
        },
        priceCap: 1_000_000,
        valueOfTime: 1,
        regions: U256::MAX,
        attributes: U256::ZERO,
        roundTripMsMax: 0,
        roundTripPlace: B256::ZERO,
        auditRateBps: 0,
        auditFee: 0,
        collateralBps: 10_000,
        replicas: 1,
        queueTimeout: 30,
        executionTimeout: 120,
        rankWindow: 0,
        tip: 10,
        expiry: START + 3_600,
        salt: U256::from(salt),
        counter: 0,
    }
}

pub(crate) fn offer(slots: u32, salt: u64) -> Offer {
    Offer {
        provider: PROVIDER,
        token: TOKEN,
        capacityId: B256::repeat_byte(0xca),
        slots,
        peerKey: B256::repeat_byte(5),
        region: 0,
        attributes: U256::ZERO,
        resources: Resources {
            memoryMib: 1024,
            diskMib: 1024,
            gpuClass: 0,
            gpuCount: 0,
            egressMib: 64,
        },
        startFee: 10,
        cyclePrice: 1_000_000_000_000,
        memoryPrice: 0,
        diskPrice: 0,
        gpuPrice: 0,
        egressPrice: 0,
        speed: 100_000_000,
        collateralMax: 1 << 90,
        machineVersion: 1,
        tip: 1,
        expiry: START + 600,
        salt: U256::from(salt),
        counter: 0,
    }
}

pub(crate) fn deal() -> Deal {
    let job = job(4);
    let domain = outcry_protocol::hash::Domain::new(31_337, Address::repeat_byte(0xaa));
    outcry_protocol::deal::terms(&domain, &bid(&job, 1), &offer(1, 1), &job, 0, 0, 4, START)
        .unwrap()
}
