// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IGame} from "../../src/interfaces/IGame.sol";
import {DealStatus} from "../../src/types/Calls.sol";
import {GameKey} from "../../src/types/Disputes.sol";
import {Claim, Deal} from "../../src/types/Orders.sol";
import {GameTest} from "./GameTest.sol";

/// @dev Many against one: what everybody has afterwards, gas included, and for how long they keep an
/// honest challenger from a seat. Transactions cost what gas/snapshot.json says, at a base fee of 1 gwei.
contract ShamsTest is GameTest {
    uint256 private constant SHAMS = 31;
    /// More than there are seats.
    uint256 private constant CROWD = 40;
    uint256 private constant BASE_FEE = 1 gwei;
    uint256 private constant FIRST = 0xf000;

    /// Wei that accounts have spent on gas.
    mapping(address account => uint256) private spent;
    mapping(address account => uint256) private before;

    Deal private deal;
    Claim private made;

    function setUp() public override {
        super.setUp();
        for (uint160 i = 0; i < CROWD; ++i) {
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
        // The winner's reserve is all that is left to it: the shams share the other part of half a floor.
        uint256 reserve = (CHALLENGE_GAS + 7 * SECTION_GAS + FINISH_GAS) * GAS_PRICE_CAP;
        assertEq(uint256(honest) + spent[CHALLENGER], reserve, "gas at the highest price");
        assertQuoted(honest, 2_549, "the honest challenger gains");
        assertQuoted(-attackers, 16_261, "the attackers lose, besides the collateral");
    }

    // ---------------------------------------------------------------- seats

    /// @dev So many shams about a claim, and behind them an honest game about a false one, in which it is
    /// the provider's turn. Nobody else will do anything any more.
    function _crowd(uint256 shams, Deal memory theirs, Claim memory claimed)
        private
        returns (GameKey[] memory keys, GameKey memory key)
    {
        Belief memory truth = _otherwise(0);
        keys = new GameKey[](shams);
        for (uint256 i = 0; i < shams; ++i) {
            keys[i] = _challenge(theirs, claimed, Belief(0, 99 + i, keccak256("another lie")), _sham(i));
        }
        key = _challenge(deal, made, truth, CHALLENGER);
        List memory list = _claimed(truth, _halted(deal, 0));
        List memory parts = _parts(list, 0, truth);
        vm.prank(CHALLENGER);
        game.section(key, _part(list, 0), parts.ends);
        assertTrue(!game.standing(key).seated, "no seat is free");
    }

    /// @dev The honest game has a seat now: it is won as soon as the provider's clock has run out.
    function _winSeated(GameKey memory key) private {
        game.seat(provider);
        assertTrue(game.standing(key).seated, "seated");
        vm.warp(block.timestamp + CLOCK + 1);
        game.timeout(key);
        game.settle(deal, made);
        assertStatus(deal, DealStatus.Failed);
        game.collect(key);
        assertTrue(_gain(CHALLENGER) >= 0, "made whole");
        assertEq(_free(CHALLENGER), deal.collateral / 2, "and rewarded");
    }

    function _silentShams(uint256 shams) private {
        uint256 start = block.timestamp;
        (GameKey[] memory keys, GameKey memory key) = _crowd(shams, deal, made);
        vm.warp(start + CLOCK);
        vm.expectRevert(IGame.ClockNotRunOut.selector);
        game.timeout(keys[shams - 1]);
        vm.warp(start + CLOCK + 1);
        for (uint256 i = 0; i < shams; ++i) {
            game.timeout(keys[i]);
            game.collect(keys[i]);
        }
        _winSeated(key);
        assertEq(block.timestamp - start, 2 * (CLOCK + 1), "one clock of the shams', one of the provider's");
        assertEq(_coins(GAME), 0, "nothing stays");
    }

    function test_an_honest_33rd_challenger_wins_after_two_clocks() public {
        _silentShams(32);
    }

    function test_an_honest_41st_challenger_wins_after_two_clocks() public {
        _silentShams(40);
    }

    /// @dev Of games about a fallen claim anybody takes the seats away: nobody has to wait for a clock.
    function _shamsOfAFallenClaim(uint256 shams, bool settled) private {
        (Deal memory theirs, Claim memory claimed) = _another();
        uint256 start = block.timestamp;
        (GameKey[] memory keys, GameKey memory key) = _crowd(shams, theirs, claimed);
        // The first of them goes on, and wins when the provider's clock has run out.
        Belief memory truth = _otherwise(0);
        List memory list = _claimed(truth, _halted(theirs, 0));
        List memory parts = _parts(list, 0, truth);
        vm.prank(keys[0].challenger);
        game.section(keys[0], _part(list, 0), parts.ends);
        vm.warp(start + CLOCK + 1);
        game.timeout(keys[0]);
        if (settled) game.settle(theirs, claimed);
        // The winner's seat goes to a sham that waited before.
        game.seat(provider);
        assertTrue(game.standing(keys[32]).seated && !game.standing(key).seated, "no seat is free");

        // From here on it is anybody's doing.
        vm.expectRevert(IGame.ClaimFell.selector);
        game.timeout(keys[1]);
        if (!settled) {
            vm.expectRevert(IGame.NothingToCollect.selector);
            game.collect(keys[1]);
            vm.prank(ANYBODY);
            game.settle(theirs, claimed);
        }
        for (uint256 i = 0; i < shams; ++i) {
            vm.prank(ANYBODY);
            game.collect(keys[i]);
        }
        uint256 freed = block.timestamp;
        _winSeated(key);
        assertEq(block.timestamp - freed, CLOCK + 1, "one clock of the provider's");
        assertEq(_coins(GAME), 0, "nothing stays");
    }

    function test_seats_of_games_about_a_fallen_claim_that_nobody_settled_are_taken_away() public {
        _shamsOfAFallenClaim(33, false);
    }

    function test_seats_of_games_about_a_fallen_claim_that_nobody_collected_are_taken_away() public {
        _shamsOfAFallenClaim(33, true);
    }

    function test_a_crowd_about_a_fallen_claim_gives_up_seats_and_places() public {
        _shamsOfAFallenClaim(40, false);
    }

    /// @dev Whatever the others do, and though nobody frees a seat.
    function test_an_honest_41st_challenger_wins_after_five_clocks_without_a_seat() public {
        uint256 start = block.timestamp;
        (, GameKey memory key) = _crowd(40, deal, made);
        vm.warp(start + 5 * CLOCK + 1);
        assertTrue(!game.standing(key).seated, "without a seat");
        game.timeout(key);
        game.settle(deal, made);
        assertStatus(deal, DealStatus.Failed);
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
        assertQuoted(honest, 932, "the provider gains");
        assertQuoted(-attackers, 158_649, "the attackers lose");
    }

    /// @dev As `verifier/ECONOMICS.md` says in millionths of a coin, to 5%: gas may change that much before
    /// the page has to.
    function assertQuoted(int256 wei_, uint256 millionths, string memory what) private pure {
        assertTrue(wei_ > 0, what);
        uint256 quoted = millionths * 1e12;
        uint256 got = uint256(wei_);
        if (20 * got < 19 * quoted || 20 * got > 21 * quoted) revert Differs(what, got / 1e12, millionths);
    }
}
