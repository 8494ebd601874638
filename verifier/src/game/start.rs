//! What the state in which a task starts follows from, in the words of the contract.

use std::io;

use alloy_primitives::B256;
use outcry_protocol::merkle;

use crate::machine::commit::Descriptor;
use crate::machine::{Archive, CommittedProgram};

/// Bytes of an archive that are hashed at a time.
const READ_BYTES: usize = 1 << 16;

/// What `IInitialState.initialState` takes besides the job and the task's index: a challenge names
/// it, so that both parties agree on where the trace starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskStart {
    /// I1 to I6 of `MACHINE.md`, section 5: `IInitialState.Image` in order.
    pub image: [B256; 6],
    /// Root and packed shape of each memory: `IInitialState.Memory`.
    pub memories: Vec<[B256; 2]>,
    /// Bytes of the task's input archive.
    pub archive_bytes: u64,
    /// Merkle root of the archive.
    pub archive: B256,
}

impl TaskStart {
    /// Of a task that runs this program on an archive of so many bytes, which is read once.
    ///
    /// # Errors
    /// The archive could not be read.
    pub fn of(
        program: &CommittedProgram,
        archive: &mut impl Archive,
        archive_bytes: u64,
    ) -> io::Result<Self> {
        Ok(Self {
            image: program.image_words(),
            memories: program
                .memory_descriptors()
                .iter()
                .map(Descriptor::to_words)
                .collect(),
            archive_bytes,
            archive: root(archive, archive_bytes)?,
        })
    }
}

fn root(archive: &mut impl Archive, length: u64) -> io::Result<B256> {
    let mut builder = merkle::Builder::for_bytes(length);
    let mut buffer = vec![0; READ_BYTES];
    let mut offset = 0;
    while offset < length {
        // At most READ_BYTES.
        let count = (length - offset).min(READ_BYTES as u64) as usize;
        archive.read(offset, &mut buffer[..count])?;
        // The builder was made for just so many bytes.
        builder.write(&buffer[..count]).map_err(io::Error::other)?;
        offset += count as u64;
    }
    Ok(builder.finish())
}
