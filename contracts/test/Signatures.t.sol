// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IOpening} from "../src/interfaces/IOpening.sol";
import {OpenCall} from "../src/types/Calls.sol";
import {Bid} from "../src/types/Orders.sol";
import {MarketTest} from "./base/MarketTest.sol";
import {BloatedWallet, ContractWallet, GasBurningWallet, MeddlingWallet, TerseWallet} from "./tokens/Wallets.sol";

contract SignaturesTest is MarketTest {
    uint256 private constant ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    function _parts(OpenCall memory call) private view returns (uint8 v, bytes32 r, bytes32 s) {
        return vm.sign(BUYER_KEY, market.hashBid(call.bid));
    }

    function _refused(OpenCall memory call) private {
        vm.expectRevert(IOpening.BidSignatureInvalid.selector);
        market.open(call);
    }

    function test_compact_signatures_are_accepted() public {
        OpenCall memory call = _call(_bid(1), _offer(), 1);
        (uint8 v, bytes32 r, bytes32 s) = _parts(call);
        call.bidSignature = abi.encodePacked(r, uint256(s) | uint256(v - 27) << 255);
        _open(call);
    }

    function test_the_malleable_twin_of_a_signature_is_refused() public {
        OpenCall memory call = _call(_bid(1), _offer(), 1);
        (uint8 v, bytes32 r, bytes32 s) = _parts(call);
        call.bidSignature = abi.encodePacked(r, ORDER - uint256(s), v ^ 7);
        _refused(call);
    }

    function test_signatures_of_another_length_or_recovery_value_are_refused() public {
        OpenCall memory call = _call(_bid(1), _offer(), 1);
        (uint8 v, bytes32 r, bytes32 s) = _parts(call);
        bytes[6] memory wrong = [
            bytes(""),
            abi.encodePacked(r),
            abi.encodePacked(r, s, v, v),
            abi.encodePacked(r, s, v - 27),
            abi.encodePacked(r, s, uint8(29)),
            new bytes(65)
        ];
        for (uint256 i = 0; i < wrong.length; ++i) {
            call.bidSignature = wrong[i];
            _refused(call);
        }
    }

    function test_the_zero_address_has_signed_nothing() public {
        Bid memory bid = _bid(1);
        bid.buyer = address(0);
        OpenCall memory call = _call(bid, _offer(), 1);
        call.bidSignature = new bytes(65);
        _refused(call);
    }

    /// @dev A bid whose buyer is a contract, and money for it.
    function _walletCall(address wallet, bytes memory signature) private returns (OpenCall memory call) {
        token.mint(ANYBODY, 1e9);
        _give(wallet, 1e9);
        Bid memory bid = _bid(1);
        bid.buyer = wallet;
        bid.counter = 0;
        call = _call(bid, _offer(), 1);
        call.bidSignature = signature;
    }

    /// @dev Deposits as the wallet itself.
    function _give(address wallet, uint256 amount) private {
        token.mint(wallet, amount);
        vm.startPrank(wallet);
        token.approve(address(market), amount);
        market.deposit(address(token), amount);
        vm.stopPrank();
    }

    function test_a_contract_account_signs_by_erc_1271() public {
        ContractWallet wallet = new ContractWallet(buyer);
        OpenCall memory call = _walletCall(address(wallet), "");
        (uint8 v, bytes32 r, bytes32 s) = _parts(call);
        call.bidSignature = abi.encodePacked(uint8(0), r, s, v);
        assertEq(_open(call).buyer, address(wallet), "buyer");
    }

    function test_a_contract_account_that_says_no_has_not_signed() public {
        ContractWallet wallet = new ContractWallet(provider);
        OpenCall memory call = _walletCall(address(wallet), "");
        (uint8 v, bytes32 r, bytes32 s) = _parts(call);
        call.bidSignature = abi.encodePacked(uint8(0), r, s, v);
        _refused(call);
    }

    function test_a_short_answer_is_no_signature() public {
        _refused(_walletCall(address(new TerseWallet()), "x"));
    }

    function test_a_wallet_that_meddles_while_it_is_asked_changes_nothing() public {
        MeddlingWallet wallet = new MeddlingWallet(address(market));
        // The static call makes its own call fail, after which it agrees.
        _open(_walletCall(address(wallet), "x"));
        assertEq(market.counterOf(address(wallet)), 0, "counter");
    }

    function test_a_wallet_that_burns_gas_or_answers_at_length_costs_a_bounded_amount() public {
        OpenCall memory call = _walletCall(address(new GasBurningWallet()), "x");
        OpenCall[] memory calls = new OpenCall[](1);
        calls[0] = call;
        uint256 gas_ = gasleft();
        assertEq(market.openMany(calls)[0], 0, "skipped");
        assertAtMost(gas_ - gasleft(), 250_000, "gas");

        calls[0] = _walletCall(address(new BloatedWallet()), "x");
        calls[0].bid.salt = 5;
        gas_ = gasleft();
        assertTrue(market.openMany(calls)[0] != 0, "a long answer that begins well is a signature");
        assertAtMost(gas_ - gasleft(), 350_000, "gas");
    }

    function test_an_account_with_code_and_key_signs_by_its_key() public {
        OpenCall memory call = _call(_bid(1), _offer(), 1);
        vm.etch(buyer, hex"fe");
        _open(call);
    }
}
