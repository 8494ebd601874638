// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAuction} from "../interfaces/IAuction.sol";
import {Merkle} from "../market/Merkle.sol";
import {AuctionOrder, Fill, FillGroup, GroupProof, Phase, ResultRecord, RoundRecord} from "../types/Auctions.sol";
import {OrderTerms, Sums} from "./OrderTerms.sol";
import {Sealed} from "./Sealed.sol";

/// @title Results: posted with a bond, disproved by one group, the best that stands wins
/// @dev Results that stand are a list in which none is better than the next one, so the last is the
/// best, and one that is disproved leaves it at once. A result takes its place in it whatever lies
/// above: junk that claims a lot costs its bond and displaces nothing.
///
/// No posted result may keep `disprove` from being executed. What that could revert by is refused when
/// the result is posted (lengths, what does not fit its type) or, where it takes an order to see it,
/// found false (an order or an alternative that does not exist, lots above the order's). Sums that the
/// poster makes up are read into 256 bits.
abstract contract Results is Sealed {
    uint256 private constant FILLS_MAX = 16;
    /// Each holds an order of its own.
    uint256 private constant GROUPS_MAX = ORDERS_MAX;
    uint256 private constant PRICE_END = 1 << 36;

    /// @inheritdoc IAuction
    function post(uint64 round, bytes32 ordersHash, uint64[] calldata prices, FillGroup[] calldata groups)
        external
        nonReentrantView
        returns (uint32 result)
    {
        _require(round, Phase.Post);
        if (_rounds[round].ordersHash != ordersHash) revert OrderMismatch();
        _requireForm(prices, groups);
        FillGroup calldata last = groups[groups.length - 1];
        _requireBalance(prices, last.surplus);
        ResultRecord memory made = ResultRecord({
            poster: msg.sender,
            previous: 0,
            next: 0,
            disproved: false,
            collected: false,
            groups: uint16(groups.length),
            welfare: last.welfare,
            volume: last.volume,
            pricesHash: keccak256(abi.encode(prices)),
            fillsHash: _fillsHash(groups),
            root: _rootOf(groups)
        });
        _debit(msg.sender, RESULT_BOND);
        result = _insert(round, made);
        emit Posted(round, result, msg.sender, prices, groups);
    }

    /// @inheritdoc IAuction
    function disprove(
        uint64 round,
        uint32 result,
        uint64[] calldata prices,
        GroupProof[] calldata before,
        GroupProof calldata group,
        AuctionOrder[] calldata orders
    ) external nonReentrantView {
        Phase phase = _phaseOf(round);
        if (phase != Phase.Post && phase != Phase.Dispute) revert WrongPhase();
        ResultRecord storage record = _standing(round, result);
        _requirePrices(record, prices);
        _requireGroup(record, group);
        (Sums memory sums, uint256 least) = _sumsBefore(record, before, group.index);
        if (_addFills(round, prices, group.group.fills, orders, sums, least) && _agree(sums, group.group)) {
            revert ResultHolds();
        }
        record.disproved = true;
        (uint32 previous, uint32 next) = (record.previous, record.next);
        if (previous != 0) _results[round][previous].next = next;
        if (next != 0) _results[round][next].previous = previous;
        else _rounds[round].best = previous;
        uint256 reward = RESULT_BOND / 2;
        _credit(msg.sender, reward);
        _credit(BURN, RESULT_BOND - reward);
        emit Disproved(round, result, msg.sender, uint128(reward));
    }

    /// @inheritdoc IAuction
    function collect(uint64 round, uint32 result) external nonReentrantView {
        _require(round, Phase.Final);
        ResultRecord storage record = _standing(round, result);
        if (record.collected) revert AlreadyCollected();
        record.collected = true;
        _credit(record.poster, RESULT_BOND);
        emit Collected(round, result, uint128(RESULT_BOND));
    }

    /// @dev Puts a result right above the first one from the top that it is better than. So nobody can
    /// keep it out with one that claims more.
    function _insert(uint64 round, ResultRecord memory made) private returns (uint32 result) {
        mapping(uint32 => ResultRecord) storage results = _results[round];
        RoundRecord storage record = _rounds[round];
        result = ++record.results;
        made.previous = record.best;
        while (made.previous != 0) {
            ResultRecord storage other = results[made.previous];
            if (made.welfare > other.welfare) break;
            if (made.welfare == other.welfare) {
                if (made.volume < other.volume && made.fillsHash == other.fillsHash) break;
                if (made.root == other.root && made.pricesHash == other.pricesHash) revert AlreadyPosted();
            }
            (made.next, made.previous) = (made.previous, other.previous);
        }
        if (made.previous != 0) results[made.previous].next = result;
        if (made.next != 0) results[made.next].previous = result;
        else record.best = result;
        results[result] = made;
    }

    /// @dev The result that a round ended with; reverts if it has not ended, or is void.
    function _final(uint64 round) internal view returns (ResultRecord storage) {
        _require(round, Phase.Final);
        return _standing(round, _rounds[round].best);
    }

    function _standing(uint64 round, uint32 result) private view returns (ResultRecord storage record) {
        record = _results[round][result];
        if (record.poster == address(0) || record.disproved) revert ResultUnknown();
    }

    function _requireForm(uint64[] calldata prices, FillGroup[] calldata groups) private view {
        uint256 pools = _pools.length;
        if (prices.length != pools || groups.length == 0 || groups.length > GROUPS_MAX) revert ResultMalformed();
        for (uint256 i = 0; i < pools; ++i) {
            if (prices[i] >= PRICE_END) revert ResultMalformed();
        }
        for (uint256 i = 0; i < groups.length; ++i) {
            uint256 fills = groups[i].fills.length;
            if (fills == 0 || fills > FILLS_MAX || groups[i].surplus.length != pools) revert ResultMalformed();
        }
    }

    function _requireBalance(uint64[] calldata prices, int64[] calldata surplus) private pure {
        for (uint256 i = 0; i < prices.length; ++i) {
            if (surplus[i] < 0 || (surplus[i] > 0 && prices[i] > 0)) revert ResultUnbalanced();
        }
    }

    function _rootOf(FillGroup[] calldata groups) private pure returns (bytes32) {
        uint256 count = groups.length;
        // One word more than there are leaves, for the padding of an odd level.
        bytes32[] memory leaves = new bytes32[](count + 1);
        for (uint256 i = 0; i < count; ++i) {
            leaves[i] = keccak256(abi.encode(groups[i]));
        }
        assembly ("memory-safe") {
            mstore(leaves, count)
        }
        return Merkle.rootInPlace(leaves);
    }

    function _fillsHash(FillGroup[] calldata groups) private pure returns (bytes32) {
        uint256[] memory words = new uint256[](groups.length * FILLS_MAX);
        uint256 count;
        for (uint256 i = 0; i < groups.length; ++i) {
            Fill[] calldata fills = groups[i].fills;
            for (uint256 j = 0; j < fills.length; ++j) {
                Fill calldata fill = fills[j];
                words[count++] = uint256(fill.order) << 40 | uint256(fill.alternative) << 32 | fill.lots;
            }
        }
        bytes32 hash;
        assembly ("memory-safe") {
            hash := keccak256(add(words, 0x20), shl(5, count))
        }
        return hash;
    }

    /// @dev The sums before a group, and the least order that its fills may name.
    function _sumsBefore(ResultRecord storage record, GroupProof[] calldata before, uint256 index)
        private
        view
        returns (Sums memory sums, uint256 least)
    {
        uint256 pools = _pools.length;
        sums.surplus = new int256[](pools);
        if (before.length != (index == 0 ? 0 : 1)) revert ResultMismatch();
        if (index == 0) return (sums, 0);
        if (uint256(before[0].index) + 1 != index) revert ResultMismatch();
        _requireGroup(record, before[0]);
        FillGroup calldata group = before[0].group;
        for (uint256 i = 0; i < pools; ++i) {
            sums.surplus[i] = group.surplus[i];
        }
        sums.welfare = group.welfare;
        sums.volume = group.volume;
        least = uint256(group.fills[group.fills.length - 1].order) + 1;
    }

    /// @dev Adds a group's fills to the sums; false if one of them can not be in a result, and what
    /// comes after it is not looked at. Reverts if the orders are not the ones that the fills name.
    function _addFills(
        uint64 round,
        uint64[] calldata prices,
        Fill[] calldata fills,
        AuctionOrder[] calldata orders,
        Sums memory sums,
        uint256 least
    ) private view returns (bool) {
        uint256 shown;
        uint256 nextAlternative;
        uint256 lots;
        for (uint256 i = 0; i < fills.length; ++i) {
            Fill calldata fill = fills[i];
            // `least` is beyond the order of the fill before this one.
            if (i == 0 || uint256(fill.order) + 1 != least) {
                if (fill.order < least || fill.order >= _rounds[round].orders) return false;
                if (shown == orders.length || !_isRevealed(round, fill.order, orders[shown])) revert OrderMismatch();
                ++shown;
                (least, nextAlternative, lots) = (uint256(fill.order) + 1, 0, 0);
            }
            if (fill.alternative < nextAlternative) return false;
            nextAlternative = uint256(fill.alternative) + 1;
            lots += fill.lots;
            AuctionOrder calldata order = orders[shown - 1];
            if (fill.lots == 0 || lots > order.lots || !OrderTerms.add(sums, order, fill, prices)) return false;
        }
        return true;
    }

    function _agree(Sums memory sums, FillGroup calldata group) private pure returns (bool) {
        for (uint256 i = 0; i < sums.surplus.length; ++i) {
            if (sums.surplus[i] != group.surplus[i]) return false;
        }
        return sums.welfare == group.welfare && sums.volume == group.volume;
    }
}
