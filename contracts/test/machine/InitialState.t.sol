// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IInitialState} from "../../src/interfaces/IInitialState.sol";
import {Image, Memory} from "../../src/types/Disputes.sol";
import {JobSpec} from "../../src/types/Orders.sol";
import {StepTest} from "./StepTest.sol";
import {VmMachine} from "./VmMachine.sol";
import {Area, Tree, World, Worlds} from "./World.sol";

contract InitialStateTest is StepTest {
    IInitialState private start;

    function setUp() public override {
        VmMachine env = VmMachine(address(vm));
        start = IInitialState(_deploy(env.envOr("INITIAL_STATE", string("InitialState.sol:InitialState"))));
    }

    /// @dev What a job starts as: the machine's own parts and the job's, in one.
    function _fresh() private pure returns (World memory w) {
        w = _world();
        (w.cycles, w.pc, w.slots, w.frameSize) = (0, 4321, 0, 100);
        w.frame = Worlds.frame(100);
        w.callers = 0;
        w.output = Tree("", Worlds.levels((w.outputLimit + 127) / 128));
        (w.outputLength, w.taskCount, w.pageLimit) = (0, 9, 30);
        _shape(w, 0, 2, 4);
        _shape(w, 1, 3, 3);
        _shape(w, 2, 0, 0);
        _shape(w, 3, 0, 16_384);
        _shape(w, 4, 5, type(uint32).max);
        w.pages = 10;
    }

    /// @dev A memory as the image has it: its tree just deep enough.
    function _shape(World memory w, uint256 index, uint256 size, uint256 maximum) private pure {
        Area memory area = w.memories[index];
        (area.size, area.maximum) = (size, maximum);
        if (size == 0) area.tree.data = "";
        area.tree.depth = Worlds.levels(512 * size);
    }

    function _memories(World memory w) private pure returns (Memory[] memory memories) {
        memories = new Memory[](w.memories.length);
        for (uint256 i = 0; i < memories.length; ++i) {
            Area memory area = w.memories[i];
            uint256 shape = area.size << 224 | area.maximum << 192 | area.tree.depth << 184;
            memories[i] = Memory(area.tree.root(), shape);
        }
    }

    function _image(World memory w) private pure returns (Image memory image) {
        bytes memory descriptors;
        Memory[] memory memories = _memories(w);
        for (uint256 i = 0; i < memories.length; ++i) {
            descriptors = abi.encodePacked(descriptors, memories[i].root, memories[i].shape);
        }
        image.shape = w.pc << 224 | w.frameSize << 208 | w.code.depth << 200 | w.globals.depth << 192 | memories.length
            << 184 | Worlds.descriptors(w.tables).depth << 176 | w.segments.depth << 168;
        (image.code, image.globals) = (w.code.root(), w.globals.root());
        (image.tables, image.segments) = (Worlds.descriptors(w.tables).root(), w.segments.root());
        image.memories = keccak256(descriptors);
    }

    function _job(World memory w) private pure returns (JobSpec memory job) {
        job.machineVersion = uint32(w.machineVersion);
        job.imageRoot = keccak256(abi.encode(Worlds.domain("image"), _image(w)));
        job.inputsRoot = keccak256("inputs");
        (job.cycleLimit, job.pageLimit, job.slotLimit) =
        (uint64(w.cycleLimit), uint32(w.pageLimit), uint64(w.slotLimit));
        (job.outputLimit, job.taskCount) = (uint64(w.outputLimit), uint32(w.taskCount));
        w.jobHash = keccak256(abi.encode(job));
    }

    function _start(World memory w, JobSpec memory job) private view returns (bytes32) {
        return
            start.initialState(_image(w), _memories(w), job, uint32(w.task), uint64(w.archiveLength), w.archive.root());
    }

    function _deepen(World memory w) private pure {
        for (uint256 i = 0; i < w.memories.length; ++i) {
            Area memory area = w.memories[i];
            uint256 most = area.size > w.pageLimit ? area.size : w.pageLimit;
            if (most > area.maximum) most = area.maximum;
            area.tree.depth = Worlds.levels(512 * most);
        }
    }

    function test_a_task_starts_at_the_entry_with_memories_deep_enough() public view {
        uint32[4] memory limits = [uint32(10), 16, 17, 65_536];
        for (uint256 i = 0; i < limits.length; ++i) {
            World memory w = _fresh();
            w.pageLimit = limits[i];
            JobSpec memory job = _job(w);
            bytes32 got = _start(w, job);
            _deepen(w);
            assertEq(got, w.hash(), "initial state");
        }
    }

    function test_the_output_has_room_for_its_limit() public view {
        uint16[6] memory limits = [uint16(0), 1, 128, 129, 2048, 2049];
        for (uint256 i = 0; i < limits.length; ++i) {
            World memory w = _fresh();
            w.outputLimit = limits[i];
            w.output.depth = Worlds.levels((w.outputLimit + 127) / 128);
            JobSpec memory job = _job(w);
            bytes32 got = _start(w, job);
            _deepen(w);
            assertEq(got, w.hash(), "initial state");
        }
    }

    function test_images_have_any_number_of_memories() public view {
        for (uint256 count = 0; count < 6; ++count) {
            World memory w = _fresh();
            w.memories = new Area[](count);
            w.pages = 0;
            for (uint256 i = 0; i < count; ++i) {
                w.memories[i] = Area(_tree("memory", i, 3, Worlds.levels(512 * (i + 1))), i + 1, i + 2);
                w.pages += i + 1;
            }
            JobSpec memory job = _job(w);
            bytes32 got = _start(w, job);
            _deepen(w);
            assertEq(got, w.hash(), "initial state");
        }
    }

    function test_a_task_whose_memories_exceed_the_page_limit_starts_halted() public view {
        World memory w = _fresh();
        w.pageLimit = 9;
        JobSpec memory job = _job(w);
        assertEq(_start(w, job), keccak256(abi.encodePacked(Worlds.domain("halted"), w.halted(1, 0))), "halted at once");
    }

    function test_another_image_or_memory_is_refused() public {
        World memory w = _fresh();
        JobSpec memory job = _job(w);
        w.globals.setSlot(0, 1);
        vm.expectRevert(IInitialState.ImageMismatch.selector);
        this.startWith(w, job);

        w = _fresh();
        Image memory image = _image(w);
        w.memories[4].maximum = 6;
        vm.expectRevert(IInitialState.MemoriesMismatch.selector);
        this.startImage(w, image, job);
        w = _fresh();
        // One memory less than the image says, and the hash of the others.
        image.shape -= 1 << 184;
        job.imageRoot = keccak256(abi.encode(Worlds.domain("image"), image));
        vm.expectRevert(IInitialState.MemoriesMismatch.selector);
        this.startImage(w, image, job);
    }

    function test_limits_and_tasks_beyond_the_machine_are_refused() public {
        World memory w = _fresh();
        JobSpec memory job = _job(w);
        job.slotLimit = uint64(type(uint32).max) + 1;
        vm.expectRevert(IInitialState.LimitTooLarge.selector);
        this.startWith(w, job);
        job.slotLimit = type(uint32).max;
        w.slotLimit = job.slotLimit;
        w.jobHash = keccak256(abi.encode(job));
        bytes32 got = _start(w, job);
        w.task = 9;
        vm.expectRevert(IInitialState.TaskUnknown.selector);
        this.startWith(w, job);
        w.task = 3;
        _deepen(w);
        assertEq(got, w.hash(), "initial state");
    }

    function startWith(World calldata w, JobSpec calldata job) external view {
        _start(w, job);
    }

    function startImage(World calldata w, Image calldata image, JobSpec calldata job) external view {
        start.initialState(image, _memories(w), job, uint32(w.task), uint64(w.archiveLength), 0);
    }

    function test_roots_of_images_are_hashes_of_their_parts() public view {
        World memory w = _fresh();
        assertEq(start.imageRoot(_image(w)), keccak256(abi.encode(Worlds.domain("image"), _image(w))), "image root");
    }
}
