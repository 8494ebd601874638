// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IGame} from "../interfaces/IGame.sol";
import {GameStatus} from "../types/Disputes.sol";
import {GameWord} from "./GameWord.sol";

/// @title Which of a provider's games run on its clock
/// @dev 32 games have a seat, the others wait in the order in which they came, with the provider's
/// clock standing still. So a crowd of challengers does not make an honest provider late.
///
/// But no game waits for long, or a false provider's accomplices would hold the seats for as long as
/// the longest clock there is while an honest challenger waits. Once it has been the provider's turn
/// for `GameWords.WAIT_CLOCKS` (4) clocks of the game itself, the provider's clock runs without a seat,
/// and a provider that moves in a game that waits gives it one beyond the 32. A game is therefore over
/// after 6 of its own clocks at most, whatever other games there are.
///
/// The price is that an honest provider may have to play more than 32 games at a time: k x 32 of them
/// need as many that run, and the bonds of these are at least 2^k - 1 times those of 32, of which at
/// least half burns. If all clocks are alike and free seats are given at once, seats change hands every
/// 2 clocks at the latest, and no game runs on the clock without one unless more than 96 games run.
abstract contract Seats is IGame {
    struct Queue {
        /// Games that run, with or without a seat.
        uint32 live;
        uint32 seated;
        /// The next game to get a seat, and the end of those that wait.
        uint32 head;
        uint32 tail;
    }

    struct Game {
        /// Root over the parts that the party that does not move has asserted.
        bytes32 root;
        GameWord word;
        /// Wei; zero once collected.
        uint128 bond;
        /// Wei that the provider's run of the interpreter is worth.
        uint112 runFee;
        /// Sections of the whole game.
        uint8 sections;
    }

    uint256 internal constant SEATS = 32;
    /// Waiting games that one call of `seat` looks at, so that its gas is bounded.
    uint256 private constant CALLED_AT_ONCE = 64;

    mapping(bytes32 game => Game) internal _games;
    mapping(address provider => Queue) internal _queues;
    mapping(address provider => mapping(uint256 place => bytes32 game)) private _waiting;

    /// @inheritdoc IGame
    function seat(address provider) external {
        Queue memory queue = _queues[provider];
        for (uint256 i = 0; i < CALLED_AT_ONCE && queue.seated < SEATS && queue.head < queue.tail; ++i) {
            bytes32 game = _waiting[provider][queue.head];
            delete _waiting[provider][queue.head++];
            GameWord word = _games[game].word;
            // It may have ended while it waited, or the provider may have played it.
            if (word.status() != GameStatus.Running || word.seated()) continue;
            _games[game].word = word.takesSeat(block.timestamp);
            ++queue.seated;
            emit Seated(game);
        }
        _queues[provider] = queue;
    }

    /// @dev A game of the provider begins. Those that wait come first; who comes now does not pay for
    /// their seats, so that its gas does not depend on their number.
    function _enter(address provider, bytes32 game) internal returns (bool seated) {
        Queue memory queue = _queues[provider];
        ++queue.live;
        seated = queue.seated < SEATS && queue.head == queue.tail;
        if (seated) {
            ++queue.seated;
            _games[game].word = _games[game].word.takesSeat(block.timestamp);
        } else {
            _waiting[provider][queue.tail++] = game;
        }
        _queues[provider] = queue;
    }

    /// @dev A provider has moved in a game that waited, which says so by itself.
    function _seatBeyond(address provider) internal {
        ++_queues[provider].seated;
    }

    /// @dev A game of the provider has ended.
    function _leave(address provider, bool seated) internal {
        Queue storage queue = _queues[provider];
        --queue.live;
        if (seated) --queue.seated;
    }
}
