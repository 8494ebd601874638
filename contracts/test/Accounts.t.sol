// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IAccounts} from "../src/interfaces/IAccounts.sol";
import {TestToken} from "../src/testing/TestToken.sol";
import {OpenCall} from "../src/types/Calls.sol";
import {Bid} from "../src/types/Orders.sol";
import {MarketTest} from "./base/MarketTest.sol";
import {
    ClosedWallet,
    FeeToken,
    RebasingToken,
    ReentrantToken,
    ReentrantWallet,
    RefusingToken,
    SilentToken,
    SurchargeToken
} from "./tokens/HostileTokens.sol";

contract AccountsTest is MarketTest {
    address private constant ALICE = address(0xa11ce);

    function _mintAndApprove(TestToken coin, uint256 amount) private {
        coin.mint(ALICE, amount);
        vm.prank(ALICE);
        coin.approve(address(market), amount);
    }

    function test_a_deposit_credits_its_sender_and_counts_as_held() public {
        uint256 held = market.totalHeld(address(token));
        _mintAndApprove(token, 70);
        vm.prank(ALICE);
        market.deposit(address(token), 70);
        assertEq(market.balanceOf(ALICE, address(token)), 70, "credit");
        assertEq(market.totalHeld(address(token)), held + 70, "held");
        assertEq(token.balanceOf(address(market)), held + 70, "the market's own balance");
    }

    function test_coins_are_credited_under_the_zero_address() public {
        vm.deal(ALICE, 5);
        vm.prank(ALICE);
        market.depositNative{value: 5}();
        assertEq(market.balanceOf(ALICE, NATIVE), 5, "credit");
    }

    function test_deposits_of_nothing_of_no_token_and_of_the_zero_address_are_refused() public {
        vm.expectRevert(IAccounts.AmountZero.selector);
        market.deposit(address(token), 0);
        vm.expectRevert(IAccounts.AmountZero.selector);
        market.depositNative();
        vm.expectRevert(IAccounts.TokenIsNative.selector);
        market.deposit(NATIVE, 1);
        vm.expectRevert(IAccounts.TokenNotContract.selector);
        market.deposit(address(0x1234), 1);
    }

    function test_a_token_that_takes_a_fee_is_refused() public {
        FeeToken coin = new FeeToken();
        _mintAndApprove(coin, 1000);
        vm.expectRevert(IAccounts.TokenTakesFee.selector);
        vm.prank(ALICE);
        market.deposit(address(coin), 1000);
    }

    function test_a_token_that_charges_the_sender_on_top_cannot_be_withdrawn_at_the_others_expense() public {
        SurchargeToken coin = new SurchargeToken();
        _mintAndApprove(coin, 1000);
        vm.startPrank(ALICE);
        market.deposit(address(coin), 1000);
        market.requestWithdrawal(address(coin), 500);
        vm.warp(block.timestamp + DELAY);
        coin.setCharging(true);
        vm.expectRevert(IAccounts.TokenTakesFee.selector);
        market.withdraw(address(coin));
    }

    function test_a_token_whose_balances_shrank_takes_no_more_deposits() public {
        RebasingToken coin = new RebasingToken();
        _mintAndApprove(coin, 1000);
        vm.prank(ALICE);
        market.deposit(address(coin), 500);
        coin.shrink(address(market), 1);
        vm.expectRevert(IAccounts.TokenRebased.selector);
        vm.prank(ALICE);
        market.deposit(address(coin), 500);
    }

    function test_a_gift_to_the_market_stops_nobody_from_depositing() public {
        token.mint(address(market), 1);
        _mintAndApprove(token, 10);
        vm.prank(ALICE);
        market.deposit(address(token), 10);
        assertEq(market.balanceOf(ALICE, address(token)), 10, "credit");
    }

    function test_tokens_that_return_nothing_work_and_those_that_return_false_are_refused() public {
        SilentToken silent = new SilentToken();
        silent.mint(ALICE, 9);
        vm.startPrank(ALICE);
        silent.approve(address(market), 9);
        market.deposit(address(silent), 9);
        market.requestWithdrawal(address(silent), 9);
        vm.warp(block.timestamp + DELAY);
        market.withdraw(address(silent));
        vm.stopPrank();
        assertEq(silent.balanceOf(ALICE), 9, "back again");

        RefusingToken refusing = new RefusingToken();
        vm.expectRevert();
        market.deposit(address(refusing), 1);
    }

    function test_the_market_holds_at_most_128_bits_of_a_token() public {
        TestToken coin = new TestToken("Big", "BIG", 18);
        _mintAndApprove(coin, type(uint256).max);
        vm.startPrank(ALICE);
        vm.expectRevert(IAccounts.AmountTooLarge.selector);
        market.deposit(address(coin), uint256(1) << 128);
        market.deposit(address(coin), type(uint128).max);
        vm.expectRevert(IAccounts.AmountTooLarge.selector);
        market.deposit(address(coin), 1);
    }

    // ---------------------------------------------------------------- permits and authorisations

    function _permit(uint256 key, uint256 amount, uint256 deadline) private view returns (uint8, bytes32, bytes32) {
        bytes32 typeHash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        address owner = vm.addr(key);
        bytes32 hash =
            keccak256(abi.encode(typeHash, owner, address(market), amount, token.nonces(owner), deadline));
        return vm.sign(key, keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), hash)));
    }

    function test_a_permit_deposits_without_an_earlier_approval() public {
        uint256 key = 77;
        token.mint(vm.addr(key), 100);
        (uint8 v, bytes32 r, bytes32 s) = _permit(key, 100, block.timestamp);
        vm.prank(vm.addr(key));
        market.depositWithPermit(address(token), 100, block.timestamp, v, r, s);
        assertEq(market.balanceOf(vm.addr(key), address(token)), 100, "credit");
    }

    function test_a_permit_that_somebody_used_first_still_deposits() public {
        uint256 key = 77;
        token.mint(vm.addr(key), 100);
        (uint8 v, bytes32 r, bytes32 s) = _permit(key, 100, block.timestamp);
        token.permit(vm.addr(key), address(market), 100, block.timestamp, v, r, s);
        vm.prank(vm.addr(key));
        market.depositWithPermit(address(token), 100, block.timestamp, v, r, s);
        assertEq(market.balanceOf(vm.addr(key), address(token)), 100, "credit");
    }

    function test_a_permit_by_somebody_else_moves_nothing() public {
        token.mint(vm.addr(77), 100);
        (uint8 v, bytes32 r, bytes32 s) = _permit(77, 100, block.timestamp);
        vm.expectRevert();
        vm.prank(ALICE);
        market.depositWithPermit(address(token), 100, block.timestamp, v, r, s);
    }

    function _authorization(uint256 key, uint256 amount, bytes32 nonce) private view returns (bytes memory) {
        bytes32 hash = keccak256(
            abi.encode(
                token.RECEIVE_WITH_AUTHORIZATION_TYPEHASH(), vm.addr(key), address(market), amount, 0, type(uint256).max, nonce
            )
        );
        return _signature(key, keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), hash)));
    }

    function test_anybody_may_send_an_authorisation_and_its_signer_is_credited() public {
        uint256 key = 78;
        token.mint(vm.addr(key), 100);
        bytes memory signature = _authorization(key, 100, keccak256("bid"));
        vm.prank(ANYBODY);
        market.depositWithAuthorization(
            address(token), vm.addr(key), 100, 0, type(uint256).max, keccak256("bid"), signature
        );
        assertEq(market.balanceOf(vm.addr(key), address(token)), 100, "credit");
    }

    function test_an_authorisation_counts_only_for_the_bid_that_is_its_nonce() public {
        uint256 key = 78;
        token.mint(vm.addr(key), 100);
        bytes memory signature = _authorization(key, 100, keccak256("bid"));
        vm.expectRevert(TestToken.AuthorizationSignatureInvalid.selector);
        market.depositWithAuthorization(
            address(token), vm.addr(key), 100, 0, type(uint256).max, keccak256("another bid"), signature
        );
    }

    function test_deposit_and_opening_fit_one_transaction() public {
        // A buyer that has everything in its wallet signs a bid and an authorisation for it.
        Bid memory bid = _bid(1);
        vm.startPrank(buyer);
        market.requestWithdrawal(address(token), FUNDS);
        vm.warp(block.timestamp + DELAY);
        market.withdraw(address(token));
        vm.stopPrank();
        bid.expiry += DELAY;
        OpenCall memory call = _call(bid, _offer(), 1);
        bytes32 bidHash = market.hashBid(bid);
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(
            market.depositWithAuthorization,
            (address(token), buyer, 5_000_000, 0, type(uint256).max, bidHash, _authorization(BUYER_KEY, 5_000_000, bidHash))
        );
        calls[1] = abi.encodeCall(market.open, (call));
        vm.prank(provider);
        bytes[] memory results = market.multicall(calls);
        assertTrue(abi.decode(results[1], (bytes32)) != 0, "opened");
        assertEq(market.openSlots(provider, keccak256("pool")), 1, "slots");
    }

    // ---------------------------------------------------------------- withdrawals

    function test_a_withdrawal_waits_for_its_delay_to_the_second() public {
        vm.startPrank(buyer);
        market.requestWithdrawal(address(token), 30);
        assertEq(_free(buyer), FUNDS - 30, "set aside at once");
        (uint256 amount, uint64 readyAt) = market.pendingWithdrawal(buyer, address(token));
        assertEq(amount, 30, "pending");
        assertEq(readyAt, block.timestamp + DELAY, "ready");
        vm.warp(readyAt - 1);
        vm.expectRevert(IAccounts.WithdrawalTooEarly.selector);
        market.withdraw(address(token));
        vm.warp(readyAt);
        market.withdraw(address(token));
        assertEq(token.balanceOf(buyer), 30, "paid out");
        vm.expectRevert(IAccounts.NothingPending.selector);
        market.withdraw(address(token));
    }

    function test_a_new_request_replaces_the_old_one_and_zero_cancels_it() public {
        vm.startPrank(buyer);
        market.requestWithdrawal(address(token), 30);
        market.requestWithdrawal(address(token), 10);
        assertEq(_free(buyer), FUNDS - 10, "replaced");
        market.requestWithdrawal(address(token), 0);
        assertEq(_free(buyer), FUNDS, "cancelled");
        vm.expectRevert(IAccounts.NothingPending.selector);
        market.withdraw(address(token));
    }

    function test_nobody_withdraws_more_than_its_balance() public {
        vm.prank(buyer);
        vm.expectRevert(IAccounts.BalanceInsufficient.selector);
        market.requestWithdrawal(address(token), FUNDS + 1);
    }

    function test_money_that_is_set_aside_opens_no_deal() public {
        OpenCall memory call = _call(_bid(1), _offer(), 1);
        vm.prank(buyer);
        market.requestWithdrawal(address(token), FUNDS);
        vm.expectRevert();
        market.open(call);
    }

    function test_coins_are_withdrawn_and_an_account_that_refuses_them_keeps_its_claim() public {
        vm.startPrank(buyer);
        market.requestWithdrawal(NATIVE, 3);
        vm.warp(block.timestamp + DELAY);
        market.withdraw(NATIVE);
        vm.stopPrank();
        assertEq(buyer.balance, 3, "paid out");

        ClosedWallet closed = new ClosedWallet(market);
        vm.deal(ANYBODY, 4);
        vm.prank(ANYBODY);
        closed.deposit{value: 4}();
        vm.warp(block.timestamp + DELAY);
        vm.expectRevert(IAccounts.NativeTransferFailed.selector);
        closed.withdraw();
        (uint256 amount,) = market.pendingWithdrawal(address(closed), NATIVE);
        assertEq(amount, 4, "still pending");
    }

    // ---------------------------------------------------------------- reentrancy

    function test_a_wallet_that_reenters_its_withdrawal_is_paid_once() public {
        ReentrantWallet wallet = new ReentrantWallet(market);
        vm.deal(ANYBODY, 10);
        vm.prank(ANYBODY);
        wallet.deposit{value: 10}();
        wallet.request(10);
        vm.warp(block.timestamp + DELAY);
        wallet.withdraw();
        assertEq(address(wallet).balance, 10, "paid once");
        assertTrue(!wallet.reentered(), "the second call was refused");
    }

    function test_a_token_cannot_call_back_into_the_market_while_it_transfers() public {
        ReentrantToken coin = new ReentrantToken();
        _mintAndApprove(coin, 100);
        OpenCall memory call = _call(_bid(1), _offer(), 1);
        bytes[4] memory calls = [
            abi.encodeCall(market.open, (call)),
            abi.encodeCall(market.cancelAll, ()),
            abi.encodeCall(market.requestWithdrawal, (NATIVE, 0)),
            abi.encodeCall(market.withdraw, (address(coin)))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            coin.setCall(address(market), calls[i]);
            vm.prank(ALICE);
            market.deposit(address(coin), 10);
            assertTrue(!coin.succeeded(), "the call was refused");
            assertEq(
                bytes32(coin.answer()),
                bytes32(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector),
                "because of the guard"
            );
        }
        assertEq(market.balanceOf(ALICE, address(coin)), 40, "deposits");
    }
}
