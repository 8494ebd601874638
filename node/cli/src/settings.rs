//! What a command runs with: flags over environment over the configuration file over the network
//! file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use alloy::signers::local::PrivateKeySigner;
use outcry_protocol::codes;
use outcry_sdk::api::TokenInfo;
use outcry_sdk::{Client, Engine, Keystore, Network, load_key_file, needs_password, parse_key};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::args::{Format, Global};
use crate::console::Console;
use crate::failure::Failure;

/// The client's configuration file. Relative paths are relative to its folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfigFile {
    /// As `--network`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) network: Option<PathBuf>,
    /// As `--api`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) api: Option<String>,
    /// As `--rpc`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rpc: Option<String>,
    /// As `--key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// As `--key-file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key_file: Option<PathBuf>,
    /// As `--password-file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) password_file: Option<PathBuf>,
    /// As `--token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    /// As `--output`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<Format>,
    /// As `--python`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) python: Option<PathBuf>,
}

impl ConfigFile {
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Failure::new(&codes::CONFIG_FILE, format!("{}: {e}", path.display())))?;
        let mut config: Self = toml::from_str(&text).map_err(|e| {
            let code = if e.message().starts_with("unknown field") {
                &codes::CONFIG_KEY
            } else {
                &codes::CONFIG_VALUE
            };
            Failure::new(
                code,
                format!("{}: {}", path.display(), e.to_string().trim_end()),
            )
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let files = [
            &mut config.network,
            &mut config.key_file,
            &mut config.password_file,
            &mut config.python,
        ];
        for file in files.into_iter().flatten() {
            *file = folder.join(&*file);
        }
        Ok(config)
    }
}

/// Everything that a command may ask for, resolved when it asks.
pub(crate) struct Settings {
    pub(crate) global: Global,
    pub(crate) file: ConfigFile,
    home: PathBuf,
}

impl Settings {
    pub(crate) fn resolve(global: Global) -> Result<Self, Failure> {
        let home = match &global.home {
            Some(home) => home.clone(),
            None => std::env::home_dir().unwrap_or_default().join(".outcry"),
        };
        let usual = home.join("config.toml");
        let file = match &global.config {
            Some(path) => ConfigFile::load(path)?,
            None if usual.is_file() => ConfigFile::load(&usual)?,
            None => ConfigFile::default(),
        };
        Ok(Self { global, file, home })
    }

    pub(crate) fn format(&self) -> Format {
        self.global
            .output
            .or(self.file.output)
            .unwrap_or(Format::Table)
    }

    pub(crate) fn keystore(&self) -> Keystore {
        Keystore::open(self.home.join("keys"))
    }

    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// Where the network file is, if anything names one.
    pub(crate) fn network_file(&self) -> Option<PathBuf> {
        let usual = self.home.join("network.toml");
        self.global
            .network
            .clone()
            .or_else(|| self.file.network.clone())
            .or_else(|| usual.is_file().then_some(usual))
    }

    /// The network, with what flags, environment and configuration file change in it.
    pub(crate) fn network(&self) -> Result<Network, Failure> {
        let path = self.network_file().ok_or_else(|| {
            Failure::new(&codes::CONFIG_ARGUMENT, "no network is named").with_help(
                "give --network FILE or set OUTCRY_NETWORK; `outcry-testnet up --dir DIR` writes DIR/network.toml for a local one",
            )
        })?;
        let mut network = Network::load(&path)?;
        if let Some(api) = self.global.api.clone().or_else(|| self.file.api.clone()) {
            network.api = api;
        }
        if let Some(rpc) = self.global.rpc.clone().or_else(|| self.file.rpc.clone()) {
            network.rpc = rpc;
        }
        Ok(network)
    }

    /// The payment token.
    pub(crate) fn token(&self, network: &Network) -> Result<TokenInfo, Failure> {
        Ok(
            match self.global.token.as_deref().or(self.file.token.as_deref()) {
                Some(name) => network.token_named(name)?,
                None => network.payment_token()?.clone(),
            },
        )
    }

    /// A client that can look but not sign.
    pub(crate) fn reader(&self) -> Result<Client, Failure> {
        Ok(Client::new(self.network()?, None)?.with_api_token(api_token()))
    }

    /// A client that signs.
    pub(crate) fn buyer(&self, console: &mut Console<'_>) -> Result<Client, Failure> {
        let network = self.network()?;
        let signer = self.signer(&network, console)?;
        Ok(Client::new(network, Some(signer))?.with_api_token(api_token()))
    }

    /// The key that signs.
    fn signer(
        &self,
        network: &Network,
        console: &mut Console<'_>,
    ) -> Result<PrivateKeySigner, Failure> {
        if let Some(name) = &self.global.key {
            return self.named_key(name, console);
        }
        if let Some(path) = &self.global.key_file {
            return self.key_in(path, console);
        }
        if let Ok(text) = std::env::var("OUTCRY_ACCOUNT_KEY") {
            let text = Zeroizing::new(text);
            return parse_key(&text).map_err(|reason| {
                Failure::new(
                    &codes::CONFIG_KEYSTORE,
                    format!("OUTCRY_ACCOUNT_KEY: {reason}"),
                )
            });
        }
        if let Some(name) = &self.file.key {
            return self.named_key(name, console);
        }
        if let Some(path) = self.file.key_file.as_ref().or(network.key_file.as_ref()) {
            return self.key_in(path, console);
        }
        let keys = self.keystore().list()?;
        match &keys[..] {
            [only] => self.named_key(&only.name, console),
            [] => Err(no_key(
                "there is no key yet",
                "make one with `outcry keys new NAME`",
            )),
            _ => Err(no_key(
                "there are several keys",
                "choose one with --key NAME; `outcry keys list` shows them",
            )),
        }
    }

    /// The account that signs, without its password where the key file names it.
    pub(crate) fn account(
        &self,
        console: &mut Console<'_>,
    ) -> Result<alloy::primitives::Address, Failure> {
        let network = self.network()?;
        let from_environment =
            self.global.key_file.is_some() || std::env::var_os("OUTCRY_ACCOUNT_KEY").is_some();
        let name = self.global.key.as_ref().or(if from_environment {
            None
        } else {
            self.file.key.as_ref()
        });
        let keys = self.keystore().list()?;
        let by_name = match name {
            Some(name) => keys.iter().find(|key| key.name == *name),
            None if from_environment
                || self.file.key_file.is_some()
                || network.key_file.is_some() =>
            {
                None
            }
            None => keys.first().filter(|_| keys.len() == 1),
        };
        match by_name.and_then(|key| key.address) {
            Some(address) => Ok(address),
            None => Ok(self.signer(&network, console)?.address()),
        }
    }

    fn named_key(
        &self,
        name: &str,
        console: &mut Console<'_>,
    ) -> Result<PrivateKeySigner, Failure> {
        let keystore = self.keystore();
        if !keystore.list()?.iter().any(|key| key.name == name) {
            return Err(outcry_sdk::Error::NoSuchKey(name.to_owned()).into());
        }
        let password = self.password(&format!("Password of {name}: "), console)?;
        Ok(keystore.load(name, &password)?)
    }

    fn key_in(&self, path: &Path, console: &mut Console<'_>) -> Result<PrivateKeySigner, Failure> {
        let password = match needs_password(path)? {
            true => Some(self.password(&format!("Password of {}: ", path.display()), console)?),
            false => None,
        };
        Ok(load_key_file(
            path,
            password.as_ref().map(|password| password.as_str()),
        )?)
    }

    /// A password from a file, the environment, or the person at the terminal.
    pub(crate) fn password(
        &self,
        question: &str,
        console: &mut Console<'_>,
    ) -> Result<Zeroizing<String>, Failure> {
        if let Some(given) = self.given_password()? {
            return Ok(given);
        }
        if !console.interactive {
            return Err(Failure::new(
                &codes::CONFIG_KEYSTORE,
                "the key needs a password and nobody can be asked",
            )
            .with_help("give --password-file FILE or set OUTCRY_PASSWORD"));
        }
        rpassword::prompt_password(question)
            .map(Zeroizing::new)
            .map_err(Failure::internal)
    }

    /// A password that need not be asked for.
    pub(crate) fn given_password(&self) -> Result<Option<Zeroizing<String>>, Failure> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = match (&self.global.password_file, std::env::var("OUTCRY_PASSWORD")) {
            (Some(path), _) => path,
            (None, Ok(password)) => return Ok(Some(Zeroizing::new(password))),
            (None, Err(_)) => match &self.file.password_file {
                Some(path) => path,
                None => return Ok(None),
            },
        };
        let failed = |e: std::io::Error| {
            Failure::new(&codes::CONFIG_FILE, format!("{}: {e}", path.display()))
        };
        let mode = std::fs::metadata(path)
            .map_err(failed)?
            .permissions()
            .mode()
            & 0o777;
        if mode & 0o077 != 0 {
            return Err(outcry_sdk::Error::SecretExposed {
                path: path.clone(),
                mode,
            }
            .into());
        }
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(failed)?);
        Ok(Some(Zeroizing::new(
            text.trim_end_matches(['\r', '\n']).to_owned(),
        )))
    }

    /// The engine that runs tasks here; compiled code is kept below the home folder.
    pub(crate) fn engine(&self) -> Result<Arc<Engine>, Failure> {
        Ok(Arc::new(Engine::new(Some(&self.home.join("code")))?))
    }

    /// Asks a question that `--yes`, or the absence of anybody to ask, answers with yes.
    pub(crate) fn confirm(&self, question: &str, console: &mut Console<'_>) -> Result<(), Failure> {
        if self.global.yes || !console.interactive {
            return Ok(());
        }
        let answer = ask(&format!("{question} [y/N] "), console)?;
        match answer.to_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Failure::usage("not confirmed; nothing was sent").with_help("")),
        }
    }
}

/// A line from the person at the terminal.
pub(crate) fn ask(question: &str, console: &mut Console<'_>) -> Result<String, Failure> {
    write!(console.stderr, "{question}")
        .and_then(|()| console.stderr.flush())
        .map_err(Failure::internal)?;
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .map_err(Failure::internal)?;
    Ok(line.trim().to_owned())
}

fn api_token() -> Option<String> {
    std::env::var("OUTCRY_API_TOKEN")
        .ok()
        .filter(|token| !token.is_empty())
}

fn no_key(message: &str, help: &str) -> Failure {
    Failure::new(
        &codes::CONFIG_KEYSTORE,
        format!("no key to sign with: {message}"),
    )
    .with_help(format!(
        "{help}; --key-file FILE and OUTCRY_ACCOUNT_KEY work too"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn load(text: &str) -> Result<ConfigFile, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        ConfigFile::load(&path)
    }

    #[test]
    fn an_unknown_key_is_refused_by_name_and_line() {
        let failure = load("api = \"http://127.0.0.1:1\"\ncolor = true\n").unwrap_err();
        assert_eq!((failure.code.as_str(), failure.exit), ("C-001", 2));
        assert!(
            failure.message.contains("color") && failure.message.contains("line 2"),
            "{}",
            failure.message
        );
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_refused() {
        assert_eq!(load("output = \"xml\"").unwrap_err().code, "C-002");
        assert_eq!(load("key = 5").unwrap_err().code, "C-002");
    }

    #[test]
    fn paths_are_relative_to_the_file_that_names_them() {
        let config = load("network = \"net/network.toml\"").unwrap();
        assert!(config.network.unwrap().is_absolute());
    }
}
