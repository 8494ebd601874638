// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {StepTest, Proof} from "./StepTest.sol";
import {IMM} from "./Instructions.sol";
import {World} from "./World.sol";

contract AccessTest is StepTest {
    /// @dev A load or store, with its form's facts.
    struct Form {
        uint256 op;
        uint256 width;
        /// Bits to which a load extends the sign, or 0.
        uint256 signed;
    }

    function _loads() private pure returns (Form[9] memory) {
        return [
            Form(0x20, 1, 0),
            Form(0x21, 1, 32),
            Form(0x22, 1, 64),
            Form(0x23, 2, 0),
            Form(0x24, 2, 32),
            Form(0x25, 2, 64),
            Form(0x26, 4, 0),
            Form(0x27, 4, 64),
            Form(0x28, 8, 0)
        ];
    }

    function _stores() private pure returns (Form[4] memory) {
        return [Form(0x29, 1, 0), Form(0x2a, 2, 0), Form(0x2b, 4, 0), Form(0x2c, 8, 0)];
    }

    function _littleEndian(uint256 value, uint256 width) private pure returns (bytes memory words) {
        words = new bytes(width);
        for (uint256 i = 0; i < width; ++i) {
            words[i] = bytes1(uint8(value >> (8 * i)));
        }
    }

    /// @dev What a load makes of bytes.
    function _loaded(Form memory form, bytes memory words) private pure returns (uint256 value) {
        for (uint256 i = form.width; i != 0; --i) {
            value = value << 8 | uint8(words[i - 1]);
        }
        if (form.signed != 0 && value >> (8 * form.width - 1) != 0) {
            value |= (1 << form.signed) - (1 << (8 * form.width));
        }
    }

    /// @dev Negative at odd places, so that signs are extended in both ways.
    function _value(uint256 place) private pure returns (uint256) {
        return
            uint256(keccak256(abi.encode("value", place))) & 0x7f7f7f7f7f7f7f7f
                | (place % 2 == 0 ? 0 : 0x8080808080808080);
    }

    function _load(Form memory form, uint256 flags, uint256 b, uint256 base, uint256 offset)
        private
        pure
        returns (World memory w)
    {
        w = _with(form.op | flags, 17, b, 35, 0xfeed_0000_0000 << 16 | offset);
        w.frame.setSlot(17, base);
    }

    function test_loads_within_a_leaf() public view {
        Form[9] memory forms = _loads();
        for (uint256 i = 0; i < forms.length; ++i) {
            // The leaf's first bytes, its last ones, and one with a sign.
            this.loadWithinALeaf(forms[i], 256);
            this.loadWithinALeaf(forms[i], 256 + 128 - forms[i].width);
            this.loadWithinALeaf(forms[i], 301);
        }
    }

    /// @dev A call of its own, so that its memory does not pile up.
    function loadWithinALeaf(Form calldata form_, uint256 address_) external view {
        Form memory form = form_;
        World memory w = _load(form, 0, 4, address_ - 200, 200);
        bytes memory words = _littleEndian(_value(address_), form.width);
        w.memories[0].tree.write(address_, words);
        Proof memory p = _prove(w);
        _openFrame(p, w, 1);
        _openMemories(p, w, 0);
        _openLeaf(p, w.memories[0].tree, 2);
        _openFrame(p, w, 2);
        w.frame.setSlot(35, _loaded(form, words));
        _advances(p, w);
    }

    function test_stores_within_a_leaf() public view {
        Form[4] memory forms = _stores();
        for (uint256 i = 0; i < forms.length; ++i) {
            for (uint256 place = 0; place < 3; ++place) {
                uint256 address_ = [uint256(256), 256 + 128 - forms[i].width, 301][place];
                World memory w = _with(forms[i].op, 17, 2, 4, 200);
                w.frame.setSlot(17, address_ - 200);
                Proof memory p = _prove(w);
                _openFrame(p, w, 1);
                _openFrame(p, w, 0);
                _openMemories(p, w, 0);
                _openLeaf(p, w.memories[0].tree, 2);
                w.memories[0].tree.write(address_, _littleEndian(w.frame.slot(2), forms[i].width));
                _advances(p, w);
            }
        }
    }

    function test_other_memories_are_named_by_b_and_c() public view {
        for (uint256 index = 1; index < 5; ++index) {
            World memory w = _load(Form(0x26, 4, 0), IMM, index, 64, 0);
            Proof memory p = _prove(w);
            _openFrame(p, w, 1);
            _openMemories(p, w, index / 2);
            _openLeaf(p, w.memories[index].tree, 0);
            _openFrame(p, w, 2);
            w.frame.setSlot(35, _loaded(Form(0x26, 4, 0), w.memories[index].tree.read(64, 4)));
            _advances(p, w);

            w = _with(0x2b | IMM, 17, 2, index, 0);
            w.frame.setSlot(17, 64);
            p = _prove(w);
            _openFrame(p, w, 1);
            _openFrame(p, w, 0);
            _openMemories(p, w, index / 2);
            _openLeaf(p, w.memories[index].tree, 0);
            w.memories[index].tree.write(64, _littleEndian(w.frame.slot(2), 4));
            _advances(p, w);
        }
    }

    function test_loads_that_straddle_take_two_steps() public view {
        Form[9] memory forms = _loads();
        for (uint256 i = 0; i < forms.length; ++i) {
            for (uint256 first = 1; first < forms[i].width; ++first) {
                _straddle(forms[i], first);
            }
        }
    }

    function _straddle(Form memory form, uint256 first) private view {
        uint256 address_ = 384 - first;
        World memory w = _load(form, 0, 0, address_, 0);
        bytes memory words = _littleEndian(_value(first), form.width);
        w.memories[0].tree.write(address_, words);

        Proof memory p = _prove(w);
        _openFrame(p, w, 1);
        _openMemories(p, w, 0);
        _openLeaf(p, w.memories[0].tree, 2);
        w.phase = 1;
        w.progress = _value(first) & ((1 << (8 * first)) - 1);
        _leadsTo(p, w);

        p = _prove(w);
        _openFrame(p, w, 1);
        _openMemories(p, w, 0);
        _openLeaf(p, w.memories[0].tree, 3);
        _openFrame(p, w, 2);
        (w.phase, w.progress) = (0, 0);
        w.frame.setSlot(35, _loaded(form, words));
        _advances(p, w);
    }

    function test_stores_that_straddle_take_two_steps() public view {
        Form[4] memory forms = _stores();
        for (uint256 i = 0; i < forms.length; ++i) {
            for (uint256 first = 1; first < forms[i].width; ++first) {
                _straddlingStore(forms[i], first);
            }
        }
    }

    function _straddlingStore(Form memory form, uint256 first) private view {
        uint256 address_ = 384 - first;
        World memory w = _with(form.op, 17, 18, 0, 0);
        w.frame.setSlot(17, address_);
        bytes memory words = _littleEndian(w.frame.slot(18), form.width);

        Proof memory p = _prove(w);
        _openFrame(p, w, 1);
        _openMemories(p, w, 0);
        _openLeaf(p, w.memories[0].tree, 2);
        for (uint256 i = 0; i < first; ++i) {
            w.memories[0].tree.data[address_ + i] = words[i];
        }
        w.phase = 1;
        _leadsTo(p, w);

        p = _prove(w);
        _openFrame(p, w, 1);
        _openMemories(p, w, 0);
        _openLeaf(p, w.memories[0].tree, 3);
        w.memories[0].tree.write(address_, words);
        w.phase = 0;
        _advances(p, w);
    }

    function test_the_last_bytes_of_a_memory_are_in_bounds_and_no_more() public view {
        Form[9] memory loads = _loads();
        for (uint256 i = 0; i < loads.length; ++i) {
            uint256 last = 2 * PAGE - loads[i].width;
            World memory w = _load(loads[i], 0, 0, last - 5, 5);
            Proof memory p = _prove(w);
            _openFrame(p, w, 1);
            _openMemories(p, w, 0);
            _openLeaf(p, w.memories[0].tree, 1023);
            _openFrame(p, w, 2);
            w.frame.setSlot(35, 0);
            _advances(p, w);

            w = _load(loads[i], 0, 0, last - 5, 6);
            p = _prove(w);
            _openFrame(p, w, 1);
            _openMemories(p, w, 0);
            _traps(p, w);
        }
        Form[4] memory stores = _stores();
        for (uint256 i = 0; i < stores.length; ++i) {
            World memory w = _with(stores[i].op, 17, 2, 0, 1);
            w.frame.setSlot(17, 2 * PAGE - stores[i].width);
            Proof memory p = _prove(w);
            _openFrame(p, w, 1);
            _openFrame(p, w, 0);
            _openMemories(p, w, 0);
            _traps(p, w);
        }
    }

    function test_addresses_do_not_wrap() public view {
        World memory w = _load(Form(0x20, 1, 0), 0, 0, type(uint32).max, 1);
        Proof memory p = _prove(w);
        _openFrame(p, w, 1);
        _openMemories(p, w, 0);
        _traps(p, w);
    }

    function test_an_empty_memory_has_no_byte() public view {
        World memory w = _load(Form(0x20, 1, 0), 0, 0, 0, 0);
        w.memories[0].size = 0;
        Proof memory p = _prove(w);
        _openFrame(p, w, 1);
        _openMemories(p, w, 0);
        _traps(p, w);
    }

    function test_the_second_step_checks_the_bounds_again() public view {
        World memory w = _load(Form(0x28, 8, 0), 0, 0, 2 * PAGE - 4, 0);
        w.phase = 1;
        Proof memory p = _prove(w);
        _openFrame(p, w, 1);
        _openMemories(p, w, 0);
        _traps(p, w);
    }

    // Sizes.

    function test_memory_size_counts_pages() public view {
        World memory w = _with(0x2d, 0, 0, 20, 3);
        w.memories[3].size = 0x12345678;
        Proof memory p = _prove(w);
        _openMemories(p, w, 1);
        _openFrame(p, w, 1);
        w.frame.setSlot(20, 0x12345678);
        _advances(p, w);
    }

    function _grow(uint256 index, uint256 by) private pure returns (World memory w) {
        w = _with(0x2e, 20, 0, 3, index);
        w.frame.setSlot(20, by);
    }

    function _openGrowth(World memory w, uint256 index) private pure returns (Proof memory p) {
        p = _prove(w);
        _openFrame(p, w, 1);
        _openRest(p, w);
        _openContext(p, w);
        _openMemories(p, w, index / 2);
        _openFrame(p, w, 0);
    }

    function test_memory_grows_up_to_its_maximum_and_the_page_limit() public view {
        // Ten of twelve pages are there; each memory has two and may have four.
        for (uint256 by = 0; by < 3; ++by) {
            World memory w = _grow(3, by);
            Proof memory p = _openGrowth(w, 3);
            w.frame.setSlot(3, 2);
            w.memories[3].size += by;
            w.pages += by;
            _advances(p, w);
        }
    }

    function test_memory_does_not_grow_beyond_either() public view {
        uint64[3] memory by = [uint64(3), type(uint32).max, 1];
        for (uint256 i = 0; i < 3; ++i) {
            World memory w = _grow(4, by[i]);
            // The maximum, any, and the page limit stand in the way.
            if (i == 0) w.pageLimit = 100;
            if (i == 2) w.pageLimit = 10;
            Proof memory p = _openGrowth(w, 4);
            w.frame.setSlot(3, type(uint32).max);
            _advances(p, w);
        }
    }
}
