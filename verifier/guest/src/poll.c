// Waiting takes no time: files are always ready, and a sleep moves the clock.
#include <stddef.h>

#include "clock.h"
#include "descriptor.h"
#include "machine.h"

enum { SUBSCRIPTION = sizeof(struct wasi_subscription), EVENT = sizeof(struct wasi_event) };

static struct wasi_subscription read_subscription(user_addr subscriptions, uint32_t i) {
    struct wasi_subscription subscription;
    user_read(&subscription, subscriptions + i * SUBSCRIPTION, SUBSCRIPTION);
    return subscription;
}

// How long until a clock subscription is due; `*valid` says whether there is such a clock.
static uint64_t wait_ns(const struct wasi_subscription *subscription, bool *valid) {
    uint64_t now_ns, timeout_ns = subscription->u.clock.timeout;
    *valid = clock_read(subscription->u.clock.id, &now_ns) && !(subscription->u.clock.flags & ~CLOCK_ABSTIME);
    if (!(subscription->u.clock.flags & CLOCK_ABSTIME)) return timeout_ns;
    return timeout_ns > now_ns ? timeout_ns - now_ns : 0;
}

static struct wasi_event file_event(const struct wasi_subscription *subscription) {
    struct wasi_event event;
    __builtin_memset(&event, 0, sizeof event);
    const struct descriptor *descriptor = descriptor_at(subscription->u.fd);
    bool reads = subscription->tag == EVENT_FD_READ;
    if (!descriptor) {
        event.error = E_BADF;
    } else if (!(descriptor->rights & (reads ? RIGHT_FD_READ : RIGHT_FD_WRITE))) {
        event.error = E_NOTCAPABLE;
    } else if (reads && (descriptor->kind == FILE || descriptor->kind == STDIN)) {
        const struct content *content = descriptor->kind == FILE ? &descriptor->node->as.file : &standard[0];
        if (content->size > descriptor->position) event.nbytes = content->size - descriptor->position;
        if (descriptor->kind == STDIN && event.nbytes == 0) event.flags = EVENT_HANGUP;
    }
    return event;
}

EXPORT(poll_oneoff)
wasi_errno poll_oneoff(user_addr subscriptions, user_addr events, uint32_t count, user_addr nevents) {
    if (count == 0) return E_INVAL;
    if (!user_holds(subscriptions, (uint64_t)count * SUBSCRIPTION) || !user_holds(events, (uint64_t)count * EVENT) ||
        !user_holds(nevents, 4))
        return E_FAULT;

    // The shortest wait; none if something is ready or wrong already.
    uint64_t shortest_ns = UINT64_MAX;
    for (uint32_t i = 0; i < count; i++) {
        struct wasi_subscription subscription = read_subscription(subscriptions, i);
        bool valid;
        uint64_t ns;
        switch (subscription.tag) {
            case EVENT_CLOCK:
                ns = wait_ns(&subscription, &valid);
                if (!valid) ns = 0;
                break;
            case EVENT_FD_READ:
            case EVENT_FD_WRITE: ns = 0; break;
            default: return E_INVAL;
        }
        if (ns < shortest_ns) shortest_ns = ns;
    }

    uint32_t happened = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct wasi_subscription subscription = read_subscription(subscriptions, i);
        struct wasi_event event;
        if (subscription.tag == EVENT_CLOCK) {
            bool valid;
            if (wait_ns(&subscription, &valid) > shortest_ns && valid) continue;
            __builtin_memset(&event, 0, sizeof event);
            event.error = valid ? E_OK : E_INVAL;
        } else {
            event = file_event(&subscription);
        }
        event.userdata = subscription.userdata;
        event.type = subscription.tag;
        user_write(events + happened++ * EVENT, &event, EVENT);
    }
    clock_pass(shortest_ns);
    user_store32(nevents, happened);
    return E_OK;
}
