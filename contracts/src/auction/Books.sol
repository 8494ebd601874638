// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IAuction} from "../interfaces/IAuction.sol";
import {DrawRecord, Obligation, ResultRecord, RoundRecord, StreamRecord} from "../types/Auctions.sol";
import {Schedule} from "./Schedule.sol";

/// @title All that the auction stores
/// @dev Invariant: balances of all accounts + deposits of commitments and orders + bonds + escrows of
/// rounds + fees set aside for draws = held <= the auction's own balance. Only `deposit` and `withdraw`
/// change `held`, and only they call the token; they hold the reentrancy guard, and everything else
/// that changes state refuses to run meanwhile.
abstract contract Books is Schedule, ReentrancyGuardTransient {
    /// @dev What is stored about a revealed order. All else is in its event, and shown again when it is
    /// needed.
    struct OrderRecord {
        bytes32 leaf;
        uint128 deposit;
        /// Draws from it that are open.
        uint64 draws;
        bool settled;
        /// One more than the group by which it was settled, if it paid and was not refunded.
        uint16 paidIn;
        /// Unit deposits of all units of new capacity that it owes: what is taken for one of them leaves
        /// those of the others.
        uint128 secured;
    }

    /// @dev Units of an order that a holder has bound, and how many of them draws are open on.
    struct BoundRecord {
        uint64 units;
        uint64 drawn;
    }

    /// Credited with what burns, because not every token can burn. Nobody has its key.
    address internal constant BURN = 0x000000000000000000000000000000000000dEaD;

    mapping(address account => uint256) internal _balances;
    uint256 internal _held;
    mapping(uint64 round => RoundRecord) internal _rounds;
    mapping(uint64 round => mapping(address account => mapping(bytes32 commitment => uint128))) internal _committed;
    mapping(uint64 round => mapping(uint256 index => OrderRecord)) internal _orders;
    mapping(uint64 round => mapping(uint32 result => ResultRecord)) internal _results;
    mapping(uint64 round => mapping(uint256 index => StreamRecord)) internal _streams;
    mapping(uint64 season => mapping(uint256 pool => mapping(address account => uint64))) internal _holdings;
    mapping(uint64 round => mapping(uint256 index => mapping(uint256 pool => Obligation))) internal _obligations;
    mapping(
        uint64 round => mapping(uint256 index => mapping(uint256 pool => mapping(address holder => BoundRecord)))
    ) internal _bound;
    mapping(bytes32 id => DrawRecord) internal _draws;

    function _credit(address account, uint256 amount) internal {
        if (amount != 0) _balances[account] += amount;
    }

    function _debit(address account, uint256 amount) internal {
        uint256 balance = _balances[account];
        if (balance < amount) revert IAuction.BalanceInsufficient();
        unchecked {
            if (amount != 0) _balances[account] = balance - amount;
        }
    }
}
