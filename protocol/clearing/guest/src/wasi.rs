//! The four calls of `wasi_snapshot_preview1` that the program makes, on two files below the root.

use alloc::vec::Vec;

/// The first preopened directory, which in the machine is `/`.
const ROOT: u32 = 3;
const CREATE_AND_TRUNCATE: u32 = 1 | 8;
const RIGHT_TO_READ: u64 = 1 << 1;
const RIGHT_TO_WRITE: u64 = 1 << 6;
/// Bytes that are asked for at once, at least.
const CHUNK: usize = 1 << 16;

#[repr(C)]
struct Buffer {
    at: *const u8,
    bytes: usize,
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
extern "C" {
    fn path_open(
        directory: u32,
        lookup: u32,
        path: *const u8,
        path_bytes: usize,
        how: u32,
        rights: u64,
        inherited_rights: u64,
        flags: u32,
        opened: *mut u32,
    ) -> u32;
    fn fd_read(descriptor: u32, buffers: *const Buffer, count: usize, read: *mut usize) -> u32;
    fn fd_write(descriptor: u32, buffers: *const Buffer, count: usize, written: *mut usize) -> u32;
    fn proc_exit(code: u32) -> !;
}

pub(crate) fn exit(code: u32) -> ! {
    // SAFETY: takes no address.
    unsafe { proc_exit(code) }
}

fn open(path: &str, how: u32, rights: u64) -> Option<u32> {
    let mut file = 0;
    // SAFETY: the path is only read.
    let error = unsafe {
        path_open(
            ROOT,
            0,
            path.as_ptr(),
            path.len(),
            how,
            rights,
            0,
            0,
            &mut file,
        )
    };
    if error == 0 {
        Some(file)
    } else {
        None
    }
}

/// All of a file.
pub(crate) fn read(path: &str) -> Option<Vec<u8>> {
    let file = open(path, 0, RIGHT_TO_READ)?;
    let mut bytes: Vec<u8> = Vec::new();
    loop {
        if bytes.len() == bytes.capacity() {
            bytes.reserve(CHUNK);
        }
        let spare = bytes.spare_capacity_mut();
        let room = spare.len();
        let buffer = Buffer {
            at: spare.as_mut_ptr() as *const u8,
            bytes: room,
        };
        let mut read = 0;
        // SAFETY: the buffer is the spare capacity, which nothing else refers to.
        if unsafe { fd_read(file, &buffer, 1, &mut read) } != 0 || read > room {
            return None;
        }
        if read == 0 {
            return Some(bytes);
        }
        // SAFETY: so many more bytes were written.
        unsafe { bytes.set_len(bytes.len() + read) };
    }
}

/// Writes a file anew.
pub(crate) fn write(path: &str, mut bytes: &[u8]) -> Option<()> {
    let file = open(path, CREATE_AND_TRUNCATE, RIGHT_TO_WRITE)?;
    while !bytes.is_empty() {
        let buffer = Buffer {
            at: bytes.as_ptr(),
            bytes: bytes.len(),
        };
        let mut written = 0;
        // SAFETY: the buffer is only read.
        if unsafe { fd_write(file, &buffer, 1, &mut written) } != 0 || written == 0 {
            return None;
        }
        bytes = bytes.get(written..)?;
    }
    Some(())
}
