// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

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
    Phase,
    Pool
} from "../../src/types/Auctions.sol";
import {MarketTest} from "../base/MarketTest.sol";
import {Clearer} from "./Clearer.sol";

/// @dev An auction with three pools, accounts with money on it, and the shortest way to each phase of a
/// round. What a result must say is computed here in a way of its own: unit by unit, over all fills at
/// once.
abstract contract AuctionTest is MarketTest, Clearer {
    uint64 internal constant START = 1_900_000_000;
    uint32 internal constant INTERVAL = 3600;
    uint16 internal constant INTERVALS = 8;
    uint32 internal constant COMMIT = 1200;
    uint32 internal constant REVEAL = 600;
    uint32 internal constant POST = 900;
    uint128 internal constant RESULT_BOND = 1001;
    uint128 internal constant DEPOSIT_MIN = 50;
    uint128 internal constant UNIT_DEPOSIT = 300;
    uint32 internal constant DRAW_S = 300;
    uint16 internal constant FEE_BPS = 100;
    uint16 internal constant DRAW_FEE_BPS = 500;
    uint256 internal constant MONEY = 1e15;
    uint16 internal constant POOLS = 3;

    address internal constant ALICE = address(0xa11ce);
    address internal constant BOB = address(0xb0bb0b);
    address internal constant CAROL = address(0xca401);
    address internal constant POSTER = address(0x905735);

    IAuction internal auction;
    /// The round that a test is about, and what has been revealed in each.
    uint64 internal current;
    mapping(uint64 round => AuctionOrder[]) private revealed;
    mapping(uint64 round => bytes32) internal ordersHashes;
    uint256 private salts;

    function setUp() public virtual override {
        super.setUp();
        vm.warp(START);
        auction = IAuction(_created(auctionParameters(), auctionPools()));
        assertTrue(address(auction) != address(0), "deployed");
        address[6] memory accounts = [ALICE, BOB, CAROL, POSTER, buyer, provider];
        for (uint256 i = 0; i < accounts.length; ++i) {
            _endow(accounts[i], MONEY);
        }
    }

    function _endow(address account, uint256 amount) internal {
        token.mint(account, amount);
        vm.startPrank(account);
        token.approve(address(auction), amount);
        auction.deposit(amount);
        vm.stopPrank();
    }

    /// @dev By its artifact, as the market; the zero address if the parameters are refused.
    function _created(AuctionParameters memory p, Pool[] memory pools) internal returns (address created) {
        bytes memory creation = abi.encodePacked(vm.getCode(auctionArtifact()), abi.encode(p, pools));
        assembly ("memory-safe") {
            created := create(0, add(creation, 0x20), mload(creation))
        }
    }

    function auctionArtifact() internal pure virtual returns (string memory) {
        return "Auction.sol:Auction";
    }

    function auctionParameters() internal view virtual returns (AuctionParameters memory) {
        return AuctionParameters({
            market: address(market),
            token: address(token),
            start: START,
            intervalS: INTERVAL,
            intervals: INTERVALS,
            commitS: COMMIT,
            revealS: REVEAL,
            postS: POST,
            feeBps: FEE_BPS,
            resultBond: RESULT_BOND,
            depositMin: DEPOSIT_MIN,
            drawS: DRAW_S,
            drawFeeBps: DRAW_FEE_BPS
        });
    }

    function auctionPools() internal view virtual returns (Pool[] memory pools) {
        pools = new Pool[](POOLS);
        for (uint256 i = 0; i < POOLS; ++i) {
            pools[i] = Pool({
                region: 7,
                memoryMib: 4096,
                diskMib: 100,
                egressMib: 50,
                attributes: 13,
                speed: 1e9,
                unitDeposit: UNIT_DEPOSIT,
                machineVersion: 1
            });
        }
    }

    // ---------------------------------------------------------------- orders

    /// @dev An order with one alternative of one entry.
    function _order(address account, Backing backing, uint32 lots, int64 limit, uint16 pool, int32 quantity)
        internal
        returns (AuctionOrder memory order)
    {
        order.account = account;
        order.backing = backing;
        order.lots = lots;
        order.alternatives = new Alternative[](1);
        order.alternatives[0] = _alternative(limit, pool, quantity);
        order.salt = bytes32(++salts);
    }

    function _alternative(int64 limit, uint16 pool, int32 quantity) internal pure returns (Alternative memory made) {
        made.limit = limit;
        made.entries = new Entry[](1);
        made.entries[0] = Entry(pool, quantity);
    }

    function _two(int64 limit, Entry memory first, Entry memory second)
        internal
        pure
        returns (Alternative memory made)
    {
        made.limit = limit;
        made.entries = new Entry[](2);
        (made.entries[0], made.entries[1]) = (first, second);
    }

    function _with(AuctionOrder memory order, Alternative memory more) internal pure returns (AuctionOrder memory) {
        Alternative[] memory all = new Alternative[](order.alternatives.length + 1);
        for (uint256 i = 0; i < order.alternatives.length; ++i) {
            all[i] = order.alternatives[i];
        }
        all[order.alternatives.length] = more;
        order.alternatives = all;
        return order;
    }

    // ---------------------------------------------------------------- phases

    function _begin(uint64 round) internal pure returns (uint256) {
        return START + uint256(round) * INTERVAL;
    }

    function _toCommit(uint64 round) internal {
        vm.warp(_begin(round));
    }

    function _toReveal(uint64 round) internal {
        vm.warp(_begin(round) + COMMIT);
    }

    function _toPost(uint64 round) internal {
        vm.warp(_begin(round) + COMMIT + REVEAL);
    }

    function _toDispute(uint64 round) internal {
        vm.warp(_begin(round) + COMMIT + REVEAL + POST);
    }

    function _toEnd(uint64 round) internal {
        vm.warp(_begin(round) + INTERVAL);
    }

    function _commitment(uint64 round, AuctionOrder memory order) internal pure returns (bytes32) {
        return keccak256(abi.encode(round, order));
    }

    function _commit(uint64 round, AuctionOrder memory order) internal {
        _commit(round, order, uint128(auction.depositFor(order)));
    }

    function _commit(uint64 round, AuctionOrder memory order, uint128 deposit) internal {
        vm.prank(order.account);
        auction.commit(round, _commitment(round, order), deposit);
    }

    /// @dev All of them, from the beginning of the round: afterwards it is in the post phase.
    function _enter(uint64 round, AuctionOrder[] memory all) internal {
        _toCommit(round);
        for (uint256 i = 0; i < all.length; ++i) {
            _commit(round, all[i]);
        }
        _toReveal(round);
        current = round;
        for (uint256 i = 0; i < all.length; ++i) {
            auction.reveal(round, all[i]);
            _keep(all[i]);
        }
        _toPost(round);
    }

    function _keep(AuctionOrder memory order) internal {
        bytes32 leaf = keccak256(abi.encode(current, uint16(_count()), order));
        ordersHashes[current] = keccak256(abi.encode(ordersHashes[current], leaf));
        AuctionOrder storage kept = revealed[current].push();
        (kept.account, kept.backing, kept.lots, kept.salt) = (order.account, order.backing, order.lots, order.salt);
        for (uint256 i = 0; i < order.alternatives.length; ++i) {
            Alternative storage alternative = kept.alternatives.push();
            alternative.limit = order.alternatives[i].limit;
            for (uint256 j = 0; j < order.alternatives[i].entries.length; ++j) {
                alternative.entries.push(order.alternatives[i].entries[j]);
            }
        }
    }

    function _count() internal view returns (uint256) {
        return revealed[current].length;
    }

    /// @dev A revealed order.
    function _at(uint256 index) internal view returns (AuctionOrder memory) {
        return revealed[current][index];
    }

    function _list(AuctionOrder memory a, AuctionOrder memory b) internal pure returns (AuctionOrder[] memory all) {
        all = new AuctionOrder[](2);
        (all[0], all[1]) = (a, b);
    }

    function _list(AuctionOrder memory a, AuctionOrder memory b, AuctionOrder memory c)
        internal
        pure
        returns (AuctionOrder[] memory all)
    {
        all = new AuctionOrder[](3);
        (all[0], all[1], all[2]) = (a, b, c);
    }

    function _post(uint64 round, uint64[] memory prices, FillGroup[] memory groups) internal returns (uint32) {
        vm.prank(POSTER);
        return auction.post(round, ordersHashes[round], prices, groups);
    }

    function _refuses(bytes4 selector) internal {
        vm.expectRevert(selector);
    }

    // ---------------------------------------------------------------- results

    function _prices(uint64 a, uint64 b, uint64 c) internal pure returns (uint64[] memory prices) {
        prices = new uint64[](POOLS);
        (prices[0], prices[1], prices[2]) = (a, b, c);
    }

    function _fills(Fill memory a, Fill memory b) internal pure returns (Fill[] memory all) {
        all = new Fill[](2);
        (all[0], all[1]) = (a, b);
    }

    function _fills(Fill memory a, Fill memory b, Fill memory c) internal pure returns (Fill[] memory all) {
        all = new Fill[](3);
        (all[0], all[1], all[2]) = (a, b, c);
    }

    /// @dev Groups of at most `size` fills with true sums; an order's fills stay together.
    function _groups(uint64[] memory prices, Fill[] memory fills, uint256 size)
        internal
        view
        returns (FillGroup[] memory groups)
    {
        uint256[] memory ends = new uint256[](fills.length);
        uint256 count;
        uint256 from;
        for (uint256 i = 1; i <= fills.length; ++i) {
            if (i < fills.length && fills[i].order == fills[i - 1].order) continue;
            uint256 next = i;
            while (next < fills.length && (next == i || fills[next].order == fills[next - 1].order)) ++next;
            if (i < fills.length && next - from <= size) continue;
            ends[count++] = i;
            from = i;
        }
        groups = new FillGroup[](count);
        from = 0;
        for (uint256 g = 0; g < count; ++g) {
            groups[g] = _groupOf(prices, fills, from, ends[g], g == 0 ? _noGroup(prices.length) : groups[g - 1]);
            from = ends[g];
        }
    }

    function _noGroup(uint256 pools) internal pure returns (FillGroup memory group) {
        group.surplus = new int64[](pools);
    }

    function _groupOf(uint64[] memory prices, Fill[] memory fills, uint256 from, uint256 to, FillGroup memory before)
        internal
        view
        returns (FillGroup memory group)
    {
        group.fills = new Fill[](to - from);
        group.surplus = new int64[](prices.length);
        (group.welfare, group.volume) = (before.welfare, before.volume);
        for (uint256 i = 0; i < prices.length; ++i) {
            group.surplus[i] = before.surplus[i];
        }
        for (uint256 i = from; i < to; ++i) {
            Fill memory fill = fills[i];
            group.fills[i - from] = fill;
            AuctionOrder memory order = _at(fill.order);
            Entry[] memory entries = order.alternatives[fill.alternative].entries;
            for (uint256 j = 0; j < entries.length; ++j) {
                int64 units = int64(entries[j].quantity) * int64(uint64(fill.lots));
                group.surplus[entries[j].pool] -= units;
                if (units < 0) group.volume += uint128(uint64(-units)) * prices[entries[j].pool];
            }
            group.welfare += _worth(order, fill.alternative, fill.lots);
        }
    }

    /// @dev What accepted lots add to the welfare.
    function _worth(AuctionOrder memory order, uint256 alternative, uint256 lots) internal pure returns (int128 worth) {
        int128 limit = order.alternatives[alternative].limit;
        if (order.backing != Backing.Curve) return limit * int128(uint128(lots));
        for (uint256 unit = 0; unit < lots; ++unit) {
            worth -= int128(uint128(_askOf(order, unit)));
        }
    }

    /// @dev A group with its path, from a tree that is built here.
    function _proof(FillGroup[] memory groups, uint256 index) internal pure returns (GroupProof memory proof) {
        proof.group = groups[index];
        proof.index = uint16(index);
        uint256 depth;
        while (uint256(1) << depth < groups.length) ++depth;
        bytes32[] memory level = new bytes32[](uint256(1) << depth);
        for (uint256 i = 0; i < level.length; ++i) {
            level[i] = i < groups.length ? keccak256(abi.encode(groups[i])) : keccak256(new bytes(128));
        }
        proof.path = new bytes32[](depth);
        for (uint256 d = 0; d < depth; ++d) {
            proof.path[d] = level[(index >> d) ^ 1];
            for (uint256 i = 0; i < level.length >> (d + 1); ++i) {
                level[i] = keccak256(abi.encode(level[2 * i], level[2 * i + 1]));
            }
        }
    }

    function _before(FillGroup[] memory groups, uint256 index) internal pure returns (GroupProof[] memory before) {
        before = new GroupProof[](index == 0 ? 0 : 1);
        if (index != 0) before[0] = _proof(groups, index - 1);
    }

    /// @dev The orders that a group's fills name, each once, as far as they exist and go up.
    function _named(Fill[] memory fills) internal view returns (AuctionOrder[] memory named) {
        named = new AuctionOrder[](fills.length);
        uint256 count;
        for (uint256 i = 0; i < fills.length; ++i) {
            if (i != 0 && fills[i].order == fills[i - 1].order) continue;
            if (fills[i].order >= _count()) break;
            named[count++] = _at(fills[i].order);
        }
        assembly ("memory-safe") {
            mstore(named, count)
        }
    }

    function _disprove(uint64 round, uint32 result, uint64[] memory prices, FillGroup[] memory groups, uint256 index)
        internal
    {
        GroupProof[] memory before = _before(groups, index);
        GroupProof memory group = _proof(groups, index);
        AuctionOrder[] memory named = _named(groups[index].fills);
        vm.prank(CAROL);
        auction.disprove(round, result, prices, before, group, named);
    }

    /// @dev The group that holds an order's fills.
    function _groupOf(FillGroup[] memory groups, uint256 order) internal pure returns (uint256 index, bool found) {
        for (uint256 g = 0; g < groups.length; ++g) {
            for (uint256 i = 0; i < groups[g].fills.length; ++i) {
                if (groups[g].fills[i].order == order) return (g, true);
            }
        }
    }

    /// @dev The groups that show that an order has no fills.
    function _around(FillGroup[] memory groups, uint256 order) internal pure returns (GroupProof[] memory around) {
        for (uint256 g = 0; g < groups.length; ++g) {
            Fill[] memory fills = groups[g].fills;
            if (order > fills[fills.length - 1].order && g + 1 < groups.length) continue;
            bool between = g != 0 && order < fills[0].order;
            around = new GroupProof[](between ? 2 : 1);
            if (between) around[0] = _proof(groups, g - 1);
            around[around.length - 1] = _proof(groups, g);
            return around;
        }
    }

    function _settle(uint64 round, uint16 index, uint64[] memory prices, FillGroup[] memory groups) internal {
        (uint256 g, bool found) = _groupOf(groups, index);
        if (found) auction.settle(round, index, _at(index), prices, _proof(groups, g));
        else auction.release(round, index, _at(index), _around(groups, index));
    }

    function _settleAll(uint64 round, uint64[] memory prices, FillGroup[] memory groups) internal {
        for (uint16 i = 0; i < _count(); ++i) {
            _settle(round, i, prices, groups);
        }
    }

    // ---------------------------------------------------------------- expectations

    function _has(address account) internal view returns (uint256) {
        return auction.balanceOf(account);
    }

    /// @dev Everything that was brought here is in somebody's balance.
    function assertNothingLockedHere() internal view {
        address[8] memory all = [ALICE, BOB, CAROL, POSTER, buyer, provider, BURN, ANYBODY];
        uint256 sum;
        for (uint256 i = 0; i < all.length; ++i) {
            sum += _has(all[i]);
        }
        assertEq(sum, auction.totalHeld(), "tokens in balances");
        assertEq(token.balanceOf(address(auction)), auction.totalHeld(), "tokens held");
    }
}
