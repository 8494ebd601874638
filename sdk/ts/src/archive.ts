/**
 * Input and output archives: POSIX ustar in the one canonical form that
 * `verifier/src/archive.rs` defines.
 */
import { compare, concat } from "./bytes.js";
import { OutcryError } from "./errors.js";

const BLOCK = 512;
const NAME_BYTES = 100;
const PREFIX_BYTES = 155;
/** Most entries of an archive. */
export const ENTRIES_MAX = 1 << 18;
/** Most bytes of one file: 11 octal digits. */
const FILE_BYTES_MAX = 0o77_777_777_777;
/** Most bytes of the arguments, and of the environment. */
const STRINGS_BYTES_MAX = 1 << 20;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Files by their path; a path that ends in `/` is an empty folder. */
export type Files = ReadonlyMap<string, Uint8Array>;

/** How a program is started. */
export interface Invocation {
  /** The first is the program's name. */
  args: readonly string[];
  env?: Readonly<Record<string, string>>;
  stdin?: Uint8Array;
}

function refuse(path: string, reason: string): OutcryError {
  return new OutcryError("P-011", `\`${path}\`: ${reason}`, "Rename or replace the file.");
}

/** Cuts a path into prefix and name at the last slash that leaves both short enough. */
function split(path: Uint8Array): [Uint8Array, Uint8Array] | undefined {
  if (path.length <= NAME_BYTES) return [new Uint8Array(), path];
  const cut = path.subarray(0, Math.min(path.length - 1, PREFIX_BYTES + 1)).lastIndexOf(0x2f);
  if (cut <= 0 || path.length - cut - 1 > NAME_BYTES) return undefined;
  return [path.subarray(0, cut), path.subarray(cut + 1)];
}

function checkPath(path: string): Uint8Array {
  const bytes = encoder.encode(path);
  const parts = path.replace(/\/$/, "").split("/");
  if (bytes.length - (path.endsWith("/") ? 1 : 0) > 255) throw refuse(path, "paths have at most 255 bytes");
  if (parts.some((part) => part === "" || part === "." || part === "..")) {
    throw refuse(path, "a part of the path is empty, `.` or `..`");
  }
  if (path.includes("\0")) throw refuse(path, "the path contains a NUL");
  return bytes;
}

function header(path: string, size: number): Uint8Array {
  const cut = split(checkPath(path));
  if (!cut) throw refuse(path, "ustar cannot hold the path");
  const [prefix, name] = cut;
  const folder = path.endsWith("/");
  const out = new Uint8Array(BLOCK);
  const text = (at: number, value: string): void => out.set(encoder.encode(value), at);
  const octal = (at: number, digits: number, value: number): void => text(at, value.toString(8).padStart(digits, "0"));
  out.set(name, 0);
  octal(100, 7, folder ? 0o755 : 0o644);
  octal(108, 7, 0);
  octal(116, 7, 0);
  octal(124, 11, size);
  octal(136, 11, 0);
  text(148, "        ");
  text(156, folder ? "5" : "0");
  text(257, "ustar\u000000");
  octal(329, 7, 0);
  octal(337, 7, 0);
  out.set(prefix, 345);
  octal(
    148,
    6,
    out.reduce((sum, byte) => sum + byte, 0),
  );
  out[154] = 0;
  return out;
}

/** The canonical archive of some files. */
export function pack(files: Files): Uint8Array {
  if (files.size > ENTRIES_MAX) throw refuse("", `more than ${ENTRIES_MAX} entries`);
  const entries = [...files].map(([path, content]) => ({ path, key: encoder.encode(path), content }));
  entries.sort((a, b) => compare(a.key, b.key));
  const parts: Uint8Array[] = [];
  for (const { path, content } of entries) {
    for (let slash = path.indexOf("/"); slash >= 0; slash = path.indexOf("/", slash + 1)) {
      const above = path.slice(0, slash);
      if (files.has(above) || (slash < path.length - 1 && files.has(`${above}/`))) {
        throw refuse(path, "it lies below a file or an empty folder");
      }
    }
    if (path.endsWith("/") && content.length > 0) throw refuse(path, "a folder has no content");
    if (content.length > FILE_BYTES_MAX) throw refuse(path, `a file has at most ${FILE_BYTES_MAX} bytes`);
    parts.push(header(path, content.length), content, new Uint8Array((BLOCK - (content.length % BLOCK)) % BLOCK));
  }
  parts.push(new Uint8Array(2 * BLOCK));
  return concat(parts);
}

/** Reads a canonical archive and refuses every other form. */
export function unpack(archive: Uint8Array): Map<string, Uint8Array> {
  const wrong = (at: number, reason: string): OutcryError =>
    new OutcryError("P-011", `not a canonical archive: ${reason} at byte ${at}`, "The sender is at fault.");
  const field = (at: number, length: number): Uint8Array => {
    const bytes = archive.subarray(at, at + length);
    const end = bytes.indexOf(0);
    return end < 0 ? bytes : bytes.subarray(0, end);
  };
  const files = new Map<string, Uint8Array>();
  let at = 0;
  for (;;) {
    if (at + BLOCK > archive.length) throw wrong(at, "it ends early");
    if (archive[at] === 0) break;
    const [name, prefix] = [field(at, NAME_BYTES), field(at + 345, PREFIX_BYTES)];
    let path: string;
    try {
      path = decoder.decode(prefix.length > 0 ? concat([prefix, encoder.encode("/"), name]) : name);
    } catch {
      throw wrong(at, "a path is not UTF-8");
    }
    const digits = new TextDecoder().decode(archive.subarray(at + 124, at + 135));
    if (!/^[0-7]{11}$/.test(digits)) throw wrong(at, "a size is not octal");
    const size = Number.parseInt(digits, 8);
    const end = at + BLOCK + size;
    if (end > archive.length) throw wrong(at, "it ends within a file");
    if (files.size === ENTRIES_MAX) throw wrong(at, `there are more than ${ENTRIES_MAX} entries`);
    files.set(path, archive.slice(at + BLOCK, end));
    at = end + ((BLOCK - (size % BLOCK)) % BLOCK);
  }
  // Everything in a canonical archive follows from paths and contents, so packing them again is the
  // strictest check there is.
  const canonical = pack(files);
  if (canonical.length !== archive.length || compare(canonical, archive) !== 0) throw wrong(0, "its form is another");
  return files;
}

/** The input archive of a task. `app` is mounted at `/app`, `input` at `/in`. */
export function packInput(invocation: Invocation, app: Files = new Map(), input: Files = new Map()): Uint8Array {
  const strings = (path: string, list: readonly string[]): Uint8Array => {
    if (list.some((text) => text.includes("\0"))) throw refuse(path, "a string contains a NUL");
    const bytes = encoder.encode(list.map((text) => `${text}\0`).join(""));
    if (bytes.length > STRINGS_BYTES_MAX) throw refuse(path, "more than 1 MiB of strings");
    return bytes;
  };
  const variables = Object.entries(invocation.env ?? {}).sort(([a], [b]) => compare(encoder.encode(a), encoder.encode(b)));
  for (const [name] of variables) {
    if (name === "" || name.includes("=")) throw refuse(".outcry/env", `\`${name}\` can't name a variable`);
    if (name === "OUTCRY_TASK" || name === "OUTCRY_TASKS") throw refuse(".outcry/env", `the machine sets ${name}`);
  }
  const files = new Map<string, Uint8Array>([
    [".outcry/args", strings(".outcry/args", invocation.args)],
    [
      ".outcry/env",
      strings(
        ".outcry/env",
        variables.map(([name, value]) => `${name}=${value}`),
      ),
    ],
  ]);
  if (invocation.stdin) files.set(".outcry/stdin", invocation.stdin);
  for (const [path, content] of app) files.set(`app/${path}`, content);
  for (const [path, content] of input) files.set(`in/${path}`, content);
  return pack(files);
}

/** What a task left. */
export interface Output {
  stdout: Uint8Array;
  stderr: Uint8Array;
  /** By path below `/out`. */
  files: Map<string, Uint8Array>;
}

/** Reads an output archive; an empty one is that of a program that did not exit. */
export function unpackOutput(archive: Uint8Array): Output {
  const output: Output = { stdout: new Uint8Array(), stderr: new Uint8Array(), files: new Map() };
  if (archive.length === 0) return output;
  const files = unpack(archive);
  if (!files.has("stdout") || !files.has("stderr")) throw refuse("stderr, stdout", "every output archive has both");
  for (const [path, content] of files) {
    if (path === "stdout") output.stdout = content;
    else if (path === "stderr") output.stderr = content;
    else if (path.startsWith("out/")) output.files.set(path.slice(4), content);
    else throw refuse(path, "an output archive holds stderr, stdout and files below out/ only");
  }
  return output;
}
