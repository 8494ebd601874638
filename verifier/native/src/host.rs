//! The three host operations, and the host's say in growing memories and tables.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use outcry_protocol::merkle;
use outcry_verifier::limits;
use outcry_verifier::meter::abi;
use outcry_verifier::task::TaskHeader;
use wasmtime::{Caller, Extern, Func, Memory, Module, ResourceLimiter, Store};

use crate::EngineFailure;
use crate::streams::{Input, Output};

/// Streams of `read_input`.
const HEADER_STREAM: i32 = 0;
const ARCHIVE_STREAM: i32 = 1;

/// Why a host operation ended the run.
#[derive(Debug)]
pub(crate) enum Stop {
    /// `exit(code)`; in a fast run with the register that came along.
    Exit {
        code: i32,
        cycles_left: Option<i64>,
    },
    /// A pointer outside the library's memory or an unknown stream.
    Trap,
    OutputLimit,
    Failure(EngineFailure),
}

/// What a store holds for one run.
pub(crate) struct Host<I, O> {
    pub(crate) header: [u8; TaskHeader::BYTES],
    pub(crate) input: I,
    pub(crate) output: O,
    pub(crate) output_limit_bytes: u64,
    pub(crate) output_bytes: u64,
    pub(crate) output_root: merkle::Builder,
    pub(crate) stop: Option<Stop>,
    pub(crate) interrupt: Arc<AtomicBool>,
    pub(crate) growth: Growth,
    memory: Option<Memory>,
}

/// Decides on growth: deterministically by the job's limits, or not at all.
pub(crate) struct Growth {
    pages_limit: u64,
    pages: u64,
    /// The image's initial memories exceed the limit.
    pub(crate) refused_at_start: bool,
    /// The host refused what the job's limits allow.
    pub(crate) failure: Option<String>,
}

impl Growth {
    pub(crate) fn new(pages_limit: u32) -> Self {
        Self {
            pages_limit: pages_limit.into(),
            pages: 0,
            refused_at_start: false,
            failure: None,
        }
    }
}

const PAGE_BYTES: usize = 1 << 16;

impl<I: Input, O: Output> ResourceLimiter for Host<I, O> {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let pages = self.growth.pages + ((desired - current) / PAGE_BYTES) as u64;
        if pages > self.growth.pages_limit {
            self.growth.refused_at_start |= current == 0 && self.memory.is_none();
            return Ok(false);
        }
        self.growth.pages = pages;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        // More than 4 GiB: refused before `memory_growing` was asked, and rightly so. Anything else
        // is the host's failure, because `memory_growing` had agreed.
        let message = format!("{error:#}");
        if message.contains("exceeds memory type's limits") {
            return Ok(());
        }
        self.growth.failure = Some(message);
        Err(error)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired
            <= maximum
                .unwrap_or(usize::MAX)
                .min(limits::TABLE_ENTRIES as usize))
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.growth.failure = Some(format!("{error:#}"));
        Err(error)
    }
}

impl<I: Input, O: Output> Host<I, O> {
    pub(crate) fn new(
        header: &TaskHeader,
        input: I,
        output: O,
        output_limit_bytes: u64,
        pages: u32,
        interrupt: Arc<AtomicBool>,
    ) -> Self {
        Self {
            header: header.to_bytes(),
            input,
            output,
            output_limit_bytes,
            output_bytes: 0,
            output_root: merkle::Builder::for_bytes(output_limit_bytes),
            stop: None,
            interrupt,
            growth: Growth::new(pages),
            memory: None,
        }
    }

    fn read_input(
        &mut self,
        memory: &mut [u8],
        stream: i32,
        offset: i64,
        dst: i32,
        len: i32,
    ) -> Result<i32, Stop> {
        let target = span(dst, len)
            .and_then(|span| memory.get_mut(span))
            .ok_or(Stop::Trap)?;
        let count = match stream {
            HEADER_STREAM => self.header.read_at(offset as u64, target),
            ARCHIVE_STREAM => self.input.read_at(offset as u64, target),
            _ => return Err(Stop::Trap),
        };
        // At most `len`, which came as an i32.
        count
            .map(|count| count as i32)
            .map_err(|source| failure("reading the input", source))
    }

    fn append_output(&mut self, memory: &[u8], src: i32, len: i32) -> Result<(), Stop> {
        let source = span(src, len)
            .and_then(|span| memory.get(span))
            .ok_or(Stop::Trap)?;
        if self.output_bytes + source.len() as u64 > self.output_limit_bytes {
            return Err(Stop::OutputLimit);
        }
        self.output_bytes += source.len() as u64;
        self.output
            .append(source)
            .map_err(|source| failure("writing the output", source))?;
        // Cannot fail: the tree holds as many bytes as the limit.
        self.output_root
            .write(source)
            .map_err(|error| Stop::Failure(EngineFailure::Engine(error.to_string())))
    }
}

fn failure(what: &'static str, source: std::io::Error) -> Stop {
    Stop::Failure(EngineFailure::Io { what, source })
}

fn span(start: i32, len: i32) -> Option<std::ops::Range<usize>> {
    let start = start as u32 as usize;
    Some(start..start.checked_add(len as u32 as usize)?)
}

/// Runs a host operation; what stops the run is left in the store.
fn operate<I: Input, O: Output, T>(
    mut caller: Caller<'_, Host<I, O>>,
    operation: impl FnOnce(&mut Host<I, O>, &mut [u8]) -> Result<T, Stop>,
) -> wasmtime::Result<T> {
    let memory = match caller.data().memory {
        Some(memory) => memory,
        None => {
            let memory = caller
                .get_export(abi::LIBRARY_MEMORY)
                .and_then(Extern::into_memory);
            let memory = memory
                .ok_or_else(|| wasmtime::Error::msg("the module exports no library memory"))?;
            caller.data_mut().memory = Some(memory);
            memory
        }
    };
    let (bytes, host) = memory.data_and_store_mut(&mut caller);
    let result = if host.interrupt.load(Ordering::Relaxed) {
        Err(Stop::Failure(EngineFailure::Interrupted))
    } else {
        operation(host, bytes)
    };
    result.map_err(|stop| {
        host.stop = Some(stop);
        wasmtime::Error::msg("the run was stopped by a host operation")
    })
}

/// The imports of an image in their order. A fast module hands its register to `exit`.
pub(crate) fn imports<I: Input, O: Output>(
    store: &mut Store<Host<I, O>>,
    module: &Module,
) -> Vec<Extern> {
    let is_fast = module
        .imports()
        .last()
        .is_some_and(|exit| exit.ty().func().is_some_and(|ty| ty.params().len() == 2));
    let read_input = Func::wrap(
        &mut *store,
        |caller: Caller<'_, Host<I, O>>, stream: i32, offset: i64, dst: i32, len: i32| {
            operate(caller, |host, memory| {
                host.read_input(memory, stream, offset, dst, len)
            })
        },
    );
    let append_output = Func::wrap(
        &mut *store,
        |caller: Caller<'_, Host<I, O>>, src: i32, len: i32| {
            operate(caller, |host, memory| host.append_output(memory, src, len))
        },
    );
    let exit = if is_fast {
        Func::wrap(
            &mut *store,
            |caller: Caller<'_, Host<I, O>>, code: i32, cycles: i64| {
                operate(caller, |_, _| {
                    Err::<(), _>(Stop::Exit {
                        code,
                        cycles_left: Some(cycles),
                    })
                })
            },
        )
    } else {
        Func::wrap(&mut *store, |caller: Caller<'_, Host<I, O>>, code: i32| {
            operate(caller, |_, _| {
                Err::<(), _>(Stop::Exit {
                    code,
                    cycles_left: None,
                })
            })
        })
    };
    vec![read_input.into(), append_output.into(), exit.into()]
}
