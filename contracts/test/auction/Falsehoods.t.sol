// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAuction} from "../../src/interfaces/IAuction.sol";
import {AuctionOrder, Entry, Fill, FillGroup, GroupProof} from "../../src/types/Auctions.sol";
import {Vm} from "../base/Vm.sol";
import {AuctionTest} from "./AuctionTest.sol";

/// @dev Whatever is wrong with a result, either nobody can post it or anybody can disprove it. Random
/// rounds with valid results, changed at random places; what is valid is decided by a walk over all
/// fills that knows no groups.
contract FalsehoodsTest is AuctionTest {
    uint64 private round;

    function _round(uint256 seed) private returns (uint64[] memory prices, FillGroup[] memory groups) {
        AuctionOrder[] memory all = _randomOrders(seed, POOLS);
        for (uint256 i = 0; i < all.length; ++i) {
            _endow(all[i].account, 1e9);
        }
        _enter(round, all);
        Fill[] memory fills;
        (prices, fills) = _clear(seed, all, POOLS);
        groups = fills.length == 0 ? new FillGroup[](0) : _groups(prices, fills, 2 + seed % 3);
    }

    function testFuzz_a_valid_result_can_be_posted_and_holds(uint256 seed) public {
        (uint64[] memory prices, FillGroup[] memory groups) = _round(seed);
        if (groups.length == 0) return;
        assertTrue(_isValid(prices, groups), "valid");
        _post(round, prices, groups);
        for (uint256 g = 0; g < groups.length; ++g) {
            _refuses(IAuction.ResultHolds.selector);
            _disprove(round, 1, prices, groups, g);
        }
        _toEnd(0);
        _settleAll(0, prices, groups);
    }

    function testFuzz_whatever_is_changed_in_a_result_is_refused_or_can_be_disproved(uint256 seed) public {
        (uint64[] memory prices, FillGroup[] memory groups) = _round(seed);
        if (groups.length == 0) return;
        for (uint256 i = 0; i <= (seed >> 200) % 3; ++i) {
            _change(uint256(keccak256(abi.encode(seed, i))), prices, groups);
        }
        vm.prank(POSTER);
        try auction.post(round, ordersHashes[round], prices, groups) returns (uint32 result) {
            assertTrue(_isDisproved(result, prices, groups) != _isValid(prices, groups), "either valid or disproved");
        } catch {
            // With the sums made good again, what is left is between the groups, or in the fills.
            _balance(groups[groups.length - 1].surplus);
            vm.prank(POSTER);
            try auction.post(round, ordersHashes[round], prices, groups) returns (uint32 result) {
                assertTrue(
                    _isDisproved(result, prices, groups) != _isValid(prices, groups), "either valid or disproved"
                );
            } catch {}
        }
    }

    /// @dev Bytes that no encoder writes: what is accepted reads the same for whoever disproves it.
    function testFuzz_whatever_bytes_are_posted_can_be_judged(uint256 seed) public {
        (uint64[] memory prices, FillGroup[] memory groups) = _round(seed);
        if (groups.length == 0) return;
        bytes memory call = abi.encodeCall(IAuction.post, (round, ordersHashes[round], prices, groups));
        for (uint256 i = 0; i <= (seed >> 200) % 3; ++i) {
            uint256 place = 4 + 64 + uint256(keccak256(abi.encode(seed, i, "at"))) % (call.length - 68);
            call[place] = bytes1(uint8(uint256(keccak256(abi.encode(seed, i, "byte")))));
        }
        vm.recordLogs();
        vm.prank(POSTER);
        (bool accepted,) = address(auction).call(call);
        if (!accepted) return;
        (prices, groups) = _logged(vm.getRecordedLogs());
        assertTrue(_isDisproved(1, prices, groups) != _isValid(prices, groups), "either valid or disproved");
    }

    /// @dev The tests above would pass if no change ever got posted.
    function test_changes_of_every_kind_get_posted_and_are_disproved() public {
        uint256[9] memory disproved;
        for (; round < 150; ++round) {
            uint256 seed = uint256(keccak256(abi.encode("kinds", round)));
            (uint64[] memory prices, FillGroup[] memory groups) = _round(seed);
            if (groups.length == 0) continue;
            uint256 kind = _change(seed, prices, groups);
            _balance(groups[groups.length - 1].surplus);
            vm.prank(POSTER);
            try auction.post(round, ordersHashes[round], prices, groups) returns (uint32 result) {
                if (_isDisproved(result, prices, groups)) ++disproved[kind];
            } catch {}
        }
        for (uint256 kind = 0; kind < 9; ++kind) {
            assertTrue(disproved[kind] != 0, vm.toString(kind));
        }
    }

    function _logged(Vm.Log[] memory logs) private pure returns (uint64[] memory prices, FillGroup[] memory groups) {
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] == IAuction.Posted.selector) {
                return abi.decode(logs[i].data, (uint64[], FillGroup[]));
            }
        }
    }

    /// @dev Tries every group. No attempt may fail for another reason than that the group holds.
    function _isDisproved(uint32 result, uint64[] memory prices, FillGroup[] memory groups) private returns (bool) {
        for (uint256 g = 0; g < groups.length; ++g) {
            GroupProof[] memory before = _before(groups, g);
            GroupProof memory proof = _proof(groups, g);
            AuctionOrder[] memory named = _named(groups[g].fills);
            vm.prank(CAROL);
            try auction.disprove(round, result, prices, before, proof, named) {
                return true;
            } catch (bytes memory reason) {
                assertEq(bytes32(bytes4(reason)), bytes32(IAuction.ResultHolds.selector), "holds");
            }
        }
        return false;
    }

    function _balance(int64[] memory surplus) private pure {
        for (uint256 i = 0; i < surplus.length; ++i) {
            surplus[i] = 0;
        }
    }

    /// @dev Changes one thing. Returns what kind of thing.
    function _change(uint256 seed, uint64[] memory prices, FillGroup[] memory groups)
        private
        pure
        returns (uint256 kind)
    {
        FillGroup memory group = groups[(seed >> 8) % groups.length];
        Fill memory fill = group.fills[(seed >> 16) % group.fills.length];
        Fill memory other = group.fills[(seed >> 24) % group.fills.length];
        uint256 pool = (seed >> 32) % prices.length;
        uint256 wild = (seed >> 40) % 4;
        uint256 random = seed >> 64;
        kind = seed % 9;
        unchecked {
            if (kind == 0) {
                fill.order = wild == 0 ? uint16(random) : wild == 1 ? fill.order + 1 : other.order;
            } else if (kind == 1) {
                fill.alternative = wild == 0 ? uint8(random) : fill.alternative + 1;
            } else if (kind == 2) {
                fill.lots = wild == 0 ? uint32(random) : wild == 1 ? 0 : wild == 2 ? fill.lots + 1 : fill.lots - 1;
            } else if (kind == 3) {
                group.surplus[pool] =
                    wild == 0 ? int64(uint64(random)) : wild == 1 ? type(int64).min : group.surplus[pool] + 1;
            } else if (kind == 4) {
                group.welfare = wild == 0 ? int128(uint128(random)) : wild == 1 ? type(int128).max : group.welfare + 1;
            } else if (kind == 5) {
                group.volume = wild == 0 ? uint128(random) : wild == 1 ? type(uint128).max : group.volume + 1;
            } else if (kind == 6) {
                prices[pool] = wild == 0 ? uint64(random) % (1 << 36) : prices[pool] + 1;
            } else if (kind == 7) {
                (fill.order, fill.lots, other.order, other.lots) = (other.order, other.lots, fill.order, fill.lots);
            } else {
                _drop(group);
            }
        }
    }

    /// @dev Leaves the last fill of a group out, or puts it in twice.
    function _drop(FillGroup memory group) private pure {
        uint256 count = group.fills.length;
        Fill[] memory fills = new Fill[](count == 1 ? 2 : count - 1);
        for (uint256 i = 0; i < fills.length; ++i) {
            fills[i] = group.fills[i < count ? i : count - 1];
        }
        group.fills = fills;
    }

    /// @dev The rule, over all fills at once, with sums that every group must state.
    function _isValid(uint64[] memory prices, FillGroup[] memory groups) private view returns (bool) {
        int256 last = -1;
        uint256[] memory taken = new uint256[](_count());
        int256[] memory surplus = new int256[](prices.length);
        int256[2] memory sums;
        for (uint256 g = 0; g < groups.length; ++g) {
            for (uint256 i = 0; i < groups[g].fills.length; ++i) {
                Fill memory fill = groups[g].fills[i];
                if (fill.order >= _count() || fill.lots == 0) return false;
                // Ascending, and an order's fills in one group.
                int256 place = int256(uint256(fill.order)) * 256 + int256(uint256(fill.alternative));
                if (place <= last || (i == 0 && last >= 0 && last / 256 == place / 256)) return false;
                last = place;
                AuctionOrder memory order = _at(fill.order);
                if (fill.alternative >= order.alternatives.length) return false;
                taken[fill.order] += fill.lots;
                if (taken[fill.order] > order.lots) return false;
                if (!_agrees(order, fill, prices)) return false;
                Entry[] memory entries = order.alternatives[fill.alternative].entries;
                for (uint256 j = 0; j < entries.length; ++j) {
                    int256 units = int256(entries[j].quantity) * int256(uint256(fill.lots));
                    surplus[entries[j].pool] -= units;
                    if (units < 0) sums[1] -= units * int256(uint256(prices[entries[j].pool]));
                }
                sums[0] += _worth(order, fill.alternative, fill.lots);
            }
            if (sums[0] != groups[g].welfare || sums[1] != int256(uint256(groups[g].volume))) return false;
            for (uint256 i = 0; i < prices.length; ++i) {
                if (surplus[i] != groups[g].surplus[i]) return false;
            }
        }
        return true;
    }
}
