// Compiles the programs of the demo and of the tests to WASI modules. `--check` only compares with the
// checked-in files.
import { readdir, readFile } from "node:fs/promises";
import { clang, deliver } from "../../verifier/guest/toolchain.mjs";

const here = new URL("./", import.meta.url);
for (const source of (await readdir(here)).filter((name) => name.endsWith(".c")).sort()) {
  const text = await readFile(new URL(source, here), "utf8");
  const output = source.replace(/\.c$/, ".wasm");
  const bytes = await clang(
    ["--target=wasm32-wasip1", "-O2", "-std=gnu17", "-Wall", "-Wextra", "-Werror", "-Wl,--strip-all", source],
    { [source]: text },
    output,
  );
  await deliver(new URL(output, here), bytes);
}
