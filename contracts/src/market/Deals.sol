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

/// @title Deals and slots
/// @dev The life of a deal, as its word:
///
///     None --open--> Open --claim--> Claimed --finalise--> None
///                     |                 \--demandTimeout, lost game--> Failed
///                     \--cancelAdmission, timeout--> Failed --reopen (all tasks)--> None
///
/// A deal's id can not come again once its word is cleared: a range is handed out once, and a range
/// that reopens does so in a later block than the one that its old deal names.
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

    /// Marks a pool as used, so that its word never returns to zero: 17,100 gas less per deal.
    uint256 private constant POOL_USED = 1 << 255;

    mapping(bytes32 dealId => DealWord) internal _deals;
    /// Deals that hold a slot, by keccak256(provider, capacityId).
    mapping(bytes32 pool => uint256) private _slots;
    mapping(bytes32 dealId => Demand) internal _demands;

    /// @inheritdoc IDeals
    function dealState(bytes32 dealId) external view returns (DealState memory state) {
        DealWord word = _deals[dealId];
        return DealState({
            status: word.status(),
            accepted: word.has(DealWords.ACCEPTED),
            challenged: word.has(DealWords.CHALLENGED),
            demanded: word.has(DealWords.DEMANDED),
            demandUsed: word.has(DealWords.DEMAND_USED),
            clock: uint64(word.clock()),
            claim: word.claimBits()
        });
    }

    /// @inheritdoc IDeals
    function openSlots(address provider, bytes32 capacityId) external view returns (uint32) {
        return uint32(_slots[_pool(provider, capacityId)]);
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

    /// @dev The word of a deal that waits for its claim.
    function _openDeal(bytes32 dealId) internal view returns (bytes4) {
        return _deals[dealId].status() == DealStatus.Open ? Refusal.NONE : DealNotOpen.selector;
    }

    /// @dev The word of a deal that holds this claim.
    function _claimedDeal(bytes32 dealId, Claim calldata claim_) internal view returns (bytes4 refusal, DealWord word) {
        word = _deals[dealId];
        if (word.status() != DealStatus.Claimed) return (DealNotClaimed.selector, word);
        bytes32 claimHash = Hashing.claim(dealId, claim_);
        if (uint192(uint256(claimHash)) != word.claimBits()) return (ClaimMismatch.selector, word);
    }

    /// @dev Whether a claimed deal may still be challenged or its output demanded.
    function _inChallengeWindow(DealWord word) internal view returns (bool) {
        return block.timestamp <= word.clock() + CHALLENGE_WINDOW_S;
    }

    function _slotFree(address provider, bytes32 capacityId, uint256 slots) internal view returns (bool) {
        return uint32(_slots[_pool(provider, capacityId)]) < slots;
    }

    function _takeSlot(address provider, bytes32 capacityId) internal {
        bytes32 pool = _pool(provider, capacityId);
        _slots[pool] = (_slots[pool] | POOL_USED) + 1;
    }

    function _releaseSlot(Deal calldata deal) internal {
        --_slots[_pool(deal.provider, deal.capacityId)];
    }

    /// @dev Ends a deal by the provider's fault: the escrow (unless the price was accepted) goes
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
        _deals[dealId] = DealWords.FAILED;
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

    function _pool(address provider, bytes32 capacityId) private pure returns (bytes32 pool) {
        assembly ("memory-safe") {
            mstore(0x00, provider)
            mstore(0x20, capacityId)
            pool := keccak256(0x00, 0x40)
        }
    }
}
