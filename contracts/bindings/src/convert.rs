//! The contracts' structures and the protocol's are the same words under two Rust names.

use crate::bindings::{Game as game, Market as chain};
use outcry_protocol::types as protocol;

macro_rules! same_structure {
    ($chain:ident: $($name:ident { $($field:ident),+ $(,)? })+) => {$(
        impl From<protocol::$name> for $chain::$name {
            fn from(value: protocol::$name) -> Self {
                let protocol::$name { $($field),+ } = value;
                Self { $($field: $field.into()),+ }
            }
        }
        impl From<$chain::$name> for protocol::$name {
            fn from(value: $chain::$name) -> Self {
                let $chain::$name { $($field),+ } = value;
                Self { $($field: $field.into()),+ }
            }
        }
    )+};
}

same_structure! {
    chain: Resources { memoryMib, diskMib, gpuClass, gpuCount, egressMib }
    JobSpec {
        machineVersion, imageRoot, inputsRoot, manifest, source, cycleLimit, pageLimit, slotLimit,
        outputLimit, taskCount,
    }
    Bid {
        buyer, token, jobHash, tasks, cyclesExpected, resources, priceCap, valueOfTime, regions,
        attributes, roundTripMsMax, roundTripPlace, auditRateBps, auditFee, collateralBps, replicas,
        queueTimeout, executionTimeout, rankWindow, tip, expiry, salt, counter,
    }
    Offer {
        provider, token, capacityId, slots, peerKey, region, attributes, resources, startFee,
        cyclePrice, memoryPrice, diskPrice, gpuPrice, egressPrice, speed, collateralMax,
        machineVersion, tip, expiry, salt, counter,
    }
    Deal {
        bidHash, offerHash, jobHash, buyer, provider, token, capacityId, cell, firstTask, taskCount,
        cycleLimit, startFee, unitPrice, priceCap, escrow, collateral, buyerTip, providerTip,
        openedAt, deadline, bidSalt, resources,
    }
    Claim { resultRoot, cycles, price }
}

// The game names a deal, its claim and its job.
same_structure! {
    game: JobSpec {
        machineVersion, imageRoot, inputsRoot, manifest, source, cycleLimit, pageLimit, slotLimit,
        outputLimit, taskCount,
    }
    Deal {
        bidHash, offerHash, jobHash, buyer, provider, token, capacityId, cell, firstTask, taskCount,
        cycleLimit, startFee, unitPrice, priceCap, escrow, collateral, buyerTip, providerTip,
        openedAt, deadline, bidSalt, resources,
    }
    Claim { resultRoot, cycles, price }
}
