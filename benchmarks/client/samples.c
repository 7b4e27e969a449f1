/* Times, in nanoseconds of the monotonic clock, which every process of the machine shares. */
#include "client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int64_t cpu_ns(int clock) {
    struct timespec time;
    if (clock_gettime((clockid_t)clock, &time)) fault("there is no clock %d; is the server gone?", clock);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

int64_t now_ns(void) { return cpu_ns(CLOCK_MONOTONIC); }

void samples_add(struct samples *samples, int64_t value) {
    if (samples->count == samples->room) {
        samples->room = samples->room ? samples->room * 2 : 1024;
        samples->values = realloc(samples->values, samples->room * sizeof *samples->values);
        if (!samples->values) fault("out of memory");
    }
    samples->values[samples->count++] = value;
}

void samples_print(const char *name, const struct samples *samples) {
    printf(", \"%s\": [", name);
    for (size_t i = 0; i < samples->count; i++) printf("%s%" PRId64, i ? ", " : "", samples->values[i]);
    printf("]");
}
