// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAuction} from "../interfaces/IAuction.sol";
import {AuctionOrder, Backing, Phase, RoundRecord} from "../types/Auctions.sol";
import {Funds} from "./Funds.sol";
import {OrderTerms} from "./OrderTerms.sol";

/// @title Orders: committed to, then revealed
/// @dev What breaks ties is made of what was revealed (SPEC.md, 13.1), whatever the order in which that
/// happened: who reveals last can only choose not to, which costs the deposit. It needs no beacon, whose
/// block somebody would have to name in time.
abstract contract Sealed is Funds {
    uint256 internal constant ORDERS_MAX = 512;

    /// @inheritdoc IAuction
    function commit(uint64 round, bytes32 commitment, uint128 deposit_) external nonReentrantView {
        _require(round, Phase.Commit);
        if (deposit_ < DEPOSIT_MIN) revert DepositTooSmall();
        if (_committed[round][msg.sender][commitment] != 0) revert AlreadyCommitted();
        RoundRecord storage record = _rounds[round];
        if (record.commitments == ORDERS_MAX) revert RoundFull();
        ++record.commitments;
        _debit(msg.sender, deposit_);
        _committed[round][msg.sender][commitment] = deposit_;
        emit Committed(round, msg.sender, commitment, deposit_);
    }

    /// @inheritdoc IAuction
    function reveal(uint64 round, AuctionOrder calldata order) external nonReentrantView returns (uint16 index) {
        _require(round, Phase.Reveal);
        uint128 deposit_ = _take(round, order.account, keccak256(abi.encode(round, order)));
        if (depositFor(order) > deposit_) revert DepositTooSmall();
        if (order.backing == Backing.Holdings) _setAside(_seasonOf(round), order);
        RoundRecord storage record = _rounds[round];
        index = record.orders++;
        bytes32 leaf = keccak256(abi.encode(round, index, order));
        ++record.unsettled;
        record.ordersHash = keccak256(abi.encode(record.ordersHash, leaf));
        OrderRecord storage stored = _orders[round][index];
        stored.leaf = leaf;
        stored.deposit = deposit_;
        emit Revealed(round, index, order, leaf, deposit_);
    }

    /// @inheritdoc IAuction
    function forfeit(uint64 round, address account, bytes32 commitment) external nonReentrantView {
        if (_phaseOf(round) < Phase.Post) revert WrongPhase();
        uint128 deposit_ = _take(round, account, commitment);
        _credit(BURN, deposit_);
        emit Forfeited(round, account, commitment, deposit_);
    }

    /// @inheritdoc IAuction
    function depositFor(AuctionOrder calldata order) public view returns (uint256 least) {
        if (!OrderTerms.isBounded(order, _pools.length)) revert OrderOutOfRange();
        least = OrderTerms.depositOf(order, _pools);
        if (least < DEPOSIT_MIN) least = DEPOSIT_MIN;
    }

    /// @dev The deposit of a commitment, which is a commitment no more.
    function _take(uint64 round, address account, bytes32 commitment) private returns (uint128 deposit_) {
        deposit_ = _committed[round][account][commitment];
        if (deposit_ == 0) revert CommitmentUnknown();
        delete _committed[round][account][commitment];
    }

    function _setAside(uint64 season, AuctionOrder calldata order) private {
        uint256[] memory units = OrderTerms.mostSold(order, _pools.length);
        for (uint256 pool = 0; pool < units.length; ++pool) {
            if (units[pool] == 0) continue;
            uint64 held = _holdings[season][pool][order.account];
            if (units[pool] > held) revert HoldingsInsufficient();
            _holdings[season][pool][order.account] = held - uint64(units[pool]);
        }
    }
}
