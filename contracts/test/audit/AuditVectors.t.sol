// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Audits} from "../../src/Audits.sol";
import {AuditParameters} from "../../src/types/Audits.sol";
import {Test} from "../base/Test.sol";

/// @dev A stake of which nothing but its delay is asked.
contract Delay {
    uint256 public immutable UNBONDING_DELAY_S;

    constructor(uint256 delay) {
        UNBONDING_DELAY_S = delay;
    }
}

/// @dev The rules, callable from a test.
contract AuditRules is Audits {
    constructor(AuditParameters memory p) Audits(p) {}

    function commitTime(uint256 cycles) external view returns (uint256) {
        return _commitTime(cycles);
    }

    function seed(bytes32 beacon, bytes32 claimHash) external pure returns (bytes32) {
        return _seed(beacon, claimHash);
    }

    function isDrawn(bytes32 seed_, uint256 rateBps) external pure returns (bool) {
        return _isDrawn(seed_, rateBps);
    }

    function task(bytes32 seed_, uint256 first, uint256 count) external pure returns (uint256) {
        return _task(seed_, first, count);
    }

    function point(bytes32 seed_, uint256 index, uint256 cycles) external pure returns (uint64) {
        return _point(seed_, index, cycles);
    }
}

/// @dev The golden vectors that bind Rust and Solidity: ../verifier/vectors/audit.json.
contract AuditVectorsTest is Test {
    string private json;

    function setUp() public {
        json = vm.readFile("../verifier/vectors/audit.json");
    }

    function _item(string memory list, uint256 i) private pure returns (string memory) {
        return string.concat(list, "[", vm.toString(i), "]");
    }

    function _count(string memory list) private view returns (uint256 count) {
        while (vm.keyExistsJson(json, _item(list, count))) ++count;
        assertTrue(count != 0, list);
    }

    function _uint(string memory place, string memory field) private view returns (uint256) {
        return vm.parseJsonUint(json, string.concat(place, ".", field));
    }

    function _word(string memory place, string memory field) private view returns (bytes32) {
        return vm.parseJsonBytes32(json, string.concat(place, ".", field));
    }

    /// @dev Audits of a deployment; without parameters of its own, of one that is like any other.
    function _deployed(string memory place) private returns (AuditRules) {
        bool own = bytes(place).length != 0;
        AuditParameters memory p;
        p.beaconPeriod = own ? uint32(_uint(place, "beaconPeriod")) : 1;
        p.commitTime = own ? uint32(_uint(place, "commitTime")) : 0;
        p.inclusionDelay = own ? uint32(_uint(place, "inclusionDelay")) : 0;
        p.interpreterSpeed = own ? uint64(_uint(place, "interpreterSpeed")) : 1;
        p.auditors = 1;
        p.stakePerAudit = 1;
        p.stake = address(new Delay(own ? _uint(place, "unbondingDelay") : 8));
        return new AuditRules(p);
    }

    function test_deployments_have_the_same_clocks() public {
        for (uint256 i = _count(".deployments"); i != 0; --i) {
            string memory place = _item(".deployments", i - 1);
            AuditRules rules = _deployed(place);
            assertEq(rules.cycleLimitMax(), _uint(place, "cycleLimitMax"), "largest cycle limit");
            string memory list = string.concat(place, ".periods");
            for (uint256 k = _count(list); k != 0; --k) {
                string memory at_ = _item(list, k - 1);
                assertEq(rules.periodOf(uint64(_uint(at_, "claimedAt"))), _uint(at_, "period"), "period");
            }
            list = string.concat(place, ".deadlines");
            for (uint256 k = _count(list); k != 0; --k) {
                string memory at_ = _item(list, k - 1);
                uint256 deadline = _uint(at_, "openedAt") + rules.commitTime(_uint(at_, "cycles"));
                assertEq(deadline, _uint(at_, "commitDeadline"), "deadline");
            }
        }
    }

    function test_the_same_is_drawn() public {
        AuditRules rules = _deployed("");
        for (uint256 i = _count(".draws"); i != 0; --i) {
            string memory place = _item(".draws", i - 1);
            bytes32 seed = _word(place, "seed");
            assertEq(rules.seed(_word(place, "beacon"), _word(place, "claimHash")), seed, "seed");
            uint256 rate = _uint(place, "drawnFromBps");
            assertTrue(rules.isDrawn(seed, rate) && !rules.isDrawn(seed, rate - 1), "whether");
            string memory list = string.concat(place, ".tasks");
            for (uint256 k = _count(list); k != 0; --k) {
                string memory at_ = _item(list, k - 1);
                assertEq(rules.task(seed, _uint(at_, "first"), _uint(at_, "count")), _uint(at_, "task"), "task");
            }
            list = string.concat(place, ".points");
            for (uint256 k = _count(list); k != 0; --k) {
                _checkPoints(rules, seed, _item(list, k - 1));
            }
        }
    }

    function _checkPoints(AuditRules rules, bytes32 seed, string memory place) private view {
        uint256 cycles = _uint(place, "cycles");
        string memory list = string.concat(place, ".points");
        for (uint256 auditor = _count(list); auditor != 0; --auditor) {
            uint256 expected = vm.parseJsonUint(json, _item(list, auditor - 1));
            assertEq(rules.point(seed, auditor - 1, cycles), expected, "point");
        }
    }

    function test_the_same_is_committed_to() public view {
        for (uint256 i = _count(".reports"); i != 0; --i) {
            string memory place = _item(".reports", i - 1);
            address account = vm.parseJsonAddress(json, string.concat(place, ".account"));
            bytes32 shown = keccak256(
                abi.encode(_word(place, "state"), _word(place, "halted"), _word(place, "salt"), account)
            );
            assertEq(shown, _word(place, "commitment"), "report");
        }
        for (uint256 i = _count(".answers"); i != 0; --i) {
            string memory place = _item(".answers", i - 1);
            address provider = vm.parseJsonAddress(json, string.concat(place, ".provider"));
            bytes32[] memory answers = vm.parseJsonBytes32Array(json, string.concat(place, ".answers"));
            assertEq(
                keccak256(abi.encode(answers, _word(place, "salt"), provider)), _word(place, "commitment"), "answer"
            );
        }
    }
}
