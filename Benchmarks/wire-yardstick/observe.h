// What the client reads about the server's process: processor time and allocations of each thread, and memory.
#pragma once
#include "wire.h"

#include "callocations.h"
#include <dirent.h>
#include <sys/mman.h>

enum { observed_threads = 32 };

typedef struct {
    uint64_t thread, cpu_ns, switches, allocations;
    char name[16];
} observed_thread;

typedef struct {
    int count;
    observed_thread threads[observed_threads];
    uint64_t own_cpu_ns, at_ns;
} observation;

static int observed_pid;
static const ca_entry *counters;  // NULL when the server does not count

static inline void observe_start(int pid, const char *counter_file) {
    observed_pid = pid;
    int file = counter_file ? open(counter_file, O_RDONLY) : -1;
    if (file < 0) return;
    void *shared = mmap(NULL, sizeof(ca_entry) * ca_thread_count, PROT_READ, MAP_SHARED, file, 0);
    if (shared != MAP_FAILED) counters = shared;
    close(file);
}

static inline bool read_small(const char *path, char *text, size_t size) {
    int file = open(path, O_RDONLY);
    if (file < 0) return false;
    ssize_t count = read(file, text, size - 1);
    close(file);
    if (count <= 0) return false;
    text[count] = 0;
    return true;
}

static inline uint64_t own_cpu_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static inline observation observe(void) {
    observation o = {0};
    char path[96], text[256];
    snprintf(path, sizeof path, "/proc/%d/task", observed_pid);
    DIR *folder = opendir(path);
    if (!folder) die("reading /proc of the server");
    for (struct dirent *entry; (entry = readdir(folder)) && o.count < observed_threads;) {
        if (entry->d_name[0] == '.') continue;
        observed_thread *t = &o.threads[o.count];
        t->thread = strtoull(entry->d_name, NULL, 10);
        // Nanoseconds on a processor, as the scheduler counts them: exact to a tick for a thread that runs right now.
        snprintf(path, sizeof path, "/proc/%d/task/%.10s/schedstat", observed_pid, entry->d_name);
        if (!read_small(path, text, sizeof text)) continue;
        unsigned long long cpu, waited, slices;
        if (sscanf(text, "%llu %llu %llu", &cpu, &waited, &slices) != 3) die("schedstat");
        t->cpu_ns = cpu;
        t->switches = slices;
        snprintf(path, sizeof path, "/proc/%d/task/%.10s/comm", observed_pid, entry->d_name);
        if (read_small(path, text, sizeof text)) sscanf(text, "%15[^\n]", t->name);
        for (int i = 0; counters && i < ca_thread_count; i++)
            if (counters[i].thread == t->thread) t->allocations = counters[i].allocations;
        o.count++;
    }
    closedir(folder);
    o.own_cpu_ns = own_cpu_ns();
    o.at_ns = now_ns();
    return o;
}

// Appends `,"threads":{name:{…}}` with what each thread used from `a` to `b`.
static inline void print_threads(const observation *a, const observation *b) {
    printf(",\"client_cpu_ns\":%llu,\"threads\":{", (unsigned long long)(b->own_cpu_ns - a->own_cpu_ns));
    const char *comma = "";
    for (int i = 0; i < b->count; i++) {
        const observed_thread *t = &b->threads[i], zero = {0}, *before = &zero;
        for (int j = 0; j < a->count; j++)
            if (a->threads[j].thread == t->thread) before = &a->threads[j];
        printf("%s\"%s\":{\"cpu_ns\":%llu,\"switches\":%llu,\"allocations\":%llu}", comma, t->name,
               (unsigned long long)(t->cpu_ns - before->cpu_ns), (unsigned long long)(t->switches - before->switches),
               (unsigned long long)(t->allocations - before->allocations));
        comma = ",";
    }
    printf("}");
}

// Bytes of memory that the process has written to and nobody else shares: its heap and stacks.
static inline uint64_t observed_memory(void) {
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", observed_pid);
    if (!read_small(path, text, sizeof text)) die("smaps_rollup");
    const char *line = strstr(text, "\nAnonymous:");
    return line ? strtoull(line + 11, NULL, 10) * 1024 : 0;
}
