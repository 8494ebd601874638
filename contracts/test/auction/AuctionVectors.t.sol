// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {OrderTerms, Sums} from "../../src/auction/OrderTerms.sol";
import {IAuction} from "../../src/interfaces/IAuction.sol";
import {
    Alternative,
    AuctionOrder,
    AuctionParameters,
    Backing,
    Entry,
    Fill,
    FillGroup,
    GroupProof,
    Pool,
    ResultRecord
} from "../../src/types/Auctions.sol";
import {AuctionTest} from "./AuctionTest.sol";

interface VmSnapshots {
    function snapshotState() external returns (uint256 id);
    function revertToState(uint256 id) external returns (bool success);
}

/// @dev A rule that takes calldata, callable from a test.
contract OrderRules {
    /// @dev What a fill adds to the welfare, and whether the order offers it at these prices.
    function worthOf(AuctionOrder calldata order, Fill calldata fill, uint64[] calldata prices)
        external
        pure
        returns (int256 welfare, bool offered)
    {
        Sums memory sums;
        sums.surplus = new int256[](prices.length);
        offered = OrderTerms.add(sums, order, fill, prices);
        welfare = sums.welfare;
    }
}

/// @dev The golden vectors that bind Rust and Solidity: ../protocol/vectors/auction.json.
contract AuctionVectorsTest is AuctionTest {
    uint64 private round;

    function setUp() public override {
        super.setUp();
        round = uint64(_uint(_file(), ".round.round"));
    }

    /// @dev Read once by each test and handed on: in storage it would cost more than a test's gas.
    function _file() private view returns (string memory) {
        return vm.readFile("../protocol/vectors/auction.json");
    }

    function auctionParameters() internal view override returns (AuctionParameters memory p) {
        p = super.auctionParameters();
        p.depositMin = uint128(_uint(_file(), ".depositMin"));
    }

    function auctionPools() internal view override returns (Pool[] memory) {
        return abi.decode(_bytes(_file(), ".poolsEncoded"), (Pool[]));
    }

    function test_ordersHaveTheSameHashesAndDeposits() public view {
        string memory json = _file();
        uint256 i;
        for (; _exists(json, _item(".orders", i)); ++i) {
            _checkOrder(json, _item(".orders", i));
        }
        assertTrue(i > 0, "orders");
        for (i = 0; _exists(json, _item(".round.orders", i)); ++i) {
            _checkOrder(json, _item(".round.orders", i));
        }
        assertTrue(i > 0, "orders of a round");
        // With the round before it, its place in the encoding moves by a word.
        bytes memory largest = _bytes(json, ".largest.encoded");
        assembly ("memory-safe") {
            mstore(add(largest, 0x20), 0x40)
        }
        bytes32 commitment = keccak256(bytes.concat(bytes32(uint256(type(uint64).max)), largest));
        assertEq(commitment, _word(json, ".largest.commitment"), "largest");
    }

    function test_ordersThatBreakABoundAreRefused() public view {
        string memory json = _file();
        uint256 i;
        for (; _exists(json, _item(".refused", i)); ++i) {
            // An order's encoding is that of a call's only argument.
            bytes memory order = _bytes(json, string.concat(_item(".refused", i), ".encoded"));
            (bool taken, bytes memory said) =
                address(auction).staticcall(bytes.concat(IAuction.depositFor.selector, order));
            assertTrue(!taken && bytes4(said) == IAuction.OrderOutOfRange.selector, "out of range");
        }
        assertTrue(i > 0, "refused orders");
    }

    function test_unitsOfACurveAskTheSame() public {
        string memory json = _file();
        OrderRules rules = new OrderRules();
        uint256 i;
        for (; _exists(json, _item(".asks", i)); ++i) {
            _checkAsks(rules, json, _item(".asks", i));
        }
        assertTrue(i > 0, "asks");
    }

    function _checkAsks(OrderRules rules, string memory json, string memory key) private {
        int64 cost = int64(uint64(_uint(json, string.concat(key, ".cost"))));
        uint32 lots = uint32(_uint(json, string.concat(key, ".lots")));
        AuctionOrder memory order = _order(ALICE, Backing.Curve, lots, -cost, 0, -1);
        Fill memory fill = Fill(0, 0, uint32(_uint(json, string.concat(key, ".used"))));
        uint64 dearest = uint64(_uint(json, string.concat(key, ".dearest")));
        (int256 welfare, bool offered) = rules.worthOf(order, fill, _prices(dearest, 0, 0));
        assertEq(uint256(-welfare), _uint(json, string.concat(key, ".sum")), "sum");
        assertTrue(offered, "at what the dearest asks for");
        if (dearest == 0) return;
        (, offered) = rules.worthOf(order, fill, _prices(dearest - 1, 0, 0));
        assertTrue(!offered, "below that");
    }

    function test_aRoundIsRevealedPostedDisprovedAndSettledTheSame() public {
        string memory json = _file();
        uint256 count = _reveal(json);
        assertEq(auction.roundOf(round).ordersHash, _word(json, ".round.ordersHash"), "orders");
        _checkFalseResults(json);
        (uint64[] memory prices, FillGroup[] memory groups) = _result(json, ".round.result");
        _checkRecord(json, auction.resultOf(round, _post(round, prices, groups)));
        _toEnd(round);
        for (uint16 i = 0; i < count; ++i) {
            _checkSettled(json, _item(".round.orders", i), i, prices);
        }
        assertTrue(count > 0, "orders");
    }

    function _checkRecord(string memory json, ResultRecord memory record) private view {
        assertEq(record.root, _word(json, ".round.result.root"), "root");
        assertEq(record.pricesHash, _word(json, ".round.result.pricesHash"), "prices");
        assertEq(record.fillsHash, _word(json, ".round.result.fillsHash"), "fills");
        assertEq(uint256(uint128(record.welfare)), _uint(json, ".round.result.welfare"), "welfare");
        assertEq(uint256(record.volume), _uint(json, ".round.result.volume"), "volume");
    }

    function _checkSettled(string memory json, string memory key, uint16 index, uint64[] memory prices) private {
        AuctionOrder memory order = _at(index);
        uint256 whole = _depositOf(index) + auction.balanceOf(order.account);
        _settleShown(json, key, index, order, prices);
        int256 paid = vm.parseJsonInt(json, string.concat(key, ".paid"));
        uint256 left = _depositOf(index) + auction.balanceOf(order.account);
        assertEq(whole - left, paid > 0 ? uint256(paid) : 0, "what it pays");
        assertEq(uint256(auction.streamOf(round, index).left), paid < 0 ? uint256(-paid) : 0, "what it earns");
    }

    function _depositOf(uint16 index) private view returns (uint256 deposit) {
        (, deposit,) = auction.orderOf(round, index);
    }

    /// @dev By the groups that the vectors name: the one with its fills, or those around its index.
    function _settleShown(
        string memory json,
        string memory key,
        uint16 index,
        AuctionOrder memory order,
        uint64[] memory prices
    ) private {
        GroupProof[] memory proofs = new GroupProof[](_length(json, string.concat(key, ".groups")));
        for (uint256 g = 0; g < proofs.length; ++g) {
            string memory group = _item(".round.result.groups", _uint(json, _item(string.concat(key, ".groups"), g)));
            proofs[g] = abi.decode(_bytes(json, string.concat(group, ".proof")), (GroupProof));
        }
        if (vm.parseJsonBool(json, string.concat(key, ".isFilled"))) {
            auction.settle(round, index, order, prices, proofs[0]);
        } else {
            auction.release(round, index, order, proofs);
        }
    }

    function _checkFalseResults(string memory json) private {
        VmSnapshots snapshots = VmSnapshots(address(vm));
        uint256 i;
        for (; _exists(json, _item(".round.false", i)); ++i) {
            uint256 state = snapshots.snapshotState();
            _checkFalse(json, _item(".round.false", i));
            assertTrue(snapshots.revertToState(state), "as it was before");
        }
        assertTrue(i > 0, "false results");
    }

    function _checkFalse(string memory json, string memory key) private {
        (uint64[] memory prices, FillGroup[] memory groups) = _result(json, key);
        uint32 id = _post(round, prices, groups);
        auction.disprove(
            round,
            id,
            prices,
            abi.decode(_bytes(json, string.concat(key, ".before")), (GroupProof[])),
            abi.decode(_bytes(json, string.concat(key, ".proof")), (GroupProof)),
            _shown(json, string.concat(key, ".orders"))
        );
        assertTrue(auction.resultOf(round, id).disproved, "disproved");
    }

    /// @dev The orders whose numbers stand in a list.
    function _shown(string memory json, string memory list) private view returns (AuctionOrder[] memory orders) {
        orders = new AuctionOrder[](_length(json, list));
        for (uint256 i = 0; i < orders.length; ++i) {
            orders[i] = _at(_uint(json, _item(list, i)));
        }
    }

    /// @dev Every order of the vectors' round, in their order; whose holdings are sold buys them before.
    function _reveal(string memory json) private returns (uint256 count) {
        count = _length(json, ".round.orders");
        AuctionOrder[] memory orders = new AuctionOrder[](count);
        for (uint256 i = 0; i < count; ++i) {
            orders[i] = _order(json, _item(".round.orders", i));
            _endow(orders[i].account, MONEY);
        }
        AuctionOrder memory trader = orders[3];
        AuctionOrder memory bid = _order(trader.account, Backing.Holdings, 2, 9, 1, 1);
        _enter(round - 1, _list(_order(ALICE, Backing.Capacity, 2, 0, 1, -1), bid));
        uint64[] memory prices = _prices(0, 5, 0);
        FillGroup[] memory groups = _groups(prices, _fills(Fill(0, 0, 2), Fill(1, 0, 2)), 16);
        _post(round - 1, prices, groups);
        _toEnd(round - 1);
        _settleAll(round - 1, prices, groups);
        _enter(round, orders);
    }

    function _checkOrder(string memory json, string memory key) private view {
        AuctionOrder memory order = _order(json, key);
        uint64 in_ = uint64(_uint(json, string.concat(key, ".round")));
        uint16 index = uint16(_uint(json, string.concat(key, ".index")));
        assertEq(_commitment(in_, order), _word(json, string.concat(key, ".commitment")), "commitment");
        assertEq(keccak256(abi.encode(in_, index, order)), _word(json, string.concat(key, ".leaf")), "leaf");
        assertEq(auction.depositFor(order), _uint(json, string.concat(key, ".deposit")), "deposit");
    }

    function _result(string memory json, string memory key)
        private
        view
        returns (uint64[] memory prices, FillGroup[] memory groups)
    {
        return abi.decode(_bytes(json, string.concat(key, ".encoded")), (uint64[], FillGroup[]));
    }

    /// @dev An order by its fields. (The compiler's short way can't decode one from bytes.)
    function _order(string memory json, string memory key) private view returns (AuctionOrder memory order) {
        string memory message = string.concat(key, ".message");
        order.account = vm.parseJsonAddress(json, string.concat(message, ".account"));
        order.backing = _backing(vm.parseJsonString(json, string.concat(message, ".backing")));
        order.lots = uint32(_uint(json, string.concat(message, ".lots")));
        order.salt = _word(json, string.concat(message, ".salt"));
        string memory list = string.concat(message, ".alternatives");
        order.alternatives = new Alternative[](_length(json, list));
        for (uint256 i = 0; i < order.alternatives.length; ++i) {
            order.alternatives[i] = _alternative(json, _item(list, i));
        }
        assertEq(keccak256(abi.encode(order)), keccak256(_bytes(json, string.concat(key, ".encoded"))), "encoded");
    }

    function _backing(string memory name) private pure returns (Backing) {
        bytes32 hash = keccak256(bytes(name));
        if (hash == keccak256("holdings")) return Backing.Holdings;
        return hash == keccak256("capacity") ? Backing.Capacity : Backing.Curve;
    }

    function _alternative(string memory json, string memory key) private view returns (Alternative memory alternative) {
        alternative.limit = int64(vm.parseJsonInt(json, string.concat(key, ".limit")));
        string memory list = string.concat(key, ".entries");
        alternative.entries = new Entry[](_length(json, list));
        for (uint256 i = 0; i < alternative.entries.length; ++i) {
            string memory entry = _item(list, i);
            int32 quantity = int32(vm.parseJsonInt(json, string.concat(entry, ".quantity")));
            alternative.entries[i] = Entry(uint16(_uint(json, string.concat(entry, ".pool"))), quantity);
        }
    }

    function _length(string memory json, string memory list) private view returns (uint256 length) {
        while (_exists(json, _item(list, length))) ++length;
    }

    function _item(string memory list, uint256 i) private pure returns (string memory) {
        return string.concat(list, "[", vm.toString(i), "]");
    }

    function _exists(string memory json, string memory key) private view returns (bool) {
        return vm.keyExistsJson(json, key);
    }

    function _uint(string memory json, string memory key) private view returns (uint256) {
        return vm.parseJsonUint(json, key);
    }

    function _word(string memory json, string memory key) private view returns (bytes32) {
        return vm.parseJsonBytes32(json, key);
    }

    function _bytes(string memory json, string memory key) private view returns (bytes memory) {
        return vm.parseJsonBytes(json, key);
    }
}
