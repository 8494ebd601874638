// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IOpening} from "../interfaces/IOpening.sol";
import {DealStatus, OpenCall} from "../types/Calls.sol";
import {Deal, JobSpec} from "../types/Orders.sol";
import {Agreement} from "./Agreement.sol";
import {DealWords} from "./DealWord.sol";
import {Hashing} from "./Hashing.sol";
import {BidWords} from "./OrderWords.sol";
import {Refusal} from "./Refusal.sol";

/// @title A match becomes a deal
abstract contract Opening is Agreement, IOpening {
    /// @inheritdoc IOpening
    function open(OpenCall calldata call) external nonReentrantView returns (bytes32 dealId) {
        Match memory m;
        bytes4 refusal;
        (refusal, dealId) = _open(call, m);
        Refusal.orRevert(refusal);
    }

    /// @inheritdoc IOpening
    function openMany(OpenCall[] calldata calls) external nonReentrantView returns (bytes32[] memory dealIds) {
        Match memory m;
        dealIds = new bytes32[](calls.length);
        for (uint256 i = 0; i < calls.length; ++i) {
            (bytes4 refusal, bytes32 dealId) = _open(calls[i], m);
            if (refusal != Refusal.NONE) emit OpenSkipped(i, m.deal.bidHash, refusal);
            dealIds[i] = dealId;
        }
    }

    /// @inheritdoc IOpening
    function reopen(OpenCall calldata call, Deal calldata failedTerms)
        external
        nonReentrantView
        returns (bytes32 dealId)
    {
        Deal memory failed;
        bytes32 failedId = _load(failed, failedTerms);
        Cell storage cell = _cell(failed);
        Match memory m;
        bytes32 bidHash = _loadBid(call, m);
        if (!cell.word.isBound(DealStatus.Failed, failedId) || failed.bidHash != bidHash) revert NotReopenable();
        if (block.timestamp <= failed.openedAt) revert ReopenTooEarly();
        uint256 retaken = cell.word.clock();
        uint256 left = failed.taskCount - retaken;
        uint256 count = call.count;
        if (count > left) revert CountOutOfRange();

        Refusal.orRevert(_agree(call, m, failed.firstTask + retaken, count, _bitsOf(m.bid.buyer, m.bid.salt)));
        if (count == left) _vacate(failed);
        else cell.word = DealWords.failed(failedId, retaken + count);
        dealId = _start(m.deal);
        emit DealReopened(failedId, dealId);
    }

    function _open(OpenCall calldata call, Match memory m) private returns (bytes4 refusal, bytes32 dealId) {
        bytes32 bidHash = _loadBid(call, m);
        BidWords memory bid = m.bid;
        uint256 count = call.count;
        uint256 bits = _bitsOf(bid.buyer, bid.salt);
        uint256 first;
        (refusal, first) = _nextTask(bid, bidHash, bits, count);
        if (refusal != Refusal.NONE) return (refusal, 0);
        refusal = _agree(call, m, first, count, bits);
        if (refusal != Refusal.NONE) return (refusal, 0);
        _takeTasks(bid, bidHash, first, count);
        if (first == 0) _post(m.job, bid.jobHash, bidHash);
        dealId = _start(m.deal);
    }

    /// @dev emit JobPosted(jobHash, bidHash, job): the structure lies in memory as its ABI encoding.
    function _post(JobSpec memory job, bytes32 jobHash, bytes32 bidHash) private {
        bytes32 topic = JobPosted.selector;
        uint256 length = Hashing.JOB_BYTES;
        assembly ("memory-safe") {
            log3(job, length, topic, jobHash, bidHash)
        }
    }
}
