// Counts the allocations of each thread while a program is measured from outside.
#pragma once
#include <stdint.h>

/// Threads that can be told apart; those beyond are not counted.
enum { ca_thread_count = 64 };

/// What the shared file holds: one entry per thread, in the order of their first allocations.
typedef struct {
    /// The kernel's number of the thread; 0 for an unused entry.
    uint64_t thread;
    /// Calls of malloc, calloc, realloc and the aligned forms.
    uint64_t allocations;
} ca_entry;

/// Maps the counters to the file at `path`, which is made. Returns 0, or an errno.
int ca_share(const char *path);
