// Runs a program against the library as two instances that import each other's functions: what the
// linked image does, with the accessors written in JavaScript.
import { readFileSync } from "node:fs";
import { pack, unpack } from "./ustar.mjs";

const library = new WebAssembly.Module(readFileSync(new URL("../outcry_wasi.wasm", import.meta.url)));

class Exit extends Error {}

function taskHeader({ jobHash, task, tasks, archiveLength, outputLimit }) {
  const words = Buffer.alloc(7 * 32);
  const number = (word, value) => words.writeBigUInt64BE(BigInt(value), word * 32 + 24);
  number(0, 1);
  jobHash.copy(words, 32);
  number(2, task);
  number(3, tasks);
  number(4, archiveLength);
  number(5, outputLimit);
  number(6, 65536);
  return words;
}

/**
 * Runs `program` (a WebAssembly.Module of WASI preview 1). Returns { code, files } or { trap } or
 * { exceeded: true } when the output limit was hit.
 */
export function run(program, options = {}) {
  const { args = ["program"], env = {}, stdin, files = {}, jobHash = Buffer.alloc(32), task = 0, tasks = 1 } = options;
  const outputLimit = options.outputLimit ?? 1 << 26;
  const strings = (list) => list.map((text) => text + "\0").join("");
  const input = { ".outcry/args": strings(args), ".outcry/env": strings(Object.entries(env).map((e) => e.join("="))) };
  if (stdin !== undefined) input[".outcry/stdin"] = stdin;
  const archive = options.archive ?? pack({ ...input, ...files });
  const streams = [taskHeader({ jobHash, task, tasks, archiveLength: archive.length, outputLimit }), archive];

  let own, user; // Memory objects
  const bytes = (memory) => new Uint8Array(memory.buffer);
  const view = (memory) => new DataView(memory.buffer);
  const output = [];
  let length = 0;
  const outcry = {
    read_input(stream, offset, dst, len) {
      const start = Math.min(Number(BigInt.asUintN(64, offset)), streams[stream].length);
      const part = streams[stream].subarray(start, Math.min(start + (len >>> 0), streams[stream].length));
      bytes(own).set(part, dst >>> 0);
      return part.length;
    },
    append_output(src, len) {
      length += len >>> 0;
      if (length > outputLimit) throw new Exit("exceeded");
      output.push(Buffer.from(bytes(own).slice(src >>> 0, (src >>> 0) + (len >>> 0))));
    },
    exit(code) {
      throw new Exit(String(code >>> 0));
    },
  };
  const slice = (memory, at, len) => {
    if ((at >>> 0) + (len >>> 0) > memory.buffer.byteLength) throw new Error("the library let a bad address through");
    return bytes(memory).subarray(at >>> 0, (at >>> 0) + (len >>> 0));
  };
  const outcry_user = {
    user_size: () => user.buffer.byteLength / 65536,
    load32: (at) => view(user).getInt32(at >>> 0, true),
    store32: (at, value) => view(user).setInt32(at >>> 0, value, true),
    store64: (at, value) => view(user).setBigInt64(at >>> 0, value, true),
    copy_from_user: (dst, src, len) => slice(own, dst, len).set(slice(user, src, len)),
    copy_to_user: (dst, src, len) => slice(user, dst, len).set(slice(own, src, len)),
  };
  const wasi = new WebAssembly.Instance(library, { outcry, outcry_user }).exports;
  own = wasi.memory;
  const instance = new WebAssembly.Instance(program, { wasi_snapshot_preview1: wasi, ...options.imports });
  user = instance.exports.memory ?? new WebAssembly.Memory({ initial: 0 });
  try {
    wasi.outcry_start();
    instance.exports._start();
    wasi.outcry_exit(0);
  } catch (thrown) {
    if (!(thrown instanceof Exit)) return { trap: thrown };
    if (thrown.message === "exceeded") return { exceeded: true };
    return { code: Number(thrown.message), files: unpack(Buffer.concat(output)), own_pages: own.buffer.byteLength >> 16 };
  }
  throw new Error("outcry_exit returned");
}
