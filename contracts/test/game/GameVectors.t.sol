// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Bisection} from "../../src/game/Bisection.sol";
import {GameWord, GameWords} from "../../src/game/GameWord.sol";
import {GameStatus, Part} from "../../src/types/Disputes.sol";
import {Test} from "../base/Test.sol";

/// @dev Rules that take calldata, callable from a test.
contract Lists {
    function root(bytes32 before, bytes32[16] calldata ends) external pure returns (bytes32) {
        return Bisection.root(before, ends);
    }

    function rootOf(Part calldata part) external pure returns (bytes32) {
        return Bisection.rootOf(part);
    }
}

/// @dev The golden vectors that bind Rust and Solidity: ../verifier/vectors/game.json.
contract GameVectorsTest is Test {
    Lists private lists = new Lists();
    string private json;

    function setUp() public {
        json = vm.readFile("../verifier/vectors/game.json");
    }

    function _item(string memory list, uint256 i) private pure returns (string memory) {
        return string.concat(".", list, "[", vm.toString(i), "]");
    }

    function _count(string memory list) private view returns (uint256 count) {
        while (vm.keyExistsJson(json, _item(list, count))) ++count;
        assertTrue(count != 0, list);
    }

    function _uint(string memory place, string memory field) private view returns (uint256) {
        return vm.parseJsonUint(json, string.concat(place, ".", field));
    }

    function _bool(string memory place, string memory field) private view returns (bool) {
        return vm.parseJsonBool(json, string.concat(place, ".", field));
    }

    function test_traces_have_as_many_sections() public view {
        for (uint256 i = _count("sections"); i != 0; --i) {
            string memory place = _item("sections", i - 1);
            assertEq(Bisection.sections(_uint(place, "cycleLimit")), _uint(place, "sections"), "sections");
        }
    }

    function test_lists_have_the_same_roots_and_paths() public view {
        for (uint256 i = _count("lists"); i != 0; --i) {
            string memory place = _item("lists", i - 1);
            bytes32 before = vm.parseJsonBytes32(json, string.concat(place, ".before"));
            bytes32[] memory words = vm.parseJsonBytes32Array(json, string.concat(place, ".ends"));
            bytes32 root = vm.parseJsonBytes32(json, string.concat(place, ".root"));
            bytes32[16] memory ends;
            bool claim = true;
            for (uint256 k = 0; k < 16; ++k) {
                ends[k] = words[k];
                if (words[k] != words[0]) claim = false;
            }
            assertEq(lists.root(before, ends), root, "root");
            if (claim) assertEq(Bisection.rootOfClaim(before, words[0]), root, "root of a claim");
            string memory parts = string.concat(place, ".parts");
            for (uint256 k = 0; vm.keyExistsJson(json, string.concat(parts, "[", vm.toString(k), "]")); ++k) {
                string memory at_ = string.concat(parts, "[", vm.toString(k), "]");
                Part memory part;
                part.index = uint8(_uint(at_, "index"));
                part.before = part.index == 0 ? before : ends[part.index - 1];
                part.end = ends[part.index];
                bytes32[] memory path = vm.parseJsonBytes32Array(json, string.concat(at_, ".path"));
                for (uint256 level = 0; level < 4; ++level) {
                    part.path[level] = path[level];
                }
                assertEq(lists.rootOf(part), root, "path");
            }
        }
    }

    function test_clocks_run_alike() public view {
        for (uint256 i = _count("clocks"); i != 0; --i) {
            string memory place = _item("clocks", i - 1);
            uint256 now_ = _uint(place, "now");
            GameWord word = _word(place);
            assertEq(word.challengerLeft(), _uint(place, "challengerLeft"), "the word is that of the vector");
            uint256 left = word.challengersTurn() ? word.challengerLeft() : word.providerLeft();
            uint256 elapsed = word.elapsed(now_);
            assertEq(left > elapsed ? left - elapsed : 0, _uint(place, "left"), "left");
            assertTrue(word.overdue(now_) == _bool(place, "overdue"), "overdue");
        }
    }

    function test_sections_and_seats_move_clocks_alike() public view {
        for (uint256 i = _count("timelines"); i != 0; --i) {
            string memory timeline = _item("timelines", i - 1);
            GameWord word =
                GameWords.begun(address(1), _uint(timeline, "clock"), GameWords.SECTIONS_MAX, _uint(timeline, "at"));
            string memory then_ = string.concat("timelines[", vm.toString(i - 1), "].then");
            uint256 count = _count(then_);
            for (uint256 k = 0; k < count; ++k) {
                string memory place = _item(then_, k);
                uint256 at_ = _uint(place, "at");
                word = _bool(place, "seat") ? word.takesSeat(at_) : word.moved(at_);
                uint256 since = GameWord.unwrap(word) >> 160 & type(uint40).max;
                assertEq(since, _uint(place, "since"), "since");
                assertEq(word.challengerLeft(), _uint(place, "challengerLeft"), "the challenger's");
                assertEq(word.providerLeft(), _uint(place, "providerLeft"), "the provider's");
                assertTrue(word.seated() == _bool(place, "seated"), "seated");
                assertTrue(word.challengersTurn() == _bool(place, "challengersTurn"), "turn");
            }
        }
    }

    /// @dev Fields may be set in any order: they do not overlap.
    function _word(string memory place) private view returns (GameWord) {
        uint256 packed = _uint(place, "since") << 160 | _uint(place, "challengerLeft") << 200
            | _uint(place, "providerLeft") << 224 | uint256(5) << 248 | uint256(GameStatus.Running) << 254;
        if (_bool(place, "challengersTurn")) packed |= 1 << 252;
        if (_bool(place, "seated")) packed |= 1 << 253;
        return GameWord.wrap(packed);
    }
}
