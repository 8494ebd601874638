// Clang and lld as WebAssembly (npm @yowasp/clang, pinned by contracts/package-lock.json): the same
// compiler on every platform, so that a build is reproducible byte for byte.
import { readFile, writeFile } from "node:fs/promises";

const bundle = new URL("../../contracts/node_modules/@yowasp/clang/gen/bundle.js", import.meta.url);

/** Runs `clang ...args` over `files` (name -> text) and returns the bytes of `output`. */
export async function clang(args, files, output) {
  const { runClang, runLLVM } = await import(bundle).catch(() => {
    throw new Error("the compiler is missing: run `npm ci` in contracts/");
  });
  await runLLVM(null, {}, { fetchProgress: () => {} }); // otherwise it reports its own loading on stdout
  const messages = [];
  const decode = new TextDecoder();
  const print = (bytes) => bytes && messages.push(decode.decode(bytes, { stream: true }));
  try {
    const made = await runClang(["clang", ...args, "-o", output], files, {
      stdout: print,
      stderr: print,
    });
    if (messages.length > 0) process.stderr.write(messages.join(""));
    return made[output];
  } catch (error) {
    throw new Error(`clang failed\n${messages.join("")}${error.message}`);
  }
}

/**
 * With `--check` on the command line compares `bytes` with what is checked in at `url` and fails on a
 * difference; otherwise writes them there.
 */
export async function deliver(url, bytes) {
  const name = url.pathname.split("/").pop();
  if (!process.argv.includes("--check")) {
    await writeFile(url, bytes);
    console.log(`${name}: ${bytes.length} bytes`);
    return;
  }
  const present = await readFile(url).catch(() => Buffer.alloc(0));
  if (Buffer.compare(present, bytes) !== 0) {
    console.error(`${name} is not what its source compiles to; rebuild it without --check and commit it`);
    process.exitCode = 1;
  } else {
    console.log(`${name}: as its source compiles`);
  }
}
