// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @dev An ERC-1271 account whose signature for a digest is its owner's ECDSA signature.
contract ContractWallet {
    address private immutable OWNER;

    constructor(address owner) {
        OWNER = owner;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        (bytes32 r, bytes32 s, uint8 v) = (bytes32(signature[1:33]), bytes32(signature[33:65]), uint8(signature[65]));
        return ecrecover(digest, v, r, s) == OWNER ? this.isValidSignature.selector : bytes4(0xffffffff);
    }

    function run(address target, bytes calldata data) external payable returns (bytes memory) {
        (bool done, bytes memory answer) = target.call{value: msg.value}(data);
        require(done, "call failed");
        return answer;
    }
}

/// @dev Burns all the gas it is given.
contract GasBurningWallet {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        while (true) {}
        return this.isValidSignature.selector;
    }
}

/// @dev Answers with a megabyte.
contract BloatedWallet {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        assembly {
            mstore(0, 0x1626ba7e00000000000000000000000000000000000000000000000000000000)
            return(0, 50000)
        }
    }
}

/// @dev Tries to change the market's state while it is asked.
contract MeddlingWallet {
    address private immutable MARKET;

    constructor(address market) {
        MARKET = market;
    }

    function isValidSignature(bytes32, bytes calldata) external returns (bytes4) {
        (bool done,) = MARKET.call(abi.encodeWithSignature("cancelAll()"));
        return done ? bytes4(0xffffffff) : this.isValidSignature.selector;
    }
}

/// @dev Says the magic word in a short answer.
contract TerseWallet {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        assembly {
            mstore(0, 0x1626ba7e00000000000000000000000000000000000000000000000000000000)
            return(0, 4)
        }
    }
}
