// A program that links this has its allocator's entry points here: each counts and goes on to glibc. The counters start
// in this file and move to a shared mapping when `ca_share` is called, so that a measuring process reads them at any
// moment without disturbing the one it measures.
#define _GNU_SOURCE
#include "callocations.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

static ca_entry own_entries[ca_thread_count];
static ca_entry *entries = own_entries;
static atomic_int entry_count;
static __thread int own_index = -1;

static inline void count(void) {
    if (own_index < 0) {
        own_index = atomic_fetch_add(&entry_count, 1);
        if (own_index < ca_thread_count) entries[own_index].thread = (uint64_t)syscall(SYS_gettid);
    }
    if (own_index < ca_thread_count) entries[own_index].allocations++;
}

int ca_share(const char *path) {
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0) return errno;
    int status = ftruncate(file, sizeof own_entries) < 0 ? errno : 0;
    void *shared = status ? MAP_FAILED : mmap(NULL, sizeof own_entries, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (!status && shared == MAP_FAILED) status = errno;
    close(file);
    if (status) return status;
    for (int index = 0; index < ca_thread_count; index++) ((ca_entry *)shared)[index] = own_entries[index];
    entries = shared;
    return 0;
}

void *malloc(size_t size) {
    count();
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    count();
    return __libc_calloc(number, size);
}

void *realloc(void *old, size_t size) {
    count();
    return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size) {
    count();
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    count();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **result, size_t alignment, size_t size) {
    count();
    void *memory = __libc_memalign(alignment, size);
    if (!memory) return ENOMEM;
    *result = memory;
    return 0;
}
