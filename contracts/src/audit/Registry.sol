// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAudits} from "../interfaces/IAudits.sol";
import {Seat} from "../types/Audits.sol";
import {Beacon} from "./Beacon.sol";

/// @title Who audits
/// @dev Seats that are taken or left after a beacon's block was named change nothing about its draws,
/// but for one thing: `vacate` moves the last seat, so that whoever has prepared k seats to be vacated
/// can keep a draw from k others. k seats of its own would have given it as much.
abstract contract Registry is Beacon {
    /// Periods after which no draw of a seat's last period is still to be opened, in all likelihood.
    uint256 private constant DRAWS_OPEN = 16;
    /// Seats that a draw looks at for one auditor.
    uint256 private constant WALK_MAX = 32;

    /// From 1, so that 0 means none.
    mapping(address account => uint256) private _place;

    /// @inheritdoc IAudits
    function join(uint8 capacity) external {
        if (_place[msg.sender] != 0) revert AlreadyJoined();
        if (capacity == 0) revert CapacityZero();
        if (STAKE.stakeOf(msg.sender) < STAKE_PER_AUDIT) revert StakeInsufficient();
        // The next period's beacon can be announced any moment: its draws must not know this seat.
        uint32 from = uint32(_period() + 2);
        _seats.push(Seat({account: msg.sender, from: from, until: type(uint32).max, capacity: capacity, open: 0}));
        _place[msg.sender] = _seats.length;
        emit Joined(msg.sender, capacity, from);
    }

    /// @inheritdoc IAudits
    function retire() external {
        Seat storage seat = _seat(msg.sender);
        uint32 until = uint32(_period() + 1);
        if (until < seat.until) seat.until = until;
        emit Retired(msg.sender, seat.until);
    }

    /// @inheritdoc IAudits
    function vacate(address account) external {
        Seat storage seat = _seat(account);
        bool retired = _period() > uint256(seat.until) + DRAWS_OPEN;
        if (seat.open != 0 || !(retired || STAKE.stakeOf(account) < STAKE_PER_AUDIT)) revert SeatInUse();
        uint256 place = _place[account];
        Seat memory last = _seats[_seats.length - 1];
        _seats[place - 1] = last;
        _place[last.account] = place;
        _seats.pop();
        delete _place[account];
        emit Vacated(account);
    }

    /// @inheritdoc IAudits
    function seatOf(address account) external view returns (Seat memory seat) {
        uint256 place = _place[account];
        if (place != 0) seat = _seats[place - 1];
    }

    /// @inheritdoc IAudits
    function seats() external view returns (uint256) {
        return _seats.length;
    }

    /// @dev The auditors of a claim of this period, each with one more open audit.
    function _choose(bytes32 seed, uint256 period, address provider, address buyer)
        internal
        returns (address[] memory chosen)
    {
        chosen = new address[](AUDITORS);
        uint256 found;
        uint256 range = _beacons[period].seats;
        if (range > _seats.length) range = _seats.length;
        if (range != 0) {
            for (uint256 i = 0; i < AUDITORS; ++i) {
                uint256 place = _drawn(seed, AUDITOR, i, range);
                for (uint256 walked = 0; walked < WALK_MAX && walked < range; ++walked) {
                    Seat storage seat = _seats[(place + walked) % range];
                    if (!_canAudit(seat, period, provider, buyer, chosen, found)) continue;
                    ++seat.open;
                    chosen[found++] = seat.account;
                    break;
                }
            }
        }
        assembly ("memory-safe") {
            mstore(chosen, found)
        }
    }

    /// @dev An audit of the account is closed.
    function _release(address account) internal {
        --_seat(account).open;
    }

    function _canAudit(
        Seat storage seat,
        uint256 period,
        address provider,
        address buyer,
        address[] memory chosen,
        uint256 found
    ) private view returns (bool) {
        address account = seat.account;
        if (account == provider || account == buyer) return false;
        if (period < seat.from || period >= seat.until || seat.open >= seat.capacity) return false;
        for (uint256 i = 0; i < found; ++i) {
            if (chosen[i] == account) return false;
        }
        return STAKE.stakeOf(account) >= STAKE_PER_AUDIT * (uint256(seat.open) + 1);
    }

    function _seat(address account) private view returns (Seat storage) {
        uint256 place = _place[account];
        if (place == 0) revert NotJoined();
        return _seats[place - 1];
    }
}
