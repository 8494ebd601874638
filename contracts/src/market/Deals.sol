// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {BURN} from "./Ledger.sol";
import {IDeals} from "../interfaces/IDeals.sol";
import {DealState, DealStatus, Failure} from "../types/Calls.sol";
import {Claim, Deal} from "../types/Orders.sol";
import {AuditTerms} from "./AuditTerms.sol";
import {DealWord, DealWords} from "./DealWord.sol";
import {Hashing} from "./Hashing.sol";
import {Ledger} from "./Ledger.sol";
import {OrderState} from "./OrderState.sol";
import {OrderWords} from "./OrderWords.sol";
import {PoolWord} from "./PoolWord.sol";

/// @title Deals, and the pools of slots that they occupy
/// @dev The life of a deal, as its word:
///
///     vacant --open--> Open --claim--> Claimed --finalise--> vacant
///                       |                 \--demandTimeout, lost game, unanswered audit--> Failed
///                       |--replace--> vacant
///                       \--cancelAdmission, timeout--> Failed --reopen (all tasks)--> vacant
///
/// A deal's word lies in a cell of its provider's pool. Cells are used again and again, so that a
/// provider that has settled a deal does not pay for a fresh word for the next one.
/// A deal's id can not come again: a range is handed out once, a range that reopens does so in a later
/// block than the one that its old deal names, and what replaces a deal names a better offer.
abstract contract Deals is Ledger, OrderState, IDeals {
    struct Demand {
        /// keccak256(abi.encode(LeafIndex[])) of what is still demanded.
        bytes32 commitment;
        /// Last second at which an answer is valid.
        uint64 deadline;
        /// Depth of the trees over the tasks' outputs.
        uint8 outputDepth;
        /// The bond went to the provider.
        bool bondSpent;
    }

    struct Pool {
        PoolWord word;
        mapping(uint256 cell => Cell) cells;
    }

    struct Cell {
        DealWord word;
    }

    /// By keccak256(provider, capacityId).
    mapping(bytes32 key => Pool) private _pools;
    mapping(bytes32 dealId => Demand) internal _demands;

    /// @inheritdoc IDeals
    function dealState(Deal calldata terms) external view returns (DealState memory state) {
        Deal memory deal;
        bytes32 dealId = _load(deal, terms);
        DealWord word = _cell(deal).word;
        if (word.status() != DealStatus.Claimed && !word.isBound(word.status(), dealId)) return state;
        return DealState({
            status: word.status(),
            accepted: word.has(DealWords.ACCEPTED),
            challenged: word.has(DealWords.CHALLENGED),
            demanded: word.has(DealWords.DEMANDED),
            demandUsed: word.has(DealWords.DEMAND_USED),
            audited: word.has(DealWords.AUDITED),
            auditUsed: word.has(DealWords.AUDIT_USED),
            clock: uint64(word.clock()),
            binding: word.binding()
        });
    }

    /// @inheritdoc IDeals
    function openSlots(address provider, bytes32 capacityId) external view returns (uint32) {
        return uint32(_pool(provider, capacityId).word.open());
    }

    /// @inheritdoc IDeals
    function demandOf(bytes32 dealId) external view returns (bytes32 commitment, uint64 deadline, uint8 outputDepth) {
        Demand storage demand = _demands[dealId];
        return (demand.commitment, demand.deadline, demand.outputDepth);
    }

    /// @inheritdoc IDeals
    function hashDeal(Deal calldata terms) external view returns (bytes32) {
        Deal memory deal;
        return _load(deal, terms);
    }

    /// @dev Copies a deal, and returns its id.
    function _load(Deal memory deal, Deal calldata terms) internal view returns (bytes32 dealId) {
        return OrderWords.load(deal, terms, _domain());
    }

    /// @dev A deal that waits for its claim; reverts otherwise.
    function _loadOpen(Deal memory deal, Deal calldata terms)
        internal
        view
        returns (bytes32 dealId, Cell storage cell)
    {
        dealId = _load(deal, terms);
        cell = _cell(deal);
        if (!cell.word.isBound(DealStatus.Open, dealId)) revert DealNotOpen();
    }

    /// @dev A deal that holds this claim, with its cell's word; reverts otherwise.
    function _loadClaimed(Deal memory deal, Deal calldata terms, Claim calldata claim_)
        internal
        view
        returns (bytes32 dealId, Cell storage cell, DealWord word)
    {
        dealId = _load(deal, terms);
        cell = _cell(deal);
        word = cell.word;
        if (!word.isBound(DealStatus.Claimed, Hashing.claim(dealId, claim_))) revert ClaimNotHeld();
    }

    /// @dev Whether a claimed deal may still be challenged or its output demanded.
    function _inChallengeWindow(DealWord word) internal view returns (bool) {
        unchecked {
            return block.timestamp <= word.clock() + CHALLENGE_WINDOW_S;
        }
    }

    /// @dev Takes a slot and a cell for a deal, unless all slots are taken.
    function _enter(Deal memory deal, uint256 slots) internal returns (bool free) {
        Pool storage pool = _pool(deal.provider, deal.capacityId);
        PoolWord word = pool.word;
        if (word.open() >= slots) return false;
        uint256 cell = word.vacant();
        if (cell == 0) {
            word = word.grown();
            cell = word.cells();
        } else {
            word = word.withVacant(pool.cells[cell].word.next());
        }
        pool.word = word.entered();
        deal.cell = uint32(cell);
        return true;
    }

    /// @dev A deal that was open gives its slot back, and keeps its cell.
    function _leave(Deal memory deal) internal {
        Pool storage pool = _pool(deal.provider, deal.capacityId);
        pool.word = pool.word.left();
    }

    /// @dev Nothing of the deal is left: its cell is for the next one.
    function _vacate(Deal memory deal) internal {
        Pool storage pool = _pool(deal.provider, deal.capacityId);
        PoolWord word = pool.word;
        pool.cells[deal.cell].word = DealWords.vacant(word.vacant());
        pool.word = word.withVacant(deal.cell);
    }

    function _cell(Deal memory deal) internal view returns (Cell storage) {
        return _pool(deal.provider, deal.capacityId).cells[deal.cell];
    }

    /// @dev Pays out a deal that failed by the provider's fault: the escrow (unless the price was
    /// accepted) goes back to the buyer, half of the collateral and of its floor go to the buyer or,
    /// after a lost game, have been paid out in parts, and the rest is burned. The bid's second tip goes to
    /// `tipTo`. `word` is the deal's before it failed.
    function _fail(
        Deal memory deal,
        bytes32 dealId,
        Failure failure,
        DealWord word,
        uint256 paidOut,
        uint256 paidOutNative,
        address tipTo
    ) internal {
        uint256 refunded;
        uint256 toBuyer;
        uint256 floorToBuyer;
        if (failure != Failure.ClaimRefuted) {
            toBuyer = deal.collateral / 2;
            floorToBuyer = COLLATERAL_FLOOR_WEI / 2;
        }
        if (!word.has(DealWords.ACCEPTED)) {
            refunded = deal.escrow;
            _credit(tipTo, deal.token, deal.buyerTip);
        }
        uint256 burned = deal.collateral - toBuyer - paidOut;
        _credit(deal.buyer, deal.token, refunded + toBuyer + _auditFeeLeft(deal, word));
        _credit(deal.buyer, NATIVE, floorToBuyer);
        _credit(BURN, deal.token, burned);
        _credit(BURN, NATIVE, COLLATERAL_FLOOR_WEI - floorToBuyer - paidOutNative);
        emit DealFailed(
            dealId, deal.buyer, deal.provider, failure, deal.token, deal.resources, refunded, toBuyer, burned
        );
    }

    /// @dev What the deal holds for an audit: the buyer's again, unless one has been drawn.
    function _auditFeeLeft(Deal memory deal, DealWord word) internal pure returns (uint256) {
        return word.has(DealWords.AUDIT_USED) ? 0 : AuditTerms.fee(deal);
    }

    function _pool(address provider, bytes32 capacityId) private view returns (Pool storage) {
        bytes32 key;
        assembly ("memory-safe") {
            mstore(0x00, provider)
            mstore(0x20, capacityId)
            key := keccak256(0x00, 0x40)
        }
        return _pools[key];
    }
}
