//! Keys: new, import, list.

use alloy::primitives::Address;
use outcry_sdk::{load_key_file, needs_password, parse_key};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::args::Keys;
use crate::console::{Console, Show, columns};
use crate::failure::Failure;
use crate::settings::Settings;

pub(crate) fn keys(
    verb: &Keys,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let keystore = settings.keystore();
    if settings.global.dry_run && !matches!(verb, Keys::List) {
        return Err(Failure::usage(
            "a key is made or it is not: there is nothing to show before",
        ));
    }
    match verb {
        Keys::New { name } => {
            let password = new_password(settings, console)?;
            let address = keystore.create(name, &password)?;
            console.result(
                settings.format(),
                &Made {
                    name: name.clone(),
                    address,
                },
            )?;
        }
        Keys::Import { name, file } => {
            let signer = match file {
                Some(path) if needs_password(path)? => {
                    let password =
                        settings.password(&format!("Password of {}: ", path.display()), console)?;
                    load_key_file(path, Some(&password))?
                }
                Some(path) => load_key_file(path, None)?,
                None if console.interactive => {
                    let text = rpassword::prompt_password("Key, 64 hexadecimal digits: ")
                        .map_err(Failure::internal)?;
                    parse_key(&Zeroizing::new(text)).map_err(Failure::usage)?
                }
                None => {
                    return Err(Failure::usage(
                        "nobody can be asked for the key; name a file of mode 0600",
                    ));
                }
            };
            let password = new_password(settings, console)?;
            let address = keystore.import(name, &signer, &password)?;
            console.result(
                settings.format(),
                &Made {
                    name: name.clone(),
                    address,
                },
            )?;
        }
        Keys::List => {
            let entries = keystore.list()?;
            let rows = entries.into_iter().map(|entry| Row {
                name: entry.name,
                address: entry.address,
                path: entry.path,
            });
            console.result(settings.format(), &List(rows.collect()))?;
        }
    }
    Ok(0)
}

/// A password for a new key; asked for twice where it is typed.
fn new_password(
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<Zeroizing<String>, Failure> {
    if let Some(given) = settings.given_password()? {
        return Ok(given);
    }
    let first = settings.password("New password: ", console)?;
    let second = settings.password("The same again: ", console)?;
    match *first == *second {
        true if !first.is_empty() => Ok(first),
        true => Err(Failure::usage("the password is empty")),
        false => Err(Failure::usage("the two passwords differ")),
    }
}

#[derive(Serialize)]
struct Made {
    name: String,
    address: Address,
}

impl Show for Made {
    fn table(&self) -> String {
        self.address.to_string()
    }
}

#[derive(Serialize)]
struct Row {
    name: String,
    address: Option<Address>,
    path: std::path::PathBuf,
}

#[derive(Serialize)]
struct List(Vec<Row>);

impl Show for List {
    fn table(&self) -> String {
        let rows: Vec<_> = self
            .0
            .iter()
            .map(|row| {
                [
                    row.name.clone(),
                    row.address
                        .map_or("?".to_owned(), |address| address.to_string()),
                    row.path.display().to_string(),
                ]
            })
            .collect();
        columns(["NAME", "ACCOUNT", "FILE"], &rows)
    }
}
