// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAudits} from "../interfaces/IAudits.sol";
import {BeaconRecord, Draw, Seat} from "../types/Audits.sol";
import {Rules} from "./Rules.sol";

/// @title One random number per period, which nobody knows before the claims that it draws
/// @dev The hash of a block that is named before it exists, in a period after that of the claims. Who
/// makes that block can throw it away, and so choose between two hashes at the price of a block;
/// nobody else can choose, because anybody can record the hash.
abstract contract Beacon is Rules {
    /// Blocks whose hash the chain knows.
    uint256 private constant HASHES_KNOWN = 256;

    mapping(uint256 period => BeaconRecord) internal _beacons;
    Seat[] internal _seats;

    /// @inheritdoc IAudits
    function beat(uint256 period) external {
        if (period > _period()) revert PeriodNotBegun();
        BeaconRecord storage beacon = _beacons[period];
        if (beacon.hash != 0) revert BeaconKnown();
        uint256 number = beacon.number;
        if (number == 0 || block.number > number + HASHES_KNOWN) {
            beacon.number = uint64(block.number + 1);
            beacon.seats = uint32(_seats.length);
            emit BeaconAnnounced(period, beacon.number, beacon.seats);
            return;
        }
        if (block.number <= number) revert BlockNotReached();
        beacon.hash = blockhash(number);
        emit BeaconRecorded(period, beacon.hash);
    }

    /// @inheritdoc IAudits
    function drawOf(bytes32 claimHash, uint64 claimedAt, uint16 rateBps, uint64 cycleLimit)
        public
        view
        returns (Draw)
    {
        if (cycleLimit > CYCLE_LIMIT_MAX) return Draw.Passed;
        bytes32 hash = _beacons[periodOf(claimedAt)].hash;
        if (hash == 0) return Draw.Pending;
        return _isDrawn(_seed(hash, claimHash), rateBps) ? Draw.Drawn : Draw.Passed;
    }

    /// @inheritdoc IAudits
    function drawnTask(bytes32 claimHash, uint64 claimedAt, uint32 firstTask, uint32 taskCount)
        external
        view
        returns (uint32)
    {
        bytes32 hash = _beacons[periodOf(claimedAt)].hash;
        if (hash == 0) revert NotDrawn();
        return uint32(_task(_seed(hash, claimHash), firstTask, taskCount));
    }

    /// @inheritdoc IAudits
    function beaconOf(uint256 period) external view returns (BeaconRecord memory) {
        return _beacons[period];
    }

    /// @inheritdoc IAudits
    function periodOf(uint64 claimedAt) public view returns (uint256) {
        return claimedAt / PERIOD_S + 1;
    }

    /// @dev The period that is now.
    function _period() internal view returns (uint256) {
        return block.timestamp / PERIOD_S;
    }

    function _seed(bytes32 hash, bytes32 claimHash) internal pure returns (bytes32) {
        return keccak256(abi.encode(hash, claimHash));
    }
}
