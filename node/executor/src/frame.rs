//! Frames between the node and its worker: a big-endian 32-bit length, then JSON.
//!
//! Neither side trusts the other's length: a frame longer than [`FRAME_BYTES_MAX`] ends the
//! conversation. Inputs and outputs travel as file paths, so frames stay small.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Most bytes of one frame's JSON. Requests and answers are a few hundred bytes; an error message
/// of the linker may be longer.
pub(crate) const FRAME_BYTES_MAX: u32 = 256 * 1024;

/// Writes one frame and flushes it.
///
/// # Errors
/// Whatever the writer reports; `InvalidData` when the message does not fit a frame.
pub(crate) fn write<T: Serialize>(mut to: impl Write, message: &T) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len())
        .ok()
        .filter(|length| *length <= FRAME_BYTES_MAX);
    let Some(length) = length else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "message exceeds a frame",
        ));
    };
    let mut frame = Vec::with_capacity(4 + body.len());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&body);
    to.write_all(&frame)?;
    to.flush()
}

/// Reads one frame; `None` at a clean end of the stream.
///
/// # Errors
/// Whatever the reader reports; `InvalidData` for a frame that is too long or not the message.
pub(crate) fn read<T: DeserializeOwned>(mut from: impl Read) -> io::Result<Option<T>> {
    let mut length = [0_u8; 4];
    let mut filled = 0;
    while filled < length.len() {
        match from.read(&mut length[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let length = u32::from_be_bytes(length);
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "frame exceeds its limit",
        ));
    }
    let mut body = vec![0; length as usize];
    from.read_exact(&mut body)?;
    Ok(Some(serde_json::from_slice(&body)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_frame_is_read_back_as_it_was_written() {
        let mut bytes = Vec::new();
        write(&mut bytes, &vec!["a", "b"]).unwrap();
        let mut from = bytes.as_slice();
        assert_eq!(
            read::<Vec<String>>(&mut from).unwrap(),
            Some(vec!["a".into(), "b".into()])
        );
        assert_eq!(read::<Vec<String>>(&mut from).unwrap(), None);
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_anything_is_allocated() {
        let error = read::<String>(u32::MAX.to_be_bytes().as_slice()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_frame_that_breaks_off_is_an_error_and_not_an_end() {
        let mut bytes = Vec::new();
        write(&mut bytes, &"hello").unwrap();
        for length in 1..bytes.len() {
            assert_eq!(
                read::<String>(&bytes[..length]).unwrap_err().kind(),
                io::ErrorKind::UnexpectedEof
            );
        }
    }
}
