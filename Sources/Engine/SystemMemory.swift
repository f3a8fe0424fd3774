import Glibc

/// What memory the system could still give this process.
package enum SystemMemory {
    /// Bytes available: the kernel's estimate, or less if a control group (version 2) of this process allows less; nil
    /// when the system says nothing.
    package static func available() -> Int? {
        let system = contents(of: "/proc/meminfo").flatMap(availableBytes(meminfo:))
        let group = contents(of: "/proc/self/cgroup").flatMap(unifiedGroup(cgroup:)).flatMap(groupAvailable(path:))
        return [system, group].compactMap(\.self).min()
    }

    /// The `MemAvailable` line of /proc/meminfo, in bytes.
    package static func availableBytes(meminfo: String) -> Int? {
        for line in meminfo.split(separator: "\n") where line.hasPrefix("MemAvailable:") {
            let kibibytes = line.split(separator: " ").dropFirst().first.flatMap { Int($0) }
            return kibibytes?.multipliedReportingOverflow(by: 1024).partialValue
        }
        return nil
    }

    /// The path of the version 2 group in /proc/self/cgroup: the line `0::/path`.
    package static func unifiedGroup(cgroup: String) -> String? {
        cgroup.split(separator: "\n").first { $0.hasPrefix("0::/") }.map { String($0.dropFirst(3)) }
    }

    /// The least that is left in the group and those around it; each has a limit of its own.
    private static func groupAvailable(path: String) -> Int? {
        var least: Int?
        var directory = path == "/" ? "" : path
        while true {
            let base = "/sys/fs/cgroup" + directory
            if let limit = number(in: base + "/memory.max"), let used = number(in: base + "/memory.current") {
                least = min(least ?? .max, max(0, limit - used))
            }
            guard let slash = directory.lastIndex(of: "/") else { return least }
            directory = String(directory[..<slash])
        }
    }

    /// nil for `max` and for a file that is not there.
    private static func number(in path: String) -> Int? {
        contents(of: path).flatMap { Int($0.prefix { $0 != "\n" }) }
    }

    private static func contents(of path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        var length = 0
        while length < buffer.count {
            let count = buffer.withUnsafeMutableBytes { bytes in
                read(descriptor, bytes.baseAddress?.advanced(by: length), bytes.count - length)
            }
            guard count > 0 else { break }
            length += count
        }
        return String(decoding: buffer[..<length], as: UTF8.self)
    }
}
