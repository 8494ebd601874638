// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAuction} from "../../src/interfaces/IAuction.sol";
import {
    Alternative,
    AuctionOrder,
    Backing,
    DrawRecord,
    Entry,
    Fill,
    FillGroup,
    GroupProof,
    ResultRecord
} from "../../src/types/Auctions.sol";
import {Bid, Deal, JobSpec, Offer} from "../../src/types/Orders.sol";
import {AuctionTest} from "./AuctionTest.sol";

/// @dev Accounts that trade through rounds: some do not reveal, some post what is false, some sell on
/// what they hold, and whoever likes settles any part of it in any order. One account watches, and
/// disproves what is false.
contract Bazaar is AuctionTest {
    struct Commitment {
        uint64 round;
        address account;
        bytes32 commitment;
    }

    uint64 private constant ROUNDS_MAX = 20;

    Commitment[] private commitments;
    uint64[] public rounds;
    /// Prices and groups, encoded.
    mapping(uint64 round => mapping(uint32 result => bytes)) private posted;
    mapping(uint64 round => mapping(uint32 result => bool)) private isChanged;
    bytes32[] private draws;
    /// Seasons in which a false result may have sold units that nobody owes.
    mapping(uint64 season => bool) public isUnowed;
    mapping(bytes32 draw => Bid) private bidOf;
    mapping(bytes32 draw => bytes deal) private dealOf;
    uint256 private served;
    mapping(bytes32 action => uint256) public done;
    uint256 private nextSalt = 1;

    constructor() {
        setUp();
    }

    function accounts() public view returns (address[7] memory) {
        return [ALICE, BOB, CAROL, POSTER, buyer, provider, BURN];
    }

    function theAuction() external view returns (IAuction, address) {
        return (auction, address(token));
    }

    function _sellerAccount(uint256 i) internal view override returns (address) {
        return i % 2 == 0 ? provider : BOB;
    }

    function _buyerAccount(uint256 i) internal view override returns (address) {
        return i % 4 == 0 ? ALICE : i % 4 == 1 ? CAROL : buyer;
    }

    // ---------------------------------------------------------------- a round

    /// @dev The next round, from its beginning to its end.
    function play(uint256 seed) external {
        uint64 round = auction.currentRound() + 1;
        if (round > ROUNDS_MAX) return;
        _toCommit(round);
        current = round;
        rounds.push(round);
        _offer(seed, round, _randomOrders(seed, POOLS));
        _toPost(round);
        for (uint256 i = 0; i < 1 + seed % 3; ++i) {
            _clearRound(uint256(keccak256(abi.encode(seed, i))), round);
            if (_roll(seed, i, 70, 2) == 0 && (round + 1) / INTERVALS != 1) _watch(round);
        }
        _toDispute(round);
        // In the second season nobody watches.
        if ((round + 1) / INTERVALS != 1) _watch(round);
        else _sleep(round);
        _toEnd(round);
        ++done["play"];
    }

    function _offer(uint256 seed, uint64 round, AuctionOrder[] memory all) private {
        bool[] memory committed = new bool[](all.length);
        for (uint256 i = 0; i < all.length; ++i) {
            all[i].salt = bytes32(nextSalt++);
            if (_roll(seed, i, 71, 3) == 0) _sellOn(seed, i, round, all[i]);
            uint256 deposit = auction.depositFor(all[i]) + _roll(seed, i, 72, 100);
            if (deposit > _has(all[i].account)) continue;
            _commit(round, all[i], uint128(deposit));
            commitments.push(Commitment(round, all[i].account, _commitment(round, all[i])));
            committed[i] = true;
        }
        _toReveal(round);
        for (uint256 i = 0; i < all.length; ++i) {
            if (!committed[i] || _roll(seed, i, 73, 8) == 0) continue;
            // It may offer the same holdings twice.
            try auction.reveal(round, all[i]) {
                _keep(all[i]);
                ++done["reveal"];
            } catch {}
        }
    }

    /// @dev Makes an order of something that its account holds.
    function _sellOn(uint256 seed, uint256 i, uint64 round, AuctionOrder memory order) private {
        address account = _buyerAccount(i);
        uint16 pool = uint16(_roll(seed, i, 74, POOLS));
        uint64 held = auction.holdingOf((round + 1) / INTERVALS, pool, account);
        if (held == 0) return;
        order.account = account;
        order.backing = Backing.Holdings;
        order.lots = uint32(1 + _roll(seed, i, 75, held));
        order.alternatives = new Alternative[](1);
        order.alternatives[0] = _alternative(-int64(uint64(_roll(seed, i, 76, 60))), pool, -1);
        ++done["resale"];
    }

    function _clearRound(uint256 seed, uint64 round) private {
        AuctionOrder[] memory all = new AuctionOrder[](_count());
        for (uint256 i = 0; i < all.length; ++i) {
            all[i] = _at(i);
        }
        (uint64[] memory prices, Fill[] memory fills) = _clear(seed, all, POOLS);
        if (fills.length == 0) return;
        FillGroup[] memory groups = _groups(prices, fills, 1 + seed % 5);
        if (seed % 3 == 0) groups[(seed >> 8) % groups.length].welfare += int128(uint128(1 + (seed >> 16) % 1000));
        if (seed % 3 != 2) _misstate(seed, groups[(seed >> 8) % groups.length].fills[0]);
        vm.prank(POSTER);
        try auction.post(round, ordersHashes[round], prices, groups) returns (uint32 result) {
            posted[round][result] = abi.encode(prices, groups);
            isChanged[round][result] = seed % 3 != 2;
            ++done["post"];
        } catch {}
    }

    function _misstate(uint256 seed, Fill memory fill) private pure {
        if (seed >> 16 & 1 == 0) ++fill.lots;
        else if (fill.lots > 1) --fill.lots;
    }

    /// @dev Disproves the best result until it holds.
    function _watch(uint64 round) private {
        uint32 best = auction.roundOf(round).best;
        while (best != 0 && _isDisproved(round, best)) {
            ++done["disprove"];
            best = auction.roundOf(round).best;
        }
    }

    /// @dev Nobody watches: what is best becomes final though it is false.
    function _sleep(uint64 round) private {
        if (!isChanged[round][auction.roundOf(round).best]) return;
        isUnowed[(round + 1) / INTERVALS] = true;
        ++done["false"];
    }

    function _isDisproved(uint64 round, uint32 result) private returns (bool) {
        (uint64[] memory prices, FillGroup[] memory groups) = _resultOf(round, result);
        for (uint256 g = 0; g < groups.length; ++g) {
            GroupProof[] memory before = _before(groups, g);
            GroupProof memory proof = _proof(groups, g);
            AuctionOrder[] memory named = _named(groups[g].fills);
            vm.prank(CAROL);
            try auction.disprove(round, result, prices, before, proof, named) {
                return true;
            } catch {}
        }
        return false;
    }

    function _resultOf(uint64 round, uint32 result) private view returns (uint64[] memory, FillGroup[] memory) {
        return abi.decode(posted[round][result], (uint64[], FillGroup[]));
    }

    // ---------------------------------------------------------------- what comes after it

    function settle(uint256 seed) external {
        if (rounds.length == 0) return;
        current = rounds[seed % rounds.length];
        if (_count() != 0) _settleOne(uint16((seed >> 64) % _count()));
    }

    function _settleOne(uint16 index) private {
        (,, bool settled) = auction.orderOf(current, index);
        if (settled) return;
        uint32 best = auction.roundOf(current).best;
        if (best == 0) {
            auction.release(current, index, _at(index), new GroupProof[](0));
            ++done["void"];
            return;
        }
        (uint64[] memory prices, FillGroup[] memory groups) = _resultOf(current, best);
        _settle(current, index, prices, groups);
        ++done["settle"];
    }

    function earn(uint256 seed) external {
        if (rounds.length == 0) return;
        current = rounds[seed % rounds.length];
        if (_count() != 0) _earn(uint16((seed >> 64) % _count()));
    }

    function _earn(uint16 index) private {
        try auction.earn(current, index) {
            ++done["earn"];
        } catch {}
    }

    function reclaim(uint256 seed) external {
        if (rounds.length == 0) return;
        current = rounds[seed % rounds.length];
        if (_count() != 0) _reclaim(uint16((seed >> 64) % _count()));
    }

    function _reclaim(uint16 index) private {
        try auction.reclaim(current, index) {
            ++done["reclaim"];
        } catch {}
    }

    function collect(uint256 seed) external {
        if (rounds.length == 0) return;
        current = rounds[seed % rounds.length];
        uint32 results = auction.roundOf(current).results;
        if (results != 0) _collect(1 + uint32((seed >> 64) % results));
    }

    function _collect(uint32 result) private {
        try auction.collect(current, result) {
            ++done["collect"];
        } catch {}
    }

    function forfeit(uint256 seed) external {
        if (commitments.length != 0) _forfeit(commitments[seed % commitments.length]);
    }

    function _forfeit(Commitment memory c) private {
        try auction.forfeit(c.round, c.account, c.commitment) {
            ++done["forfeit"];
        } catch {}
    }

    function bind(uint256 seed) external {
        if (rounds.length == 0) return;
        current = rounds[seed % rounds.length];
        if (_count() == 0) return;
        uint16 index = uint16((seed >> 64) % _count());
        uint16 pool = _at(index).alternatives[0].entries[0].pool;
        vm.prank(buyer);
        try auction.bind(current, index, pool, 1 + uint64((seed >> 80) % 4)) {
            ++done["bind"];
        } catch {}
    }

    function draw(uint256 seed) external {
        if (rounds.length == 0) return;
        current = rounds[seed % rounds.length];
        if (_count() == 0) return;
        uint16 index = uint16((seed >> 64) % _count());
        uint16 pool = _at(index).alternatives[0].entries[0].pool;
        Bid memory bid = _bid(1);
        (bid.priceCap, bid.tip, bid.salt, bid.expiry) = (0, 0, nextSalt++, uint64(block.timestamp + 1 days));
        (bid.queueTimeout, bid.executionTimeout) = (DRAW_S, 2000 + uint32(seed % 4000));
        bytes memory signature = _signature(BUYER_KEY, market.hashBid(bid));
        JobSpec memory job = _job(1);
        vm.prank(buyer);
        try auction.draw(current, index, pool, bid, signature, job) returns (bytes32 id) {
            draws.push(id);
            bidOf[id] = bid;
            ++done["draw"];
            if (seed >> 100 & 3 != 0) return _serve(id, bid);
            vm.prank(buyer);
            market.cancelOrder(bid.salt);
        } catch {}
    }

    /// @dev The provider opens a deal, and cancels it, claims, or does nothing more.
    function _serve(bytes32 id, Bid memory bid) private {
        if (auction.drawOf(id).provider != provider) return;
        uint256 way = ++served % 4;
        if (way == 0) return;
        Offer memory offer = _offer();
        (offer.startFee, offer.cyclePrice, offer.memoryPrice, offer.diskPrice) = (0, 0, 0, 0);
        (offer.gpuPrice, offer.egressPrice, offer.salt, offer.capacityId) = (0, 0, nextSalt++, id);
        Deal memory deal = _open(_call(bid, offer, 1));
        if (way == 1) {
            vm.prank(provider);
            market.cancelAdmission(deal);
            auction.giveBack(id);
            ++done["giveBack"];
        } else if (way == 2) {
            auction.answer(id, deal, _claim(deal));
            ++done["answer"];
        } else {
            dealOf[id] = abi.encode(deal);
        }
    }

    function end(uint256 seed) external {
        if (draws.length != 0) _end(draws[seed % draws.length]);
    }

    function _end(bytes32 id) private {
        Bid memory bid = bidOf[id];
        try auction.refuse(id, bid) {
            ++done["refuse"];
        } catch {
            _failOrLapse(id);
        }
    }

    function _failOrLapse(bytes32 id) private {
        Deal memory deal;
        if (dealOf[id].length != 0) deal = abi.decode(dealOf[id], (Deal));
        try auction.fail(id, deal) {
            ++done["fail"];
        } catch {
            try auction.lapse(id) {
                ++done["lapse"];
            } catch {}
        }
    }

    function pass(uint256 seed) external {
        if (auction.currentRound() < ROUNDS_MAX) vm.warp(block.timestamp + seed % (2 * INTERVAL));
    }

    /// @dev The seasons pass, and everybody sends what is left to send.
    function finish() external {
        vm.warp(_begin(ROUNDS_MAX + 2 * INTERVALS));
        for (uint256 i = 0; i < commitments.length; ++i) {
            _forfeit(commitments[i]);
        }
        for (uint256 r = 0; r < rounds.length; ++r) {
            current = rounds[r];
            for (uint16 i = 0; i < _count(); ++i) {
                _settleOne(i);
            }
        }
        for (uint256 i = 0; i < draws.length; ++i) {
            _end(draws[i]);
        }
        for (uint256 r = 0; r < rounds.length; ++r) {
            current = rounds[r];
            for (uint16 i = 0; i < _count(); ++i) {
                _earn(i);
                _reclaim(i);
            }
            for (uint16 i = 0; i < _count(); ++i) {
                _refund(i);
            }
            uint32 results = auction.roundOf(current).results;
            for (uint32 i = 1; i <= results; ++i) {
                _collect(i);
            }
        }
    }

    function _refund(uint16 index) private {
        uint32 best = auction.roundOf(current).best;
        if (best == 0) return;
        (uint64[] memory prices, FillGroup[] memory groups) = _resultOf(current, best);
        (uint256 g, bool found) = _groupOf(groups, index);
        if (!found) return;
        try auction.refund(current, index, _at(index), prices, _proof(groups, g)) {
            ++done["refund"];
        } catch {}
    }

    // ---------------------------------------------------------------- what is where

    /// @dev Everything that is in nobody's balance.
    function locked() external view returns (uint256 sum) {
        for (uint256 i = 0; i < commitments.length; ++i) {
            sum += auction.committedOf(commitments[i].round, commitments[i].account, commitments[i].commitment);
        }
        for (uint256 r = 0; r < rounds.length; ++r) {
            uint64 round = rounds[r];
            sum += auction.roundOf(round).escrow;
            uint16 count = auction.roundOf(round).orders;
            for (uint16 i = 0; i < count; ++i) {
                (, uint128 deposit,) = auction.orderOf(round, i);
                sum += deposit;
            }
            uint32 results = auction.roundOf(round).results;
            for (uint32 i = 1; i <= results; ++i) {
                ResultRecord memory record = auction.resultOf(round, i);
                if (!record.disproved && !record.collected) sum += RESULT_BOND;
            }
        }
        for (uint256 i = 0; i < draws.length; ++i) {
            DrawRecord memory record = auction.drawOf(draws[i]);
            if (!record.ended) sum += record.fee;
        }
    }

    /// @dev Of each season and pool, units that are owed, and units that are held or bound.
    function units(uint64 season, uint16 pool) external view returns (uint256 owed, uint256 held) {
        address[7] memory all = accounts();
        for (uint256 i = 0; i < all.length; ++i) {
            held += auction.holdingOf(season, pool, all[i]);
        }
        for (uint256 r = 0; r < rounds.length; ++r) {
            uint64 round = rounds[r];
            if ((round + 1) / INTERVALS != season) continue;
            uint16 count = auction.roundOf(round).orders;
            for (uint16 i = 0; i < count; ++i) {
                owed += auction.obligationOf(round, i, pool).units;
                held += auction.obligationOf(round, i, pool).bound;
            }
        }
    }
}

/// @dev After any sequence of calls: no token is created or stuck, and nobody holds capacity that no
/// provider owes.
contract AuctionInvariantsTest is AuctionTest {
    Bazaar private bazaar;
    address private coin;

    function setUp() public override {
        bazaar = new Bazaar();
        (auction, coin) = bazaar.theAuction();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(bazaar);
    }

    function targetSelectors() external view returns (Selectors[] memory targets) {
        targets = new Selectors[](1);
        targets[0].addr = address(bazaar);
        bytes4[] memory s = new bytes4[](13);
        (s[0], s[1], s[2], s[3]) =
        (Bazaar.play.selector, Bazaar.settle.selector, Bazaar.earn.selector, Bazaar.reclaim.selector);
        (s[4], s[5], s[6], s[7]) =
        (Bazaar.collect.selector, Bazaar.forfeit.selector, Bazaar.bind.selector, Bazaar.draw.selector);
        (s[8], s[9], s[10], s[11]) =
        (Bazaar.end.selector, Bazaar.pass.selector, Bazaar.settle.selector, Bazaar.settle.selector);
        s[12] = Bazaar.bind.selector;
        targets[0].selectors = s;
    }

    function _balances() private view returns (uint256 sum) {
        address[7] memory all = bazaar.accounts();
        for (uint256 i = 0; i < all.length; ++i) {
            sum += _has(all[i]);
        }
    }

    function invariant_what_is_held_lies_in_balances_deposits_bonds_escrows_and_fees() public view {
        assertEq(_balances() + bazaar.locked(), auction.totalHeld(), "held");
        (bool read, bytes memory balance) =
            coin.staticcall(abi.encodeWithSignature("balanceOf(address)", address(auction)));
        assertTrue(read, "read");
        assertEq(abi.decode(balance, (uint256)), auction.totalHeld(), "tokens");
    }

    function invariant_in_the_end_everything_is_somebodys_and_all_capacity_is_owed() public {
        bazaar.finish();
        assertEq(bazaar.locked(), 0, "nothing is stuck");
        assertEq(_balances(), auction.totalHeld(), "nothing is created");
        for (uint64 season = 0; season < 3; ++season) {
            if (bazaar.isUnowed(season)) continue;
            for (uint16 pool = 0; pool < POOLS; ++pool) {
                (uint256 owed, uint256 held) = bazaar.units(season, pool);
                assertAtMost(held, owed, "units held");
            }
        }
    }

    /// @dev Most random draws are of units that the buyer does not hold.
    function _drawMany(uint256 seed) private {
        for (uint256 i = 0; i < 8; ++i) {
            bazaar.draw(uint256(keccak256(abi.encode(seed, i))));
        }
    }

    /// @dev The invariants would hold of rounds in which nothing happens.
    function test_random_rounds_reach_every_action() public {
        for (uint256 i = 0; i < 1200; ++i) {
            uint256 seed = uint256(keccak256(abi.encode(i)));
            uint256 action = i % 12;
            if (action == 0 && i % 60 == 0) bazaar.play(seed);
            else if (action < 3) bazaar.settle(seed);
            else if (action == 4) bazaar.earn(seed);
            else if (action == 5) bazaar.reclaim(seed);
            else if (action == 6) bazaar.collect(seed);
            else if (action == 7) bazaar.forfeit(seed);
            else if (action < 10) bazaar.bind(seed);
            else if (action == 3 || action == 10) _drawMany(seed);
            else if (action == 11) bazaar.end(seed);
            if (i % 60 == 59) bazaar.pass(seed % 900);
        }
        bazaar.finish();
        string[20] memory actions = [
            "play",
            "reveal",
            "resale",
            "post",
            "disprove",
            "settle",
            "void",
            "earn",
            "reclaim",
            "collect",
            "forfeit",
            "bind",
            "draw",
            "refuse",
            "lapse",
            "false",
            "refund",
            "giveBack",
            "answer",
            "fail"
        ];
        for (uint256 i = 0; i < actions.length; ++i) {
            assertTrue(bazaar.done(bytes32(bytes(actions[i]))) != 0, actions[i]);
        }
        invariant_in_the_end_everything_is_somebodys_and_all_capacity_is_owed();
    }
}
