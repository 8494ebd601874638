//! The contracts' structures and the protocol's are the same words under two Rust names.

use crate::bindings::{
    Auction as auction, Audits as audits, Game as game, InitialState as initial, Market as chain,
};
use alloy::primitives::B256;
use outcry_protocol::types as protocol;
use outcry_protocol::types::auction as rules;

/// A structure with its fields, and the contracts that name it.
macro_rules! same_structure {
    ($($name:ident $fields:tt of $($chain:ident),+;)+) => {$(
        $(same_structure! { @ $chain $name $fields })+
    )+};
    (@ $chain:ident $name:ident { $($field:ident),+ $(,)? }) => {
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
    };
}

same_structure! {
    Resources { memoryMib, diskMib, gpuClass, gpuCount, egressMib } of chain, auction;
    JobSpec {
        machineVersion, imageRoot, inputsRoot, manifest, source, cycleLimit, pageLimit, slotLimit,
        outputLimit, taskCount,
    } of chain, auction, game, initial;
    Bid {
        buyer, token, jobHash, tasks, cyclesExpected, resources, priceCap, valueOfTime, regions,
        attributes, roundTripMsMax, roundTripPlace, auditRateBps, auditFee, collateralBps, replicas,
        queueTimeout, executionTimeout, rankWindow, tip, expiry, salt, counter,
    } of chain, auction;
    Offer {
        provider, token, capacityId, slots, peerKey, region, attributes, resources, startFee,
        cyclePrice, memoryPrice, diskPrice, gpuPrice, egressPrice, speed, collateralMax,
        machineVersion, tip, expiry, salt, counter,
    } of chain;
    Deal {
        bidHash, offerHash, jobHash, buyer, provider, token, capacityId, cell, firstTask, taskCount,
        cycleLimit, startFee, unitPrice, priceCap, escrow, collateral, buyerTip, providerTip,
        openedAt, deadline, bidSalt, resources,
    } of chain, audits, auction, game;
    Claim { resultRoot, cycles, price } of chain, audits, auction, game;
}

macro_rules! same_auction_structure {
    ($($name:ident { $($field:ident),* ; $($list:ident),* })+) => {$(
        impl From<rules::$name> for auction::$name {
            fn from(value: rules::$name) -> Self {
                Self {
                    $($field: value.$field.into(),)*
                    $($list: value.$list.into_iter().map(Into::into).collect(),)*
                }
            }
        }
        impl From<auction::$name> for rules::$name {
            fn from(value: auction::$name) -> Self {
                Self {
                    $($field: value.$field.into(),)*
                    $($list: value.$list.into_iter().map(Into::into).collect(),)*
                }
            }
        }
    )+};
}

// First the fields, then the lists.
same_auction_structure! {
    AuctionParameters {
        market, token, start, intervalS, intervals, commitS, revealS, postS, feeBps, resultBond,
        depositMin, drawS, drawFeeBps;
    }
    Pool {
        region, memoryMib, diskMib, egressMib, attributes, speed, unitDeposit, machineVersion;
    }
    Entry { pool, quantity; }
    Alternative { limit; entries }
    Fill { order, alternative, lots; }
    FillGroup { welfare, volume; fills, surplus }
    GroupProof { group, index; path }
}

impl From<rules::AuctionOrder> for auction::AuctionOrder {
    fn from(order: rules::AuctionOrder) -> Self {
        Self {
            account: order.account,
            backing: order.backing as u8,
            lots: order.lots,
            alternatives: order.alternatives.into_iter().map(Into::into).collect(),
            salt: order.salt,
        }
    }
}

impl From<auction::AuctionOrder> for rules::AuctionOrder {
    fn from(order: auction::AuctionOrder) -> Self {
        Self {
            account: order.account,
            // The contract reverts on other numbers.
            backing: order.backing.try_into().unwrap_or(rules::Backing::Holdings),
            lots: order.lots,
            alternatives: order.alternatives.into_iter().map(Into::into).collect(),
            salt: order.salt,
        }
    }
}

// `InitialState` computes the state in which a task starts, from words that the verifier hashed; the game
// asks it.
macro_rules! same_words {
    ($($chain:ident),+) => {$(
        impl From<[B256; 6]> for $chain::Image {
            /// I1 to I6 of `verifier/MACHINE.md`, section 5.
            fn from([shape, code, globals, tables, segments, memories]: [B256; 6]) -> Self {
                Self {
                    shape: shape.into(),
                    code,
                    globals,
                    tables,
                    segments,
                    memories,
                }
            }
        }
        impl From<[B256; 2]> for $chain::Memory {
            fn from([root, shape]: [B256; 2]) -> Self {
                Self {
                    root,
                    shape: shape.into(),
                }
            }
        }
    )+};
}

same_words! { game, initial }
