// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ClaimedTask} from "../../src/types/Disputes.sol";
import {AuditTest} from "./AuditTest.sol";

/// @dev What an audit in which all agree costs each party, as transactions: run with `--isolate`.
/// `npm run gas` keeps the figures in gas/snapshot.json; `verifier/ECONOMICS.md` counts with them.
contract AuditGasTest is AuditTest {
    string private figures;

    function artifact() internal pure override returns (string memory) {
        return "artifacts/Market.json";
    }

    function gameArtifact() internal pure override returns (string memory) {
        return "artifacts/Game.json";
    }

    function auditsArtifact() internal pure override returns (string memory) {
        return "artifacts/Audits.json";
    }

    function test_gas_of_an_audit() public {
        _claimed(10_000);
        uint64 claimedAt = uint64(block.timestamp);
        uint256 period = audits.periodOf(claimedAt);
        vm.warp(block.timestamp + PERIOD);
        audits.beat(period);
        uint256 beacon = _used();
        vm.roll(block.number + 2);
        audits.beat(period);
        _figure("beacon of a period", beacon + _used());
        task = audits.drawnTask(claimHash, claimedAt, deal.firstTask, deal.taskCount);
        ClaimedTask memory opening = _claimedTask(deal, task);
        audits.open(deal, made, opening);
        _figure("open, three auditors", _used());
        for (uint256 i = 0; i < AUDITORS; ++i) {
            drawn.push(audits.reportOf(claimHash, i).account);
            points.push(audits.pointOf(claimHash, i));
        }
        leaf = audits.auditOf(claimHash).leaf;
        _true(deal, task);
        uint256[2] memory own;
        _commitAnswers(_answers());
        own[1] = _used();
        for (uint256 i = 0; i < AUDITORS; ++i) {
            _commit(i, _atPoint(i), leaf);
            own[0] = _used();
        }
        for (uint256 i = 0; i < AUDITORS; ++i) {
            bytes32 state = _atPoint(i);
            _reveal(i, state, leaf);
            if (i == 0) own[0] += _used();
        }
        bytes32[] memory answers = _answers();
        _answer(answers);
        _figure("an auditor's commitment and reveal", own[0]);
        _figure("the provider's commitment and answer", own[1] + _used());
        _close();
        _figure("close, three auditors", _used());
        vm.writeFile("gas/measured-audits.json", string.concat("{", figures, "\n}\n"));
    }

    /// @dev Of the last transaction.
    function _used() private returns (uint256) {
        return vm.lastCallGas().gasTotalUsed;
    }

    function _figure(string memory what, uint256 gas) private {
        figures = string.concat(
            figures, bytes(figures).length == 0 ? "" : ",", '\n  "audit: ', what, '": ', vm.toString(gas)
        );
    }
}
