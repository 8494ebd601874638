// A second implementation of canonical archives, written against their description in
// verifier/src/archive.rs, so that the library is not tested against itself.
const BLOCK = 512;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

function header(path, directory, size) {
  const bytes = Buffer.alloc(BLOCK);
  let [prefix, name] = ["", path];
  if (encoder.encode(path).length > 100) {
    const cut = Buffer.from(path).subarray(0, Math.min(156, Buffer.byteLength(path) - 1)).lastIndexOf("/");
    [prefix, name] = [path.slice(0, cut), path.slice(cut + 1)];
  }
  bytes.write(name, 0);
  bytes.write(directory ? "0000755\0" : "0000644\0", 100);
  bytes.write("0000000\0", 108);
  bytes.write("0000000\0", 116);
  bytes.write(size.toString(8).padStart(11, "0") + "\0", 124);
  bytes.write("00000000000\0", 136);
  bytes.write("        ", 148);
  bytes.write(directory ? "5" : "0", 156);
  bytes.write("ustar\0" + "00", 257);
  bytes.write("0000000\0", 329);
  bytes.write("0000000\0", 337);
  bytes.write(prefix, 345);
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  bytes.write(sum.toString(8).padStart(6, "0") + "\0 ", 148);
  return bytes;
}

/** The canonical archive of `files` (path -> bytes or text; a path that ends in "/" is a directory). */
export function pack(files) {
  const parts = [];
  for (const path of Object.keys(files).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))) {
    const bytes = Buffer.from(files[path]);
    parts.push(header(path, path.endsWith("/"), bytes.length), bytes, Buffer.alloc(-bytes.length & (BLOCK - 1)));
  }
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}

/** Path -> bytes of a canonical archive; throws if it is not what `pack` makes of its content. */
export function unpack(archive) {
  const files = {};
  for (let at = 0; archive[at] !== 0; ) {
    const field = (start, length) => {
      const bytes = archive.subarray(at + start, at + start + length);
      const end = bytes.indexOf(0);
      return decoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
    };
    const size = parseInt(field(124, 12), 8);
    const path = (field(345, 155) && field(345, 155) + "/") + field(0, 100);
    files[path] = Buffer.from(archive.subarray(at + BLOCK, at + BLOCK + size));
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
  }
  if (Buffer.compare(pack(files), archive) !== 0) throw new Error("the archive is not canonical");
  return files;
}
