// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Claim, Deal, JobSpec} from "../types/Orders.sol";
import {BidWords, OfferWords} from "./OrderWords.sol";

/// @title The hashes of everything signed or claimed
/// @dev Stated in Rust in `protocol/src/hash.rs`; `protocol/vectors/*.json` binds the two.
library Hashing {
    bytes32 internal constant BID_TYPEHASH = keccak256(
        "Bid(address buyer,address token,bytes32 jobHash,uint32 tasks,uint64 cyclesExpected,Resources resources,uint128 priceCap,uint128 valueOfTime,uint256 regions,uint256 attributes,uint32 roundTripMsMax,bytes32 roundTripPlace,uint16 auditRateBps,uint128 auditFee,uint32 collateralBps,uint8 replicas,uint32 queueTimeout,uint32 executionTimeout,uint16 rankWindow,uint128 tip,uint64 expiry,uint256 salt,uint64 counter)Resources(uint32 memoryMib,uint32 diskMib,uint16 gpuClass,uint16 gpuCount,uint32 egressMib)"
    );
    bytes32 internal constant OFFER_TYPEHASH = keccak256(
        "Offer(address provider,address token,bytes32 capacityId,uint32 slots,bytes32 peerKey,uint8 region,uint256 attributes,Resources resources,uint128 startFee,uint128 cyclePrice,uint128 memoryPrice,uint128 diskPrice,uint128 gpuPrice,uint128 egressPrice,uint64 speed,uint128 collateralMax,uint32 machineVersion,uint128 tip,uint64 expiry,uint256 salt,uint64 counter)Resources(uint32 memoryMib,uint32 diskMib,uint16 gpuClass,uint16 gpuCount,uint32 egressMib)"
    );
    bytes32 internal constant RESOURCES_TYPEHASH = keccak256(
        "Resources(uint32 memoryMib,uint32 diskMib,uint16 gpuClass,uint16 gpuCount,uint32 egressMib)"
    );
    bytes32 internal constant ACCEPT_TYPEHASH = keccak256("Accept(bytes32 dealId,bytes32 claimHash)");
    bytes32 internal constant RECEIPT_TYPEHASH = keccak256("Receipt(bytes32 dealId,uint32 task,bytes32 outputRoot)");
    bytes32 internal constant RELAY_TYPEHASH = keccak256("ClaimRelay(bytes32 dealId,bytes32 claimHash)");

    bytes32 internal constant RESULT_DOMAIN = keccak256("outcry.result.v1");
    bytes32 internal constant HALTED_DOMAIN = keccak256("outcry.halted.v1");
    bytes32 internal constant CLAIM_DOMAIN = keccak256("outcry.claim.v1");
    bytes32 internal constant INPUT_DOMAIN = keccak256("outcry.input.v1");

    /// Bytes of the structures' ABI encodings.
    uint256 internal constant RESOURCES_BYTES = 5 * 32;
    uint256 internal constant BID_BYTES = 27 * 32;
    uint256 internal constant OFFER_BYTES = 25 * 32;
    uint256 internal constant JOB_BYTES = 10 * 32;
    uint256 internal constant DEAL_BYTES = 22 * 32;
    /// Where the nested resources stand in them.
    uint256 private constant BID_RESOURCES = 5 * 32;
    uint256 private constant OFFER_RESOURCES = 7 * 32;

    function bid(BidWords memory words) internal pure returns (bytes32) {
        uint256 start;
        assembly ("memory-safe") {
            start := words
        }
        return _order(BID_TYPEHASH, start, BID_BYTES, BID_RESOURCES);
    }

    function offer(OfferWords memory words) internal pure returns (bytes32) {
        uint256 start;
        assembly ("memory-safe") {
            start := words
        }
        return _order(OFFER_TYPEHASH, start, OFFER_BYTES, OFFER_RESOURCES);
    }

    function job(JobSpec memory words) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            hash := keccak256(words, JOB_BYTES)
        }
    }

    /// @dev The id of a deal in memory, where it lies as its ABI encoding.
    function dealId(bytes32 domain, Deal memory words) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, domain)
            mcopy(add(free, 0x20), words, DEAL_BYTES)
            hash := keccak256(free, add(0x20, DEAL_BYTES))
        }
    }

    /// @dev Hashes the claim as it stands in calldata.
    function claim(bytes32 id, Claim calldata claim_) internal pure returns (bytes32 hash) {
        bytes32 domain = CLAIM_DOMAIN;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, domain)
            mstore(add(free, 0x20), id)
            calldatacopy(add(free, 0x40), claim_, 0x60)
            hash := keccak256(free, 0xa0)
        }
    }

    /// @dev Hashes a claim in memory.
    function claimOf(bytes32 id, Claim memory claim_) internal pure returns (bytes32) {
        return keccak256(abi.encode(CLAIM_DOMAIN, id, claim_));
    }

    /// @dev An input archive as a job names it: its bytes and its Merkle root.
    function input(uint64 length, bytes32 root) internal pure returns (bytes32) {
        return keccak256(abi.encode(INPUT_DOMAIN, length, root));
    }

    /// @dev What a task's result consists of, besides its cycles.
    function inner(uint256 status, uint256 exitCode, bytes32 outputRoot, uint256 outputLength)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(RESULT_DOMAIN, status, exitCode, outputRoot, outputLength));
    }

    /// @dev The halted state of a task; `task` is its index in the job.
    function halted(bytes32 jobHash, uint256 task, uint256 cycles, bytes32 inner_) internal pure returns (bytes32) {
        return keccak256(abi.encode(HALTED_DOMAIN, jobHash, task, cycles, inner_));
    }

    function acceptStruct(bytes32 id, bytes32 claimHash) internal pure returns (bytes32) {
        return keccak256(abi.encode(ACCEPT_TYPEHASH, id, claimHash));
    }

    function relayStruct(bytes32 id, bytes32 claimHash) internal pure returns (bytes32) {
        return keccak256(abi.encode(RELAY_TYPEHASH, id, claimHash));
    }

    function receiptStruct(bytes32 id, uint32 task, bytes32 outputRoot) internal pure returns (bytes32) {
        return keccak256(abi.encode(RECEIPT_TYPEHASH, id, task, outputRoot));
    }

    /// @dev EIP-712 hashes an order of `length` bytes with its resources replaced by their own hash.
    function _order(bytes32 typeHash, uint256 start, uint256 length, uint256 resources)
        private
        pure
        returns (bytes32 hash)
    {
        bytes32 resourcesTypeHash = RESOURCES_TYPEHASH;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, resourcesTypeHash)
            mcopy(add(free, 0x20), add(start, resources), RESOURCES_BYTES)
            let resourcesHash := keccak256(free, add(RESOURCES_BYTES, 0x20))
            let nested := add(add(free, 0x20), resources)
            let behind := add(resources, RESOURCES_BYTES)
            mstore(free, typeHash)
            mcopy(add(free, 0x20), start, resources)
            mstore(nested, resourcesHash)
            mcopy(add(nested, 0x20), add(start, behind), sub(length, behind))
            hash := keccak256(free, sub(add(length, 0x40), RESOURCES_BYTES))
        }
    }
}
