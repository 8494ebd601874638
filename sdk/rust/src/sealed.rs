//! Orders of the auction between commitment and reveal. The chain has only their hashes: who loses
//! the order loses the deposit.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use alloy::primitives::{Address, B256};
use outcry_protocol::auction::{AuctionOrder, order};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Most bytes of a file; the largest order has less than half.
const FILE_BYTES_MAX: u64 = 16 << 10;
/// Most files that are read.
const FILES_MAX: usize = 10_000;

/// An order that was, or is to be, committed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SealedOrder {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The auction.
    pub auction: Address,
    /// The round.
    pub round: u64,
    /// The order with its salt.
    pub order: AuctionOrder,
}

impl SealedOrder {
    /// The order under a new salt, which hides it until it is revealed.
    pub fn new(chain_id: u64, auction: Address, round: u64, order: AuctionOrder) -> Self {
        let salt: [u8; 32] = rand::random();
        Self {
            chain_id,
            auction,
            round,
            order: AuctionOrder {
                salt: salt.into(),
                ..order
            },
        }
    }

    /// What the chain knows of it.
    pub fn commitment(&self) -> B256 {
        order::commitment(self.round, &self.order)
    }
}

/// A folder of sealed orders, one file of mode 0600 each.
///
/// ```
/// # use outcry_sdk::{SealedOrder, SealedOrders};
/// # use outcry_protocol::auction::{AuctionOrder, Backing};
/// # let order = AuctionOrder { account: Default::default(), backing: Backing::Holdings, lots: 1,
/// #     alternatives: vec![], salt: [7; 32].into() };
/// let folder = tempfile::tempdir()?;
/// let sealed = SealedOrders::open(folder.path().join("reserve"));
/// let one = SealedOrder { chain_id: 1, auction: Default::default(), round: 5, order };
/// sealed.keep(&one)?;
/// assert_eq!(sealed.all()?.0, [one.clone()]);
/// sealed.forget(&one)?;
/// assert!(sealed.all()?.0.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SealedOrders {
    folder: PathBuf,
}

impl SealedOrders {
    /// The orders in `folder`, which need not exist yet.
    pub fn open(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// Where an order lies.
    pub fn path(&self, order: &SealedOrder) -> PathBuf {
        self.folder
            .join(format!("{}-{}.json", order.round, order.commitment()))
    }

    /// Writes an order and returns once the disk has it; the commitment may be sent after that.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn keep(&self, order: &SealedOrder) -> Result<PathBuf, Error> {
        let path = self.path(order);
        let failed = |e: std::io::Error| file_error(&path, &e);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(failed)?;
        let text = serde_json::to_vec_pretty(order).map_err(|e| failed(e.into()))?;
        let part = path.with_extension("part");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&part)
            .map_err(failed)?;
        file.write_all(&text).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        fs::rename(&part, &path).map_err(failed)?;
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)?;
        Ok(path)
    }

    /// All orders, by round; and why files can't be read that should hold one. Each may be worth a
    /// deposit, but none of them may keep the others from being revealed.
    ///
    /// # Errors
    /// [`Error::File`] for the folder.
    pub fn all(&self) -> Result<(Vec<SealedOrder>, Vec<Error>), Error> {
        let (mut orders, mut unreadable) = (Vec::new(), Vec::new());
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok((orders, unreadable));
            }
            Err(error) => return Err(file_error(&self.folder, &error)),
        };
        for entry in entries.take(FILES_MAX) {
            let path = entry.map_err(|e| file_error(&self.folder, &e))?.path();
            if path.extension().is_some_and(|end| end == "json") {
                match read(&path) {
                    Ok(order) => orders.push(order),
                    Err(error) => unreadable.push(error),
                }
            }
        }
        orders.sort_by_key(|order| (order.round, order.commitment()));
        Ok((orders, unreadable))
    }

    /// Removes an order that was revealed, or whose round is over.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn forget(&self, order: &SealedOrder) -> Result<(), Error> {
        let path = self.path(order);
        fs::remove_file(&path).map_err(|e| file_error(&path, &e))
    }
}

fn read(path: &Path) -> Result<SealedOrder, Error> {
    let failed = |e: std::io::Error| file_error(path, &e);
    if fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(failed(std::io::Error::other("the file is too long")));
    }
    let text = fs::read(path).map_err(failed)?;
    serde_json::from_slice(&text).map_err(|e| failed(e.into()))
}

fn file_error(path: &Path, error: &std::io::Error) -> Error {
    Error::File {
        path: path.to_path_buf(),
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt as _;

    use outcry_protocol::auction::{Alternative, Backing, Entry};

    use super::*;

    fn sealed() -> SealedOrder {
        SealedOrder {
            chain_id: 1,
            auction: Address::repeat_byte(3),
            round: 9,
            order: AuctionOrder {
                account: Address::repeat_byte(1),
                backing: Backing::Curve,
                lots: 4,
                alternatives: vec![Alternative {
                    limit: -i64::MAX,
                    entries: vec![Entry {
                        pool: 2,
                        quantity: -1,
                    }],
                }],
                salt: B256::repeat_byte(7),
            },
        }
    }

    #[test]
    fn an_order_is_kept_for_its_owner_alone_and_read_back_with_the_same_commitment() {
        let folder = tempfile::tempdir().unwrap();
        let orders = SealedOrders::open(folder.path().join("reserve"));
        let path = orders.keep(&sealed()).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let (read, unreadable) = orders.all().unwrap();
        assert_eq!(
            (read.as_slice(), unreadable.len()),
            ([sealed()].as_slice(), 0)
        );
        assert_eq!(read[0].commitment(), sealed().commitment());
    }

    #[test]
    fn a_file_that_is_no_order_is_named_and_keeps_no_other_from_being_read() {
        let folder = tempfile::tempdir().unwrap();
        let orders = SealedOrders::open(folder.path());
        orders.keep(&sealed()).unwrap();
        fs::write(folder.path().join("1.json"), "{").unwrap();
        let (read, unreadable) = orders.all().unwrap();
        assert_eq!(read, [sealed()]);
        assert!(unreadable[0].to_string().contains("1.json"));
    }
}
