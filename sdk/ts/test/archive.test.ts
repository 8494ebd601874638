import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { blake3, buildJob, manifestBytes, pack, packInput, pythonJob, unpack, unpackOutput } from "../src/index.js";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const files = (entries: Record<string, string>): Map<string, Uint8Array> =>
  new Map(Object.entries(entries).map(([path, text]) => [path, bytes(text)]));

test("an archive reads back as it was packed, in whatever order its files were given", () => {
  const one = pack(files({ "in/b": "2", "in/a.txt": "1", "in/a/x": "", "in/empty/": "" }));
  const two = pack(files({ "in/empty/": "", "in/a/x": "", "in/a.txt": "1", "in/b": "2" }));
  assert.deepEqual(one, two);
  assert.deepEqual([...unpack(one).keys()], ["in/a.txt", "in/a/x", "in/b", "in/empty/"]);
  assert.equal(one.length % 512, 0);
});

test("any tar reads it", () => {
  const folder = mkdtempSync(join(tmpdir(), "outcry-"));
  try {
    const long = `in/${"folder/".repeat(15)}${"n".repeat(90)}`;
    writeFileSync(join(folder, "a.tar"), pack(files({ "in/a": "content", [long]: "long" })));
    execFileSync("tar", ["-xf", "a.tar"], { cwd: folder });
    assert.equal(readFileSync(join(folder, "in/a"), "utf8"), "content");
    assert.equal(readFileSync(join(folder, long), "utf8"), "long");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a path that no archive can hold is refused", () => {
  for (const path of ["", "/a", "a//b", "a/../b", "./a", "n".repeat(101), `${"f/".repeat(130)}x`, "a\0b"]) {
    assert.throws(() => pack(files({ [path]: "" })), { code: "P-011" }, JSON.stringify(path));
  }
  assert.throws(() => pack(files({ a: "", "a-b": "", "a/c": "" })), /below a file/);
});

test("an archive in any other form is refused", () => {
  const good = pack(files({ "in/a": "1", "in/b": "2" }));
  const changed = (at: number, value: number): Uint8Array => {
    const bad = good.slice();
    bad[at] = value;
    return bad;
  };
  for (const bad of [
    good.subarray(0, good.length - 512),
    new Uint8Array([...good, ...new Uint8Array(512)]),
    changed(100, 0x31), // mode
    changed(140, 0x31), // time
    changed(156, 0x32), // a link
    changed(600, 1), // padding
    changed(good.length - 1, 1), // the last block
  ]) {
    assert.throws(() => unpack(bad), { code: "P-011" });
  }
});

test("arguments and environment stand first, each closed by a NUL", () => {
  const archive = unpack(packInput({ args: ["prog", "x y"], env: { B: "2", A: "1" } }, new Map(), files({ f: "1" })));
  assert.deepEqual([...archive.keys()], [".outcry/args", ".outcry/env", "in/f"]);
  assert.equal(new TextDecoder().decode(archive.get(".outcry/args")), "prog\0x y\0");
  assert.equal(new TextDecoder().decode(archive.get(".outcry/env")), "A=1\0B=2\0");
  assert.throws(() => packInput({ args: [], env: { OUTCRY_TASK: "0" } }), /machine sets/);
});

test("an output archive has streams and files, and that of a stopped program is empty", () => {
  const output = unpackOutput(pack(files({ "out/r.txt": "r", stderr: "e", stdout: "o" })));
  assert.equal(new TextDecoder().decode(output.stdout), "o");
  assert.deepEqual([...output.files.keys()], ["r.txt"]);
  assert.equal(unpackOutput(new Uint8Array()).stdout.length, 0);
  assert.throws(() => unpackOutput(pack(files({ "in/a": "" }))), { code: "P-011" });
});

test("a manifest has one form", () => {
  const text = new TextDecoder().decode(
    manifestBytes({ blake3: "01".repeat(32), length: 2 }, [{ blake3: "03".repeat(32), inputRoot: `0x${"04".repeat(32)}`, length: 5 }]),
  );
  assert.equal(
    text,
    `{"version":1,"program":{"blake3":"${"01".repeat(32)}","length":2},"tasks":[{"blake3":"${"03".repeat(32)}","inputRoot":"0x${"04".repeat(32)}","length":5}]}`,
  );
});

test("a job has a task for each input and every blob once", () => {
  const program = { wasm: bytes("program"), imageRoot: `0x${"11".repeat(32)}` };
  const source = `0x${"22".repeat(32)}`;
  const two = buildJob({ program, args: ["p"], input: [files({ a: "1" }), files({ a: "2" })] }, source);
  assert.equal(two.spec.taskCount, 2);
  assert.equal(two.blobs.length, 4);
  assert.equal(two.spec.manifest, `0x${two.blobs[0]!.blake3}`);
  for (const blob of two.blobs) assert.equal(blake3(blob.bytes), blob.blake3);
  const shared = buildJob({ program, args: ["p"], tasks: 100 }, source);
  assert.deepEqual([shared.spec.taskCount, shared.blobs.length], [100, 3]);
  assert.throws(() => buildJob({ program, args: ["p"], input: [new Map(), new Map()], tasks: 3 }, source), { code: "O-004" });
  const script = buildJob(pythonJob(program, "s.py", "print(1)"), source);
  assert.ok([...unpack(script.blobs[2]!.bytes).keys()].includes("app/s.py"));
});

test("BLAKE3 is that of its specification", () => {
  assert.equal(blake3(new Uint8Array()), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
});
