//! From a program and its inputs to a job: archives, manifest, linked image, header.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use alloy::primitives::B256;
use bytes::Bytes;
use outcry_protocol::codes;
use outcry_protocol::hash;
use outcry_protocol::limits::{PAGE_LIMIT_MAX, PAGES_PER_MIB, TASKS_PER_JOB_MAX};
use outcry_protocol::types::JobSpec;
use outcry_verifier::archive::input::Invocation;
use outcry_verifier::archive::{ArchiveError, Writer, folder};
use outcry_verifier::{Image, LoadError, guest, link_with_library};

use crate::api::BlobHash;
use crate::error::Error;
use crate::manifest::{BlobRef, Manifest, TaskInput};

/// What a task may use at most. Part of the job, so a run that exceeds one ends alike everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Cycles.
    pub cycles: u64,
    /// MiB of memory, the in-machine WASI library's own included. 4096 are the most that a program can
    /// address; more counts as that.
    pub memory_mib: u32,
    /// Frame slots of 8 bytes in use at once.
    pub slots: u64,
    /// Bytes of the output archive.
    pub output_bytes: u64,
}

impl Default for Limits {
    /// 10^12 cycles (half an hour on a usual core), 1 GiB, the deepest stack, 64 MiB of output.
    fn default() -> Self {
        Self {
            cycles: 1_000_000_000_000,
            memory_mib: 1024,
            slots: outcry_verifier::limits::SLOT_LIMIT,
            output_bytes: 64 << 20,
        }
    }
}

/// A program with its arguments, environment and inputs.
///
/// ```no_run
/// use outcry_sdk::{JobBuilder, Limits};
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let job = JobBuilder::wasm("count.wasm", std::fs::read("count.wasm")?)
///     .args(["--words"])
///     .input_folder("texts")
///     .limits(Limits { cycles: 10_000_000_000, ..Limits::default() })
///     .build(outcry_sdk::Node::new("http://127.0.0.1:7480")?.status().await?.peer_key)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct JobBuilder {
    program: Bytes,
    invocation: Invocation,
    variables: Vec<String>,
    /// Files of the program's own, by path below `/app`.
    app: BTreeMap<String, Bytes>,
    inputs: Vec<Input>,
    tasks: Option<u32>,
    limits: Limits,
}

/// What lies below `/in` of a task.
#[derive(Clone, Debug)]
enum Input {
    Folder(PathBuf),
    Files(BTreeMap<String, Vec<u8>>),
}

impl JobBuilder {
    /// A program in WebAssembly; `name` becomes `argv[0]`.
    pub fn wasm(name: &str, program: impl Into<Bytes>) -> Self {
        Self {
            program: program.into(),
            invocation: Invocation {
                args: vec![name.to_owned()],
                ..Invocation::default()
            },
            variables: Vec::new(),
            app: BTreeMap::new(),
            inputs: Vec::new(),
            tasks: None,
            limits: Limits::default(),
        }
    }

    /// A Python script and the CPython program that runs it. The script lies in `/app`, so that
    /// `/in` holds the inputs and nothing else; `sys.argv[0]` is its path.
    pub fn python(cpython: impl Into<Bytes>, name: &str, script: impl Into<Bytes>) -> Self {
        let mut job = Self::wasm("python", cpython);
        job.invocation.args.push(format!("/app/{name}"));
        job.app.insert(name.to_owned(), script.into());
        job
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.invocation
            .args
            .extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds variables, each as `NAME=value`.
    #[must_use]
    pub fn env<S: Into<String>>(mut self, variables: impl IntoIterator<Item = S>) -> Self {
        self.variables.extend(variables.into_iter().map(Into::into));
        self
    }

    /// Sets what the program reads from standard input; nothing by default.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.invocation.stdin = Some(bytes.into());
        self
    }

    /// Adds a folder of input files, mounted at `/in`. One serves every task; of several, task i
    /// gets the i-th.
    #[must_use]
    pub fn input_folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.inputs
            .push(Input::Folder(folder.as_ref().to_path_buf()));
        self
    }

    /// The same with files in memory, by their path below `/in`.
    #[must_use]
    pub fn input_files(mut self, files: BTreeMap<String, Vec<u8>>) -> Self {
        self.inputs.push(Input::Files(files));
        self
    }

    /// Sets the number of tasks: by default the number of input folders, at least one.
    #[must_use]
    pub fn tasks(mut self, tasks: u32) -> Self {
        self.tasks = Some(tasks);
        self
    }

    /// Sets the limits of a task.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Links the program and packs the inputs. `source` is the key of the node that will serve the
    /// blobs, see [`crate::Node::status`].
    ///
    /// # Errors
    /// [`Error::Program`] naming feature and offset, [`Error::Input`], [`Error::Order`].
    pub fn build(self, source: B256) -> Result<Job, Error> {
        let folders = u32::try_from(self.inputs.len()).unwrap_or(u32::MAX);
        let tasks = self.tasks.unwrap_or(folders.max(1));
        if tasks == 0 || tasks > TASKS_PER_JOB_MAX {
            return Err(Error::Input(format!(
                "{tasks} tasks are not between 1 and {TASKS_PER_JOB_MAX}"
            )));
        }
        if folders > 1 && folders != tasks {
            return Err(Error::Input(format!(
                "{folders} input folders for {tasks} tasks: give one, or one for each"
            )));
        }
        let image = link(&self.program)?;
        let mut invocation = self.invocation;
        for variable in &self.variables {
            let (name, value) = variable.split_once('=').ok_or_else(|| {
                Error::Input(format!("the variable `{variable}` is not NAME=value"))
            })?;
            invocation.env.insert(name.to_owned(), value.to_owned());
        }
        let nothing = [Input::Files(BTreeMap::new())];
        let folders = if self.inputs.is_empty() {
            &nothing[..]
        } else {
            &self.inputs[..]
        };
        let archives = folders
            .iter()
            .map(|input| {
                let archive =
                    pack(&invocation, &self.app, input).map_err(|e| Error::Input(e.to_string()))?;
                Ok((TaskInput::of(&archive), Bytes::from(archive)))
            })
            .collect::<Result<Vec<_>, Error>>()?;
        let (entries, inputs) = archives
            .iter()
            .cycle()
            .take(tasks as usize)
            .cloned()
            .unzip();
        let program = BlobRef {
            blake3: BlobHash::of(&self.program),
            length: self.program.len() as u64,
        };
        let manifest = Manifest::new(program, entries);
        let spec = JobSpec {
            machineVersion: guest::MACHINE_VERSION,
            imageRoot: image.root(),
            inputsRoot: manifest.inputs_root()?,
            manifest: manifest.hash(),
            source,
            cycleLimit: self.limits.cycles,
            pageLimit: self
                .limits
                .memory_mib
                .saturating_mul(PAGES_PER_MIB)
                .min(PAGE_LIMIT_MAX),
            slotLimit: self.limits.slots,
            outputLimit: self.limits.output_bytes,
            taskCount: tasks,
        };
        outcry_protocol::order::validate_job(&spec)?;
        Ok(Job {
            spec,
            manifest,
            program: self.program,
            inputs,
            image,
        })
    }
}

/// A job with everything that it consists of.
#[derive(Clone, Debug)]
pub struct Job {
    spec: JobSpec,
    manifest: Manifest,
    program: Bytes,
    inputs: Vec<Bytes>,
    image: Image,
}

impl Job {
    /// Puts a job together from blobs that were fetched, and checks every root against `spec`.
    ///
    /// # Errors
    /// [`Error::Manifest`], [`Error::Program`], [`Error::Input`] for whatever does not lead to
    /// `spec`.
    pub fn from_blobs(
        spec: JobSpec,
        manifest: Manifest,
        program: Bytes,
        inputs: Vec<Bytes>,
    ) -> Result<Self, Error> {
        if manifest.hash() != spec.manifest || manifest.inputs_root()? != spec.inputsRoot {
            return Err(Error::Manifest(
                "it is not the one that the job names".to_owned(),
            ));
        }
        if manifest.tasks.len() != spec.taskCount as usize || inputs.len() != manifest.tasks.len() {
            return Err(Error::Manifest(
                "its tasks are not those of the job".to_owned(),
            ));
        }
        for (index, (input, entry)) in inputs.iter().zip(&manifest.tasks).enumerate() {
            if TaskInput::of(input) != *entry {
                return Err(Error::Input(format!(
                    "the input of task {index} is not the one that the job names"
                )));
            }
        }
        let image = link(&program)?;
        if image.root() != spec.imageRoot {
            let reason = format!(
                "it links to the image {}, the job names {}",
                image.root(),
                spec.imageRoot
            );
            return Err(Error::Program {
                reason,
                code: &codes::PROGRAM_ROOT,
            });
        }
        Ok(Self {
            spec,
            manifest,
            program,
            inputs,
            image,
        })
    }

    /// The header that the bid commits to.
    pub fn spec(&self) -> &JobSpec {
        &self.spec
    }

    /// Hash of the header.
    pub fn hash(&self) -> B256 {
        hash::job_hash(&self.spec)
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The program as it was before linking.
    pub fn program(&self) -> &Bytes {
        &self.program
    }

    /// The linked program.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The input archive of a task; `None` beyond the last.
    pub fn input(&self, task: u32) -> Option<&Bytes> {
        self.inputs.get(task as usize)
    }

    /// Every blob that a provider needs, each once: manifest, program, input archives.
    pub fn blobs(&self) -> Vec<(BlobHash, Bytes)> {
        let manifest = Bytes::from(self.manifest.to_bytes());
        let mut blobs = vec![
            (BlobHash::of(&manifest), manifest),
            (self.manifest.program.blake3, self.program.clone()),
        ];
        let mut seen = HashSet::new();
        for (entry, input) in self.manifest.tasks.iter().zip(&self.inputs) {
            if seen.insert(entry.blake3) {
                blobs.push((entry.blake3, input.clone()));
            }
        }
        blobs
    }
}

/// An input archive.
fn pack(
    invocation: &Invocation,
    app: &BTreeMap<String, Bytes>,
    input: &Input,
) -> Result<Vec<u8>, ArchiveError> {
    let mut archive = Writer::new(Vec::new());
    invocation.write(&mut archive)?;
    for (path, content) in app {
        archive.file(&format!("app/{path}"), content)?;
    }
    match input {
        Input::Folder(folder) => folder::append(&mut archive, "in", folder)?,
        Input::Files(files) => {
            for (path, content) in files {
                archive.file(&format!("in/{path}"), content)?;
            }
        }
    }
    archive.finish()
}

fn link(program: &[u8]) -> Result<Image, Error> {
    link_with_library(program, guest::LIBRARY).map_err(|error| Error::Program {
        code: match &error {
            LoadError::Feature { .. } => &codes::PROGRAM_FEATURE,
            LoadError::Limit { .. } => &codes::PROGRAM_LIMIT,
            LoadError::UnknownImport { .. } | LoadError::ImportType { .. } => {
                &codes::PROGRAM_IMPORT
            }
            _ => &codes::PROGRAM_MALFORMED,
        },
        reason: error.to_string(),
    })
}
