//! The configuration: print, check.

use outcry_protocol::codes;
use serde::Serialize;

use crate::args::{Config, ConfigArgs, Start};
use crate::console::{Console, Show};
use crate::failure::Failure;
use crate::host::Host;
use crate::settings::{ConfigFile, Settings};
use crate::verbs::node::requested;

pub(crate) fn config(
    verb: &Config,
    settings: &Settings,
    host: &dyn Host,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    match verb {
        Config::Print(args) if args.example => console.raw(host.example_config().as_bytes())?,
        Config::Print(args) => {
            let text = text(args, settings, host)?;
            let table: toml::Table = text.parse().map_err(Failure::internal)?;
            console.result(settings.format(), &Printed { text, table })?;
        }
        Config::Check(args) => {
            text(args, settings, host)?;
            if args.node_config.is_none() && settings.network_file().is_some() {
                settings.network()?;
            }
            console.result(settings.format(), &Checked { valid: true })?;
        }
    }
    Ok(0)
}

/// The effective configuration as TOML.
fn text(args: &ConfigArgs, settings: &Settings, host: &dyn Host) -> Result<String, Failure> {
    if args.example {
        return Err(Failure::usage(
            "--example shows a configuration; there is nothing to check",
        ));
    }
    if let Some(path) = &args.node_config {
        let start = Start {
            node_config: Some(path.clone()),
            data_dir: None,
            set: Vec::new(),
        };
        return Ok(host.effective_config(requested(&start, settings)?)?);
    }
    let (flags, file) = (&settings.global, &settings.file);
    let network = settings
        .network_file()
        .map(|_| settings.network())
        .transpose()?;
    let effective = ConfigFile {
        network: settings.network_file(),
        api: network.as_ref().map(|network| network.api.clone()),
        rpc: network.as_ref().map(|network| network.rpc.clone()),
        key: flags.key.clone().or_else(|| file.key.clone()),
        key_file: flags
            .key_file
            .clone()
            .or_else(|| file.key_file.clone())
            .or_else(|| {
                network
                    .as_ref()
                    .and_then(|network| network.key_file.clone())
            }),
        password_file: flags
            .password_file
            .clone()
            .or_else(|| file.password_file.clone()),
        token: match &network {
            Some(network) => Some(settings.token(network)?.symbol),
            None => flags.token.clone().or_else(|| file.token.clone()),
        },
        output: Some(settings.format()),
        python: file
            .python
            .clone()
            .or_else(|| network.and_then(|network| network.python)),
    };
    toml::to_string(&effective).map_err(|e| Failure::new(&codes::CONFIG_VALUE, e.to_string()))
}

struct Printed {
    text: String,
    table: toml::Table,
}

impl Serialize for Printed {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.table.serialize(serializer)
    }
}

impl Show for Printed {
    fn table(&self) -> String {
        self.text.clone()
    }
}

#[derive(Serialize)]
struct Checked {
    valid: bool,
}

impl Show for Checked {
    fn table(&self) -> String {
        "the configuration is valid".to_owned()
    }
}
