// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IClaims} from "../interfaces/IClaims.sol";
import {ClaimCall, DealStatus} from "../types/Calls.sol";
import {Claim, Deal} from "../types/Orders.sol";
import {DealWord, DealWords} from "./DealWord.sol";
import {Deals} from "./Deals.sol";
import {Hashing} from "./Hashing.sol";
import {Merkle} from "./Merkle.sol";
import {Money} from "./Money.sol";
import {Ranking} from "./Ranking.sol";
import {Refusal} from "./Refusal.sol";
import {Signatures} from "./Signatures.sol";

/// @title The provider says what the tasks came to
/// @dev A claim can be checked from its calldata: cycles and inner hash of every task. What is
/// billed is what is hashed.
abstract contract Claims is Deals, IClaims {
    /// cycles (uint48, big-endian), inner hash.
    uint256 internal constant TASK_BYTES = 38;

    /// @inheritdoc IClaims
    function claim(Deal calldata terms, bytes calldata tasks) external nonReentrantView returns (Claim memory made) {
        Deal memory deal;
        Refusal.orRevert(_ownClaim(deal, _load(deal, terms), tasks, made));
    }

    /// @inheritdoc IClaims
    function claimMany(ClaimCall[] calldata calls) external nonReentrantView {
        Deal memory deal;
        Claim memory made;
        for (uint256 i = 0; i < calls.length; ++i) {
            bytes32 dealId = _load(deal, calls[i].deal);
            bytes4 refusal = _ownClaim(deal, dealId, calls[i].tasks, made);
            if (refusal != Refusal.NONE) emit ClaimSkipped(i, dealId, refusal);
        }
    }

    /// @inheritdoc IClaims
    function claimFor(Deal calldata terms, bytes calldata tasks, bytes calldata signature)
        external
        nonReentrantView
        returns (Claim memory made)
    {
        Deal memory deal;
        bytes32 dealId = _load(deal, terms);
        (bytes4 refusal, bytes32 claimHash) = _check(deal, dealId, tasks, made);
        Refusal.orRevert(refusal);
        bytes32 digest = _digest(Hashing.relayStruct(dealId, claimHash));
        if (!Signatures.isValid(deal.provider, digest, signature)) revert RelaySignatureInvalid();
        _record(deal, dealId, made, claimHash, tasks);

        uint256 free = _balance(deal.provider, deal.token);
        uint256 tip = deal.providerTip < free ? deal.providerTip : free;
        _debit(deal.provider, deal.token, tip);
        _credit(msg.sender, deal.token, tip);
    }

    function _ownClaim(Deal memory deal, bytes32 dealId, bytes calldata tasks, Claim memory made)
        private
        returns (bytes4)
    {
        if (msg.sender != deal.provider) return NotProvider.selector;
        (bytes4 refusal, bytes32 claimHash) = _check(deal, dealId, tasks, made);
        if (refusal == Refusal.NONE) _record(deal, dealId, made, claimHash, tasks);
        return refusal;
    }

    /// @dev Refuses, or fills the claim and returns its hash.
    function _check(Deal memory deal, bytes32 dealId, bytes calldata tasks, Claim memory made)
        private
        view
        returns (bytes4 refusal, bytes32 claimHash)
    {
        DealWord word = _cell(deal).word;
        if (!word.equals(DealWords.opened(dealId, 0))) {
            if (!word.isBound(DealStatus.Open, dealId)) return (DealNotOpen.selector, 0);
            if (Ranking.isOpen(deal, word)) return (RankWindowOpen.selector, 0);
        }
        if (block.timestamp > deal.deadline) return (DeadlinePassed.selector, 0);
        if (tasks.length != deal.taskCount * TASK_BYTES) return (ClaimLengthMismatch.selector, 0);
        if (!_bill(deal, tasks, made)) return (CyclesAboveLimit.selector, 0);
        claimHash = Hashing.claimOf(dealId, made);
    }

    function _record(Deal memory deal, bytes32 dealId, Claim memory made, bytes32 claimHash, bytes calldata tasks)
        private
    {
        _cell(deal).word = DealWords.claimed(claimHash, block.timestamp);
        _leave(deal);
        emit DealClaimed(dealId, made, tasks);
    }

    /// @dev Halted-state hashes, their root, and the sums of cycles and prices; false if a task claims
    /// more cycles than the limit. Bounds: a deal has at
    /// most 2^11 tasks of at most 2^44 cycles, and its prices sum to at most its escrow < 2^128.
    function _bill(Deal memory deal, bytes calldata tasks, Claim memory made) private pure returns (bool) {
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
                if (cycles > cycleLimit) return false;
                cyclesSum += cycles;
                priceSum += Money.taskPrice(startFee, unitPrice, priceCap, cycles);
            }
        }
        made.resultRoot = Merkle.rootInPlace(leaves);
        made.cycles = uint64(cyclesSum);
        made.price = uint128(priceSum);
        return true;
    }
}
