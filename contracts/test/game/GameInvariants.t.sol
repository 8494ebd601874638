// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IMarket} from "../../src/interfaces/IMarket.sol";
import {IGame} from "../../src/interfaces/IGame.sol";
import {Bid, Claim, Deal, Offer} from "../../src/types/Orders.sol";
import {DealStatus} from "../../src/types/Calls.sol";
import {GameKey, GameStatus, Part, Standing} from "../../src/types/Disputes.sol";
import {GameTest} from "./GameTest.sol";

/// @dev Lets parties that are honest or not, awake or not, do whatever the game lets them, and checks
/// at each step that no clock grows.
contract Arena is GameTest {
    struct Played {
        GameKey key;
        uint256 deal;
        List list;
        Belief challenger;
        Belief provider;
    }

    Deal[] private _deals;
    Claim[] private _claims;
    Played[] private _played;
    uint256 private _nextSalt = 100;
    /// Wei that the game holds of a fallen claim's pot, and gas that it is for.
    mapping(uint256 deal => uint256) public potOf;
    mapping(uint256 deal => uint256) private _owedGas;
    /// Bonds when they were locked.
    mapping(uint256 game => uint256) private _bondOf;
    /// What everybody who may be an accomplice had: coins, and base units of the token.
    uint256 private _coinsBefore;
    uint256 private _tokensBefore;
    mapping(bytes32 action => uint256) public done;
    /// Coins that every challenger brought in.
    address[4] public challengers = [address(0xe000), address(0xe001), address(0xe002), address(0)];

    constructor() {
        setUp();
        for (uint256 i = 0; i < 3; ++i) {
            _grant(challengers[i]);
        }
        // Whoever challenges himself.
        challengers[3] = provider;
        (_coinsBefore, _tokensBefore) = colluders();
    }

    /// @dev What the provider and all challengers have.
    function colluders() public view returns (uint256 coins, uint256 tokens) {
        for (uint256 i = 0; i < 4; ++i) {
            coins += _coins(challengers[i]);
            tokens += _free(challengers[i]);
        }
    }

    function deals() external view returns (uint256) {
        return _deals.length;
    }

    function world() external view returns (IMarket, IGame, address, address, address) {
        return (market, game, address(token), buyer, provider);
    }

    function games() external view returns (uint256) {
        return _played.length;
    }

    function standingOf(uint256 i) external view returns (Standing memory) {
        return game.standing(_played[i].key);
    }

    function open(uint256 seed) external {
        Bid memory bid = _bid(2);
        Offer memory offer = _offer();
        (bid.salt, offer.salt) = (_nextSalt, _nextSalt + 1);
        _nextSalt += 2;
        offer.slots = 100;
        bid.collateralBps = uint32(seed % 40_000);
        Deal memory deal = _open(_call(bid, offer, 2));
        _deals.push(deal);
        _claims.push(_claim(deal));
        ++done["open"];
    }

    function challenge(uint256 seed) external {
        if (_deals.length == 0) return;
        uint256 i = _deals.length - 1 - seed % (_deals.length < 4 ? _deals.length : 4);
        uint256 task = seed >> 8 & 1;
        bytes32 halted = _halted(_deals[i], task);
        // Of half of all deals the claim is false, for a reason of the deal's own; the trace is one for all.
        Belief memory truth = Belief(task, TRUE, _end(i, task));
        Belief memory lie = Belief(task, (seed >> 16) % TRACE_LENGTH, seed >> 9 & 1 == 0 ? keccak256("a lie") : halted);
        bool honest = seed >> 10 & 1 == 0;
        Belief memory mine = honest && truth.halted != halted ? truth : Belief(task, lie.until, keccak256("a lie"));
        address challenger = challengers[seed >> 12 & 3];
        _use(i);
        vm.prank(challenger);
        try game.challenge(_challengeCall(_deals[i], _claims[i], uint32(task), mine.halted)) {
            Belief memory its = truth.halted == halted ? truth : Belief(task, lie.until, halted);
            Played storage played = _played.push();
            played.key = GameKey(_claimHash(_deals[i], _claims[i]), uint32(task), challenger, 0);
            played.deal = i;
            played.list = _claimed(its, halted);
            played.challenger = mine;
            played.provider = its;
            _bondOf[_played.length - 1] = game.standing(played.key).bond;
            ++done["challenge"];
        } catch {}
    }

    function section(uint256 seed) public {
        if (_played.length == 0) return;
        Played storage played = _pick(seed);
        _use(played.deal);
        Standing memory before = game.standing(played.key);
        Belief memory mover = before.challengersTurn ? played.challenger : played.provider;
        uint256 index = _disputed(played.list, mover);
        if (index == 16) return;
        address sender = before.challengersTurn ? played.key.challenger : provider;
        if (before.sectionsLeft == 0) {
            bytes memory proof = _proof(played.list, index, played.key.task);
            vm.prank(sender);
            try game.prove(played.key, _part(played.list, index), proof) {
                ++done["prove"];
                Belief memory other = before.challengersTurn ? played.provider : played.challenger;
                assertTrue(other.until != TRUE, "nothing is proven against the truth");
            } catch {}
            return;
        }
        List memory parts = _parts(played.list, index, mover);
        // A liar may also change its mind.
        if (mover.until != TRUE && seed >> 20 & 7 == 0) parts.ends[seed >> 24 & 7] = bytes32(seed);
        vm.prank(sender);
        try game.section(played.key, _part(played.list, index), parts.ends) {
            played.list = parts;
            Standing memory later = game.standing(played.key);
            assertTrue(
                later.challengerLeft <= before.challengerLeft && later.providerLeft <= before.providerLeft, "clocks never grow"
            );
            assertTrue(later.sectionsLeft + 1 == before.sectionsLeft, "a game gets shorter");
            ++done["section"];
        } catch {}
    }

    /// @dev Goes on with one game for a while, or few would come to their last step.
    function persist(uint256 seed) external {
        for (uint256 i = 0; i < 15; ++i) {
            section(seed);
        }
    }

    function timeout(uint256 seed) external {
        if (_played.length == 0) return;
        Played storage played = _pick(seed);
        try game.timeout(played.key) {
            ++done["timeout"];
        } catch {}
    }

    function settle(uint256 seed) external {
        if (_played.length == 0) return;
        _settle(_pick(seed).deal);
    }

    function _settle(uint256 deal) private {
        uint256 held = _coins(GAME);
        try game.settle(_deals[deal], _claims[deal]) {
            ++done["settle"];
            uint256 winners;
            uint256 owed;
            for (uint256 i = 0; i < _played.length; ++i) {
                if (_played[i].deal != deal) continue;
                Standing memory standing = game.standing(_played[i].key);
                if (standing.status == GameStatus.Won) winners = _gasOf(standing) + FINISH_GAS;
                if (standing.status == GameStatus.Running) owed += _gasOf(standing);
            }
            // The claim stands.
            if (winners == 0) return;
            uint256 pot = winners * GAS_PRICE_CAP < FLOOR / 2 ? FLOOR / 2 - winners * GAS_PRICE_CAP : 0;
            uint256 price = block.basefee < GAS_PRICE_CAP ? block.basefee : GAS_PRICE_CAP;
            if (pot > owed * price) pot = owed * price;
            assertEq(_coins(GAME) - held, pot, "the pot is what the winner's reserve leaves, and no more than owed");
            (potOf[deal], _owedGas[deal]) = (pot, owed);
        } catch {}
    }

    /// @dev What a challenger has used, by the schedule.
    function _gasOf(Standing memory standing) private view returns (uint256) {
        uint256 made = game.sectionsOf(_cycleLimit()) - standing.sectionsLeft;
        return CHALLENGE_GAS + (made + 1) / 2 * SECTION_GAS;
    }

    function collect(uint256 seed) external {
        if (_played.length == 0) return;
        _collect(_pick(seed));
    }

    function _collect(Played storage played) private {
        Standing memory before = game.standing(played.key);
        uint256 held = _coins(GAME);
        try game.collect(played.key) {
            ++done["collect"];
            uint256 share;
            // Neither the winner nor a loser.
            if (before.status == GameStatus.Running) {
                uint256 owed = _gasOf(before);
                share = potOf[played.deal] * owed / _owedGas[played.deal];
                potOf[played.deal] -= share;
                _owedGas[played.deal] -= owed;
            }
            assertEq(held - _coins(GAME), before.bond + share, "a bond, and a part of the pot");
        } catch {}
    }

    function seat() external {
        game.seat(provider);
    }

    function finalise(uint256 seed) external {
        if (_deals.length == 0) return;
        uint256 i = seed % _deals.length;
        try market.finalise(_deals[i], _claims[i]) {
            ++done["finalise"];
        } catch {}
    }

    function pass(uint256 seed) external {
        vm.warp(block.timestamp + (seed % 16 == 0 ? seed % CLOCK : seed % 300));
    }

    function fee(uint256 seed) external {
        vm.fee(seed % (2 * GAS_PRICE_CAP));
    }

    /// @dev Everybody stays silent: all games end, all claims are settled, all bonds are paid out. In
    /// each round at least the games that have a seat end.
    function finish() external {
        for (uint256 rounds = _played.length / 32 + 2; rounds != 0; --rounds) {
            vm.warp(block.timestamp + CLOCK + WINDOW + 1);
            for (uint256 i = 0; i < _played.length; ++i) {
                try game.timeout(_played[i].key) {} catch {}
            }
            for (uint256 i = 0; i < _deals.length; ++i) {
                _settle(i);
            }
            for (uint256 i = 0; i < _played.length; ++i) {
                _collect(_played[i]);
            }
            game.seat(provider);
        }
        for (uint256 i = 0; i < _deals.length; ++i) {
            try market.finalise(_deals[i], _claims[i]) {} catch {}
        }
    }

    /// @dev Once everything is over: the provider and all challengers together have lost half of each lost
    /// bond, and of each fallen claim's collateral and floor. They have gained the prices of claims that
    /// stood, and nothing else: nobody profits from playing himself.
    function nobodyProfits() external view {
        (uint256 coins, uint256 tokens) = colluders();
        uint256 burned;
        for (uint256 i = 0; i < _played.length; ++i) {
            if (game.standing(_played[i].key).status != GameStatus.Refused) continue;
            burned += _bondOf[i] - _bondOf[i] / 2;
        }
        uint256 mostTokens = _tokensBefore;
        for (uint256 i = 0; i < _deals.length; ++i) {
            if (market.dealState(_deals[i]).status == DealStatus.Failed) {
                burned += FLOOR - FLOOR / 2;
                mostTokens -= _deals[i].collateral - _deals[i].collateral / 2;
            } else {
                mostTokens += _claims[i].price;
            }
        }
        assertAtMost(coins, _coinsBefore - burned, "colluders' coins");
        assertAtMost(tokens, mostTokens, "colluders' tokens");
        assertTrue(_coins(BURN) >= burned, "what they lose burns");
    }

    /// @dev How a task of a deal truly ends.
    function _end(uint256 deal, uint256 task) private view returns (bytes32) {
        return deal % 2 == 0 ? _halted(_deals[deal], task) : keccak256(abi.encode("the truth", task));
    }

    /// @dev Sets the machine to the traces of a deal's tasks.
    function _use(uint256 deal) private {
        machine.set(0, TRACE_LENGTH, _end(deal, 0));
        machine.set(1, TRACE_LENGTH, _end(deal, 1));
    }

    function _pick(uint256 seed) private view returns (Played storage) {
        return _played[_played.length - 1 - seed % (_played.length < 6 ? _played.length : 6)];
    }
}

/// @dev After any sequence of calls: no coin is created or stuck, nobody gains by playing himself, and
/// every game ends.
contract GameInvariantsTest is GameTest {
    Arena private arena;
    address private coin;

    function setUp() public override {
        arena = new Arena();
        (market, game, coin, buyer, provider) = arena.world();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(arena);
    }

    function targetSelectors() external view returns (Selectors[] memory targets) {
        targets = new Selectors[](1);
        targets[0].addr = address(arena);
        bytes4[] memory s = new bytes4[](13);
        (s[0], s[1], s[2], s[3]) = (Arena.open.selector, Arena.challenge.selector, Arena.section.selector, Arena.persist.selector);
        (s[4], s[5], s[6], s[7]) = (Arena.timeout.selector, Arena.settle.selector, Arena.collect.selector, Arena.finalise.selector);
        (s[8], s[9], s[10], s[11]) = (Arena.pass.selector, Arena.fee.selector, Arena.challenge.selector, Arena.persist.selector);
        s[12] = Arena.seat.selector;
        targets[0].selectors = s;
    }

    function invariant_the_game_holds_bonds_that_are_not_collected_and_pots_that_are_not_shared_out() public view {
        uint256 held;
        for (uint256 i = 0; i < arena.games(); ++i) {
            held += arena.standingOf(i).bond;
        }
        for (uint256 i = 0; i < arena.deals(); ++i) {
            held += arena.potOf(i);
        }
        assertEq(_coins(GAME), held, "bonds and pots");
    }

    function invariant_every_game_ends_and_leaves_nothing_behind() public {
        arena.finish();
        for (uint256 i = 0; i < arena.games(); ++i) {
            Standing memory standing = arena.standingOf(i);
            assertTrue(standing.status == GameStatus.Refused || standing.status == GameStatus.Won, "ended");
            assertEq(standing.bond, 0, "collected");
        }
        assertEq(_coins(GAME), 0, "no coin is stuck");
        uint256 coins = _coins(buyer) + _coins(provider) + _coins(BURN) + _coins(ANYBODY);
        for (uint256 i = 0; i < 3; ++i) {
            coins += _coins(arena.challengers(i));
        }
        assertEq(coins + _coins(CHALLENGER), market.totalHeld(NATIVE), "no coin is created");
        arena.nobodyProfits();
    }

    /// @dev The invariants would hold of games that nobody plays.
    function test_random_games_reach_every_action() public {
        for (uint256 i = 0; i < 4000; ++i) {
            uint256 seed = uint256(keccak256(abi.encode(i)));
            uint256 action = i % 11;
            if (action == 0 && seed % 3 == 0) arena.open(seed);
            else if (action == 1) arena.challenge(seed);
            else if (action == 2) arena.section(seed);
            else if (action == 3) arena.timeout(seed);
            else if (action == 4) arena.settle(seed);
            else if (action == 5) arena.collect(seed);
            else if (action == 6) arena.finalise(seed);
            else if (action == 7 && seed % 4 == 0) arena.pass(seed);
            else if (action == 8) arena.fee(seed);
            else if (action == 9) arena.persist(seed);
            else if (action == 10) arena.seat();
        }
        string[8] memory actions = ["open", "challenge", "section", "prove", "timeout", "settle", "collect", "finalise"];
        for (uint256 i = 0; i < actions.length; ++i) {
            assertTrue(arena.done(bytes32(bytes(actions[i]))) != 0, actions[i]);
        }
        invariant_every_game_ends_and_leaves_nothing_behind();
    }
}
