// Builds the programs of the speed benchmark: `node build.mjs` writes them, `--check` compares.
import { readdir, readFile } from "node:fs/promises";
import { clang, deliver } from "../../../guest/toolchain.mjs";

const here = new URL(".", import.meta.url);
for (const source of (await readdir(here)).filter((name) => name.endsWith(".c")).sort()) {
  const text = await readFile(new URL(source, here), "utf8");
  const bytes = await clang(
    ["--target=wasm32-wasip1", "-O2", "-Wall", "-Wl,--strip-all", source],
    { [source]: text },
    "program.wasm",
  );
  await deliver(new URL(source.replace(/c$/, "wasm"), here), bytes);
}
