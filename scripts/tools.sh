#!/usr/bin/env bash
# Says in one sentence what is missing, and how to get it.
set -euo pipefail

missing() {
    echo "outcry: $1" >&2
    exit 1
}

command -v cc >/dev/null || missing "no C compiler: install gcc or clang (Debian: apt-get install gcc)."
command -v cargo >/dev/null || missing "Rust is missing: install Rust 1.95 or newer from rustup.rs."
rust=$(cargo --version | sed -E 's/^cargo ([0-9]+)\.([0-9]+).*/\1 \2/')
read -r major minor <<<"$rust"
[ "$major" -gt 1 ] || [ "$minor" -ge 95 ] || missing "Rust $major.$minor is too old: install Rust 1.95 or newer (rustup update)."
command -v node >/dev/null || missing "Node.js is missing: install Node.js 20 or newer with npm."
node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)' ||
    missing "Node.js $(node --version) is too old: install Node.js 20 or newer."
command -v npm >/dev/null || missing "npm is missing: install npm, which comes with Node.js 20."
