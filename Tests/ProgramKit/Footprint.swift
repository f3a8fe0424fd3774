package import Glibc

/// What a process holds, as the kernel counts it.
package struct Footprint: Sendable {
    /// Open descriptors.
    package let descriptors: Int
    /// Memory in use.
    package let residentKiB: Int
    /// Threads.
    package let threads: Int
    /// Time on a processor so far, user and system together.
    package let processorTime: Duration

    /// Measures a running process.
    ///
    /// - Throws: `ChildProcess.Failure` when there is none.
    package init(of process: pid_t) throws {
        guard let folder = opendir("/proc/\(process)/fd") else {
            throw ChildProcess.Failure(description: "there is no process \(process)")
        }
        defer { closedir(folder) }
        // Less `.` and `..`.
        var count = -2
        while readdir(folder) != nil { count += 1 }
        descriptors = count
        residentKiB = try Self.fields("/proc/\(process)/statm")[1] * 4
        // The name, in parentheses, may hold anything; what follows are numbers but for the state.
        let status = try Self.fields("/proc/\(process)/stat")
        threads = status[17]
        processorTime = .milliseconds((status[11] + status[12]) * 1_000 / sysconf(Int32(_SC_CLK_TCK)))
    }

    /// The numbers of a line after the last parenthesis, 0 for what is none.
    private static func fields(_ path: String) throws -> [Int] {
        guard let file = fopen(path, "r") else { throw ChildProcess.Failure(description: "cannot read \(path)") }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 1_024)
        guard fgets(&line, 1_024, file) != nil else { throw ChildProcess.Failure(description: "\(path) is empty") }
        let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let rest = text.lastIndex(of: ")").map { text[text.index(after: $0)...] } ?? text[...]
        return rest.split(whereSeparator: \.isWhitespace).map { Int($0) ?? 0 }
    }
}
