// The library against node's own WASI and against its description in the README. Run by
// `node --test verifier/guest/test/`, after `npm ci` in contracts/.
import assert from "node:assert/strict";
import { createCipheriv } from "node:crypto";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { before, test } from "node:test";
import { WASI } from "node:wasi";
import { clang } from "../toolchain.mjs";
import { run } from "./machine.mjs";
import { pack } from "./ustar.mjs";

const load = (url) => new WebAssembly.Module(readFileSync(new URL(url, import.meta.url)));
const program = (name) => load(`../../../testnet/programs/${name}.wasm`);
const inputs = {
  "in/a.txt": "alpha\n",
  "in/sub/b.txt": "0123456789".repeat(8000),
  [`in/sub/${"d".repeat(90)}/${"n".repeat(90)}`]: "a path that needs both fields of a header",
};

/** The same program under node's WASI, over a real folder. */
function oracle(module, { args, env = {}, stdin = "" }) {
  const root = mkdtempSync(join(tmpdir(), "wasi-"));
  for (const name of ["in", "out", "tmp"]) mkdirSync(join(root, name));
  for (const [path, content] of Object.entries(inputs)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
  writeFileSync(join(root, ".stdin"), stdin);
  const streams = [openSync(join(root, ".stdin")), openSync(join(root, ".stdout"), "w")];
  try {
    const wasi = new WASI({
      version: "preview1", args, env, preopens: { "/": root }, returnOnExit: true,
      stdin: streams[0], stdout: streams[1], stderr: streams[1],
    });
    const code = wasi.start(new WebAssembly.Instance(module, wasi.getImportObject()));
    return { code, stdout: readFileSync(join(root, ".stdout"), "utf8") };
  } finally {
    streams.forEach(closeSync);
    rmSync(root, { recursive: true });
  }
}

const compiled = {};
before(async () => {
  for (const name of ["probe", "churn"]) {
    const source = await readFile(new URL(`${name}.c`, import.meta.url), "utf8");
    const args = ["--target=wasm32-wasip1", "-O2", "-std=gnu17", `${name}.c`];
    compiled[name] = new WebAssembly.Module(await clang(args, { [`${name}.c`]: source }, `${name}.wasm`));
  }
});

test("a C program prints what it prints under another WASI", () => {
  const options = { args: ["libc", "two words", ""], env: { NAME: "value" }, stdin: "one\ntwo" };
  const ours = run(program("libc"), { ...options, files: inputs });
  const theirs = oracle(program("libc"), options);
  assert.equal(ours.files.stdout.toString(), theirs.stdout);
  assert.equal(ours.code, theirs.code);
  assert.equal(ours.files["out/result.txt"].toString(), "done\n");
});

test("the file system answers as another does", () => {
  // Node resolves ".." by the text of the path; POSIX, and this library, by walking it.
  const walked = { "d/none/../f": "ENOENT", "d/f/../f": "ENOTDIR" };
  const ours = run(program("files"), { args: ["files"], files: inputs });
  let expected = oracle(program("files"), { args: ["files"] }).stdout;
  for (const [path, error] of Object.entries(walked))
    expected = expected.replace(`"${path}", O_RDONLY) -> ok`, `"${path}", O_RDONLY) -> ${error}`);
  assert.equal(ours.files.stdout.toString(), expected);
  assert.equal(ours.files["out/sub/b.txt"].length, 70004);
  assert.ok("out/empty/" in ours.files && "out/empty.txt" in ours.files);
});

test("thousands of random file operations answer as elsewhere", () => {
  for (const seed of ["1", "2", "3", "4"]) {
    const options = { args: ["churn", seed, "3000"] };
    const ours = run(compiled.churn, { ...options, files: inputs });
    assert.equal(ours.files.stdout.toString(), oracle(compiled.churn, options).stdout, `seed ${seed}`);
  }
});

test("no argument of any call harms the library", () => {
  const { code, trap, files } = run(program("hostile"), { files: inputs, outputLimit: 1 << 30 });
  assert.equal(trap, undefined);
  assert.equal(code, 0);
  assert.equal(files["out/after"].toString(), "still here");
});

test("a program's end is the task's end", () => {
  const ends = (...args) => run(program("ends"), { args: ["ends", ...args], outputLimit: 1 << 20 });
  assert.equal(ends("print", "text").files.stdout.toString(), "text\n");
  assert.equal(ends("exit", "3").code, 3);
  assert.match(String(ends("trap").trap), /unreachable/);
  assert.match(String(ends("divide").trap), /divide by zero/);
  assert.equal(ends().files.stderr.toString().slice(0, 11), "usage: ends");
});

test("a flood of output ends the task as soon as its limit is certain to be exceeded", () => {
  const { exceeded } = run(program("ends"), { args: ["ends", "flood"], outputLimit: 1 << 20 });
  assert.equal(exceeded, true);
  const limit = 2 * 512 + 1024 + 512; // both headers, the end, one block of text
  assert.equal(run(program("ends"), { args: ["ends", "print", "x".repeat(500)], outputLimit: limit }).code, 0);
  assert.equal(run(program("ends"), { args: ["ends", "print", "x".repeat(600)], outputLimit: limit }).exceeded, true);
});

test("random bytes are the ChaCha20 key stream of job and task", () => {
  const jobHash = Buffer.from(Array.from({ length: 32 }, (_, i) => i * 7));
  for (const task of [0, 1, 0x01020304]) {
    const nonce = Buffer.alloc(16);
    nonce.writeBigUInt64LE(BigInt(task), 8);
    const expected = createCipheriv("chacha20", jobHash, nonce).update(Buffer.alloc(300));
    const { files } = run(compiled.probe, { args: ["probe", "random"], jobHash, task, tasks: 2 ** 31 });
    assert.deepEqual(files.stdout, expected);
  }
});

test("time passes with every look at a clock and with sleep, and in no other way", () => {
  const { files } = run(compiled.probe, { args: ["probe", "clocks"], stdin: "abc" });
  const epoch = BigInt(Date.UTC(2026, 0, 1)) * 1000000n;
  assert.deepEqual(files.stdout.toString().trim().split("\n"), [
    `clock 0: errno 0, ${epoch + 1000n}, resolution 1000`,
    "clock 1: errno 0, 2000, resolution 1000",
    "clock 2: errno 0, 3000, resolution 1000",
    "clock 3: errno 0, 4000, resolution 1000",
    "clock 4: errno 28, 0, resolution 0",
    "event 2: errno 0, type 0",
    "event 3: errno 28, type 0",
    "after the sleep 2000005000",
    "event 4: errno 0, bytes 3, flags 0",
    "event 5: errno 8, bytes 0, flags 0",
  ]);
});

test("a name that no archive can hold is refused when it is made, not at the end", () => {
  const { code, files } = run(compiled.probe, { args: ["probe", "names"] });
  assert.deepEqual(files.stdout.toString().trim().split("\n"), [
    "name of 101: 0",
    "the same elsewhere: 1",
    "moved there: -1",
    "linked there: -1",
    "name of 100: 1",
    "a deep folder moved to /out: -1",
    "a less deep one: 0",
    "out of the way: -1 -1",
  ]);
  assert.equal(code, 0);
  assert.ok(Object.keys(files).some((path) => path.startsWith("out/deep/") && path.endsWith("/")));
});

test("descriptors are the lowest free numbers, and there are at most 4096", () => {
  const { files } = run(compiled.probe, { args: ["probe", "descriptors"], files: inputs });
  assert.equal(files.stdout.toString(), "opened 4092, the last is 4095\nthen 50\n");
});

test("thousands of files come out in the order of their paths", () => {
  const { files } = run(compiled.probe, { args: ["probe", "many"] }); // unpack checks the order
  assert.equal(Object.keys(files).length, 2993 + 2);
});

test("files of every size come out whole, whatever lies before them", () => {
  const { code, files } = run(compiled.probe, { args: ["probe", "sizes"] });
  assert.equal(code, 0);
  const sizes = Object.keys(files).filter((path) => path.startsWith("out/")).map((path) => Number(path.slice(4)));
  assert.equal(sizes.length, 201);
  for (const size of sizes) assert.ok(files[`out/${size}`].equals(Buffer.alloc(size, size % 251)), `${size} bytes`);
});

test("tasks of one job differ by OUTCRY_TASK, which the user cannot replace", () => {
  const options = { args: ["sphereflake", "40", "30", "1"], env: { OUTCRY_TASK: "77" }, task: 5, tasks: 12 };
  const { files } = run(program("sphereflake"), options);
  assert.equal(files.stdout.toString(), "tile 5 of 12: 10 x 10 pixels at 10, 10\n");
  assert.match(files["out/tile.ppm"].toString("latin1"), /^P6\n# tile 10 10 of 40 30\n10 10\n255\n/);
  assert.equal(files["out/tile.ppm"].length, "P6\n# tile 10 10 of 40 30\n10 10\n255\n".length + 300);
});

test("a malformed archive traps and does nothing else", () => {
  const ends = program("ends");
  const good = pack({ ".outcry/args": "ends\0print\0", ".outcry/env": "", "in/x/y": "text", "in/z/": "" });
  assert.equal(run(ends, { archive: good }).code, 0);
  let trapped = 0;
  for (let at = 0; at < good.length; at++) {
    const bad = Buffer.from(good);
    bad[at] ^= at % 3 === 0 ? 0xff : 1 << (at % 8);
    const { trap } = run(ends, { archive: bad });
    if (!trap) continue;
    assert.ok(trap instanceof WebAssembly.RuntimeError, String(trap));
    trapped++;
  }
  assert.ok(trapped > 5 * 400, `${trapped} of ${good.length} changes were noticed`);
  for (const length of [0, 511, 512, 1000, good.length - 1024])
    assert.ok(run(ends, { archive: good.subarray(0, length) }).trap instanceof WebAssembly.RuntimeError);
});

test("two runs of one task give the same bytes", () => {
  const options = { args: ["libc"], files: inputs };
  assert.deepEqual(run(program("libc"), options), run(program("libc"), options));
});
