// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IClaims} from "../interfaces/IClaims.sol";
import {ClaimCall} from "../types/Calls.sol";
import {Claim, Deal} from "../types/Orders.sol";
import {DealWords} from "./DealWord.sol";
import {Deals} from "./Deals.sol";
import {Hashing} from "./Hashing.sol";
import {Merkle} from "./Merkle.sol";
import {Money} from "./Money.sol";
import {Refusal} from "./Refusal.sol";
import {Signatures} from "./Signatures.sol";

/// @title The provider says what the tasks came to
/// @dev A claim can be checked from its calldata: cycles and inner hash of every task. What is
/// billed is what is hashed.
abstract contract Claims is Deals, IClaims {
    /// cycles (uint48, big-endian), inner hash.
    uint256 internal constant TASK_BYTES = 38;

    /// @inheritdoc IClaims
    function claim(Deal calldata deal, bytes calldata tasks) external nonReentrantView returns (Claim memory made) {
        bytes32 dealId = hashDeal(deal);
        bytes4 refusal;
        (refusal, made) = _ownClaim(deal, dealId, tasks);
        Refusal.orRevert(refusal);
    }

    /// @inheritdoc IClaims
    function claimMany(ClaimCall[] calldata calls) external nonReentrantView {
        for (uint256 i = 0; i < calls.length; ++i) {
            bytes32 dealId = hashDeal(calls[i].deal);
            (bytes4 refusal,) = _ownClaim(calls[i].deal, dealId, calls[i].tasks);
            if (refusal != Refusal.NONE) emit ClaimSkipped(i, dealId, refusal);
        }
    }

    /// @inheritdoc IClaims
    function claimFor(Deal calldata deal, bytes calldata tasks, bytes calldata signature)
        external
        nonReentrantView
        returns (Claim memory made)
    {
        bytes32 dealId = hashDeal(deal);
        bytes4 refusal;
        bytes32 claimHash;
        (refusal, made, claimHash) = _check(deal, dealId, tasks);
        Refusal.orRevert(refusal);
        bytes32 digest = _digest(Hashing.relayStruct(dealId, claimHash));
        if (!Signatures.isValid(deal.provider, digest, signature)) revert RelaySignatureInvalid();
        _record(deal, dealId, made, claimHash, tasks);

        uint256 free = _balance(deal.provider, deal.token);
        uint256 tip = deal.providerTip < free ? deal.providerTip : free;
        _debit(deal.provider, deal.token, tip);
        _credit(msg.sender, deal.token, tip);
    }

    function _ownClaim(Deal calldata deal, bytes32 dealId, bytes calldata tasks)
        private
        returns (bytes4 refusal, Claim memory made)
    {
        if (msg.sender != deal.provider) return (NotProvider.selector, made);
        bytes32 claimHash;
        (refusal, made, claimHash) = _check(deal, dealId, tasks);
        if (refusal == Refusal.NONE) _record(deal, dealId, made, claimHash, tasks);
    }

    function _check(Deal calldata deal, bytes32 dealId, bytes calldata tasks)
        private
        view
        returns (bytes4 refusal, Claim memory made, bytes32 claimHash)
    {
        refusal = _openDeal(deal, dealId);
        if (refusal != Refusal.NONE) return (refusal, made, claimHash);
        if (block.timestamp > deal.deadline) return (DeadlinePassed.selector, made, claimHash);
        if (tasks.length != deal.taskCount * TASK_BYTES) {
            return (ClaimLengthMismatch.selector, made, claimHash);
        }
        (refusal, made) = _bill(deal, tasks);
        claimHash = Hashing.claim(dealId, made);
    }

    function _record(Deal calldata deal, bytes32 dealId, Claim memory made, bytes32 claimHash, bytes calldata tasks)
        private
    {
        _leaveSlot(deal, DealWords.claimed(claimHash, block.timestamp));
        emit DealClaimed(dealId, made, tasks);
    }

    /// @dev Halted-state hashes, their root, and the sums of cycles and prices. Bounds: a deal has at
    /// most 2^11 tasks of at most 2^44 cycles, and its prices sum to at most its escrow < 2^128.
    function _bill(Deal calldata deal, bytes calldata tasks) private pure returns (bytes4, Claim memory made) {
        uint256 count = deal.taskCount;
        // One word more than there are leaves, for the padding of an odd level.
        bytes32[] memory leaves = new bytes32[](count + 1);
        bytes memory state = abi.encode(Hashing.HALTED_DOMAIN, deal.jobHash, uint256(deal.firstTask), 0, 0);
        uint256 cycleLimit = deal.cycleLimit;
        uint256 startFee = deal.startFee;
        uint256 unitPrice = deal.unitPrice;
        uint256 priceCap = deal.priceCap;
        uint256 cyclesSum;
        uint256 priceSum;
        uint256 cursor;
        assembly ("memory-safe") {
            mstore(leaves, count)
            cursor := tasks.offset
        }
        unchecked {
            uint256 first = deal.firstTask;
            for (uint256 i = 0; i < count; ++i) {
                uint256 cycles;
                assembly ("memory-safe") {
                    cycles := shr(208, calldataload(cursor))
                    mstore(add(state, 0x60), add(first, i))
                    mstore(add(state, 0x80), cycles)
                    calldatacopy(add(state, 0xa0), add(cursor, 6), 0x20)
                    mstore(add(add(leaves, 0x20), shl(5, i)), keccak256(add(state, 0x20), 0xa0))
                    cursor := add(cursor, TASK_BYTES)
                }
                if (cycles > cycleLimit) return (CyclesAboveLimit.selector, made);
                cyclesSum += cycles;
                priceSum += Money.taskPrice(startFee, unitPrice, priceCap, cycles);
            }
        }
        made.resultRoot = Merkle.rootInPlace(leaves);
        made.cycles = uint64(cyclesSum);
        made.price = uint128(priceSum);
        return (Refusal.NONE, made);
    }
}
