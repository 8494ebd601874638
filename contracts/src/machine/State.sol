// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

// What a state's hash commits to, word for word as it is hashed: `verifier/MACHINE.md`, section 2.

struct State {
    bytes32 domain;
    uint256 registers;
    uint256 shape;
    bytes32 code;
    bytes32 frame;
    bytes32 callers;
    bytes32 memories;
    bytes32 globals;
    bytes32 rest;
}

struct Rest {
    bytes32 domain;
    bytes32 context;
    bytes32 tables;
    bytes32 results;
    bytes32 output;
    uint256 counters;
}

struct Context {
    bytes32 domain;
    bytes32 jobHash;
    uint256 task;
    bytes32 archive;
    bytes32 segments;
}

/// @dev A caller waiting for its call to return.
struct Caller {
    bytes32 domain;
    bytes32 callers;
    bytes32 frame;
    uint256 registers;
}

using States for State global;
using States for Rest global;
using States for Context global;
using States for Caller global;

/// @title Domains, hashes and packed words of the machine's state
library States {
    bytes32 internal constant STATE_DOMAIN = keccak256("outcry.state.v1");
    bytes32 internal constant REST_DOMAIN = keccak256("outcry.rest.v1");
    bytes32 internal constant CONTEXT_DOMAIN = keccak256("outcry.context.v1");
    bytes32 internal constant CALLER_DOMAIN = keccak256("outcry.caller.v1");
    bytes32 internal constant IMAGE_DOMAIN = keccak256("outcry.image.v1");

    uint256 internal constant EXITED = 0;
    uint256 internal constant TRAPPED = 1;
    uint256 internal constant OUT_OF_CYCLES = 2;
    uint256 internal constant OUT_OF_SLOTS = 3;
    uint256 internal constant OUTPUT_LIMIT_EXCEEDED = 4;

    uint256 internal constant U16 = type(uint16).max;
    uint256 internal constant U32 = type(uint32).max;
    uint256 internal constant U64 = type(uint64).max;

    function hash(State memory state) internal pure returns (bytes32 hash_) {
        assembly ("memory-safe") {
            hash_ := keccak256(state, 0x120)
        }
    }

    function hash(Rest memory rest) internal pure returns (bytes32 hash_) {
        assembly ("memory-safe") {
            hash_ := keccak256(rest, 0xc0)
        }
    }

    function hash(Context memory context) internal pure returns (bytes32 hash_) {
        assembly ("memory-safe") {
            hash_ := keccak256(context, 0xa0)
        }
    }

    function hash(Caller memory record) internal pure returns (bytes32 hash_) {
        assembly ("memory-safe") {
            hash_ := keccak256(record, 0x80)
        }
    }

    // The context's packed word.

    function outputLimit(Context memory context) internal pure returns (uint256) {
        return (context.task >> 32) & U64;
    }

    function archiveLength(Context memory context) internal pure returns (uint256) {
        return (context.task >> 96) & U64;
    }

    function pageLimit(Context memory context) internal pure returns (uint256) {
        return context.task & U32;
    }

    function taskIndex(Context memory context) internal pure returns (uint256) {
        return (context.task >> 192) & U32;
    }
}
