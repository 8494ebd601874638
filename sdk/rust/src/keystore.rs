//! Account keys on disk: Web3 keystore v3 files of mode 0600, one per key, named by their owner.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use alloy::primitives::{Address, B256};
use alloy::signers::k256::elliptic_curve::rand_core::OsRng;
use alloy::signers::local::PrivateKeySigner;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::error::Error;

/// Most bytes of a key file; a real one has about 500.
const FILE_BYTES_MAX: u64 = 16 << 10;
/// Largest scrypt cost (N) that is computed: 2^20 takes a gigabyte and some seconds.
const SCRYPT_N_MAX: u32 = 1 << 20;
/// Most PBKDF2 rounds that are computed.
const PBKDF2_ROUNDS_MAX: u32 = 10_000_000;

/// A folder of keystore files.
///
/// ```
/// use outcry_sdk::Keystore;
///
/// let folder = tempfile::tempdir()?;
/// let keys = Keystore::open(folder.path());
/// let address = keys.create("work", "a long password")?;
/// assert_eq!(keys.load("work", "a long password")?.address(), address);
/// assert!(keys.load("work", "another").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Keystore {
    folder: PathBuf,
}

/// A key in a [`Keystore`], as far as it can be told without its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    /// Chosen by its owner.
    pub name: String,
    /// The account; `None` if a foreign tool wrote the file without it.
    pub address: Option<Address>,
    /// The file.
    pub path: PathBuf,
}

impl Keystore {
    /// The keystore in `folder`, which need not exist yet.
    pub fn open(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// Where the keys lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes a key from the operating system's randomness and returns its account.
    ///
    /// # Errors
    /// [`Error::KeyName`], [`Error::KeyExists`], [`Error::File`].
    pub fn create(&self, name: &str, password: &str) -> Result<Address, Error> {
        let signer = PrivateKeySigner::random_with(&mut OsRng);
        self.import(name, &signer, password)
    }

    /// Stores an existing key and returns its account. Never overwrites one.
    ///
    /// # Errors
    /// [`Error::KeyName`], [`Error::KeyExists`], [`Error::File`].
    pub fn import(
        &self,
        name: &str,
        signer: &PrivateKeySigner,
        password: &str,
    ) -> Result<Address, Error> {
        let path = self.path_of(name)?;
        if path.exists() {
            return Err(Error::KeyExists(name.to_owned()));
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(|e| file_error(&self.folder, &e))?;
        // The library writes with the process's umask, and without the account's address; so it
        // writes into a folder that is ours alone, and the final file is written here.
        let part = self.folder.join(format!(".{name}.part"));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&part)
            .map_err(|e| file_error(&part, &e))?;
        let written = write_keystore(&part, &path, signer, password);
        let removed = fs::remove_dir_all(&part).map_err(|e| file_error(&part, &e));
        written?;
        removed?;
        Ok(signer.address())
    }

    /// Opens a key.
    ///
    /// # Errors
    /// [`Error::NoSuchKey`], [`Error::SecretExposed`], [`Error::WrongPassword`],
    /// [`Error::KeyFile`].
    pub fn load(&self, name: &str, password: &str) -> Result<PrivateKeySigner, Error> {
        let path = self.path_of(name)?;
        if !path.exists() {
            return Err(Error::NoSuchKey(name.to_owned()));
        }
        load_keystore(&path, password)
    }

    /// All keys, by name.
    ///
    /// # Errors
    /// [`Error::File`] if the folder can't be read; a folder that does not exist has no keys.
    pub fn list(&self) -> Result<Vec<KeyEntry>, Error> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(file_error(&self.folder, &e)),
        };
        let mut keys = Vec::new();
        for entry in entries {
            let path = entry.map_err(|e| file_error(&self.folder, &e))?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else {
                continue;
            };
            let name = name.to_owned();
            let address = read_limited(&path)
                .ok()
                .and_then(|text| serde_json::from_str::<Header>(&text).ok())
                .and_then(|header| header.address)
                .and_then(|address| address.parse().ok());
            keys.push(KeyEntry {
                name,
                address,
                path,
            });
        }
        keys.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(keys)
    }

    fn path_of(&self, name: &str) -> Result<PathBuf, Error> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
            return Err(Error::KeyName(name.to_owned()));
        }
        Ok(self.folder.join(format!("{name}.json")))
    }
}

/// Opens a key file: keystore v3 JSON (with its password), or 64 hexadecimal digits.
///
/// # Errors
/// [`Error::SecretExposed`] if others can read it, [`Error::WrongPassword`], [`Error::KeyFile`].
pub fn load_key_file(path: &Path, password: Option<&str>) -> Result<PrivateKeySigner, Error> {
    require_private(path)?;
    let text = Zeroizing::new(read_limited(path)?);
    if text.trim_start().starts_with('{') {
        let password = password.ok_or_else(|| Error::WrongPassword(path.to_path_buf()))?;
        return load_keystore(path, password);
    }
    parse_key(&text).map_err(|reason| Error::KeyFile {
        path: path.to_path_buf(),
        reason: reason.to_owned(),
    })
}

/// Whether a key file is encrypted, and so needs a password.
///
/// # Errors
/// [`Error::File`], [`Error::SecretExposed`].
pub fn needs_password(path: &Path) -> Result<bool, Error> {
    require_private(path)?;
    Ok(Zeroizing::new(read_limited(path)?)
        .trim_start()
        .starts_with('{'))
}

/// A key from 64 hexadecimal digits, `0x` before them or not.
///
/// # Errors
/// What is wrong with the text, without repeating it.
pub fn parse_key(text: &str) -> Result<PrivateKeySigner, &'static str> {
    let digits = text.trim();
    let digits = digits.strip_prefix("0x").unwrap_or(digits);
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(digits, bytes.as_mut_slice())
        .map_err(|_| "it is not 64 hexadecimal digits")?;
    PrivateKeySigner::from_bytes(&B256::from(*bytes)).map_err(|_| "it is not a secp256k1 key")
}

/// The part of a keystore file that is readable without the password.
#[derive(Deserialize)]
struct Header {
    address: Option<String>,
    version: u8,
    crypto: Crypto,
}

#[derive(Deserialize)]
struct Crypto {
    cipher: String,
    cipherparams: CipherParams,
    ciphertext: String,
    kdf: String,
    kdfparams: KdfParams,
}

#[derive(Deserialize)]
struct CipherParams {
    iv: String,
}

#[derive(Deserialize)]
struct KdfParams {
    dklen: u32,
    n: Option<u32>,
    c: Option<u32>,
}

fn load_keystore(path: &Path, password: &str) -> Result<PrivateKeySigner, Error> {
    use alloy::signers::local::LocalSignerError;

    require_private(path)?;
    let wrong = |reason: String| Error::KeyFile {
        path: path.to_path_buf(),
        reason,
    };
    let header: Header =
        serde_json::from_str(&read_limited(path)?).map_err(|e| wrong(e.to_string()))?;
    check_header(&header).map_err(|reason| wrong(reason.to_owned()))?;
    PrivateKeySigner::decrypt_keystore(path, password).map_err(|error| match error {
        LocalSignerError::EthKeystoreError(e) if e.to_string().contains("Mac") => {
            Error::WrongPassword(path.to_path_buf())
        }
        other => wrong(other.to_string()),
    })
}

/// The decoder takes lengths and costs from the file on trust; here they are checked.
fn check_header(header: &Header) -> Result<(), &'static str> {
    let crypto = &header.crypto;
    if header.version != 3 {
        return Err("it is not of version 3");
    }
    if crypto.cipher != "aes-128-ctr" || crypto.cipherparams.iv.len() != 32 {
        return Err("its cipher is not aes-128-ctr with 16 bytes of initialisation vector");
    }
    if crypto.ciphertext.len() != 64 || crypto.kdfparams.dklen != 32 {
        return Err("it does not hold a key of 32 bytes");
    }
    match (crypto.kdf.as_str(), crypto.kdfparams.n, crypto.kdfparams.c) {
        ("scrypt", Some(n), _) if n.is_power_of_two() && n <= SCRYPT_N_MAX => Ok(()),
        ("pbkdf2", _, Some(c)) if c <= PBKDF2_ROUNDS_MAX => Ok(()),
        _ => Err("its key derivation is unknown or needs too much work"),
    }
}

fn write_keystore(
    part: &Path,
    path: &Path,
    signer: &PrivateKeySigner,
    password: &str,
) -> Result<(), Error> {
    let wrong = |reason: String| Error::KeyFile {
        path: path.to_path_buf(),
        reason,
    };
    let secret = Zeroizing::new(signer.to_bytes().0);
    PrivateKeySigner::encrypt_keystore(part, &mut OsRng, secret.as_slice(), password, Some("key"))
        .map_err(|e| wrong(e.to_string()))?;
    let text = read_limited(&part.join("key"))?;
    let mut json: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    json["address"] = format!("{:x}", signer.address()).into();
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|e| file_error(path, &e))?;
    writeln!(file, "{json}")
        .and_then(|()| file.sync_all())
        .map_err(|e| file_error(path, &e))
}

/// Refuses a secret that anybody but its owner can read.
fn require_private(path: &Path) -> Result<(), Error> {
    let metadata = fs::metadata(path).map_err(|e| file_error(path, &e))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Error::SecretExposed {
            path: path.to_path_buf(),
            mode,
        });
    }
    Ok(())
}

fn read_limited(path: &Path) -> Result<String, Error> {
    let length = fs::metadata(path).map_err(|e| file_error(path, &e))?.len();
    if length > FILE_BYTES_MAX {
        let reason = format!("{length} bytes are more than {FILE_BYTES_MAX}");
        return Err(Error::KeyFile {
            path: path.to_path_buf(),
            reason,
        });
    }
    fs::read_to_string(path).map_err(|e| file_error(path, &e))
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
    use super::*;

    fn keystore() -> (tempfile::TempDir, Keystore) {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keystore::open(folder.path().join("keys"));
        (folder, keys)
    }

    #[test]
    fn a_key_file_is_readable_by_its_owner_only_and_names_its_account() {
        let (_folder, keys) = keystore();
        let address = keys.create("main", "secret").unwrap();
        let entry = keys.list().unwrap().remove(0);
        assert_eq!(
            (entry.name.as_str(), entry.address),
            ("main", Some(address))
        );
        let mode = fs::metadata(&entry.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let (_folder, keys) = keystore();
        keys.create("main", "secret").unwrap();
        let path = keys.list().unwrap().remove(0).path;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            keys.load("main", "secret"),
            Err(Error::SecretExposed { mode: 0o640, .. })
        ));
    }

    #[test]
    fn a_key_is_never_overwritten() {
        let (_folder, keys) = keystore();
        let first = keys.create("main", "secret").unwrap();
        assert!(matches!(
            keys.create("main", "other"),
            Err(Error::KeyExists(_))
        ));
        assert_eq!(keys.load("main", "secret").unwrap().address(), first);
    }

    #[test]
    fn a_name_can_not_leave_the_folder() {
        let (_folder, keys) = keystore();
        for name in ["", "../x", "a/b", ".hidden", "ä", &"x".repeat(65)] {
            assert!(
                matches!(keys.create(name, "secret"), Err(Error::KeyName(_))),
                "{name}"
            );
        }
    }

    #[test]
    fn a_damaged_keystore_is_an_error_and_not_a_panic() {
        let (_folder, keys) = keystore();
        keys.create("main", "secret").unwrap();
        let path = keys.list().unwrap().remove(0).path;
        let good: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for (pointer, value) in [
            ("/crypto/cipherparams/iv", serde_json::json!("00")),
            ("/crypto/kdfparams/dklen", serde_json::json!(8)),
            ("/crypto/kdfparams/n", serde_json::json!(u32::MAX)),
            ("/crypto/ciphertext", serde_json::json!("")),
            ("/version", serde_json::json!(1)),
        ] {
            let mut bad = good.clone();
            *bad.pointer_mut(pointer).unwrap() = value;
            fs::write(&path, bad.to_string()).unwrap();
            assert!(
                matches!(keys.load("main", "secret"), Err(Error::KeyFile { .. })),
                "{pointer}"
            );
        }
    }

    #[test]
    fn a_plain_key_file_of_64_digits_is_accepted_when_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("account.key");
        fs::write(&path, format!("0x{}\n", "11".repeat(32))).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let address = load_key_file(&path, None).unwrap().address();
        assert_eq!(
            address.to_string(),
            "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
        assert!(matches!(
            load_key_file(&path, None),
            Err(Error::SecretExposed { .. })
        ));
    }
}
