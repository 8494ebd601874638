// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Bisection} from "../../src/game/Bisection.sol";
import {GameWord, GameWords} from "../../src/game/GameWord.sol";
import {GameStatus, Part} from "../../src/types/Disputes.sol";
import {Test} from "../base/Test.sol";

/// @dev What halmos proves for every input (`make analyse`); with forge these are fuzz tests.
contract GameProofsTest is Test {
    function _running(uint256 packed) private pure returns (GameWord word) {
        word = GameWord.wrap(packed & ~(uint256(3) << 254) | uint256(GameStatus.Running) << 254);
    }

    /// @dev A game begins with both clocks full and nothing else in the word.
    function test_a_game_begins_as_told(address provider, uint24 clock, uint8 sections, uint40 now_) public pure {
        sections &= uint8(GameWords.SECTIONS_MAX);
        GameWord word = GameWords.begun(provider, clock, sections, now_);
        assert(word.provider() == provider);
        assert(word.challengerLeft() == clock && word.providerLeft() == clock);
        assert(word.sectionsLeft() == sections);
        assert(word.challengersTurn() && !word.seated() && word.status() == GameStatus.Running);
        assert(word.elapsed(now_) == 0 && !word.overdue(now_));
    }

    /// @dev A section in time takes the mover's time from the mover's clock, gives the turn to the
    /// other, and touches nothing else. No clock grows, and no field runs over into another.
    function test_a_section_only_takes_time_from_its_mover(uint256 packed, uint40 now_) public pure {
        GameWord word = _running(packed);
        if (word.sectionsLeft() == 0 || word.overdue(now_)) return;
        GameWord next = word.moved(now_);
        uint256 elapsed = word.elapsed(now_);
        bool challenger = word.challengersTurn();
        assert(next.challengerLeft() == word.challengerLeft() - (challenger ? elapsed : 0));
        assert(next.providerLeft() == word.providerLeft() - (challenger ? 0 : elapsed));
        assert(next.sectionsLeft() == word.sectionsLeft() - 1);
        assert(next.challengersTurn() != challenger);
        assert(next.provider() == word.provider() && next.seated() == (word.seated() || !challenger));
        assert(next.status() == GameStatus.Running);
        assert(next.elapsed(now_) == 0);
    }

    /// @dev Once the mover's clock has run out it stays so; before, a seat or its time decides alone.
    function test_a_clock_that_has_run_out_stays_so(uint256 packed, uint40 now_, uint40 later) public pure {
        GameWord word = _running(packed);
        if (later >= now_ && word.overdue(now_)) assert(word.overdue(later));
    }

    /// @dev A provider without a seat loses no time until its wait is over, after four clocks; from then
    /// on its clock runs.
    function test_without_a_seat_the_providers_clock_stands_still(uint256 packed, uint40 now_) public pure {
        GameWord word = _running(packed);
        if (word.challengersTurn() || word.seated()) return;
        uint256 end = (packed >> 160 & type(uint40).max) + 4 * word.providerLeft();
        assert(word.elapsed(now_) == (now_ > end ? now_ - end : 0));
    }

    /// @dev A seat takes no time from a provider, and gives none back to one whose clock ran already.
    function test_a_seat_takes_and_gives_no_time(uint256 packed, uint40 now_) public pure {
        GameWord word = _running(packed);
        if (word.challengersTurn() || word.seated()) return;
        GameWord seated = word.takesSeat(now_);
        assert(seated.seated() && seated.elapsed(now_) == word.elapsed(now_));
        assert(seated.providerLeft() == word.providerLeft() && seated.challengerLeft() == word.challengerLeft());
        assert(seated.sectionsLeft() == word.sectionsLeft() && seated.provider() == word.provider());
    }

    /// @dev A seat changes nothing about a challenger's clock.
    function test_a_seat_is_nothing_to_the_challenger(uint256 packed, uint40 now_, uint40 later) public pure {
        GameWord word = _running(packed);
        if (!word.challengersTurn()) return;
        GameWord seated = word.takesSeat(now_);
        assert(seated.elapsed(later) == word.elapsed(later) && seated.overdue(later) == word.overdue(later));
    }

    /// @dev A game that has ended runs no clock, and keeps what its payout needs.
    function test_an_ended_game_runs_no_clock(uint256 packed, bool won, uint40 now_) public pure {
        GameWord word = _running(packed);
        GameStatus result = won ? GameStatus.Won : GameStatus.Refused;
        GameWord ended = word.ended(result);
        assert(ended.status() == result && !ended.seated());
        assert(ended.elapsed(now_) == 0 && !ended.overdue(now_));
        assert(ended.provider() == word.provider() && ended.sectionsLeft() == word.sectionsLeft());
    }

    /// @dev 16^n steps hold every run of a task with this limit, and 16^(n-1) do not.
    function test_sections_hold_the_longest_run(uint64 cycleLimit) public pure {
        uint256 n = Bisection.sections(cycleLimit);
        uint256 most = 1024 * (uint256(cycleLimit) + 1);
        assert(n >= 3 && n <= 19);
        assert(uint256(1) << (4 * n) >= most);
        assert(uint256(1) << (4 * (n - 1)) < most);
        if (cycleLimit <= 1 << 44) assert(n <= GameWords.SECTIONS_MAX);
    }

    function rootOf(Part calldata part) external pure returns (bytes32) {
        return Bisection.rootOf(part);
    }

    function root(bytes32 before, bytes32[16] calldata ends) external pure returns (bytes32) {
        return Bisection.root(before, ends);
    }

    /// @dev The path of part 0, 5 and 15 of any list leads to its root.
    function test_a_part_of_a_list_leads_to_its_root(bytes32 before, bytes32[16] calldata ends, uint8 index)
        public
        view
    {
        index = index % 3 == 0 ? 0 : index % 3 == 1 ? 5 : 15;
        bytes32[16] memory nodes;
        for (uint256 i = 0; i < 16; ++i) {
            nodes[i] = keccak256(abi.encode(i == 0 ? before : ends[i - 1], ends[i]));
        }
        Part memory part;
        part.index = index;
        part.before = index == 0 ? before : ends[index - 1];
        part.end = ends[index];
        uint256 place = index;
        for (uint256 level = 0; level < 4; ++level) {
            part.path[level] = nodes[place ^ 1];
            place >>= 1;
            for (uint256 i = 0; i < 8 >> level; ++i) {
                nodes[i] = keccak256(abi.encode(nodes[2 * i], nodes[2 * i + 1]));
            }
        }
        assert(this.rootOf(part) == this.root(before, ends));
    }
}
