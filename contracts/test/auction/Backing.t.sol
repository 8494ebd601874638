// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAuction} from "../../src/interfaces/IAuction.sol";
import {AuctionOrder, Backing, Fill, FillGroup, Pool} from "../../src/types/Auctions.sol";
import {Bid} from "../../src/types/Orders.sol";
import {AuctionTest} from "./AuctionTest.sol";

/// @dev What stands behind a unit, when sellers are their own buyers. A unit's deposit covers twice what
/// units are sold for here.
contract BackingTest is AuctionTest {
    uint128 private constant COVER = 1600;
    uint256 private constant ACCOMPLICE_KEY = 0xacc;

    uint256 private nextSalt = 100;

    function auctionPools() internal view override returns (Pool[] memory pools) {
        pools = super.auctionPools();
        for (uint256 i = 0; i < POOLS; ++i) {
            pools[i].unitDeposit = COVER;
        }
    }

    /// @dev A round in which two orders trade so many units of pool 0, settled.
    function _trade(uint64 round, AuctionOrder memory sells, AuctionOrder memory buys, uint64 price) private {
        _enter(round, _list(sells, buys));
        _finish(round, price, _fills(Fill(0, 0, sells.lots), Fill(1, 0, buys.lots)));
    }

    function _finish(uint64 round, uint64 price, Fill[] memory fills) private {
        uint64[] memory prices = _prices(price, 0, 0);
        FillGroup[] memory groups = _groups(prices, fills, 16);
        _post(round, prices, groups);
        _toEnd(round);
        _settleAll(round, prices, groups);
    }

    function _drawn(uint256 key, uint64 round, uint16 index) private returns (bytes32 id, Bid memory bid) {
        bid = _bid(1);
        (bid.buyer, bid.priceCap, bid.tip, bid.salt) = (vm.addr(key), 0, 0, nextSalt++);
        bid.counter = market.counterOf(bid.buyer);
        (bid.queueTimeout, bid.executionTimeout) = (DRAW_S, 2000);
        bytes memory signature = _signature(key, market.hashBid(bid));
        vm.prank(bid.buyer);
        id = auction.draw(round, index, 0, bid, signature, _job(1));
    }

    function _bind(address holder, uint64 round, uint64 units) private {
        vm.prank(holder);
        auction.bind(round, 0, 0, units);
    }

    function test_a_worthless_seller_pays_its_unit_deposits_to_those_whom_it_left_no_other() public {
        _trade(
            0, _order(provider, Backing.Capacity, 5, -700, 0, -1), _order(buyer, Backing.Holdings, 5, 800, 0, 1), 700
        );
        // Bob and Carol are one person. Bob sells 5 units to Carol at no price ...
        uint256 pair = _has(BOB) + _has(CAROL);
        _trade(1, _order(BOB, Backing.Capacity, 5, 0, 0, -1), _order(CAROL, Backing.Holdings, 5, 1, 0, 1), 0);
        // ... and Carol takes all slots that the buyer paid for.
        _bind(CAROL, 0, 5);
        _refuses(IAuction.UnitsInsufficient.selector);
        _bind(buyer, 0, 1);
        _bind(buyer, 1, 5);
        uint256 before = _has(buyer);
        for (uint256 i = 0; i < 5; ++i) {
            (bytes32 id, Bid memory bid) = _drawn(BUYER_KEY, 1, 0);
            // Six of eight intervals are left; six of seven of what the buyer paid for.
            assertEq(auction.drawOf(id).value, 600, "half of the unit deposit, and of the price as much");
            assertEq(auction.drawOf(id).fee, 30, "nor is it free to give it back");
            vm.warp(uint256(auction.drawOf(id).deadline) + 1);
            auction.refuse(id, bid);
            vm.warp(_begin(2));
        }
        assertEq(_has(buyer), before + 5 * 1200, "price and penalty of what the buyer had bought");
        vm.warp(_begin(8));
        auction.earn(0, 0);
        auction.reclaim(0, 0);
        auction.reclaim(1, 0);
        assertEq(_has(BOB) + _has(CAROL), pair - 5 * 1200, "the pair has paid for it");
        vm.prank(POSTER);
        auction.collect(0, 1);
        auction.collect(1, 1);
        assertNothingLockedHere();
    }

    function test_what_a_seller_pays_to_itself_leaves_the_unit_deposits_of_others() public {
        address accomplice = vm.addr(ACCOMPLICE_KEY);
        _endow(accomplice, MONEY);
        AuctionOrder memory sells = _order(BOB, Backing.Capacity, 2, 0, 0, -1);
        AuctionOrder memory own = _order(accomplice, Backing.Holdings, 1, 5000, 0, 1);
        AuctionOrder memory buys = _order(buyer, Backing.Holdings, 1, 5000, 0, 1);
        _enter(0, _list(sells, own, buys));
        _finish(0, 5000, _fills(Fill(0, 0, 2), Fill(1, 0, 1), Fill(2, 0, 1)));
        _bind(accomplice, 0, 1);
        _bind(buyer, 0, 1);
        (bytes32 first, Bid memory firstBid) = _drawn(ACCOMPLICE_KEY, 0, 0);
        (bytes32 second, Bid memory secondBid) = _drawn(BUYER_KEY, 0, 0);
        vm.warp(uint256(auction.drawOf(second).deadline) + 1);
        auction.refuse(first, firstBid);
        (, uint128 deposit,) = auction.orderOf(0, 0);
        assertEq(deposit, COVER, "the other unit's");
        uint256 before = _has(buyer);
        auction.refuse(second, secondBid);
        // The deposit pays the fee of 50, too.
        assertEq(_has(buyer), before + 5000 + COVER - 50 + auction.drawOf(second).fee, "price and unit deposit");
        assertEq(auction.roundOf(0).escrow, 0, "nothing is left to earn");
    }

    function test_who_holds_its_own_units_can_not_draw_on_them() public {
        _trade(
            0, _order(provider, Backing.Capacity, 1, -700, 0, -1), _order(provider, Backing.Holdings, 1, 800, 0, 1), 700
        );
        _bind(provider, 0, 1);
        Bid memory bid = _bid(1);
        (bid.buyer, bid.priceCap, bid.tip, bid.salt) = (provider, 0, 0, nextSalt++);
        bid.counter = market.counterOf(provider);
        (bid.queueTimeout, bid.executionTimeout) = (DRAW_S, 2000);
        bytes memory signature = _signature(PROVIDER_KEY, market.hashBid(bid));
        _refuses(IAuction.BidUnfit.selector);
        vm.prank(provider);
        auction.draw(0, 0, 0, bid, signature, _job(1));
    }
}
