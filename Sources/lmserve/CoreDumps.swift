import Glibc

/// Keeps private keys, API keys and prompts out of core dumps: no file is written, and what the system may hand to a
/// crash reporter holds no memory. A process without secrets stays easy to debug.
func keepMemoryOutOfDumps() {
    var none = rlimit(rlim_cur: 0, rlim_max: 0)
    setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none)
    guard let filter = fopen("/proc/self/coredump_filter", "we") else { return }
    fputs("0", filter)
    fclose(filter)
}
