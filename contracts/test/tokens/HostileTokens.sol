// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {TestToken} from "../../src/testing/TestToken.sol";
import {IMarket} from "../../src/interfaces/IMarket.sol";

/// @dev Keeps 1% of every transfer.
contract FeeToken is TestToken {
    constructor() TestToken("Fee", "FEE", 18) {}

    function _update(address from, address to, uint256 amount) internal override {
        if (from == address(0)) return super._update(from, to, amount);
        super._update(from, to, amount - amount / 100);
        super._update(from, address(0xfee), amount / 100);
    }
}

/// @dev Charges the sender 1% on top once `charging`.
contract SurchargeToken is TestToken {
    bool public charging;

    constructor() TestToken("Surcharge", "SUR", 18) {}

    function setCharging(bool value) external {
        charging = value;
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (charging && from != address(0)) super._update(from, address(0xfee), amount / 100);
    }
}

/// @dev Shrinks anybody's balance.
contract RebasingToken is TestToken {
    constructor() TestToken("Rebasing", "REB", 18) {}

    function shrink(address account, uint256 amount) external {
        _burn(account, amount);
    }
}

/// @dev Returns nothing from transfer and transferFrom, like some old stablecoins.
contract SilentToken {
    mapping(address account => uint256) public balanceOf;
    mapping(address owner => mapping(address spender => uint256)) public allowance;

    function mint(address account, uint256 amount) external {
        balanceOf[account] += amount;
    }

    function approve(address spender, uint256 amount) external {
        allowance[msg.sender][spender] = amount;
    }

    function transfer(address to, uint256 amount) external {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
    }

    function transferFrom(address from, address to, uint256 amount) external {
        allowance[from][msg.sender] -= amount;
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// @dev Returns false instead of moving anything.
contract RefusingToken is TestToken {
    constructor() TestToken("Refusing", "NO", 18) {}

    function transferFrom(address, address, uint256) public pure override returns (bool) {
        return false;
    }
}

/// @dev Calls the market while it transfers, once, with whatever the test has set.
contract ReentrantToken is TestToken {
    address public target;
    bytes public data;
    bool public succeeded;
    bytes public answer;

    constructor() TestToken("Reentrant", "RE", 18) {}

    function setCall(address target_, bytes calldata data_) external {
        (target, data) = (target_, data_);
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (target == address(0)) return;
        address once = target;
        target = address(0);
        (succeeded, answer) = once.call(data);
    }
}

/// @dev Takes coins back in the middle of a withdrawal.
contract ReentrantWallet {
    IMarket private immutable MARKET;
    bool public reentered;

    constructor(IMarket market) {
        MARKET = market;
    }

    function deposit() external payable {
        MARKET.depositNative{value: msg.value}();
    }

    function request(uint256 amount) external {
        MARKET.requestWithdrawal(address(0), amount);
    }

    function withdraw() external {
        MARKET.withdraw(address(0));
    }

    receive() external payable {
        try MARKET.withdraw(address(0)) {
            reentered = true;
        } catch {}
    }
}

/// @dev Has no way to receive coins.
contract ClosedWallet {
    IMarket private immutable MARKET;

    constructor(IMarket market) {
        MARKET = market;
    }

    function deposit() external payable {
        MARKET.depositNative{value: msg.value}();
        MARKET.requestWithdrawal(address(0), msg.value);
    }

    function withdraw() external {
        MARKET.withdraw(address(0));
    }
}
