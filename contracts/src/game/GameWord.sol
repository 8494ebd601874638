// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {GameStatus} from "../types/Disputes.sol";

/// @title Whose turn it is and how long he has: a game in one word
/// @dev Low bits first: provider (160), since (40), the challenger's seconds (24), the provider's
/// seconds (24), sections left (4), challenger's turn (1), seated (1), status (2).
///
/// `since` is the second at which the mover's clock began to run, or a provider's wait for a seat.
/// Everything about time follows from the word and the present second by `elapsed` alone, which is
/// total; clocks never grow.
type GameWord is uint256;

using GameWords for GameWord global;

library GameWords {
    uint256 private constant SINCE_SHIFT = 160;
    uint256 private constant CHALLENGER_SHIFT = 200;
    uint256 private constant PROVIDER_SHIFT = 224;
    uint256 private constant SECTIONS_SHIFT = 248;
    uint256 private constant STATUS_SHIFT = 254;
    uint256 private constant SINCE_MASK = type(uint40).max;
    /// Most seconds of a clock.
    uint256 internal constant CLOCK_MAX = type(uint24).max;
    /// Most sections of a game.
    uint256 internal constant SECTIONS_MAX = 15;
    /// Clocks for which a provider's clock stands still at most: see Seats.
    uint256 internal constant WAIT_CLOCKS = 4;
    uint256 private constant SECTION = 1 << SECTIONS_SHIFT;
    uint256 private constant CHALLENGERS_TURN = 1 << 252;
    uint256 private constant SEATED = 1 << 253;

    /// @dev A game that begins now. Needs clock <= CLOCK_MAX and sections <= SECTIONS_MAX.
    function begun(address provider_, uint256 clock, uint256 sections, uint256 now_) internal pure returns (GameWord) {
        return GameWord.wrap(
            uint256(uint160(provider_)) | (now_ & SINCE_MASK) << SINCE_SHIFT | clock << CHALLENGER_SHIFT
                | clock << PROVIDER_SHIFT | sections << SECTIONS_SHIFT | CHALLENGERS_TURN
                | uint256(GameStatus.Running) << STATUS_SHIFT
        );
    }

    function status(GameWord word) internal pure returns (GameStatus) {
        return GameStatus(GameWord.unwrap(word) >> STATUS_SHIFT);
    }

    function provider(GameWord word) internal pure returns (address) {
        return address(uint160(GameWord.unwrap(word)));
    }

    function challengersTurn(GameWord word) internal pure returns (bool) {
        return GameWord.unwrap(word) & CHALLENGERS_TURN != 0;
    }

    function seated(GameWord word) internal pure returns (bool) {
        return GameWord.unwrap(word) & SEATED != 0;
    }

    function sectionsLeft(GameWord word) internal pure returns (uint256) {
        return GameWord.unwrap(word) >> SECTIONS_SHIFT & SECTIONS_MAX;
    }

    /// @dev What was left on the clocks when the last move was made.
    function challengerLeft(GameWord word) internal pure returns (uint256) {
        return GameWord.unwrap(word) >> CHALLENGER_SHIFT & CLOCK_MAX;
    }

    function providerLeft(GameWord word) internal pure returns (uint256) {
        return GameWord.unwrap(word) >> PROVIDER_SHIFT & CLOCK_MAX;
    }

    /// @dev Seconds for which the mover's clock has run since the last move. A provider that has no seat
    /// has not moved yet, so that its clock is full, and it waits for a multiple of it.
    function elapsed(GameWord word, uint256 now_) internal pure returns (uint256) {
        if (word.status() != GameStatus.Running) return 0;
        uint256 start = GameWord.unwrap(word) >> SINCE_SHIFT & SINCE_MASK;
        if (!word.challengersTurn() && !word.seated()) start += WAIT_CLOCKS * word.providerLeft();
        return now_ > start ? now_ - start : 0;
    }

    /// @dev Whether the mover's clock has run out. A move is valid in the last second of a clock.
    function overdue(GameWord word, uint256 now_) internal pure returns (bool) {
        return word.elapsed(now_) > (word.challengersTurn() ? word.challengerLeft() : word.providerLeft());
    }

    /// @dev The mover has made a section: its clock stops, the other's starts. A game in which the
    /// provider moves has a seat. Needs a clock that has not run out and a section that is left.
    function moved(GameWord word, uint256 now_) internal pure returns (GameWord) {
        bool challenger = word.challengersTurn();
        uint256 used = word.elapsed(now_) << (challenger ? CHALLENGER_SHIFT : PROVIDER_SHIFT);
        uint256 next = (GameWord.unwrap(word) - used - SECTION) ^ CHALLENGERS_TURN;
        return _since(GameWord.wrap(challenger ? next : next | SEATED), now_);
    }

    /// @dev The game gets a seat: if the provider is to move, its clock starts now, unless it runs.
    function takesSeat(GameWord word, uint256 now_) internal pure returns (GameWord) {
        GameWord taken = GameWord.wrap(GameWord.unwrap(word) | SEATED);
        return word.challengersTurn() ? taken : _since(taken, now_ - word.elapsed(now_));
    }

    /// @dev The game has ended, and has no seat any more.
    function ended(GameWord word, GameStatus result) internal pure returns (GameWord) {
        return GameWord.wrap(
            GameWord.unwrap(word) & ~SEATED & ~(uint256(3) << STATUS_SHIFT) | uint256(result) << STATUS_SHIFT
        );
    }

    function _since(GameWord word, uint256 now_) private pure returns (GameWord) {
        return GameWord.wrap(
            GameWord.unwrap(word) & ~(SINCE_MASK << SINCE_SHIFT) | (now_ & SINCE_MASK) << SINCE_SHIFT
        );
    }
}
