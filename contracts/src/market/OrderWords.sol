// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Bid, Deal, JobSpec, Offer} from "../types/Orders.sol";

/// @dev Bid as its ABI words: the same fields in the same order, the nested resources in place.
struct BidWords {
    address buyer;
    address token;
    bytes32 jobHash;
    uint32 tasks;
    uint64 cyclesExpected;
    uint32 memoryMib;
    uint32 diskMib;
    uint16 gpuClass;
    uint16 gpuCount;
    uint32 egressMib;
    uint128 priceCap;
    uint128 valueOfTime;
    uint256 regions;
    uint256 attributes;
    uint32 roundTripMsMax;
    bytes32 roundTripPlace;
    uint16 auditRateBps;
    uint128 auditFee;
    uint32 collateralBps;
    uint8 replicas;
    uint32 queueTimeout;
    uint32 executionTimeout;
    uint16 rankWindow;
    uint128 tip;
    uint64 expiry;
    uint256 salt;
    uint64 counter;
}

/// @dev Offer as its ABI words.
struct OfferWords {
    address provider;
    address token;
    bytes32 capacityId;
    uint32 slots;
    bytes32 peerKey;
    uint8 region;
    uint256 attributes;
    uint32 memoryMib;
    uint32 diskMib;
    uint16 gpuClass;
    uint16 gpuCount;
    uint32 egressMib;
    uint128 startFee;
    uint128 cyclePrice;
    uint128 memoryPrice;
    uint128 diskPrice;
    uint128 gpuPrice;
    uint128 egressPrice;
    uint64 speed;
    uint128 collateralMax;
    uint32 machineVersion;
    uint128 tip;
    uint64 expiry;
    uint256 salt;
    uint64 counter;
}

/// @title Orders and deals, copied from calldata in one piece
/// @dev Reading a field of a calldata structure costs a range check each time, a field in memory
/// does not; a batch uses the same memory for each of its items. The copies keep whatever high bits the calldata has, and reading masks them; hashes are
/// over the words as they came, so an order with dirty bits is one that its signer signed so, and a
/// deal with dirty bits is no deal.
library OrderWords {
    uint256 private constant BID_BYTES = 27 * 32;
    uint256 private constant OFFER_BYTES = 25 * 32;
    uint256 private constant JOB_BYTES = 10 * 32;
    uint256 private constant DEAL_BYTES = 22 * 32;

    function load(BidWords memory words, Bid calldata bid) internal pure {
        assembly ("memory-safe") {
            calldatacopy(words, bid, BID_BYTES)
        }
    }

    function load(OfferWords memory words, Offer calldata offer) internal pure {
        assembly ("memory-safe") {
            calldatacopy(words, offer, OFFER_BYTES)
        }
    }

    function load(JobSpec memory words, JobSpec calldata job) internal pure {
        assembly ("memory-safe") {
            calldatacopy(words, job, JOB_BYTES)
        }
    }

    /// @dev Also returns the deal's id.
    function load(Deal memory words, Deal calldata deal, bytes32 domain) internal pure returns (bytes32 dealId) {
        assembly ("memory-safe") {
            calldatacopy(words, deal, DEAL_BYTES)
            let free := mload(0x40)
            mstore(free, domain)
            calldatacopy(add(free, 0x20), deal, DEAL_BYTES)
            dealId := keccak256(free, add(DEAL_BYTES, 0x20))
        }
    }
}
