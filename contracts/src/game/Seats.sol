// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IGame} from "../interfaces/IGame.sol";
import {GameStatus} from "../types/Disputes.sol";
import {GameWord} from "./GameWord.sol";

/// @title Which of a provider's games run on its clock
/// @dev The 32 oldest that still run have a seat, the others wait in the order in which they came.
/// So an honest provider never has to play more than 32 games at a time, however many challenge it.
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
    /// Waiting games that one call looks at, so that its gas is bounded.
    uint256 private constant CALLED_AT_ONCE = 16;

    mapping(bytes32 game => Game) internal _games;
    mapping(address provider => Queue) internal _queues;
    mapping(address provider => mapping(uint256 place => bytes32 game)) private _waiting;

    /// @inheritdoc IGame
    function seat(address provider) external {
        Queue memory queue = _queues[provider];
        _fill(provider, queue);
        _queues[provider] = queue;
    }

    /// @dev A game of the provider begins.
    function _enter(address provider, bytes32 game) internal returns (bool seated) {
        Queue memory queue = _queues[provider];
        ++queue.live;
        // Those that wait come first.
        _fill(provider, queue);
        seated = queue.seated < SEATS && queue.head == queue.tail;
        if (seated) {
            ++queue.seated;
            _games[game].word = _games[game].word.takesSeat(block.timestamp);
        } else {
            _waiting[provider][queue.tail++] = game;
        }
        _queues[provider] = queue;
    }

    /// @dev A game of the provider has ended.
    function _leave(address provider, bool seated) internal {
        Queue memory queue = _queues[provider];
        --queue.live;
        if (seated) --queue.seated;
        _fill(provider, queue);
        _queues[provider] = queue;
    }

    function _fill(address provider, Queue memory queue) private {
        for (uint256 i = 0; i < CALLED_AT_ONCE && queue.seated < SEATS && queue.head < queue.tail; ++i) {
            bytes32 game = _waiting[provider][queue.head];
            delete _waiting[provider][queue.head++];
            GameWord word = _games[game].word;
            // It may have ended while it waited.
            if (word.status() != GameStatus.Running) continue;
            _games[game].word = word.takesSeat(block.timestamp);
            ++queue.seated;
            emit Seated(game);
        }
    }
}
