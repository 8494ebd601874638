//! The blob store: content-addressed files on disk.
//!
//! Layout of the folder:
//!
//! ```text
//! blobs/HASH        content; it exists if and only if the blob is in the store
//! blobs/HASH.obao   its BLAKE3 tree (bao outboard, pre-order, 16 KiB groups) if it has over 16 KiB
//! incoming/         unfinished files; emptied at start
//! pins/HOLDER       32-byte hashes that HOLDER pinned, appended
//! ```
//!
//! A file enters `blobs/` by rename, after its hash was computed from what was written and both
//! files were synced. A process killed at any moment leaves at worst files in `incoming/` or an
//! outboard without content, and the next start removes them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::B256;
use bao_tree::io::outboard::PreOrderOutboard;
use bao_tree::io::sync::{CreateOutboard, OutboardMut, WriteAt};
use bao_tree::{BaoTree, BlockSize, TreeNode};
use bytes::Bytes;
use futures::Stream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

/// Chunk groups of 2^4 chunks of 1 KiB: what one verification step covers.
pub(crate) const BLOCK: BlockSize = BlockSize::from_chunk_log(4);
/// Bytes of a chunk group.
pub(crate) const GROUP_BYTES: u64 = 16 * 1024;
/// Bytes read and written at once.
const PIECE_BYTES: usize = 256 * 1024;
/// Most blobs that one holder may pin: a job's programs, inputs and outputs are some thousands.
const PINS_PER_HOLDER_MAX: usize = 1 << 21;
const OUTBOARD_SUFFIX: &str = ".obao";

/// Where blobs lie and how much of them.
#[derive(Clone, Debug)]
pub struct BlobStoreConfig {
    /// Folder of the store; created if absent. One process at a time.
    pub directory: PathBuf,
    /// Most bytes of all blobs together. (Their outboards add 0.4%.)
    pub capacity_bytes: u64,
}

/// Name and length of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobId {
    /// BLAKE3 of the content.
    pub hash: blake3::Hash,
    /// Bytes.
    pub length: u64,
}

/// How full a store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlobUsage {
    /// Blobs.
    pub blobs: u64,
    /// Bytes of all blobs and unfinished ones.
    pub bytes: u64,
    /// Bytes of blobs that are pinned.
    pub pinned_bytes: u64,
}

/// Error of the blob store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// The disk failed or is full, or the reader of the content failed.
    #[error("blob store: {0}; check the disk and its free space")]
    Io(#[from] io::Error),
    /// The content is longer than allowed; nothing was kept.
    #[error("blob exceeds the limit of {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: u64,
    },
    /// Only pinned and unfinished blobs are left; raise the capacity or finish jobs.
    #[error(
        "blob store is full: {needed} bytes do not fit beside what jobs in progress hold; raise its capacity"
    )]
    Full {
        /// Bytes that were needed.
        needed: u64,
    },
    /// One holder pins too many blobs.
    #[error("more than {PINS_PER_HOLDER_MAX} blobs pinned by one holder; split the job")]
    TooManyPins,
}

/// Content-addressed files on disk. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BlobStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    blobs: PathBuf,
    incoming: PathBuf,
    pins: PathBuf,
    capacity_bytes: u64,
    /// Names unfinished files.
    sequence: AtomicU64,
    index: Mutex<Index>,
    /// Held while a holder's file of pins is rewritten.
    pin_file: Mutex<()>,
}

/// What is in the store. Its files follow it: blobs are removed under its lock.
#[derive(Debug, Default)]
struct Index {
    entries: HashMap<blake3::Hash, Entry>,
    /// Unpinned blobs by last use, oldest first: the order of eviction.
    unpinned: BTreeMap<u64, blake3::Hash>,
    /// Number of holders per pinned hash, whether or not the blob is here yet.
    pinned: HashMap<blake3::Hash, u32>,
    holders: HashMap<B256, HashSet<blake3::Hash>>,
    /// Last tick given out.
    clock: u64,
    bytes: u64,
    reserved_bytes: u64,
}

#[derive(Debug)]
struct Entry {
    length: u64,
    /// Tick of the last use: unique, the key in `Index::unpinned`.
    used: u64,
}

impl Index {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn insert(&mut self, id: BlobId) {
        let used = self.tick();
        if !self.pinned.contains_key(&id.hash) {
            self.unpinned.insert(used, id.hash);
        }
        self.bytes += id.length;
        self.entries.insert(
            id.hash,
            Entry {
                length: id.length,
                used,
            },
        );
    }

    fn remove(&mut self, hash: &blake3::Hash) {
        if let Some(entry) = self.entries.remove(hash) {
            self.unpinned.remove(&entry.used);
            self.bytes -= entry.length;
        }
    }

    fn touch(&mut self, hash: &blake3::Hash) -> Option<u64> {
        let used = self.tick();
        let entry = self.entries.get_mut(hash)?;
        if self.unpinned.remove(&entry.used).is_some() {
            self.unpinned.insert(used, *hash);
        }
        entry.used = used;
        Some(entry.length)
    }

    /// How many hashes a holder has pinned, and which of `hashes` it has not.
    fn new_pins(&self, hashes: &[blake3::Hash], holder: &B256) -> (usize, Vec<blake3::Hash>) {
        let held = self.holders.get(holder);
        let mut new: Vec<_> = hashes
            .iter()
            .filter(|hash| held.is_none_or(|held| !held.contains(*hash)))
            .copied()
            .collect();
        new.sort_unstable_by_key(|hash| *hash.as_bytes());
        new.dedup();
        (held.map_or(0, HashSet::len), new)
    }

    fn pin(&mut self, hash: blake3::Hash, holder: B256) {
        if self.holders.entry(holder).or_default().insert(hash) {
            *self.pinned.entry(hash).or_default() += 1;
            if let Some(entry) = self.entries.get(&hash) {
                self.unpinned.remove(&entry.used);
            }
        }
    }

    fn unpin(&mut self, holder: &B256) {
        for hash in self.holders.remove(holder).unwrap_or_default() {
            let Some(count) = self.pinned.get_mut(&hash) else {
                continue;
            };
            *count -= 1;
            if *count == 0 {
                self.pinned.remove(&hash);
                if let Some(entry) = self.entries.get(&hash) {
                    self.unpinned.insert(entry.used, hash);
                }
            }
        }
    }
}

impl BlobStore {
    /// Opens the store, removing what a crash left unfinished.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub async fn open(config: BlobStoreConfig) -> Result<Self, BlobError> {
        blocking(move || {
            let shared = Shared {
                blobs: config.directory.join("blobs"),
                incoming: config.directory.join("incoming"),
                pins: config.directory.join("pins"),
                capacity_bytes: config.capacity_bytes,
                sequence: AtomicU64::new(0),
                index: Mutex::default(),
                pin_file: Mutex::default(),
            };
            for directory in [&shared.blobs, &shared.incoming, &shared.pins] {
                fs::create_dir_all(directory)?;
            }
            sync_directory(&config.directory)?;
            shared.clear_incoming()?;
            shared.load_pins()?;
            shared.load_blobs()?;
            shared.make_room(&mut shared.lock(), 0)?;
            Ok(Self {
                shared: Arc::new(shared),
            })
        })
        .await
    }

    /// Takes in the content of `reader`, at most `length_max` bytes, and names it by its hash.
    /// If the future is dropped, nothing is kept.
    ///
    /// # Errors
    /// [`BlobError::TooLong`], [`BlobError::Full`], [`BlobError::Io`]; the store is then unchanged
    /// but for evicted blobs.
    pub async fn put(
        &self,
        mut reader: impl AsyncRead + Send + Unpin,
        length_max: u64,
    ) -> Result<BlobId, BlobError> {
        let mut reservation = self.reserve(0)?;
        let temporary = self.temporary();
        let mut file = tokio::fs::File::create_new(&temporary.path).await?;
        let mut buffer = vec![0; PIECE_BYTES];
        let mut length = 0;
        loop {
            let read = reader.read(&mut buffer).await?;
            if read == 0 {
                break;
            }
            length += read as u64;
            if length > length_max {
                return Err(BlobError::TooLong { limit: length_max });
            }
            reservation.grow(read as u64)?;
            file.write_all(&buffer[..read]).await?;
        }
        file.flush().await?;
        let file = file.into_std().await;
        blocking(move || {
            reservation
                .store
                .clone()
                .seal(temporary, file, length, reservation)
        })
        .await
    }

    /// As [`BlobStore::put`], of bytes in memory.
    ///
    /// # Errors
    /// As [`BlobStore::put`].
    pub async fn put_bytes(&self, content: &[u8]) -> Result<BlobId, BlobError> {
        self.put(content, u64::MAX).await
    }

    /// Whether the blob is here.
    pub fn contains(&self, hash: &blake3::Hash) -> bool {
        self.shared.lock().entries.contains_key(hash)
    }

    /// Opens a blob for reading; `None` if it is not here. It then is the most recently used.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub fn get(&self, hash: &blake3::Hash) -> Result<Option<BlobReader>, BlobError> {
        let mut index = self.shared.lock();
        let Some(length) = index.touch(hash) else {
            return Ok(None);
        };
        let path = self.shared.path(hash);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Somebody removed the file by hand: it can be fetched again.
                index.remove(hash);
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let outboard = if length > GROUP_BYTES {
            Some(Arc::new(File::open(self.shared.outboard_path(hash))?))
        } else {
            None
        };
        Ok(Some(BlobReader {
            id: BlobId {
                hash: *hash,
                length,
            },
            file: Arc::new(file),
            outboard,
            path,
        }))
    }

    /// Keeps blobs (also ones that are yet to come) from being evicted until `holder` lets go.
    /// Durable when it returns; pinning again is harmless. Holders are job hashes or deal ids.
    ///
    /// # Errors
    /// [`BlobError::Io`], [`BlobError::TooManyPins`].
    pub async fn pin(&self, hashes: &[blake3::Hash], holder: B256) -> Result<(), BlobError> {
        let shared = self.shared.clone();
        let hashes = hashes.to_vec();
        blocking(move || {
            let _writing = ignore_poison(shared.pin_file.lock());
            let (known, new) = shared.lock().new_pins(&hashes, &holder);
            if new.is_empty() {
                return Ok(());
            }
            if known + new.len() > PINS_PER_HOLDER_MAX {
                return Err(BlobError::TooManyPins);
            }
            // Behind the last whole hash: what a crash tore off is overwritten.
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(shared.pins.join(hex::encode(holder)))?;
            let content: Vec<u8> = new.iter().flat_map(|hash| *hash.as_bytes()).collect();
            file.write_all_at(&content, known as u64 * 32)?;
            file.sync_all()?;
            if known == 0 {
                sync_directory(&shared.pins)?;
            }
            let mut index = shared.lock();
            for hash in new {
                index.pin(hash, holder);
            }
            Ok(())
        })
        .await
    }

    /// Lets go of everything that `holder` pinned.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub async fn unpin(&self, holder: B256) -> Result<(), BlobError> {
        let shared = self.shared.clone();
        blocking(move || {
            let _writing = ignore_poison(shared.pin_file.lock());
            if !shared.lock().holders.contains_key(&holder) {
                return Ok(());
            }
            remove_if_present(&shared.pins.join(hex::encode(holder)))?;
            sync_directory(&shared.pins)?;
            shared.lock().unpin(&holder);
            Ok(())
        })
        .await
    }

    /// How full the store is.
    pub fn usage(&self) -> BlobUsage {
        let index = self.shared.lock();
        BlobUsage {
            blobs: index.entries.len() as u64,
            bytes: index.bytes + index.reserved_bytes,
            pinned_bytes: index
                .pinned
                .keys()
                .filter_map(|hash| index.entries.get(hash))
                .map(|entry| entry.length)
                .sum(),
        }
    }

    /// Forgets a blob whose content no longer has its hash (the disk changed it).
    pub(crate) fn discard(&self, hash: &blake3::Hash) -> Result<(), BlobError> {
        let mut index = self.shared.lock();
        self.shared.delete(&mut index, hash)?;
        Ok(())
    }

    /// Begins a blob whose groups arrive verified, one by one.
    pub(crate) fn begin(&self, id: BlobId) -> Result<PartialBlob, BlobError> {
        let reservation = self.reserve(id.length)?;
        let content = self.temporary();
        let file = create_read_write(&content.path)?;
        let tree = if id.length > GROUP_BYTES {
            let temporary = self.temporary();
            let tree = PreOrderOutboard {
                root: id.hash,
                tree: BaoTree::new(id.length, BLOCK),
                data: create_read_write(&temporary.path)?,
            };
            Some((tree, temporary))
        } else {
            None
        };
        Ok(PartialBlob {
            id,
            verified: 0,
            file,
            content,
            tree,
            reservation,
        })
    }

    fn temporary(&self) -> Temporary {
        Temporary::new(&self.shared)
    }

    fn reserve(&self, bytes: u64) -> Result<Reservation, BlobError> {
        let mut reservation = Reservation {
            store: self.clone(),
            bytes: 0,
        };
        reservation.grow(bytes)?;
        Ok(reservation)
    }

    /// Hashes a written file, gives it its outboard and takes both in.
    fn seal(
        &self,
        content: Temporary,
        file: File,
        length: u64,
        reservation: Reservation,
    ) -> Result<BlobId, BlobError> {
        file.sync_all()?;
        let (hash, outboard) = if length > GROUP_BYTES {
            let outboard = self.temporary();
            let hash = write_outboard(&content.path, &outboard.path, length)?;
            (hash, Some(outboard))
        } else {
            (blake3::hash(&fs::read(&content.path)?), None)
        };
        let id = BlobId { hash, length };
        self.admit(id, content, outboard, reservation)?;
        Ok(id)
    }

    /// Renames finished, synced files into place.
    fn admit(
        &self,
        id: BlobId,
        content: Temporary,
        outboard: Option<Temporary>,
        reservation: Reservation,
    ) -> Result<(), BlobError> {
        let shared = &self.shared;
        let mut index = shared.lock();
        if index.touch(&id.hash).is_some() {
            return Ok(());
        }
        if let Some(outboard) = outboard {
            outboard.persist(&shared.outboard_path(&id.hash))?;
        }
        content.persist(&shared.path(&id.hash))?;
        sync_directory(&shared.blobs)?;
        reservation.release(&mut index);
        index.insert(id);
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Index> {
        ignore_poison(self.index.lock())
    }

    fn path(&self, hash: &blake3::Hash) -> PathBuf {
        self.blobs.join(hash.to_hex().as_str())
    }

    fn outboard_path(&self, hash: &blake3::Hash) -> PathBuf {
        self.blobs
            .join(format!("{}{OUTBOARD_SUFFIX}", hash.to_hex()))
    }

    /// Content first: an outboard alone is removed at the next start, content alone is a blob.
    fn delete(&self, index: &mut Index, hash: &blake3::Hash) -> io::Result<()> {
        remove_if_present(&self.path(hash))?;
        index.remove(hash);
        remove_if_present(&self.outboard_path(hash))
    }

    fn make_room(&self, index: &mut Index, needed: u64) -> Result<(), BlobError> {
        while index.bytes + index.reserved_bytes + needed > self.capacity_bytes {
            let Some((_, hash)) = index.unpinned.first_key_value() else {
                // At start nothing is needed: a capacity below what is pinned is no error.
                if needed == 0 {
                    return Ok(());
                }
                return Err(BlobError::Full { needed });
            };
            let hash = *hash;
            self.delete(index, &hash)?;
        }
        Ok(())
    }

    fn clear_incoming(&self) -> io::Result<()> {
        for file in fs::read_dir(&self.incoming)? {
            fs::remove_file(file?.path())?;
        }
        Ok(())
    }

    fn load_pins(&self) -> io::Result<()> {
        let mut index = self.lock();
        for file in fs::read_dir(&self.pins)? {
            let file = file?;
            let Some(holder) = file.file_name().to_str().and_then(decode_32) else {
                continue;
            };
            let content = fs::read(file.path())?;
            for hash in content.as_chunks::<32>().0 {
                index.pin(blake3::Hash::from_bytes(*hash), B256::from(holder));
            }
        }
        Ok(())
    }

    /// Reads the folder: oldest blobs first, so that eviction goes on where it was.
    fn load_blobs(&self) -> io::Result<()> {
        let mut found = Vec::new();
        let mut outboards = Vec::new();
        for file in fs::read_dir(&self.blobs)? {
            let file = file?;
            let name = file.file_name();
            let Some(name) = name.to_str() else { continue };
            if let Some(hash) = name.strip_suffix(OUTBOARD_SUFFIX).and_then(decode_32) {
                outboards.push(blake3::Hash::from_bytes(hash));
            } else if let Some(hash) = decode_32(name) {
                let metadata = file.metadata()?;
                found.push((
                    metadata.modified()?,
                    BlobId {
                        hash: blake3::Hash::from_bytes(hash),
                        length: metadata.len(),
                    },
                ));
            }
        }
        found.sort_by_key(|(modified, id)| (*modified, *id.hash.as_bytes()));
        let mut index = self.lock();
        for (_, id) in found {
            if self.has_outboard(id)? {
                index.insert(id);
            } else {
                self.delete(&mut index, &id.hash)?;
            }
        }
        for hash in outboards {
            if !index.entries.contains_key(&hash) {
                remove_if_present(&self.outboard_path(&hash))?;
            }
        }
        Ok(())
    }

    /// Whether a blob has its outboard; a missing one is made again if the content has its hash.
    fn has_outboard(&self, id: BlobId) -> io::Result<bool> {
        if id.length <= GROUP_BYTES {
            return Ok(true);
        }
        let path = self.outboard_path(&id.hash);
        let expected = BaoTree::new(id.length, BLOCK).outboard_size();
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == expected) {
            return Ok(true);
        }
        remove_if_present(&path)?;
        let outboard = Temporary::new(self);
        if write_outboard(&self.path(&id.hash), &outboard.path, id.length)? != id.hash {
            return Ok(false);
        }
        outboard.persist(&path)?;
        sync_directory(&self.blobs)?;
        Ok(true)
    }
}

/// A blob that is being received. Dropped unfinished, it leaves nothing.
pub(crate) struct PartialBlob {
    id: BlobId,
    verified: u64,
    file: File,
    content: Temporary,
    /// `None` for a blob of one group, which has no tree.
    tree: Option<(PreOrderOutboard<File>, Temporary)>,
    reservation: Reservation,
}

impl PartialBlob {
    pub(crate) fn id(&self) -> BlobId {
        self.id
    }

    /// Bytes from the start that are verified and written: where the next peer goes on.
    pub(crate) fn verified(&self) -> u64 {
        self.verified
    }

    /// Keeps the verified hashes of a tree node.
    pub(crate) fn write_parent(
        &mut self,
        node: TreeNode,
        pair: &(blake3::Hash, blake3::Hash),
    ) -> io::Result<()> {
        match &mut self.tree {
            Some((tree, _)) => tree.save(node, pair),
            None => Ok(()),
        }
    }

    /// Keeps a verified group. Groups come in order and without gaps.
    pub(crate) fn write_group(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset != self.verified {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "chunk groups out of order",
            ));
        }
        self.file.write_all_at(data, offset)?;
        self.verified += data.len() as u64;
        Ok(())
    }

    /// Takes the finished blob into the store.
    pub(crate) fn finish(self) -> Result<BlobId, BlobError> {
        if self.verified != self.id.length {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        self.file.sync_all()?;
        let outboard = match self.tree {
            Some((tree, temporary)) => {
                tree.data.sync_all()?;
                Some(temporary)
            }
            None => None,
        };
        let store = self.reservation.store.clone();
        store.admit(self.id, self.content, outboard, self.reservation)?;
        Ok(self.id)
    }
}

/// An open blob. It stays readable even if it is evicted meanwhile.
#[derive(Clone, Debug)]
pub struct BlobReader {
    id: BlobId,
    file: Arc<File>,
    outboard: Option<Arc<File>>,
    path: PathBuf,
}

impl BlobReader {
    /// Name and length.
    pub fn id(&self) -> BlobId {
        self.id
    }

    /// Where the content lies. Pin the blob before handing this to another process.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fills `buffer` from `offset`; fewer bytes only at the end. Blocks on the disk.
    ///
    /// # Errors
    /// The disk's.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        read_at(&self.file, offset, buffer)
    }

    /// The whole content. Blocks on the disk: for small blobs, such as manifests.
    ///
    /// # Errors
    /// [`BlobError::TooLong`] if it has more than `length_max` bytes, [`BlobError::Io`].
    pub fn read_all(&self, length_max: usize) -> Result<Vec<u8>, BlobError> {
        let length = usize::try_from(self.id.length)
            .ok()
            .filter(|length| *length <= length_max)
            .ok_or(BlobError::TooLong {
                limit: length_max as u64,
            })?;
        let mut content = vec![0; length];
        if self.read_at(0, &mut content)? != length {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(content)
    }

    /// The content from `offset` on, in pieces of up to 256 KiB.
    pub fn stream(&self, offset: u64) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
        let blob = self.clone();
        futures::stream::try_unfold(offset, move |offset| {
            let blob = blob.clone();
            async move {
                let read = tokio::task::spawn_blocking(move || {
                    let mut piece = vec![0; PIECE_BYTES];
                    let read = blob.read_at(offset, &mut piece)?;
                    piece.truncate(read);
                    Ok::<_, io::Error>(Bytes::from(piece))
                });
                let piece = read.await.map_err(io::Error::other)??;
                let next = offset + piece.len() as u64;
                Ok((!piece.is_empty()).then_some((piece, next)))
            }
        })
    }

    pub(crate) fn content(&self) -> Positioned {
        Positioned(self.file.clone())
    }

    /// The blob's tree; empty for a blob of one group.
    pub(crate) fn outboard(&self) -> PreOrderOutboard<Positioned> {
        PreOrderOutboard {
            root: self.id.hash,
            tree: BaoTree::new(self.id.length, BLOCK),
            data: Positioned(self.outboard.clone().unwrap_or_else(|| self.file.clone())),
        }
    }
}

/// A shared file as bao-tree reads it.
#[derive(Clone, Debug)]
pub(crate) struct Positioned(Arc<File>);

impl bao_tree::io::sync::ReadAt for Positioned {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(&*self.0, buffer, offset)
    }
}

/// Bytes set aside for a blob to come.
struct Reservation {
    store: BlobStore,
    bytes: u64,
}

impl Reservation {
    fn grow(&mut self, bytes: u64) -> Result<(), BlobError> {
        let mut index = self.store.shared.lock();
        if bytes > 0 {
            self.store.shared.make_room(&mut index, bytes)?;
        }
        index.reserved_bytes += bytes;
        self.bytes += bytes;
        Ok(())
    }

    /// Gives the bytes back to an index that is locked already.
    fn release(mut self, index: &mut Index) {
        index.reserved_bytes -= self.bytes;
        self.bytes = 0;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.store.shared.lock().reserved_bytes -= self.bytes;
        }
    }
}

/// An unfinished file, removed when dropped.
#[derive(Debug)]
struct Temporary {
    path: PathBuf,
}

impl Temporary {
    fn new(shared: &Shared) -> Self {
        let number = shared.sequence.fetch_add(1, Ordering::Relaxed);
        Self {
            path: shared.incoming.join(number.to_string()),
        }
    }

    fn persist(mut self, target: &Path) -> io::Result<()> {
        let path = std::mem::take(&mut self.path);
        fs::rename(path, target)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            // What cannot be removed now is removed at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Computes the tree of a file, writes it beside, syncs it, and returns the root: the hash of the
/// content.
fn write_outboard(content: &Path, outboard: &Path, length: u64) -> io::Result<blake3::Hash> {
    let reader = BufReader::with_capacity(PIECE_BYTES, File::open(content)?);
    let mut tree = PreOrderOutboard {
        root: blake3::hash(&[]),
        tree: BaoTree::new(length, BLOCK),
        data: Tree(create_read_write(outboard)?),
    };
    tree.init_from(reader)?;
    tree.data.0.sync_all()?;
    Ok(tree.root)
}

/// A tree being written. Positioned writes go straight to the file, so there is nothing to flush.
struct Tree(File);

impl WriteAt for Tree {
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<usize> {
        FileExt::write_at(&self.0, data, offset)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn read_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match FileExt::read_at(file, &mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn create_read_write(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
}

fn remove_if_present(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes renames in a folder durable.
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn decode_32(name: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(name, &mut bytes).ok()?;
    Some(bytes)
}

/// The index is only changed in steps that cannot panic half-way, so a poisoned lock is whole.
fn ignore_poison<T>(lock: Result<T, PoisonError<T>>) -> T {
    lock.unwrap_or_else(PoisonError::into_inner)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::Interrupted).into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures::TryStreamExt;

    async fn open(directory: &Path, capacity_bytes: u64) -> BlobStore {
        BlobStore::open(BlobStoreConfig {
            directory: directory.to_owned(),
            capacity_bytes,
        })
        .await
        .unwrap()
    }

    fn content(length: usize, seed: u8) -> Vec<u8> {
        let mut content = vec![0; length];
        blake3::Hasher::new()
            .update(&[seed])
            .finalize_xof()
            .fill(&mut content);
        content
    }

    fn incoming(directory: &Path) -> usize {
        fs::read_dir(directory.join("incoming")).unwrap().count()
    }

    #[tokio::test]
    async fn a_blob_is_named_by_its_hash_and_read_at_any_offset_also_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let mut ids = Vec::new();
        {
            let store = open(directory.path(), u64::MAX).await;
            for (seed, length) in [0, 1, 1024, 16_384, 16_385, 1 << 20, 3_000_001]
                .into_iter()
                .enumerate()
            {
                let content = content(length, seed as u8);
                let id = store.put(&content[..], u64::MAX).await.unwrap();
                assert_eq!(id.hash, blake3::hash(&content));
                assert_eq!(id.length, length as u64);
                ids.push((id, content));
            }
        }
        let store = open(directory.path(), u64::MAX).await;
        for (id, content) in ids {
            let reader = store.get(&id.hash).unwrap().unwrap();
            assert_eq!(reader.read_all(content.len()).unwrap(), content);
            let mut tail = vec![0; 100];
            let offset = content.len().saturating_sub(50);
            let read = reader.read_at(offset as u64, &mut tail).unwrap();
            assert_eq!(&tail[..read], &content[offset..]);
            let pieces: Vec<Bytes> = reader.stream(7).try_collect().await.unwrap();
            assert_eq!(pieces.concat(), &content[content.len().min(7)..]);
        }
        assert_eq!(incoming(directory.path()), 0);
    }

    #[tokio::test]
    async fn content_beyond_the_limit_is_refused_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path(), u64::MAX).await;
        let refused = store.put(&content(1001, 0)[..], 1000).await;
        assert!(matches!(refused, Err(BlobError::TooLong { limit: 1000 })));
        assert_eq!(store.usage(), BlobUsage::default());
        assert_eq!(incoming(directory.path()), 0);
    }

    #[tokio::test]
    async fn a_put_that_is_given_up_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path(), u64::MAX).await;
        let (mut sender, receiver) = tokio::io::duplex(64);
        let mut put = Box::pin(store.put(receiver, u64::MAX));
        let part = content(10_000, 0);
        tokio::select! {
            _ = &mut put => unreachable!("the content has not ended"),
            written = sender.write_all(&part) => written.unwrap(),
        }
        assert!(store.usage().bytes > 0);
        drop(put);
        assert_eq!(store.usage(), BlobUsage::default());
        // A background write may still hold the name for a moment; a new start removes it.
        drop(store);
        let store = open(directory.path(), u64::MAX).await;
        assert_eq!(incoming(directory.path()), 0);
        assert_eq!(store.usage(), BlobUsage::default());
    }

    #[tokio::test]
    async fn the_least_recently_used_blob_makes_room_and_a_pinned_one_never() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path(), 3_000).await;
        let holder = B256::repeat_byte(1);
        let first = store.put_bytes(&content(1000, 1)).await.unwrap();
        let second = store.put_bytes(&content(1000, 2)).await.unwrap();
        let third = store.put_bytes(&content(1000, 3)).await.unwrap();
        store.pin(&[first.hash], holder).await.unwrap();
        store.get(&second.hash).unwrap().unwrap();
        let fourth = store.put_bytes(&content(1000, 4)).await.unwrap();
        assert!(store.contains(&first.hash), "pinned");
        assert!(store.contains(&second.hash), "used lately");
        assert!(!store.contains(&third.hash), "used least recently");
        assert!(store.contains(&fourth.hash));

        let large = store.put_bytes(&content(2001, 5)).await;
        assert!(matches!(large, Err(BlobError::Full { .. })));
        drop(store);
        let store = open(directory.path(), 3_000).await;
        assert_eq!(store.usage().pinned_bytes, 1000, "pins outlive a restart");
        store.unpin(holder).await.unwrap();
        store.put_bytes(&content(2001, 5)).await.unwrap();
        assert!(!store.contains(&first.hash), "no longer pinned");
    }

    #[tokio::test]
    async fn a_blob_pinned_before_it_comes_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path(), 1_000).await;
        let wanted = content(1000, 1);
        let hash = blake3::hash(&wanted);
        store.pin(&[hash], B256::ZERO).await.unwrap();
        store.put_bytes(&wanted).await.unwrap();
        assert!(matches!(
            store.put_bytes(&content(1, 2)).await,
            Err(BlobError::Full { needed: 1 })
        ));
        assert!(store.contains(&hash));
    }

    #[tokio::test]
    async fn what_a_crash_leaves_behind_is_cleaned_or_mended_at_start() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = directory.path().join("blobs");
        let whole = content(100_000, 1);
        let id = {
            let store = open(directory.path(), u64::MAX).await;
            store.put_bytes(&whole).await.unwrap()
        };
        let outboard = blobs.join(format!("{}.obao", id.hash));
        let tree = fs::read(&outboard).unwrap();
        // An unfinished file, an outboard without content, content of a wrong name without
        // outboard, and a torn outboard.
        fs::write(directory.path().join("incoming/7"), b"half").unwrap();
        let absent = blake3::hash(b"absent");
        fs::write(blobs.join(format!("{absent}.obao")), &tree).unwrap();
        fs::write(blobs.join(absent.to_hex().as_str()), vec![0; 100_000]).unwrap();
        fs::remove_file(blobs.join(format!("{absent}.obao"))).unwrap();
        let orphan = blake3::hash(b"orphan");
        fs::write(blobs.join(format!("{orphan}.obao")), &tree).unwrap();
        fs::write(&outboard, &tree[..10]).unwrap();

        let store = open(directory.path(), u64::MAX).await;
        assert_eq!(incoming(directory.path()), 0);
        assert!(!store.contains(&absent));
        assert!(!blobs.join(format!("{orphan}.obao")).exists());
        assert_eq!(fs::read(&outboard).unwrap(), tree, "made again");
        assert_eq!(
            store
                .get(&id.hash)
                .unwrap()
                .unwrap()
                .read_all(100_000)
                .unwrap(),
            whole
        );
    }
}
