import Glibc

/// How many threads can compute at the same time: the processors that this process may use, which in a container or
/// under `taskset` are fewer than the machine has. More threads than that only wait for each other.
package func availableProcessorCount() -> Int {
    func text(_ path: String) -> String {
        // Files of the kernel, short and plain; one that is not there limits nothing.
        (try? InputText.bytes(of: path, limit: 65_536)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }
    return availableProcessorCount(
        status: text("/proc/self/status"), quota: text("/sys/fs/cgroup/cpu.max"),
        online: sysconf(Int32(_SC_NPROCESSORS_ONLN)))
}

/// The same from the texts of the kernel's files.
///
/// - Parameters:
///   - status: `/proc/self/status`, whose `Cpus_allowed` is a hexadecimal mask with commas.
///   - quota: `cpu.max` of the control group: microseconds allowed ("max" for no limit) and the period.
package func availableProcessorCount(status: String, quota: String, online: Int) -> Int {
    var count = max(1, online)
    if let line = status.split(separator: "\n").first(where: { $0.hasPrefix("Cpus_allowed:") }) {
        let allowed = line.dropFirst("Cpus_allowed:".count).reduce(0) { $0 + ($1.hexDigitValue?.nonzeroBitCount ?? 0) }
        if allowed > 0 { count = min(count, allowed) }
    }
    let numbers = quota.split { $0.isWhitespace }.compactMap { Double($0) }
    if numbers.count == 2, numbers[0] > 0, numbers[1] > 0 {
        count = min(count, max(1, Int(min((numbers[0] / numbers[1]).rounded(.up), 4096))))
    }
    return count
}
