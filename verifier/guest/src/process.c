// The program's beginning and end, and what a process without siblings needs not do.
#include "archive.h"
#include "arguments.h"
#include "descriptor.h"
#include "machine.h"
#include "output.h"
#include "random.h"
#include "task.h"
#include "tree.h"

EXPORT(outcry_start) void outcry_start(void) {
    task_read();
    random_seed(task.job_hash, task.index);
    tree_start();
    archive_mount();
    arguments_start();
    descriptor_start();
}

EXPORT(outcry_exit) _Noreturn void outcry_exit(uint32_t code) {
    output_write();
    host_exit(code);
}

EXPORT(proc_exit) _Noreturn void proc_exit(uint32_t code) { outcry_exit(code); }

EXPORT(proc_raise) wasi_errno proc_raise(uint32_t signal) {
    (void)signal;
    return E_NOSYS;
}

EXPORT(sched_yield) wasi_errno sched_yield(void) { return E_OK; }
