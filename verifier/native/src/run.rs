//! One run of a task: the fast variant first, the exact one where the fast one cannot tell.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use outcry_protocol::status::{Outcome, Status};
use outcry_verifier::limits;
use outcry_verifier::meter::abi;
use outcry_verifier::task::{Halted, RunLimits, TaskHeader};
use wasmtime::{Instance, Module, Store, Trap, Val};

use crate::engine::{HOST_STACK_BYTES, STACK_BYTES};
use crate::host::{Host, Stop, imports};
use crate::streams::{Input, Output};
use crate::{CompiledImage, EngineFailure};

/// What is run beside the image.
#[derive(Debug, Clone)]
pub struct Task {
    /// What the program's library reads as stream 0.
    pub header: TaskHeader,
    /// The job's limits.
    pub limits: RunLimits,
    interrupt: Arc<AtomicBool>,
}

impl Task {
    /// A task that nobody interrupts yet.
    #[must_use]
    pub fn new(header: TaskHeader, limits: RunLimits) -> Self {
        Self {
            header,
            limits,
            interrupt: Arc::default(),
        }
    }

    /// A switch that ends the run at its next host operation as [`EngineFailure::Interrupted`].
    /// A program that calls none is not stopped by it: run it in a process that can be killed.
    #[must_use]
    pub fn interrupt(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.interrupt)
    }
}

/// Which of the two modules runs; only tests choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    Fast,
    Exact,
}

/// How a variant's run ended.
#[derive(Debug)]
enum End {
    Exited { code: u32, cycles: u64 },
    OutOfCycles,
    OutOfSlots { cycles: u64 },
    OutputLimit { cycles: u64 },
    Trapped { cycles: u64 },
}

impl CompiledImage {
    /// Runs a task to its end. Blocks; runs the program on a thread of its own with a large stack.
    ///
    /// The output is handed back with what was appended to it: the archive if the program exited,
    /// nothing otherwise.
    ///
    /// # Errors
    /// [`EngineFailure`]: the run says nothing about the program and must not be claimed.
    pub fn run<I: Input, O: Output>(
        &self,
        task: &Task,
        input: I,
        output: O,
    ) -> Result<(Halted, O), EngineFailure> {
        self.on_big_stack(task, input, output, |host| {
            self.run_fast_then_exact(task, host)
        })
    }

    /// Runs the exact variant only: slower, with the same result. For tests and audits.
    ///
    /// # Errors
    /// As [`CompiledImage::run`].
    pub fn run_exact<I: Input, O: Output>(
        &self,
        task: &Task,
        input: I,
        output: O,
    ) -> Result<(Halted, O), EngineFailure> {
        self.on_big_stack(task, input, output, |host| {
            let (end, host) = self.run_variant(Variant::Exact, task, host)?;
            finish(task, &end, host)
        })
    }

    fn on_big_stack<I: Input, O: Output>(
        &self,
        task: &Task,
        input: I,
        output: O,
        body: impl FnOnce(Host<I, O>) -> Result<(Halted, O), EngineFailure> + Send,
    ) -> Result<(Halted, O), EngineFailure> {
        let limits = task.limits;
        for (what, value, max) in [
            ("cycles", limits.cycles, limits::CYCLE_LIMIT),
            ("pages", limits.pages.into(), limits::PAGE_LIMIT),
            ("frame slots", limits.slots, limits::SLOT_LIMIT),
            (
                "output bytes",
                limits.output_bytes,
                outcry_protocol::limits::OUTPUT_LIMIT_MAX,
            ),
        ] {
            if value > max {
                return Err(EngineFailure::UnsupportedLimit { what, value, max });
            }
        }
        let interrupt = task.interrupt();
        let host = Host::new(
            &task.header,
            input,
            output,
            limits.output_bytes,
            limits.pages,
            interrupt,
        );
        std::thread::scope(|scope| {
            std::thread::Builder::new()
                .name("outcry-run".to_owned())
                .stack_size(STACK_BYTES + HOST_STACK_BYTES)
                .spawn_scoped(scope, || body(host))
                .map_err(|error| EngineFailure::HostMemory(error.to_string()))?
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn run_fast_then_exact<I: Input, O: Output>(
        &self,
        task: &Task,
        host: Host<I, O>,
    ) -> Result<(Halted, O), EngineFailure> {
        let (fast, mut host) = self.run_variant(Variant::Fast, task, host)?;
        if matches!(fast, End::Exited { .. } | End::OutOfCycles) {
            return finish(task, &fast, host);
        }
        host.output.restart().map_err(|source| EngineFailure::Io {
            what: "writing the output",
            source,
        })?;
        let interrupt = task.interrupt();
        let host = Host::new(
            &task.header,
            host.input,
            host.output,
            task.limits.output_bytes,
            task.limits.pages,
            interrupt,
        );
        let (exact, host) = self.run_variant(Variant::Exact, task, host)?;
        // Merged charges may hide which of two limits came first, and the slot check may be early;
        // but a trap or too much output in one variant is never a normal end in the other.
        let agree = matches!(
            (&fast, &exact),
            (End::OutOfSlots { .. }, _)
                | (_, End::OutOfCycles)
                | (End::Trapped { .. }, End::Trapped { .. })
                | (End::OutputLimit { .. }, End::OutputLimit { .. })
        );
        if !agree {
            return Err(EngineFailure::Divergence(format!("{fast:?}, {exact:?}")));
        }
        finish(task, &exact, host)
    }

    fn run_variant<I: Input, O: Output>(
        &self,
        variant: Variant,
        task: &Task,
        host: Host<I, O>,
    ) -> Result<(End, Host<I, O>), EngineFailure> {
        let module = match variant {
            Variant::Fast => self.fast(),
            Variant::Exact => self.exact()?,
        };
        let mut store = Store::new(self.engine.wasmtime(), host);
        store.limiter(|host| host);
        let end = execute(&mut store, module, variant, task)?;
        Ok((end, store.into_data()))
    }
}

/// Instantiates and runs a module; the error is an engine failure.
fn execute<I: Input, O: Output>(
    store: &mut Store<Host<I, O>>,
    module: &Module,
    variant: Variant,
    task: &Task,
) -> Result<End, EngineFailure> {
    let imports = imports(store, module);
    let instance = match Instance::new(&mut *store, module, &imports) {
        Ok(instance) => instance,
        Err(_) if store.data().growth.refused_at_start => return Ok(End::Trapped { cycles: 0 }),
        Err(error) => return Err(EngineFailure::HostMemory(format!("{error:#}"))),
    };
    let (cycles, slots) = (task.limits.cycles as i64, task.limits.slots);
    let called = match variant {
        Variant::Fast => {
            let run = instance.get_typed_func::<(i32, i64), i64>(&mut *store, abi::RUN)?;
            run.call(&mut *store, (slots as i32, cycles)).map(|_| ())
        }
        Variant::Exact => {
            set_global(store, &instance, abi::CYCLES, cycles)?;
            set_global(store, &instance, abi::SLOTS, slots as i64)?;
            instance
                .get_typed_func::<(), ()>(&mut *store, abi::RUN)?
                .call(&mut *store, ())
        }
    };
    let Err(error) = called else {
        return Err(EngineFailure::Engine(
            "the image's entry returned".to_owned(),
        ));
    };
    if let Some(message) = store.data_mut().growth.failure.take() {
        return Err(EngineFailure::HostMemory(message));
    }
    // What the exact module's register shows; a fast run's is unknown unless it exits.
    let left = match variant {
        Variant::Exact => global(store, &instance, abi::CYCLES)?.i64().unwrap_or(0),
        Variant::Fast => cycles,
    };
    let used = |left: i64| (cycles - left) as u64;
    let end = match store.data_mut().stop.take() {
        Some(Stop::Exit { code, cycles_left }) => {
            let left = cycles_left.unwrap_or(left);
            if left < 0 {
                End::OutOfCycles
            } else {
                End::Exited {
                    code: code as u32,
                    cycles: used(left),
                }
            }
        }
        Some(Stop::OutputLimit) => End::OutputLimit { cycles: used(left) },
        Some(Stop::Trap) => End::Trapped { cycles: used(left) },
        Some(Stop::Failure(failure)) => return Err(failure),
        None => {
            let trap = error.downcast_ref::<Trap>().copied();
            let status = global(store, &instance, abi::STATUS)?
                .i32()
                .unwrap_or(abi::STATUS_NONE);
            match (trap, status, variant) {
                (Some(Trap::UnreachableCodeReached), abi::STATUS_OUT_OF_SLOTS, _) => {
                    End::OutOfSlots { cycles: used(left) }
                }
                (Some(Trap::UnreachableCodeReached), abi::STATUS_OUT_OF_CYCLES, Variant::Exact)
                | (Some(Trap::UnreachableCodeReached), abi::STATUS_NONE, Variant::Fast) => {
                    End::OutOfCycles
                }
                (
                    Some(
                        Trap::UnreachableCodeReached
                        | Trap::MemoryOutOfBounds
                        | Trap::TableOutOfBounds
                        | Trap::IndirectCallToNull
                        | Trap::BadSignature
                        | Trap::IntegerOverflow
                        | Trap::IntegerDivisionByZero
                        | Trap::BadConversionToInteger,
                    ),
                    _,
                    _,
                ) => End::Trapped { cycles: used(left) },
                (Some(Trap::StackOverflow), _, _) => return Err(EngineFailure::NativeStack),
                _ => return Err(error.into()),
            }
        }
    };
    Ok(end)
}

fn set_global<T: 'static>(
    store: &mut Store<T>,
    instance: &Instance,
    name: &str,
    value: i64,
) -> Result<(), EngineFailure> {
    let global = instance.get_global(&mut *store, name);
    let global = global.ok_or_else(|| EngineFailure::Engine(format!("no global `{name}`")))?;
    Ok(global.set(store, Val::I64(value))?)
}

fn global<T: 'static>(
    store: &mut Store<T>,
    instance: &Instance,
    name: &str,
) -> Result<Val, EngineFailure> {
    let global = instance.get_global(&mut *store, name);
    let global = global.ok_or_else(|| EngineFailure::Engine(format!("no global `{name}`")))?;
    Ok(global.get(store))
}

/// What is claimed of a run that ended so; the output is emptied unless the program exited.
fn finish<I: Input, O: Output>(
    task: &Task,
    end: &End,
    host: Host<I, O>,
) -> Result<(Halted, O), EngineFailure> {
    let Host {
        mut output,
        output_bytes,
        output_root,
        output_limit_bytes,
        ..
    } = host;
    let stopped = |status| Outcome::stopped(status, output_limit_bytes);
    let (cycles, outcome) = match *end {
        End::Exited { code, cycles } => {
            let output_root = output_root.finish();
            let outcome = Outcome {
                status: Status::Exited,
                exit_code: code,
                output_root,
                output_length: output_bytes,
            };
            return Ok((Halted { cycles, outcome }, output));
        }
        End::OutOfCycles => (task.limits.cycles, stopped(Status::OutOfCycles)),
        End::OutOfSlots { cycles } => (cycles, stopped(Status::OutOfFrameSlots)),
        End::OutputLimit { cycles } => (cycles, stopped(Status::OutputLimitExceeded)),
        End::Trapped { cycles } => (cycles, stopped(Status::Trapped)),
    };
    output.restart().map_err(|source| EngineFailure::Io {
        what: "writing the output",
        source,
    })?;
    Ok((Halted { cycles, outcome }, output))
}
