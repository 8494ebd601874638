//! Frames of the direct protocols: a big-endian 32-bit length, then that many bytes.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::NetError;

/// First byte of every answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Ok = 0,
    NotFound = 1,
    BadRequest = 2,
}

impl Status {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Ok, Self::NotFound, Self::BadRequest]
            .into_iter()
            .find(|status| *status as u8 == byte)
    }
}

/// Writes one frame. The caller flushes.
pub(crate) async fn write_frame(
    stream: &mut (impl AsyncWrite + Unpin),
    payload: &[u8],
) -> Result<(), NetError> {
    let length = u32::try_from(payload.len()).map_err(|_| NetError::TooLong {
        length: payload.len() as u64,
        limit: u64::from(u32::MAX),
    })?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(payload).await?;
    Ok(())
}

/// Reads one frame of at most `length_max` bytes. Memory grows with what arrives, not with what is
/// announced.
pub(crate) async fn read_frame(
    stream: &mut (impl AsyncRead + Unpin),
    length_max: usize,
) -> Result<Vec<u8>, NetError> {
    let length = stream.read_u32().await?;
    if length as usize > length_max {
        return Err(NetError::TooLong {
            length: u64::from(length),
            limit: length_max as u64,
        });
    }
    let mut payload = Vec::new();
    stream
        .take(u64::from(length))
        .read_to_end(&mut payload)
        .await?;
    if payload.len() != length as usize {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(payload)
}

/// Gives `work` a time limit.
pub(crate) async fn within<T, E: Into<NetError>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, NetError> {
    tokio::time::timeout(limit, work)
        .await
        .map_err(|_| NetError::Timeout)?
        .map_err(Into::into)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(work)
    }

    proptest! {
        #[test]
        fn a_frame_comes_back_as_it_was_written(payload: Vec<u8>) {
            let read = run(async {
                let mut wire = Vec::new();
                write_frame(&mut wire, &payload).await.unwrap();
                read_frame(&mut &wire[..], payload.len()).await.unwrap()
            });
            prop_assert_eq!(read, payload);
        }

        #[test]
        fn any_bytes_are_a_frame_within_the_limit_or_an_error(wire: Vec<u8>) {
            if let Ok(payload) = run(read_frame(&mut &wire[..], 100)) {
                prop_assert!(payload.len() <= 100);
                prop_assert_eq!(&wire[4..4 + payload.len()], &payload[..]);
            }
        }
    }

    #[test]
    fn a_frame_beyond_the_limit_is_refused_before_it_is_read() {
        let refused = run(read_frame(&mut &[0, 0, 4, 1][..], 1024));
        assert!(matches!(
            refused,
            Err(NetError::TooLong {
                length: 1025,
                limit: 1024
            })
        ));
    }

    #[test]
    fn a_frame_that_ends_early_is_an_error() {
        let torn = run(read_frame(&mut &[0, 0, 0, 9, 1, 2][..], 1024));
        assert!(matches!(torn, Err(NetError::Stream(_))));
    }
}
