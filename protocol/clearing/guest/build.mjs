// Builds clear.wasm, the clearing as a program of the machine, from ../src and src/, and clear.json, which says
// what it was made of. Needs Debian 12's packages of Rust 1.63: they are downloaded by apt, which need not run
// as root, and unpacked below target/; nothing is installed.
//
// `--check` asks for no compiler: it compares the sources with those that clear.json names, and clear.wasm
// with the module that it names. Where the compiler is unpacked already, it compiles as well and compares
// byte for byte.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { deliver } from "../../../verifier/guest/toolchain.mjs";

const crate = fileURLToPath(new URL("../", import.meta.url));
const module = new URL("clear.wasm", import.meta.url);
const record = new URL("clear.json", import.meta.url);

const rust = "1.63.0+dfsg1-2";
const llvm = "1:14.0.6-12";
const packages = [
  `rustc=${rust}`,
  `libstd-rust-1.63=${rust}`,
  `libstd-rust-dev=${rust}`,
  `libstd-rust-dev-wasm32=${rust}`,
  `libllvm14=${llvm}`,
  `lld-14=${llvm}`,
];
// What LLVM loads and not every system has; nothing of it gets into the module.
const libraries = ["libedit2", "libbsd0", "libmd0", "libffi8", "libicu72", "libxml2", "libz3-4"];
// Of the machine's features those that this compiler has a use for: memory.copy and memory.fill.
const flags = [
  "--edition=2021",
  "--target=wasm32-unknown-unknown",
  "-Copt-level=2",
  "-Ccodegen-units=1",
  "-Cpanic=abort",
  "-Ctarget-feature=+bulk-memory,+mutable-globals",
];
// The stack comes first, so that its overflow traps instead of reaching data.
const linking = [
  "-Clinker-flavor=wasm-ld",
  "-Clink-arg=--strip-all",
  "-Clink-arg=--stack-first",
  "-Clink-arg=-zstack-size=262144",
];

const root = fileURLToPath(new URL("../../../", import.meta.url));
const compiler = join(root, "target", `rustc-${rust}`);
const inCompiler = (path) => join(compiler, "usr", path);

/** Unpacks the compiler below target/, once. */
async function unpackCompiler() {
  if (existsSync(compiler)) return;
  const scratch = `${compiler}.${process.pid}`;
  await mkdir(join(scratch, "packages"), { recursive: true });
  try {
    const options = { cwd: join(scratch, "packages"), stdio: ["ignore", "ignore", "inherit"] };
    execFileSync("apt-get", ["--quiet", "--quiet", "download", ...packages, ...libraries], options);
    for (const name of await readdir(options.cwd)) execFileSync("dpkg", ["--extract", name, scratch], options);
    await rm(options.cwd, { recursive: true });
    await rename(scratch, compiler);
  } catch (error) {
    throw new Error(`no compiler: this needs Debian 12 with its package lists (apt-get update)\n${error.message}`);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function compile() {
  const out = await mkdtemp(join(tmpdir(), "clear-"));
  const run = (...args) =>
    execFileSync(inCompiler("bin/rustc"), ["--sysroot", inCompiler(""), "--remap-path-prefix", `${crate}=`, ...flags, ...args], {
      cwd: crate,
      stdio: ["ignore", "inherit", "inherit"],
      env: {
        PATH: process.env.PATH,
        LD_LIBRARY_PATH: inCompiler(`lib/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`),
        // For one unstable feature, see src/main.rs.
        RUSTC_BOOTSTRAP: "1",
      },
    });
  try {
    const library = join(out, "liboutcry_clearing.rlib");
    run("--crate-type=rlib", "--crate-name=outcry_clearing", "src/lib.rs", "-o", library);
    const linker = `-Clinker=${inCompiler("lib/llvm-14/bin/wasm-ld")}`;
    const made = join(out, "clear.wasm");
    run("--crate-type=cdylib", "--crate-name=clear", "guest/src/main.rs", `--extern=outcry_clearing=${library}`, ...linking, linker, "-o", made);
    return await readFile(made);
  } finally {
    await rm(out, { recursive: true });
  }
}

/** Paths below the crate of all that is compiled. */
async function sources() {
  const below = async (folder) => (await readdir(join(crate, folder))).map((name) => `${folder}/${name}`);
  return [...(await below("src")), ...(await below("guest/src"))].filter((path) => path.endsWith(".rs")).sort();
}

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest("hex");

/** What the module is made of: each file after its name and length, then the compiler and its flags. */
async function ingredients() {
  const parts = [];
  for (const path of await sources()) {
    const text = await readFile(join(crate, path));
    parts.push(`${path}\0${text.length}\0`, text);
  }
  return sha256(...parts, JSON.stringify({ packages, flags, linking }));
}

const describe = (sources, bytes) =>
  `${JSON.stringify({ generatedBy: "protocol/clearing/guest/build.mjs", compiler: `rustc ${rust}`, sources, module: sha256(bytes) }, null, 2)}\n`;

if (process.argv.includes("--check")) {
  const present = await readFile(module);
  if ((await readFile(record, "utf8")) !== describe(await ingredients(), present)) {
    console.error("clear.wasm is not of these sources: run node protocol/clearing/guest/build.mjs and commit what it writes");
    process.exitCode = 1;
  } else if (existsSync(compiler)) {
    await deliver(module, await compile());
  } else {
    console.log("clear.wasm: made of these sources; no compiler here to make it again");
  }
} else {
  await unpackCompiler();
  const bytes = await compile();
  await deliver(module, bytes);
  await writeFile(record, describe(await ingredients(), bytes));
}
