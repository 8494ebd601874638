// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDeals} from "../interfaces/IDeals.sol";
import {DealState, DealStatus, Failure} from "../types/Calls.sol";
import {Claim, Deal} from "../types/Orders.sol";
import {DealWord, DealWords} from "./DealWord.sol";
import {Hashing} from "./Hashing.sol";
import {Ledger} from "./Ledger.sol";
import {OrderState} from "./OrderState.sol";
import {Refusal} from "./Refusal.sol";

/// @title Deals, and the pools of slots that they occupy
/// @dev The life of a deal, as its word:
///
///     vacant --open--> Open --claim--> Claimed --finalise--> vacant
///                       |                 \--demandTimeout, lost game--> Failed
///                       \--cancelAdmission, timeout--> Failed --reopen (all tasks)--> vacant
///
/// A deal's word lies in a cell of its provider's pool. Cells are used again and again, so that a
/// provider that has settled a deal does not pay for a fresh word for the next one.
/// A deal's id can not come again: a range is handed out once, and a range that reopens does so in a
/// later block than the one that its old deal names.
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
        /// Deals that hold a slot: opened, neither claimed nor failed.
        uint32 open;
        /// Cells that were ever used; they are numbered from 1, so that the word never is zero again.
        uint32 cells;
        /// The first vacant cell, or zero.
        uint32 vacant;
    }

    /// By keccak256(provider, capacityId).
    mapping(bytes32 pool => Pool) private _pools;
    mapping(bytes32 pool => mapping(uint256 cell => DealWord)) private _cells;
    mapping(bytes32 dealId => Demand) internal _demands;

    /// @inheritdoc IDeals
    function dealState(Deal calldata deal) external view returns (DealState memory state) {
        DealWord word = _wordOf(deal);
        bytes32 dealId = hashDeal(deal);
        if (word.status() != DealStatus.Claimed && !word.isBound(word.status(), dealId)) return state;
        return DealState({
            status: word.status(),
            accepted: word.has(DealWords.ACCEPTED),
            challenged: word.has(DealWords.CHALLENGED),
            demanded: word.has(DealWords.DEMANDED),
            demandUsed: word.has(DealWords.DEMAND_USED),
            clock: uint64(word.clock()),
            binding: word.binding()
        });
    }

    /// @inheritdoc IDeals
    function openSlots(address provider, bytes32 capacityId) external view returns (uint32) {
        return _pools[_poolKey(provider, capacityId)].open;
    }

    /// @inheritdoc IDeals
    function demandOf(bytes32 dealId) external view returns (bytes32 commitment, uint64 deadline, uint8 outputDepth) {
        Demand storage demand = _demands[dealId];
        return (demand.commitment, demand.deadline, demand.outputDepth);
    }

    /// @inheritdoc IDeals
    function hashDeal(Deal calldata deal) public view returns (bytes32) {
        return Hashing.dealId(_domain(), deal);
    }

    /// @dev Refuses a deal that does not wait for its claim.
    function _openDeal(Deal calldata deal, bytes32 dealId) internal view returns (bytes4) {
        return _wordOf(deal).isBound(DealStatus.Open, dealId) ? Refusal.NONE : DealNotOpen.selector;
    }

    /// @dev The word of a deal that holds this claim.
    function _claimedDeal(Deal calldata deal, bytes32 dealId, Claim calldata claim_)
        internal
        view
        returns (bytes4 refusal, DealWord word, bytes32 claimHash)
    {
        word = _wordOf(deal);
        claimHash = Hashing.claim(dealId, claim_);
        if (!word.isBound(DealStatus.Claimed, claimHash)) refusal = ClaimNotHeld.selector;
    }

    /// @dev Whether a claimed deal may still be challenged or its output demanded.
    function _inChallengeWindow(DealWord word) internal view returns (bool) {
        return block.timestamp <= word.clock() + CHALLENGE_WINDOW_S;
    }

    /// @dev Takes a slot and a cell for a deal, unless all slots are taken.
    function _enter(Deal memory deal, uint256 slots) internal returns (bool free) {
        bytes32 key = _poolKey(deal.provider, deal.capacityId);
        Pool memory pool = _pools[key];
        if (pool.open >= slots) return false;
        ++pool.open;
        if (pool.vacant == 0) {
            deal.cell = ++pool.cells;
        } else {
            deal.cell = pool.vacant;
            pool.vacant = uint32(_cells[key][deal.cell].next());
        }
        _pools[key] = pool;
        return true;
    }

    /// @dev Stores the word of a deal that has just entered.
    function _store(Deal memory deal, DealWord word) internal {
        _cells[_poolKey(deal.provider, deal.capacityId)][deal.cell] = word;
    }

    function _wordOf(Deal calldata deal) internal view returns (DealWord) {
        return _cells[_poolKey(deal.provider, deal.capacityId)][deal.cell];
    }

    function _setWord(Deal calldata deal, DealWord word) internal {
        _cells[_poolKey(deal.provider, deal.capacityId)][deal.cell] = word;
    }

    /// @dev An open deal gives its slot back, and keeps its cell.
    function _leaveSlot(Deal calldata deal, DealWord word) internal {
        bytes32 key = _poolKey(deal.provider, deal.capacityId);
        --_pools[key].open;
        _cells[key][deal.cell] = word;
    }

    /// @dev Nothing of the deal is left: its cell is for the next one.
    function _vacate(Deal calldata deal) internal {
        bytes32 key = _poolKey(deal.provider, deal.capacityId);
        Pool storage pool = _pools[key];
        _cells[key][deal.cell] = DealWords.vacant(pool.vacant);
        pool.vacant = deal.cell;
    }

    /// @dev Pays out a deal that failed by the provider's fault: the escrow (unless the price was accepted) goes
    /// back to the buyer, the given parts of the collateral and of its floor go to the buyer or
    /// have been paid out, the rest is burned. The bid's second tip goes to `tipTo`.
    function _fail(
        Deal calldata deal,
        bytes32 dealId,
        Failure failure,
        bool accepted,
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
        if (!accepted) {
            refunded = deal.escrow;
            _credit(tipTo, deal.token, deal.buyerTip);
        }
        uint256 burned = deal.collateral - toBuyer - paidOut;
        _credit(deal.buyer, deal.token, refunded + toBuyer);
        _credit(deal.buyer, NATIVE, floorToBuyer);
        _credit(BURN, deal.token, burned);
        _credit(BURN, NATIVE, COLLATERAL_FLOOR_WEI - floorToBuyer - paidOutNative);
        emit DealFailed(
            dealId, deal.buyer, deal.provider, failure, deal.token, deal.resources, refunded, toBuyer, burned
        );
    }

    function _poolKey(address provider, bytes32 capacityId) private pure returns (bytes32 pool) {
        assembly ("memory-safe") {
            mstore(0x00, provider)
            mstore(0x20, capacityId)
            pool := keccak256(0x00, 0x40)
        }
    }
}
