// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Signatures by keys and by contracts
/// @dev A signature is 65 bytes (r, s, v), 64 bytes (ERC-2098) or whatever the signer's ERC-1271
/// contract takes. A key is tried first, because an account may have both (EIP-7702).
library Signatures {
    /// Above it lies the twin of every valid signature.
    uint256 private constant HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;
    /// Gas that a signer's contract may use, so that no item of a batch can eat the others' gas.
    uint256 internal constant CONTRACT_GAS = 100_000;

    function isValid(address signer, bytes32 digest, bytes calldata signature) internal view returns (bool) {
        address recovered = _recover(digest, signature);
        if (recovered != address(0) && recovered == signer) return true;
        return signer.code.length != 0 && _contractAgrees(signer, digest, signature);
    }

    /// @dev The key that signed, or zero.
    function _recover(bytes32 digest, bytes calldata signature) private pure returns (address) {
        bytes32 r;
        bytes32 s;
        uint8 v;
        if (signature.length == 65) {
            assembly ("memory-safe") {
                r := calldataload(signature.offset)
                s := calldataload(add(signature.offset, 0x20))
                v := byte(0, calldataload(add(signature.offset, 0x40)))
            }
        } else if (signature.length == 64) {
            assembly ("memory-safe") {
                r := calldataload(signature.offset)
                s := calldataload(add(signature.offset, 0x20))
                v := add(shr(255, s), 27)
                s := shr(1, shl(1, s))
            }
        } else {
            return address(0);
        }
        if (uint256(s) > HALF_ORDER) return address(0);
        return ecrecover(digest, v, r, s);
    }

    function _contractAgrees(address signer, bytes32 digest, bytes calldata signature)
        private
        view
        returns (bool agrees)
    {
        // isValidSignature(bytes32,bytes); the answer repeats the selector. At most one word of it
        // is copied.
        bytes4 magic = 0x1626ba7e;
        bytes memory question = abi.encodeWithSelector(magic, digest, signature);
        assembly ("memory-safe") {
            mstore(0x00, 0)
            let ok := staticcall(CONTRACT_GAS, signer, add(question, 0x20), mload(question), 0x00, 0x20)
            agrees := and(ok, and(gt(returndatasize(), 0x1f), eq(mload(0x00), magic)))
        }
    }
}
