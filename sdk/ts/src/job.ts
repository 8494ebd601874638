/** From a program and its inputs to a job: archives, manifest, header. */
import { blake3 } from "./bytes.js";
import type { Hex } from "./bytes.js";
import { validateJob } from "./bid.js";
import { OutcryError } from "./errors.js";
import { packInput } from "./archive.js";
import type { Files } from "./archive.js";
import { inputRoot, inputsRoot, taskLeaf } from "./hashes.js";
import type { JobSpec } from "./orders.js";

/** The machine's rules that this SDK builds jobs for. */
export const MACHINE_VERSION = 1;

/**
 * A program. `imageRoot` commits to the program linked with the in-machine WASI library; it is what
 * `outcry machine link PROGRAM` prints, and a dapp pins it beside the program.
 */
export interface Program {
  wasm: Uint8Array;
  imageRoot: Hex;
}

/** What a task may use at most. Part of the job, so a run that exceeds one ends alike everywhere. */
export interface Limits {
  /** Cycles; 10^12 by default. */
  cycles?: bigint;
  /** MiB of memory; 1024 by default, 4096 are the most that a program can address. */
  memoryMib?: number;
  /** Frame slots of 8 bytes; 2^20 by default. */
  slots?: bigint;
  /** Bytes of the output archive; 64 MiB by default. */
  outputBytes?: bigint;
}

/** What is to be computed. */
export interface JobRequest {
  program: Program;
  /** Arguments; the first is the program's name. */
  args: readonly string[];
  env?: Readonly<Record<string, string>>;
  stdin?: Uint8Array;
  /** Files of the program's own, by path below `/app`. */
  app?: Files;
  /** Input files by path below `/in`: one map for every task, or one for each. */
  input?: Files | readonly Files[];
  /** Number of tasks; the number of inputs by default. */
  tasks?: number;
  limits?: Limits;
}

/** A Python script as a job: `cpython` runs it, and `sys.argv[0]` is its path below `/app`. */
export function pythonJob(
  cpython: Program,
  name: string,
  script: string,
  rest: Omit<JobRequest, "program" | "args" | "app"> & { args?: readonly string[] } = {},
): JobRequest {
  const app = new Map([[name, new TextEncoder().encode(script)]]);
  return { ...rest, program: cpython, args: ["python", `/app/${name}`, ...(rest.args ?? [])], app };
}

/** A blob and its name. */
export interface Blob {
  /** BLAKE3, without `0x`. */
  blake3: string;
  bytes: Uint8Array;
}

/** A job with every blob that a provider needs. */
export interface Job {
  spec: JobSpec;
  blobs: Blob[];
}

interface ManifestTask {
  blake3: string;
  inputRoot: Hex;
  length: number;
}

/** The manifest's bytes: compact JSON with its fields in this order, so that there is one form. */
export function manifestBytes(program: { blake3: string; length: number }, tasks: readonly ManifestTask[]): Uint8Array {
  const manifest = {
    version: 1,
    program: { blake3: program.blake3, length: program.length },
    tasks: tasks.map((task) => ({ blake3: task.blake3, inputRoot: task.inputRoot, length: task.length })),
  };
  return new TextEncoder().encode(JSON.stringify(manifest));
}

/** Builds a job; `source` is the key of the node that will serve its blobs. */
export function buildJob(request: JobRequest, source: Hex): Job {
  const inputs: readonly Files[] =
    request.input === undefined ? [new Map()] : request.input instanceof Map ? [request.input] : (request.input as readonly Files[]);
  const taskCount = request.tasks ?? inputs.length;
  if (!Number.isInteger(taskCount) || taskCount < 1 || taskCount > 1 << 20) {
    throw new OutcryError("O-004", `${taskCount} tasks are not between 1 and ${1 << 20}`, "Split the job.");
  }
  if (inputs.length !== 1 && inputs.length !== taskCount) {
    throw new OutcryError("O-004", `${inputs.length} inputs for ${taskCount} tasks`, "Give one input, or one for each.");
  }
  const invocation = {
    args: request.args,
    ...(request.env && { env: request.env }),
    ...(request.stdin && { stdin: request.stdin }),
  };
  const archives = inputs.map((files) => {
    const bytes = packInput(invocation, request.app, files);
    return { bytes, blake3: blake3(bytes), inputRoot: inputRoot(bytes), length: bytes.length };
  });
  const tasks = Array.from({ length: taskCount }, (_, index) => archives[index % archives.length]!);
  const program = { blake3: blake3(request.program.wasm), length: request.program.wasm.length };
  const manifest = manifestBytes(program, tasks);
  const named = { blake3: blake3(manifest), bytes: manifest };
  const limits = request.limits ?? {};
  const spec: JobSpec = {
    machineVersion: MACHINE_VERSION,
    imageRoot: request.program.imageRoot,
    inputsRoot: inputsRoot(tasks.map((task, index) => taskLeaf(index, task.blake3, task.inputRoot, task.length))),
    manifest: `0x${named.blake3}`,
    source,
    cycleLimit: limits.cycles ?? 1_000_000_000_000n,
    pageLimit: Math.min((limits.memoryMib ?? 1024) * 16, 65_536),
    slotLimit: limits.slots ?? 1n << 20n,
    outputLimit: limits.outputBytes ?? 64n << 20n,
    taskCount,
  };
  validateJob(spec);
  const blobs = new Map<string, Blob>();
  for (const blob of [named, { blake3: program.blake3, bytes: request.program.wasm }, ...archives]) {
    blobs.set(blob.blake3, { blake3: blob.blake3, bytes: blob.bytes });
  }
  return { spec, blobs: [...blobs.values()] };
}
