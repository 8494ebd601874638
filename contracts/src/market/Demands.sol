// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAccounts} from "../interfaces/IAccounts.sol";
import {IDemands} from "../interfaces/IDemands.sol";
import {Failure, LeafAnswer, LeafIndex, TaskOpening} from "../types/Calls.sol";
import {Claim, Deal, JobSpec} from "../types/Orders.sol";
import {DealWord, DealWords} from "./DealWord.sol";
import {Deals} from "./Deals.sol";
import {Hashing} from "./Hashing.sol";
import {Merkle} from "./Merkle.sol";
import {Openings} from "./Openings.sol";
import {OrderWords} from "./OrderWords.sol";
import {Signatures} from "./Signatures.sol";

/// @title Silence pays only for available data
abstract contract Demands is Deals, IDemands {
    uint256 internal constant LEAVES_MAX = 64;
    uint256 internal constant LEAF_BYTES = 128;

    /// @inheritdoc IDemands
    function demandOutput(Deal calldata terms, Claim calldata claim_, JobSpec calldata jobSpec, LeafIndex[] calldata leaves)
        external
        nonReentrantView
    {
        Deal memory deal;
        (bytes32 dealId, Cell storage cell, DealWord word) = _loadClaimed(deal, terms, claim_);
        if (msg.sender != deal.buyer) revert NotBuyer();
        if (word.has(DealWords.DEMAND_USED)) revert DemandAlreadyMade();
        if (word.has(DealWords.ACCEPTED)) revert AlreadyAccepted();
        if (!_inChallengeWindow(word)) revert ChallengeWindowOver();
        JobSpec memory job;
        OrderWords.load(job, jobSpec);
        if (Hashing.job(job) != deal.jobHash) revert JobMismatch();
        if (leaves.length == 0 || leaves.length > LEAVES_MAX) revert LeavesOutOfRange();
        uint256 depth = _outputDepth(job);
        for (uint256 i = 0; i < leaves.length; ++i) {
            if (!Openings.holds(leaves[i].task, deal.firstTask, deal.taskCount) || leaves[i].leaf >> depth != 0) revert LeafOutOfRange();
        }
        if (_balance(deal.buyer, NATIVE) < DEMAND_BOND_WEI) revert IAccounts.BalanceInsufficient();

        _debit(deal.buyer, NATIVE, DEMAND_BOND_WEI);
        cell.word = word.with(DealWords.DEMANDED | DealWords.DEMAND_USED);
        uint64 deadline = uint64(block.timestamp + DEMAND_WINDOW_S);
        _demands[dealId] = Demand(keccak256(abi.encode(leaves)), deadline, uint8(depth), false);
        emit OutputDemanded(dealId, leaves, deadline);
    }

    /// @inheritdoc IDemands
    function answerDemand(Deal calldata terms, Claim calldata claim_, LeafAnswer[] calldata answers)
        external
        nonReentrantView
    {
        Deal memory deal;
        (bytes32 dealId, Demand storage demand) = _loadDemanded(deal, terms, claim_);
        LeafIndex[] memory leaves = new LeafIndex[](answers.length);
        uint256 depth = demand.outputDepth;
        for (uint256 i = 0; i < answers.length; ++i) {
            LeafAnswer calldata answer = answers[i];
            _checkOpening(deal, claim_, answer.opening);
            bytes32 root = Merkle.rootOf(keccak256(abi.encode(answer.data)), answer.leaf, answer.path);
            if (answer.path.length != depth || root != answer.opening.outputRoot) revert LeafInvalid();
            leaves[i] = LeafIndex(answer.opening.task, answer.leaf);
            emit LeafRevealed(dealId, answer.opening.task, answer.leaf, answer.data);
        }
        if (keccak256(abi.encode(leaves)) != demand.commitment) revert LeavesMismatch();
        _close(deal, dealId);
    }

    /// @inheritdoc IDemands
    function answerDemandWithReceipt(
        Deal calldata terms,
        Claim calldata claim_,
        LeafIndex[] calldata leaves,
        TaskOpening calldata opening,
        bytes calldata signature
    ) external nonReentrantView {
        Deal memory deal;
        (bytes32 dealId, Demand storage demand) = _loadDemanded(deal, terms, claim_);
        if (keccak256(abi.encode(leaves)) != demand.commitment) revert LeavesMismatch();
        _checkOpening(deal, claim_, opening);
        bytes32 digest = _digest(Hashing.receiptStruct(dealId, opening.task, opening.outputRoot));
        if (!Signatures.isValid(deal.buyer, digest, signature)) revert ReceiptSignatureInvalid();

        LeafIndex[] memory rest = _without(leaves, opening.task);
        if (rest.length == leaves.length) revert TaskNotDemanded();
        if (!demand.bondSpent) {
            demand.bondSpent = true;
            _credit(deal.provider, NATIVE, DEMAND_BOND_WEI);
        }
        emit ReceiptShown(dealId, opening.task);
        if (rest.length == 0) _close(deal, dealId);
        else demand.commitment = keccak256(abi.encode(rest));
    }

    /// @inheritdoc IDemands
    function demandTimeout(Deal calldata terms, Claim calldata claim_) external nonReentrantView {
        Deal memory deal;
        (bytes32 dealId, Cell storage cell, DealWord word) = _loadClaimed(deal, terms, claim_);
        if (!word.has(DealWords.DEMANDED)) revert NoDemandOpen();
        // The game's verdict comes first: it may slash more, and its challengers wait for it.
        if (word.has(DealWords.CHALLENGED)) revert ChallengeOpen();
        if (block.timestamp <= _demands[dealId].deadline) revert DemandWindowOpen();
        _dropDemand(deal, dealId);
        cell.word = DealWords.failed(dealId, 0);
        _fail(deal, dealId, Failure.OutputWithheld, word, 0, 0, msg.sender);
    }

    /// @dev Forgets a deal's demand, if there is one; an unspent bond goes back to the buyer.
    function _dropDemand(Deal memory deal, bytes32 dealId) internal {
        Demand storage demand = _demands[dealId];
        if (demand.deadline == 0) return;
        if (!demand.bondSpent) _credit(deal.buyer, NATIVE, DEMAND_BOND_WEI);
        delete _demands[dealId];
    }

    /// @dev The demand is answered; the challenge window starts again, so that what was revealed can
    /// be checked.
    function _close(Deal memory deal, bytes32 dealId) private {
        _dropDemand(deal, dealId);
        Cell storage cell = _cell(deal);
        cell.word = cell.word.without(DealWords.DEMANDED).withClock(block.timestamp);
        emit DemandAnswered(dealId);
    }

    /// @dev A deal whose demand may still be answered; reverts otherwise.
    function _loadDemanded(Deal memory deal, Deal calldata terms, Claim calldata claim_)
        private
        view
        returns (bytes32 dealId, Demand storage demand)
    {
        DealWord word;
        (dealId,, word) = _loadClaimed(deal, terms, claim_);
        if (!word.has(DealWords.DEMANDED)) revert NoDemandOpen();
        demand = _demands[dealId];
        if (block.timestamp > demand.deadline) revert DemandWindowOver();
    }

    /// @dev Reverts unless the opening leads to the claim's result root.
    function _checkOpening(Deal memory deal, Claim calldata claim_, TaskOpening calldata opening) private pure {
        bytes32 inner = Hashing.inner(opening.status, opening.exitCode, opening.outputRoot, opening.outputLength);
        bytes32 halted = Hashing.halted(deal.jobHash, opening.task, opening.cycles, inner);
        if (
            !Openings.leads(
                halted, opening.task, opening.path, deal.firstTask, deal.taskCount, claim_.resultRoot
            )
        ) revert OpeningInvalid();
    }

    /// @dev ceil_log2(max(1, ceil(outputLimit / 128))).
    function _outputDepth(JobSpec memory job) private pure returns (uint256) {
        uint256 leaves = (uint256(job.outputLimit) + (LEAF_BYTES - 1)) / LEAF_BYTES;
        return Merkle.depth(leaves == 0 ? 1 : leaves);
    }

    function _without(LeafIndex[] calldata leaves, uint32 task) private pure returns (LeafIndex[] memory rest) {
        uint256 kept;
        for (uint256 i = 0; i < leaves.length; ++i) {
            if (leaves[i].task != task) ++kept;
        }
        rest = new LeafIndex[](kept);
        for (uint256 i = leaves.length; i != 0; --i) {
            if (leaves[i - 1].task != task) rest[--kept] = leaves[i - 1];
        }
    }
}
