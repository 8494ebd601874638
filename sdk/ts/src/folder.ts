/**
 * What needs Node.js: network files, key files, folders, and the linker of the `outcry` binary.
 * Import it as `@outcry/sdk/node`; the rest of the SDK runs in browsers as well.
 */
import { execFile } from "node:child_process";
import { mkdir, readFile, readdir, stat, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { Wallet } from "ethers";

import { ENTRIES_MAX } from "./archive.js";
import type { Files } from "./archive.js";
import { Client } from "./client.js";
import { OutcryError } from "./errors.js";
import { MACHINE_VERSION } from "./job.js";
import type { Program } from "./job.js";
import { parseNetwork } from "./network.js";
import type { Network } from "./network.js";
import type { Problem } from "./node.js";

/** Most bytes of a network file or a key file; real ones have less than one KiB. */
const SMALL_FILE_BYTES_MAX = 64 << 10;

function fileError(path: string, cause: unknown): OutcryError {
  if (cause instanceof OutcryError) return cause;
  return new OutcryError("C-004", `${path}: ${cause instanceof Error ? cause.message : cause}`, "Check the path and its permissions.", { cause });
}

/** Reads a `network.toml`. The paths in it are relative to its folder. */
export async function loadNetwork(path: string): Promise<Network> {
  const network = parseNetwork(await readSmall(path));
  const { keyFile, python } = network;
  return {
    ...network,
    ...(keyFile !== undefined && { keyFile: resolve(dirname(path), keyFile) }),
    ...(python !== undefined && { python: resolve(dirname(path), python) }),
  };
}

/** Reads a key of 64 hex digits from a file that only its owner can read. */
export async function loadKey(path: string): Promise<Wallet> {
  const text = (await readSmall(path, true)).trim();
  if (!/^(0x)?[0-9a-f]{64}$/i.test(text)) {
    throw new OutcryError("C-005", `${path} does not hold 64 hexadecimal digits`, "Open keystore files with ethers' Wallet.fromEncryptedJson.");
  }
  return new Wallet(text.startsWith("0x") ? text : `0x${text}`);
}

async function readSmall(path: string, isSecret = false): Promise<string> {
  try {
    const { size, mode } = await stat(path);
    if (size > SMALL_FILE_BYTES_MAX) throw new OutcryError("C-004", `${path} has ${size} bytes`, `At most ${SMALL_FILE_BYTES_MAX} are read.`);
    if (isSecret && process.platform !== "win32" && (mode & 0o077) !== 0) {
      throw new OutcryError("C-003", `${path} can be read by others`, `chmod 600 ${path}`);
    }
    return await readFile(path, "utf8");
  } catch (cause) {
    throw fileError(path, cause);
  }
}

/**
 * A client of the network that a file names. Its account is that of `keyFile`; by default the one
 * that the network file names, which only test networks do.
 */
export async function connect(networkFile: string, options: { keyFile?: string; apiToken?: string } = {}): Promise<Client> {
  const network = await loadNetwork(networkFile);
  const keyFile = options.keyFile ?? network.keyFile;
  return new Client(network, keyFile === undefined ? undefined : await loadKey(keyFile), options.apiToken);
}

/**
 * A program and the root of its image, which `outcry machine link` computes. `outcry` is the binary,
 * by default the one on the PATH.
 */
export async function linkProgram(path: string, outcry = "outcry"): Promise<Program> {
  try {
    const wasm = await readFile(path);
    const { stdout } = await promisify(execFile)(outcry, ["--output", "json", "machine", "link", path]);
    const linked = JSON.parse(stdout) as { machine_version?: number; image_root?: string };
    if (linked.machine_version !== MACHINE_VERSION || !/^0x[0-9a-f]{64}$/.test(linked.image_root ?? "")) {
      throw new OutcryError("O-025", `${outcry} links for machine version ${linked.machine_version}`, `This SDK builds jobs for version ${MACHINE_VERSION}.`);
    }
    return { wasm, imageRoot: linked.image_root! };
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT" && (cause as NodeJS.ErrnoException).syscall?.startsWith("spawn")) {
      throw new OutcryError("C-006", `${outcry} can't be found`, "Put the outcry binary on the PATH, or name it.", { cause });
    }
    const said = refusalOf((cause as { stderr?: string }).stderr ?? "");
    if (said) throw new OutcryError(said.code, `${path}: ${said.message}`, said.help, { cause });
    throw fileError(path, cause);
  }
}

/** What `outcry --output json` writes to stderr when it fails. */
function refusalOf(stderr: string): Problem | undefined {
  try {
    return (JSON.parse(stderr) as { error?: Problem }).error;
  } catch {
    return undefined;
  }
}

/** The files of a folder by their path below it; a path that ends in `/` is an empty folder. Links are refused. */
export async function readFolder(folder: string): Promise<Files> {
  const files = new Map<string, Uint8Array>();
  const pending = [""];
  for (let below = pending.pop(); below !== undefined; below = pending.pop()) {
    const here = join(folder, below);
    const children = await readdir(here, { withFileTypes: true }).catch((cause: unknown) => Promise.reject(fileError(here, cause)));
    if (children.length === 0 && below !== "") files.set(`${below}/`, new Uint8Array());
    for (const child of children) {
      const path = below === "" ? child.name : `${below}/${child.name}`;
      if (child.isDirectory()) pending.push(path);
      else if (child.isFile()) files.set(path, await readFile(join(here, child.name)).catch((cause: unknown) => Promise.reject(fileError(path, cause))));
      else throw new OutcryError("P-011", `${path}: only files and folders can be packed`, "Replace the link by what it names.");
      if (files.size > ENTRIES_MAX) throw new OutcryError("P-011", `${folder} has more than ${ENTRIES_MAX} files`, "Pack small files together.");
    }
  }
  return files;
}

/**
 * Writes a task's files into a folder, which must be new or empty: so nothing is replaced, and
 * nothing written through a link.
 */
export async function writeFolder(folder: string, files: Files): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    if ((await readdir(folder)).length > 0) throw new OutcryError("C-004", `${folder} is not empty`, "Name a new folder.");
    for (const [path, content] of files) {
      const parts = path.replace(/\/$/, "").split("/");
      if (parts.some((part) => part === "" || part === "." || part === "..")) {
        throw new OutcryError("P-011", `\`${path}\` leads out of the folder`, "The sender is at fault.");
      }
      const target = join(folder, ...parts);
      await mkdir(path.endsWith("/") ? target : dirname(target), { recursive: true });
      if (!path.endsWith("/")) await writeFile(target, content, { flag: "wx" });
    }
  } catch (cause) {
    throw fileError(folder, cause);
  }
}
