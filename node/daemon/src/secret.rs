//! Secrets: the chain account's key, the node's identity, the API's token. They come from files of
//! mode 0600 or from the environment, never from the configuration itself, and are never logged.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use alloy::signers::local::PrivateKeySigner;
use rand::RngExt;

use crate::config::ConfigError;

/// Environment variable in place of `account_key_file`.
pub const ACCOUNT_KEY_VARIABLE: &str = "OUTCRY_ACCOUNT_KEY";
/// Environment variable in place of `account_password_file`.
pub const PASSWORD_VARIABLE: &str = "OUTCRY_PASSWORD";
/// Environment variable in place of `api.token_file`.
pub const API_TOKEN_VARIABLE: &str = "OUTCRY_API_TOKEN";
/// Fewest characters of an API token.
const API_TOKEN_CHARS_MIN: usize = 16;

/// Reads a secret file, refusing one that others can read.
fn read(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mode = fs::metadata(path).map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(ConfigError::ExposedSecret {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(fs::read_to_string(path)
        .map_err(unreadable)?
        .trim()
        .to_owned())
}

/// The text and where it came from: the variable wins over the file.
fn find(
    variable: Option<String>,
    name: &str,
    file: Option<&Path>,
) -> Result<Option<(String, String)>, ConfigError> {
    if let Some(text) = variable {
        return Ok(Some((text.trim().to_owned(), name.to_owned())));
    }
    file.map(|path| Ok((read(path)?, path.display().to_string())))
        .transpose()
}

/// The chain account; `None` when neither the variable nor the file is given. The file holds 64
/// hexadecimal digits, or is a Web3 keystore of version 3; then `password_file` or what `ask` says
/// opens it. Opening takes a second or more, by design.
///
/// # Errors
/// [`ConfigError`] when the file can't be used or does not hold a key.
pub fn account(
    variable: Option<String>,
    file: Option<&Path>,
    password_file: Option<&Path>,
    ask: impl FnOnce() -> Option<String>,
) -> Result<Option<PrivateKeySigner>, ConfigError> {
    if let Some(text) = variable {
        let key = outcry_sdk::parse_key(&text).map_err(|_| ConfigError::BadSecret {
            origin: ACCOUNT_KEY_VARIABLE.to_owned(),
            expected: "a private key of 64 hexadecimal digits",
        })?;
        return Ok(Some(key));
    }
    let Some(file) = file else { return Ok(None) };
    let password = match (outcry_sdk::needs_password(file)?, password_file) {
        (false, _) => None,
        (true, Some(path)) => Some(read(path)?),
        (true, None) => Some(ask().ok_or(ConfigError::Missing {
            key: "account_password_file",
            help: "the account's key is encrypted; name a file of mode 0600 with its password, or set OUTCRY_PASSWORD",
        })?),
    };
    Ok(Some(outcry_sdk::load_key_file(file, password.as_deref())?))
}

/// The API's bearer token.
///
/// # Errors
/// [`ConfigError`] when the file can't be used or the token is too short to be one.
pub fn api_token(
    variable: Option<String>,
    file: Option<&Path>,
) -> Result<Option<String>, ConfigError> {
    let Some((token, origin)) = find(variable, API_TOKEN_VARIABLE, file)? else {
        return Ok(None);
    };
    if token.len() < API_TOKEN_CHARS_MIN || token.contains(char::is_whitespace) {
        return Err(ConfigError::BadSecret {
            origin,
            expected: "a token of at least 16 characters without spaces",
        });
    }
    Ok(Some(token))
}

/// The node's ed25519 seed at `path`; made from the system's randomness on the first start.
///
/// # Errors
/// [`ConfigError`] when the file can't be read or written, or does not hold a seed.
pub fn identity(path: &Path) -> Result<[u8; 32], ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    };
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let seed: [u8; 32] = rand::rng().random();
            // Whole or not at all: a torn identity would change the name that open deals carry.
            let fresh = path.with_extension("new");
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(true)
                .write(true)
                .mode(0o600)
                .open(&fresh)
                .map_err(unreadable)?;
            file.write_all(hex::encode(seed).as_bytes())
                .map_err(unreadable)?;
            file.sync_all().map_err(unreadable)?;
            fs::rename(&fresh, path).map_err(unreadable)?;
            Ok(seed)
        }
        Err(error) => Err(unreadable(error)),
        Ok(_) => {
            let mut seed = [0; 32];
            hex::decode_to_slice(read(path)?, &mut seed).map_err(|_| ConfigError::BadSecret {
                origin: path.display().to_string(),
                expected: "a node identity of 64 hexadecimal digits",
            })?;
            Ok(seed)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use outcry_protocol::codes::Coded as _;

    fn file(content: &str, mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let (_folder, path) = file(&"11".repeat(32), 0o640);
        assert_eq!(
            account(None, Some(&path), None, || None)
                .unwrap_err()
                .code()
                .id,
            "C-003"
        );
    }

    #[test]
    fn a_key_is_read_with_and_without_its_prefix() {
        let (_folder, path) = file(&format!("0x{}\n", "11".repeat(32)), 0o600);
        let from_file = account(None, Some(&path), None, || None).unwrap().unwrap();
        let from_variable = account(Some("11".repeat(32)), None, None, || None)
            .unwrap()
            .unwrap();
        assert_eq!(from_file.address(), from_variable.address());
    }

    #[test]
    fn an_encrypted_key_opens_with_its_password_from_a_file_or_from_whoever_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let keys = outcry_sdk::Keystore::open(folder.path());
        let address = keys.create("node", "correct horse").unwrap();
        let path = keys.list().unwrap()[0].path.clone();
        let (_folder, password) = file("correct horse\n", 0o600);
        let never = || -> Option<String> { panic!("nobody needs to be asked") };
        let opened = account(None, Some(&path), Some(&password), never).unwrap();
        assert_eq!(opened.unwrap().address(), address);
        let asked = account(None, Some(&path), None, || Some("correct horse".into()));
        assert_eq!(asked.unwrap().unwrap().address(), address);
        let code = |ask: Option<&str>| {
            let opened = account(None, Some(&path), None, || ask.map(str::to_owned));
            opened.unwrap_err().code().id
        };
        assert_eq!((code(Some("wrong")), code(None)), ("C-005", "C-002"));
    }

    #[test]
    fn the_error_about_a_bad_key_does_not_quote_it() {
        let error = account(Some("hunter2".into()), None, None, || None).unwrap_err();
        assert_eq!(error.code().id, "C-005");
        assert!(!error.to_string().contains("hunter2"));
    }

    #[test]
    fn an_identity_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        let first = identity(&path).unwrap();
        assert_eq!(identity(&path).unwrap(), first);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
