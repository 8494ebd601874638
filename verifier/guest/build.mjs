// Builds outcry_wasi.wasm from src/. `--check` only compares with the checked-in file.
import { readdir, readFile } from "node:fs/promises";
import { clang, deliver } from "./toolchain.mjs";

const source = new URL("src/", import.meta.url);
const files = {};
for (const name of (await readdir(source)).sort()) files[name] = await readFile(new URL(name, source), "utf8");

const bytes = await clang(
  [
    "--target=wasm32-unknown-unknown",
    // The features that every step of the machine knows, and no other.
    "-mcpu=mvp", "-mbulk-memory", "-mbulk-memory-opt", "-msign-ext", "-mmutable-globals",
    "-std=c17", "-O2", "-ffreestanding", "-fno-builtin", "-nostdlib",
    "-Wall", "-Wextra", "-Wconversion", "-Wno-sign-conversion", "-Werror",
    "-Wl,--no-entry", "-Wl,--gc-sections", "-Wl,--strip-all", "-Wl,-z,stack-size=16384", "-Wl,--stack-first",
    ...Object.keys(files).filter((name) => name.endsWith(".c")),
  ],
  files,
  "outcry_wasi.wasm",
);
await deliver(new URL("outcry_wasi.wasm", import.meta.url), bytes);
