// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ClaimCall, OpenCall, Settlement} from "../src/types/Calls.sol";
import {Bid, Claim, Deal, Offer} from "../src/types/Orders.sol";
import {IOpening} from "../src/interfaces/IOpening.sol";
import {MarketTest} from "./base/MarketTest.sol";
import {Vm} from "./base/Vm.sol";

/// @dev The bars of the design, measured as a chain would: run with `--isolate`, so that every call
/// is a transaction with cold storage and its own refund. Execution gas is a receipt's gas less
/// 21,000 and calldata. `npm run gas` keeps the figures in gas/snapshot.json.
contract GasTest is MarketTest {
    uint32 private constant BATCH = 32;
    uint256 private constant TRANSACTION_GAS_MAX = 1 << 24;

    string private figures;

    /// @dev The bytecode that is checked in and deployed: the compiler's output varies by a few gas
    /// with the set of files that it compiles together.
    function artifact() internal pure override returns (string memory) {
        return "artifacts/Market.json";
    }

    function test_gas_bars_hold() public {
        // Accounts, pools and order words that were used before.
        _live(_open(_call(_saltedBid(1, 64), _saltedOffer(65), 1)));
        vm.warp(block.timestamp + 2 * WINDOW);

        _single();
        _replaced();
        // A provider that has had as many unsettled deals before.
        _batch(128, false);
        _batch(192, true);
        _thousandTasks();
        vm.writeFile("gas/measured.json", string.concat("{", figures, "\n}\n"));
    }

    function _live(Deal memory deal) private {
        Claim memory made = _claim(deal);
        vm.warp(block.timestamp + WINDOW + 1);
        vm.prank(provider);
        market.finalise(deal, made);
    }

    function _single() private {
        OpenCall memory call = _call(_saltedBid(1, 66), _saltedOffer(65), 1);
        vm.recordLogs();
        vm.prank(provider);
        market.open(call);
        uint256 opened = _execution(abi.encodeCall(market.open, (call)));
        Deal memory deal = _openedDeal(vm.getRecordedLogs());

        bytes memory tasks = _tasks(deal, 1e12);
        vm.prank(provider);
        Claim memory made = market.claim(deal, tasks);
        uint256 claimed = _execution(abi.encodeCall(market.claim, (deal, tasks)));

        vm.warp(block.timestamp + WINDOW + 1);
        vm.prank(provider);
        market.finalise(deal, made);
        uint256 settled = _execution(abi.encodeCall(market.finalise, (deal, made)));

        _figure("open", opened);
        _figure("claim", claimed);
        _figure("finalise", settled);
        _figure("one deal (open, claim, finalise)", opened + claimed + settled);
        assertAtMost(opened + claimed + settled, 150_000, "execution gas of one deal");

        call = _call(_saltedBid(1, 67), _saltedOffer(65), 1);
        vm.recordLogs();
        vm.prank(provider);
        market.open(call);
        deal = _openedDeal(vm.getRecordedLogs());
        vm.prank(provider);
        made = market.claim(deal, tasks);
        bytes memory signature = _acceptSignature(deal, made);
        vm.prank(provider);
        market.accept(deal, made, signature);
        _figure("accept", _execution(abi.encodeCall(market.accept, (deal, made, signature))));
        vm.warp(block.timestamp + WINDOW + 1);
        vm.prank(provider);
        market.finalise(deal, made);
        _figure("finalise after accept", _execution(abi.encodeCall(market.finalise, (deal, made))));
    }

    /// @dev A deal with a rank window opens, and a better offer of the same provider takes its place.
    function _replaced() private {
        Bid memory bid = _saltedBid(1, 68);
        bid.rankWindow = 2;
        Offer memory displaced = _saltedOffer(65);
        Offer memory better = _saltedOffer(69);
        better.startFee = 0;
        better.cyclePrice -= 100_000_000_000;
        OpenCall memory call = _call(bid, displaced, 1);
        vm.recordLogs();
        vm.prank(provider);
        market.open(call);
        _figure("open with a rank window", _execution(abi.encodeCall(market.open, (call))));
        Deal memory deal = _openedDeal(vm.getRecordedLogs());
        vm.warp(block.timestamp + 2);
        call = _call(bid, better, 1);
        vm.recordLogs();
        vm.prank(provider);
        market.replace(call, deal, displaced);
        _figure("replace", _execution(abi.encodeCall(market.replace, (call, deal, displaced))));
        _live(_openedDeal(vm.getRecordedLogs()));
    }

    function _batch(uint256 salt, bool measured) private {
        // 32 bids of one buyer that deals often, one offer with 32 slots.
        Offer memory offer = _saltedOffer(65);
        offer.slots = BATCH;
        OpenCall[] memory opens = new OpenCall[](BATCH);
        for (uint32 i = 0; i < BATCH; ++i) {
            opens[i] = _call(_saltedBid(1, salt + i), offer, 1);
        }
        vm.recordLogs();
        vm.prank(provider);
        market.openMany(opens);
        uint256 opened = _execution(abi.encodeCall(market.openMany, (opens)));
        Deal[] memory deals = _openedDeals(vm.getRecordedLogs());

        ClaimCall[] memory claims = new ClaimCall[](BATCH);
        Settlement[] memory settlements = new Settlement[](BATCH);
        for (uint256 i = 0; i < BATCH; ++i) {
            claims[i] = ClaimCall(deals[i], _tasks(deals[i], 1e12));
        }
        vm.recordLogs();
        vm.prank(provider);
        market.claimMany(claims);
        uint256 claimed = _execution(abi.encodeCall(market.claimMany, (claims)));
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < BATCH; ++i) {
            (Claim memory made,) = abi.decode(logs[i].data, (Claim, bytes));
            settlements[i] = Settlement(deals[i], made, "", true);
        }

        vm.warp(block.timestamp + WINDOW + 1);
        vm.prank(provider);
        market.settleMany(settlements);
        uint256 settled = _execution(abi.encodeCall(market.settleMany, (settlements)));
        assertNothingLocked();

        if (!measured) return;
        _figure("openMany of 32, per deal", opened / BATCH);
        _figure("claimMany of 32, per deal", claimed / BATCH);
        _figure("settleMany of 32, per deal", settled / BATCH);
        _figure("one deal of 32 (openMany, claimMany, settleMany)", (opened + claimed + settled) / BATCH);
        assertAtMost((opened + claimed + settled) / BATCH, 60_000, "execution gas per deal of a batch");
    }

    function _thousandTasks() private {
        Bid memory bid = _saltedBid(1000, 100);
        bid.executionTimeout = 3_000_000;
        OpenCall memory call = _call(bid, _saltedOffer(65), 1000);
        vm.recordLogs();
        vm.prank(provider);
        market.open(call);
        Deal memory deal = _openedDeal(vm.getRecordedLogs());

        bytes memory tasks = _tasks(deal, 1e12);
        vm.prank(provider);
        market.claim(deal, tasks);
        bytes memory data = abi.encodeCall(market.claim, (deal, tasks));
        uint256 total = _execution(data) + _calldataGas(data);
        // Since Pectra a transaction pays at least its calldata's floor price.
        if (total < _calldataFloor(data)) total = _calldataFloor(data);
        _figure("claim of 1000 tasks with calldata, per task", total / 1000);
        assertAtMost(total / 1000, 1500, "gas per task of a 1000-task claim, calldata included");

        // The largest claim there may be fits one transaction.
        assertAtMost(total * 2048 / 1000 + 21_000, TRANSACTION_GAS_MAX, "gas of a claim of 2048 tasks");
    }

    function _openedDeals(Vm.Log[] memory logs) private pure returns (Deal[] memory deals) {
        deals = new Deal[](BATCH);
        uint256 found;
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] == IOpening.DealOpened.selector) deals[found++] = abi.decode(logs[i].data, (Deal));
        }
        assertEq(found, BATCH, "deals opened");
    }

    function _saltedBid(uint32 tasks, uint256 salt) private view returns (Bid memory bid) {
        bid = _bid(tasks);
        bid.salt = salt;
    }

    function _saltedOffer(uint256 salt) private view returns (Offer memory offer) {
        offer = _offer();
        offer.salt = salt;
    }

    /// @dev What the last transaction used, without 21,000 and calldata.
    function _execution(bytes memory data) private returns (uint256) {
        uint256 used = vm.lastCallGas().gasTotalUsed;
        assertAtMost(used, TRANSACTION_GAS_MAX, "gas of a transaction");
        return used - 21_000 - _calldataGas(data);
    }

    function _calldataGas(bytes memory data) private pure returns (uint256 gas_) {
        for (uint256 i = 0; i < data.length; ++i) {
            gas_ += data[i] == 0 ? 4 : 16;
        }
    }

    function _calldataFloor(bytes memory data) private pure returns (uint256) {
        return _calldataGas(data) * 10 / 4;
    }

    function _figure(string memory what, uint256 gas_) private {
        figures = string.concat(figures, bytes(figures).length == 0 ? "" : ",", "\n  \"", what, "\": ", vm.toString(gas_));
    }
}
