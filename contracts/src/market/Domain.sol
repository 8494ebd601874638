// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The EIP-712 domain {name "Outcry", version "1", chain, this contract}
abstract contract Domain {
    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant NAME_HASH = keccak256("Outcry");
    bytes32 private constant VERSION_HASH = keccak256("1");

    bytes32 private immutable SEPARATOR = _separator();
    uint256 private immutable CHAIN_ID = block.chainid;
    address private immutable SELF = address(this);

    /// @dev Computed anew after a fork that changed the chain's id, so that no signature counts on
    /// both sides, and in code that another contract borrows by delegatecall.
    function _domain() internal view returns (bytes32) {
        return address(this) == SELF && block.chainid == CHAIN_ID ? SEPARATOR : _separator();
    }

    /// @dev What is signed for a structure with this hash.
    function _digest(bytes32 structHash) internal view returns (bytes32 digest) {
        bytes32 separator = _domain();
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, hex"1901")
            mstore(add(free, 0x02), separator)
            mstore(add(free, 0x22), structHash)
            digest := keccak256(free, 0x42)
        }
    }

    function _separator() private view returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPEHASH, NAME_HASH, VERSION_HASH, block.chainid, address(this)));
    }
}
