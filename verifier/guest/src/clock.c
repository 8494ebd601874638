// Time is a function of the job alone: all clocks advance by one microsecond with every look at
// one, and by what a program sleeps. So a program that waits for a second in a loop ends after a
// million looks, and one that measures itself sees small, positive, reproducible durations.
#include "clock.h"

#include "machine.h"
#include "wasi.h"

enum { CLOCK_REALTIME = 0, CLOCK_COUNT = 4, STEP_NS = 1000 };
// 2026-01-01T00:00:00Z: after 1980, which ZIP needs, and the same for every job.
#define EPOCH_NS (UINT64_C(1767225600) * 1000000000)
// Clocks stop here, some 500 years on, far from the end of 64 bits.
#define ELAPSED_MAX_NS (UINT64_C(1) << 63)

static uint64_t elapsed_ns;

uint64_t clock_elapsed_ns(void) { return elapsed_ns; }
uint64_t clock_now_ns(void) { return EPOCH_NS + elapsed_ns; }

bool clock_read(uint32_t id, uint64_t *now_ns) {
    *now_ns = id == CLOCK_REALTIME ? clock_now_ns() : elapsed_ns;
    return id < CLOCK_COUNT;
}

void clock_pass(uint64_t duration_ns) {
    elapsed_ns = duration_ns > ELAPSED_MAX_NS - elapsed_ns ? ELAPSED_MAX_NS : elapsed_ns + duration_ns;
}

EXPORT(clock_res_get) wasi_errno clock_res_get(uint32_t id, user_addr resolution) {
    if (id >= CLOCK_COUNT) return E_INVAL;
    if (!user_holds(resolution, 8)) return E_FAULT;
    user_store64(resolution, STEP_NS);
    return E_OK;
}

EXPORT(clock_time_get) wasi_errno clock_time_get(uint32_t id, uint64_t precision_ns, user_addr time) {
    (void)precision_ns;
    uint64_t now_ns;
    if (id >= CLOCK_COUNT) return E_INVAL;
    if (!user_holds(time, 8)) return E_FAULT;
    clock_pass(STEP_NS);
    clock_read(id, &now_ns);
    user_store64(time, now_ns);
    return E_OK;
}
