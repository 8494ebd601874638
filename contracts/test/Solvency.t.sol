// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IMarket} from "../src/interfaces/IMarket.sol";
import {DealState, DealStatus, LeafIndex, OpenCall, Payout} from "../src/types/Calls.sol";
import {Bid, Claim, Deal, Offer} from "../src/types/Orders.sol";
import {Draw} from "../src/types/Audits.sol";
import {MarketTest} from "./base/MarketTest.sol";
import {Vm} from "./base/Vm.sol";

/// @dev Draws half of all claims.
contract Draws {
    function drawOf(bytes32 claimHash, uint64, uint16, uint64) external pure returns (Draw) {
        return uint256(claimHash) & 1 == 0 ? Draw.Passed : Draw.Drawn;
    }
}

/// @dev Does whatever the parties of a market may do, in any order, and remembers the deals. A call
/// that the market refuses changes nothing and is skipped.
contract Trade is MarketTest {
    Deal[] private deals;
    Claim[] private claims;
    OpenCall[] private calls;
    uint256 private nextSalt = 100;
    /// How often each action went through.
    mapping(bytes32 action => uint256) public done;

    constructor() {
        setUp();
        vm.etch(AUDITS, address(new Draws()).code);
    }

    function count() external view returns (uint256) {
        return deals.length;
    }

    function dealAt(uint256 i) external view returns (Deal memory) {
        return deals[i];
    }

    function parties() external view returns (IMarket, address, address, address) {
        return (market, address(token), buyer, provider);
    }

    /// @dev One of the latest deals: the older ones have ended.
    function _pick(uint256 seed) private view returns (uint256) {
        return deals.length - 1 - seed % (deals.length < 12 ? deals.length : 12);
    }

    function _remember(OpenCall memory call, Vm.Log[] memory logs) private {
        deals.push(_openedDeal(logs));
        claims.push();
        calls.push(call);
    }

    function openDeal(uint256 seed, bool native) external {
        uint32 tasks = uint32(1 + seed % 6);
        Bid memory bid = _bid(tasks);
        Offer memory offer = _offer();
        (bid.salt, offer.salt) = (nextSalt, nextSalt + 1);
        nextSalt += 2;
        if (native) (bid.token, offer.token) = (NATIVE, NATIVE);
        bid.collateralBps = uint32(seed >> 8) % 40_000;
        bid.tip = uint128((seed >> 40) % 5000);
        offer.tip = uint128((seed >> 56) % 5000);
        offer.startFee = uint128((seed >> 72) % 100_000);
        if (seed & 1 << 130 == 0) (bid.auditRateBps, bid.auditFee) = (5000, uint128(1 + (seed >> 131) % 1e6));
        if (seed & 1 << 129 == 0) bid.rankWindow = uint16(1 + (seed >> 200) % 4);
        OpenCall memory call = _call(bid, offer, uint32(1 + (seed >> 96) % tasks));
        vm.recordLogs();
        vm.prank(ANYBODY);
        try market.open(call) {
            _remember(call, vm.getRecordedLogs());
            ++done["open"];
        } catch {}
    }

    function openMore(uint256 seed) external {
        if (deals.length == 0) return;
        OpenCall memory call = calls[_pick(seed)];
        vm.recordLogs();
        vm.prank(provider);
        try market.open(call) {
            _remember(call, vm.getRecordedLogs());
            ++done["open more"];
        } catch {}
    }

    function reopenDeal(uint256 seed) external {
        if (deals.length == 0) return;
        uint256 i = _pick(seed);
        OpenCall memory call = calls[i];
        call.count = uint32(1 + (seed >> 32) % deals[i].taskCount);
        vm.recordLogs();
        try market.reopen(call, deals[i]) {
            _remember(call, vm.getRecordedLogs());
            ++done["reopen"];
        } catch {}
    }

    function replaceDeal(uint256 seed) external {
        if (deals.length == 0) return;
        uint256 i = _pick(seed);
        Offer memory displaced = calls[i].offer;
        Offer memory offer = calls[i].offer;
        offer.salt = nextSalt++;
        offer.cyclePrice -= uint128((seed >> 16) % 1e11);
        OpenCall memory call = _call(calls[i].bid, offer, deals[i].taskCount);
        vm.recordLogs();
        vm.prank(seed & 1 << 200 == 0 ? ANYBODY : provider);
        try market.replace(call, deals[i], displaced) {
            _remember(call, vm.getRecordedLogs());
            ++done["replace"];
        } catch {}
    }

    function cancelAdmission(uint256 seed) external {
        if (deals.length == 0) return;
        Deal memory deal = deals[_pick(seed)];
        vm.prank(seed & 1 << 200 == 0 ? deal.buyer : deal.provider);
        try market.cancelAdmission(deal) {
            ++done["cancel"];
        } catch {}
    }

    function claimDeal(uint256 seed) external {
        if (deals.length == 0) return;
        uint256 i = _pick(seed);
        bytes memory tasks = _tasks(deals[i], (seed >> 32) % (CYCLE_LIMIT - 10));
        vm.prank(deals[i].provider);
        try market.claim(deals[i], tasks) returns (Claim memory made) {
            claims[i] = made;
            ++done["claim"];
        } catch {}
    }

    function acceptDeal(uint256 seed) external {
        if (deals.length == 0) return;
        uint256 i = _pick(seed);
        bytes memory signature = _acceptSignature(deals[i], claims[i]);
        vm.prank(seed & 1 << 200 == 0 ? ANYBODY : provider);
        try market.accept(deals[i], claims[i], signature) {
            ++done["accept"];
        } catch {}
    }

    function finaliseDeal(uint256 seed) external {
        if (deals.length == 0) return;
        uint256 i = _pick(seed);
        vm.prank(seed & 1 << 200 == 0 ? ANYBODY : provider);
        try market.finalise(deals[i], claims[i]) {
            ++done["finalise"];
        } catch {}
    }

    function timeoutDeal(uint256 seed) external {
        if (deals.length == 0) return;
        vm.prank(ANYBODY);
        try market.timeout(deals[_pick(seed)]) {
            ++done["timeout"];
        } catch {}
    }

    function demand(uint256 seed) external {
        if (deals.length == 0) return;
        uint256 i = _pick(seed);
        LeafIndex[] memory leaves = new LeafIndex[](1);
        leaves[0] = LeafIndex(deals[i].firstTask, 0);
        vm.prank(deals[i].buyer);
        try market.demandOutput(deals[i], claims[i], calls[i].job, leaves) {
            ++done["demand"];
        } catch {}
    }

    function demandTimeout(uint256 seed) external {
        if (deals.length == 0) return;
        uint256 i = _pick(seed);
        try market.demandTimeout(deals[i], claims[i]) {
            ++done["demand timeout"];
        } catch {}
    }

    function challenge(uint256 seed) external {
        if (deals.length == 0) return;
        uint256 i = _pick(seed);
        vm.prank(GAME);
        try market.openChallenge(deals[i], claims[i], seed & 1 << 200 == 0 ? ANYBODY : buyer, (seed >> 32) % COINS) {
            ++done["challenge"];
        } catch {}
    }

    function resolve(uint256 seed) external {
        if (deals.length == 0) return;
        uint256 i = _pick(seed);
        Payout[] memory payouts = new Payout[](1);
        payouts[0] = Payout(ANYBODY, uint128((seed >> 16) % (deals[i].collateral / 2 + 2)), FLOOR / 3);
        vm.prank(GAME);
        try market.resolveChallenge(deals[i], claims[i], seed & 1 << 200 == 0, payouts) {
            ++done["resolve"];
        } catch {}
    }

    function openAudit(uint256 seed) external {
        if (deals.length == 0) return;
        uint256 i = _pick(seed);
        vm.prank(AUDITS);
        try market.openAudit(deals[i], claims[i]) {
            ++done["open audit"];
        } catch {}
    }

    function closeAudit(uint256 seed) external {
        if (deals.length == 0) return;
        uint256 i = _pick(seed);
        bool answered = seed & 1 << 200 == 0;
        vm.prank(AUDITS);
        try market.closeAudit(deals[i], claims[i], answered) {
            ++done[answered ? bytes32("close audit") : bytes32("fail audit")];
        } catch {}
    }

    function releaseFee(uint256 seed) external {
        vm.prank(AUDITS);
        try market.release(seed & 1 << 200 == 0 ? address(token) : NATIVE, ANYBODY, (seed >> 32) % 1e6) {
            ++done["release fee"];
        } catch {}
    }

    function release(uint256 seed) external {
        vm.prank(GAME);
        try market.release(NATIVE, seed & 1 << 200 == 0 ? ANYBODY : provider, (seed >> 32) % COINS) {
            ++done["release"];
        } catch {}
    }

    function withdraw(uint256 seed, bool native) external {
        address coin = native ? NATIVE : address(token);
        vm.startPrank(seed & 1 == 0 ? buyer : provider);
        try market.withdraw(coin) {
            ++done["withdraw"];
        } catch {}
        try market.requestWithdrawal(coin, (seed >> 8) % 1e18) {} catch {}
        vm.stopPrank();
    }

    function cancelOrders(uint256 seed) external {
        if (seed % 8 != 0) return;
        vm.prank(seed & 8 == 0 ? buyer : provider);
        market.cancelAll();
    }

    function pass(uint256 seed) external {
        vm.warp(block.timestamp + (seed % 4 == 0 ? seed % 50_000 : seed % 600));
        vm.roll(block.number + (seed >> 32) % 8);
    }
}

/// @dev After any sequence of calls the market can pay what it owes, and owes what it holds.
contract SolvencyTest is MarketTest {
    Trade private trade;
    address private coin;

    function setUp() public override {
        trade = new Trade();
        (market, coin, buyer, provider) = trade.parties();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(trade);
    }

    function targetSelectors() external view returns (Selectors[] memory targets) {
        targets = new Selectors[](1);
        targets[0].addr = address(trade);
        bytes4[] memory s = new bytes4[](21);
        // Openings, claims and time come more often, or most sequences would do nothing.
        (s[0], s[1], s[2], s[3]) =
            (Trade.openDeal.selector, Trade.openMore.selector, Trade.reopenDeal.selector, Trade.cancelAdmission.selector);
        (s[4], s[5], s[6], s[7]) =
            (Trade.claimDeal.selector, Trade.acceptDeal.selector, Trade.finaliseDeal.selector, Trade.timeoutDeal.selector);
        (s[8], s[9], s[10], s[11]) =
            (Trade.demand.selector, Trade.demandTimeout.selector, Trade.challenge.selector, Trade.resolve.selector);
        (s[12], s[13], s[14], s[15]) =
            (Trade.withdraw.selector, Trade.cancelOrders.selector, Trade.pass.selector, Trade.claimDeal.selector);
        (s[16], s[17], s[18], s[19]) =
            (Trade.release.selector, Trade.openAudit.selector, Trade.closeAudit.selector, Trade.releaseFee.selector);
        s[20] = Trade.replaceDeal.selector;
        targets[0].selectors = s;
    }

    /// @dev What accounts own of a token: free and pending.
    function _owned(address token_) private view returns (uint256 sum) {
        address[8] memory accounts = [buyer, provider, ANYBODY, BURN, FEE_COLLECTOR, GAME, AUDITS, address(trade)];
        for (uint256 i = 0; i < accounts.length; ++i) {
            (uint256 pending,) = market.pendingWithdrawal(accounts[i], token_);
            sum += market.balanceOf(accounts[i], token_) + pending;
        }
    }

    function invariant_the_market_is_solvent_and_conserves_every_token() public view {
        uint256 lockedTokens;
        uint256 lockedCoins;
        uint256 open;
        for (uint256 i = trade.count(); i != 0; --i) {
            Deal memory deal = trade.dealAt(i - 1);
            DealState memory state = market.dealState(deal);
            if (state.status != DealStatus.Open && state.status != DealStatus.Claimed) continue;
            if (state.status == DealStatus.Claimed && !_holdsCell(i - 1, deal)) continue;
            if (state.status == DealStatus.Open) ++open;
            uint256 pot = deal.collateral;
            if (!state.accepted) pot += uint256(deal.escrow) + deal.buyerTip;
            if (!state.auditUsed) pot += uint96(deal.resources >> 152);
            if (deal.token == NATIVE) lockedCoins += pot;
            else lockedTokens += pot;
            lockedCoins += FLOOR;
            if (state.demanded) lockedCoins += BOND;
        }
        assertEq(_owned(coin) + lockedTokens, market.totalHeld(coin), "tokens owned and locked");
        assertEq(_owned(NATIVE) + lockedCoins, market.totalHeld(NATIVE), "coins owned and locked");
        assertTrue(_balance(coin) >= market.totalHeld(coin), "tokens there");
        assertTrue(address(market).balance >= market.totalHeld(NATIVE), "coins there");
        assertEq(market.openSlots(provider, keccak256("pool")), open, "slots");
    }

    /// @dev The invariant would hold of a market in which nothing happens.
    function test_random_trading_reaches_every_action() public {
        for (uint256 i = 0; i < 6000; ++i) {
            uint256 seed = uint256(keccak256(abi.encode(i)));
            uint256 action = i % 21;
            if (action == 0) trade.openDeal(seed, seed & 1 == 0);
            else if (action == 1) trade.openMore(seed);
            else if (action == 2) trade.reopenDeal(seed);
            else if (action == 3 && seed % 3 == 0) trade.cancelAdmission(seed);
            else if (action == 3) trade.replaceDeal(seed);
            else if (action == 4) trade.acceptDeal(seed);
            else if (action == 5) trade.finaliseDeal(seed);
            else if (action == 6) trade.timeoutDeal(seed);
            else if (action == 7) trade.demand(seed);
            else if (action == 8) trade.demandTimeout(seed);
            else if (action == 9) trade.challenge(seed);
            else if (action == 10) trade.resolve(seed);
            else if (action == 11) trade.withdraw(seed, seed & 2 == 0);
            else if (action == 12) trade.pass(seed);
            else if (action == 13) trade.release(seed);
            else if (action == 14) trade.openAudit(seed);
            else if (action == 15) trade.closeAudit(seed);
            else if (action == 16) trade.releaseFee(seed);
            else trade.claimDeal(seed);
        }
        string[19] memory actions = [
            "open",
            "open more",
            "reopen",
            "cancel",
            "claim",
            "accept",
            "finalise",
            "timeout",
            "demand",
            "demand timeout",
            "challenge",
            "resolve",
            "withdraw",
            "release",
            "open audit",
            "close audit",
            "fail audit",
            "release fee",
            "replace"
        ];
        for (uint256 i = 0; i < actions.length; ++i) {
            assertTrue(trade.done(bytes32(bytes(actions[i]))) != 0, actions[i]);
        }
        invariant_the_market_is_solvent_and_conserves_every_token();
    }

    /// @dev A settled deal's cell may hold a later deal: the latest deal of a cell is the one in it.
    function _holdsCell(uint256 index, Deal memory deal) private view returns (bool) {
        for (uint256 i = trade.count(); i != index + 1; --i) {
            if (trade.dealAt(i - 1).cell == deal.cell) return false;
        }
        return true;
    }

    function _balance(address token_) private view returns (uint256 amount) {
        (, bytes memory answer) = token_.staticcall(abi.encodeWithSignature("balanceOf(address)", market));
        amount = abi.decode(answer, (uint256));
    }
}
