// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {GameKey} from "../../src/types/Disputes.sol";
import {Claim, Deal} from "../../src/types/Orders.sol";
import {GameTest} from "./GameTest.sol";

/// @dev Many against one: what everybody has afterwards, gas included. Transactions cost what
/// gas/snapshot.json says, at a base fee of 1 gwei. `-vvvv` shows the figures.
contract ShamsTest is GameTest {
    event Figure(string what, int256 millionthsOfACoin);

    uint256 private constant SHAMS = 31;
    uint256 private constant BASE_FEE = 1 gwei;
    uint256 private constant FIRST = 0xf000;

    /// Wei that accounts have spent on gas.
    mapping(address account => uint256) private spent;
    mapping(address account => uint256) private before;

    Deal private deal;
    Claim private made;

    function setUp() public override {
        super.setUp();
        for (uint160 i = 0; i < SHAMS; ++i) {
            _grant(_sham(i));
        }
        deal = _open(2);
        made = _claim(deal);
        _remember(CHALLENGER);
        _remember(provider);
        for (uint160 i = 0; i < SHAMS; ++i) {
            _remember(_sham(i));
        }
    }

    function _sham(uint256 i) private pure returns (address) {
        return address(uint160(FIRST + i));
    }

    function _remember(address account) private {
        before[account] = _coins(account);
    }

    /// @dev What an account has gained or lost in wei: coins on the market less gas.
    function _gain(address account) private view returns (int256) {
        return int256(_coins(account)) - int256(before[account]) - int256(spent[account]);
    }

    function _pays(address account, string memory what) private {
        string memory json = vm.readFile("gas/snapshot.json");
        spent[account] += vm.parseJsonUint(json, string.concat("$['", what, "']")) * BASE_FEE;
    }

    function _enterGame(Belief memory belief, address challenger) private returns (GameKey memory key) {
        key = _challenge(deal, made, belief, challenger);
        _pays(challenger, "dispute: challenge");
    }

    function _spent(bytes memory data, bool byChallenger) internal override {
        bool section = bytes4(data) == game.section.selector;
        _pays(
            byChallenger ? mover : provider,
            section ? "dispute: section, at most" : "dispute: last step, the dearest there is"
        );
    }

    /// Whose game is played.
    address private mover;

    function _playFor(GameKey memory key, Belief memory challenger, Belief memory provider_) private returns (bool) {
        mover = key.challenger;
        return _play(key, _claimed(provider_, provider_.halted), challenger, provider_);
    }

    function test_thirty_one_shams_and_one_honest_challenger_against_a_false_claim() public {
        Belief memory truth = _otherwise(0);
        Belief memory lie = Belief(0, 1234, _halted(deal, 0));
        uint256 start = block.timestamp;
        GameKey[] memory keys = new GameKey[](SHAMS);
        // The provider's accomplices come first, and throw their games as late as they can.
        for (uint256 i = 0; i < SHAMS; ++i) {
            keys[i] = _enterGame(Belief(0, 99 + i, keccak256("another lie")), _sham(i));
        }
        GameKey memory key = _enterGame(truth, CHALLENGER);
        assertTrue(game.standing(key).seated, "seated");
        assertTrue(_playFor(key, truth, lie), "the honest challenger is right");
        // The liar is silent when it comes to the last step, and uses up its time.
        vm.warp(block.timestamp + game.standing(key).providerLeft + 1);
        bytes[] memory calls = new bytes[](3);
        calls[0] = abi.encodeCall(game.timeout, (key));
        calls[1] = abi.encodeCall(game.settle, (deal, made));
        calls[2] = abi.encodeCall(game.collect, (key));
        vm.prank(CHALLENGER);
        game.multicall(calls);
        _pays(CHALLENGER, "dispute: last step, the dearest there is");
        _pays(CHALLENGER, "dispute: verdict and payout");
        assertAtMost(block.timestamp - start, CLOCK + 1, "one game's time");
        for (uint256 i = 0; i < SHAMS; ++i) {
            game.collect(keys[i]);
        }

        int256 honest = _gain(CHALLENGER);
        int256 attackers = _gain(provider) - int256(uint256(FLOOR));
        for (uint256 i = 0; i < SHAMS; ++i) {
            attackers += _gain(_sham(i));
        }
        assertTrue(honest >= 0, "made whole");
        assertEq(_free(CHALLENGER), deal.collateral / 2, "and rewarded");
        assertTrue(attackers < 0, "the attackers lose");
        assertEq(_free(buyer), FUNDS - TIP, "the buyer is refunded");
        emit Figure("false claim, 31 shams: honest challenger gains", honest / 1e12);
        emit Figure("false claim, 31 shams: attackers lose, besides the collateral", -attackers / 1e12);
    }

    function test_thirty_one_false_challenges_of_a_true_claim() public {
        Belief memory truth = _true(deal, 0);
        uint256 start = block.timestamp;
        GameKey[] memory keys = new GameKey[](SHAMS);
        for (uint256 i = 0; i < SHAMS; ++i) {
            keys[i] = _enterGame(Belief(0, 99 + i, keccak256(abi.encode("a lie", i))), _sham(i));
        }
        for (uint256 i = 0; i < SHAMS; ++i) {
            assertTrue(!_playFor(keys[i], Belief(0, 99 + i, keccak256(abi.encode("a lie", i))), truth), "refused");
            game.collect(keys[i]);
            // More than a payout alone.
            _pays(provider, "dispute: verdict and payout");
        }
        game.settle(deal, made);
        _pays(provider, "dispute: verdict and payout");
        assertAtMost(block.timestamp - start, CLOCK, "one game's time");

        int256 honest = _gain(provider);
        int256 attackers;
        for (uint256 i = 0; i < SHAMS; ++i) {
            int256 gain = _gain(_sham(i));
            assertTrue(gain < 0, "every attacker loses");
            attackers += gain;
        }
        assertTrue(honest >= 0, "made whole, with its runs paid");
        vm.warp(block.timestamp + WINDOW + 1);
        vm.prank(provider);
        market.finalise(deal, made);
        assertEq(_free(provider), FUNDS + made.price, "and paid");
        emit Figure("true claim, 31 false challenges: provider gains", honest / 1e12);
        emit Figure("true claim, 31 false challenges: attackers lose", -attackers / 1e12);
    }
}
