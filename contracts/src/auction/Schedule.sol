// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IAuction} from "../interfaces/IAuction.sol";
import {IMarket} from "../interfaces/IMarket.sol";
import {AuctionParameters, Phase, Pool} from "../types/Auctions.sol";

/// @title What a deployment of the auction fixes for ever, and what time it is
abstract contract Schedule {
    uint256 internal constant BPS = 10_000;
    uint256 internal constant POOLS_MAX = 32;
    uint256 private constant INTERVALS_MAX = 1024;
    /// Several blocks, in which a draw can be refused before it lapses.
    uint256 private constant DRAW_S_MIN = 10;
    /// With 2^20 lots of 8 entries of 2^22 units, a deposit stays below 2^126.
    uint256 private constant UNIT_DEPOSIT_MAX = 1 << 80;

    IMarket internal immutable MARKET;
    IERC20 internal immutable TOKEN;
    uint256 private immutable START;
    uint256 private immutable INTERVAL_S;
    uint256 internal immutable INTERVALS;
    uint256 private immutable COMMIT_S;
    uint256 private immutable REVEAL_S;
    uint256 private immutable POST_S;
    uint256 internal immutable FEE_BPS;
    uint256 internal immutable RESULT_BOND;
    uint256 internal immutable DEPOSIT_MIN;
    uint256 internal immutable DRAW_S;
    uint256 internal immutable DRAW_FEE_BPS;

    Pool[] internal _pools;

    constructor(AuctionParameters memory p, Pool[] memory pools_) {
        // Sums of 32-bit numbers.
        uint256 phases = uint256(p.commitS) + p.revealS + p.postS;
        if (
            p.market.code.length == 0 || p.token.code.length == 0 || p.intervals == 0 || p.intervals > INTERVALS_MAX
                || p.commitS == 0 || p.revealS == 0 || p.postS == 0 || phases + p.postS > p.intervalS || p.feeBps > BPS
                || p.drawFeeBps > BPS || p.depositMin == 0 || p.resultBond == 0 || p.drawS < DRAW_S_MIN
                || pools_.length == 0 || pools_.length > POOLS_MAX
        ) revert IAuction.ParameterOutOfRange();
        MARKET = IMarket(p.market);
        TOKEN = IERC20(p.token);
        START = p.start;
        INTERVAL_S = p.intervalS;
        INTERVALS = p.intervals;
        COMMIT_S = p.commitS;
        REVEAL_S = p.revealS;
        POST_S = p.postS;
        FEE_BPS = p.feeBps;
        RESULT_BOND = p.resultBond;
        DEPOSIT_MIN = p.depositMin;
        DRAW_S = p.drawS;
        DRAW_FEE_BPS = p.drawFeeBps;
        for (uint256 i = 0; i < pools_.length; ++i) {
            if (pools_[i].unitDeposit >= UNIT_DEPOSIT_MAX) revert IAuction.ParameterOutOfRange();
            _pools.push(pools_[i]);
        }
    }

    function _parameters() internal view returns (AuctionParameters memory) {
        return AuctionParameters({
            market: address(MARKET),
            token: address(TOKEN),
            start: uint64(START),
            intervalS: uint32(INTERVAL_S),
            intervals: uint16(INTERVALS),
            commitS: uint32(COMMIT_S),
            revealS: uint32(REVEAL_S),
            postS: uint32(POST_S),
            feeBps: uint16(FEE_BPS),
            resultBond: uint128(RESULT_BOND),
            depositMin: uint128(DEPOSIT_MIN),
            drawS: uint32(DRAW_S),
            drawFeeBps: uint16(DRAW_FEE_BPS)
        });
    }

    function _phaseOf(uint64 round) internal view returns (Phase) {
        uint256 begin = _beginOf(round);
        if (block.timestamp < begin) return Phase.Ahead;
        uint256 passed = block.timestamp - begin;
        if (passed >= INTERVAL_S) return Phase.Final;
        if (passed < COMMIT_S) return Phase.Commit;
        if (passed < COMMIT_S + REVEAL_S) return Phase.Reveal;
        return passed < COMMIT_S + REVEAL_S + POST_S ? Phase.Post : Phase.Dispute;
    }

    /// @dev The round, and interval, that is now; 0 before the start.
    function _now() internal view returns (uint64) {
        return block.timestamp < START ? 0 : uint64((block.timestamp - START) / INTERVAL_S);
    }

    function _require(uint64 round, Phase phase) internal view {
        if (_phaseOf(round) != phase) revert IAuction.WrongPhase();
    }

    /// @dev When an interval, and the round of its number, begins.
    function _beginOf(uint256 interval) private view returns (uint256) {
        return START + interval * INTERVAL_S;
    }

    /// @dev The season of whose capacity a round decides.
    function _seasonOf(uint64 round) internal view returns (uint64) {
        return uint64((uint256(round) + 1) / INTERVALS);
    }

    /// @dev The first interval after the season of a round's capacity.
    function _endOf(uint64 round) internal view returns (uint256) {
        return (uint256(_seasonOf(round)) + 1) * INTERVALS;
    }

    /// @dev The second at which the season of a round's capacity is over.
    function _seasonEndOf(uint64 round) internal view returns (uint256) {
        return _beginOf(_endOf(round));
    }
}
