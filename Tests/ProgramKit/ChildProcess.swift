package import Glibc
internal import Synchronization

/// A program that a test runs: its output collected as it comes, its end awaited with a limit, and never left behind.
package final class ChildProcess: Sendable {
    /// What a program left behind.
    package struct Outcome: Sendable {
        /// Exit status, or 128 + the signal that ended it.
        package let status: Int32
        /// What it wrote to standard output.
        package let output: String
        /// What it wrote to standard error.
        package let errors: String
    }

    /// A program that does not start or does not end.
    package struct Failure: Error, CustomStringConvertible {
        /// What happened.
        package let description: String
    }

    private struct State {
        var collected: [[UInt8]] = [[], []]
        /// Standard output and error; -1 once ended, which `poll` skips.
        var streams: [Int32]
        var input: Int32?
        var isReaped = false
    }

    /// Process id.
    package let id: pid_t
    private let state: Mutex<State>

    /// Starts a program with pipes for its three streams.
    ///
    /// - Parameter environment: replaces values of this process's environment.
    /// - Throws: `Failure` when it cannot be started.
    package init(_ path: String, _ arguments: [String], environment: [String: String] = [:]) throws {
        let spawned = Self.spawning.withLock { _ in Self.spawn(path, arguments, environment) }
        guard spawned.status == 0 else {
            throw Failure(description: "cannot start \(path): \(String(cString: strerror(spawned.status)))")
        }
        id = spawned.id
        state = Mutex(State(streams: spawned.streams, input: spawned.input))
    }

    /// Held from making pipes to having marked them, so that no other child inherits an end and keeps it open.
    private static let spawning = Mutex(())

    private static func spawn(
        _ path: String, _ arguments: [String], _ environment: [String: String]
    ) -> (status: Int32, id: pid_t, streams: [Int32], input: Int32) {
        var pipes: [[Int32]] = []
        for _ in 0..<3 {
            var ends: [Int32] = [-1, -1]
            guard pipe(&ends) == 0 else { return (errno, 0, [], -1) }
            for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            pipes.append(ends)
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, pipes[0][0], 0)
        posix_spawn_file_actions_adddup2(&actions, pipes[1][1], 1)
        posix_spawn_file_actions_adddup2(&actions, pipes[2][1], 2)

        // As from a shell: what this thread blocks is its own business.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))

        let values = currentEnvironment().merging(environment) { $1 }.map { "\($0)=\($1)" }
        var child = pid_t()
        let status = withCStrings([path] + arguments) { arguments in
            withCStrings(values) { values in posix_spawn(&child, path, &actions, &attributes, arguments, values) }
        }
        for end in [pipes[0][0], pipes[1][1], pipes[2][1]] { close(end) }
        return (status, child, [pipes[1][0], pipes[2][0]], pipes[0][1])
    }

    deinit {
        closeInput()
        state.withLock { state in
            for stream in state.streams where stream >= 0 { close(stream) }
            if !state.isReaped {
                kill(id, SIGKILL)
                waitpid(id, nil, 0)
            }
        }
    }

    /// Writes to the program's standard input.
    package func type(_ bytes: [UInt8]) {
        state.withLock { state in
            guard let input = state.input else { return }
            _ = bytes.withUnsafeBytes { write(input, $0.baseAddress, $0.count) }
        }
    }

    /// Ends the program's standard input.
    package func closeInput() {
        state.withLock { state in
            if let input = state.input { close(input) }
            state.input = nil
        }
    }

    /// Stops reading the program's standard output, as a reader that had enough does.
    package func closeOutput() { stopReading(0) }

    /// Stops reading the program's standard error.
    package func closeErrors() { stopReading(1) }

    private func stopReading(_ index: Int) {
        state.withLock { state in
            if state.streams[index] >= 0 { close(state.streams[index]) }
            state.streams[index] = -1
        }
    }

    /// False once the program has ended, whether or not `finish` was called.
    package var isRunning: Bool {
        var info = siginfo_t()
        return waitid(P_PID, id_t(id), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_signo == 0
    }

    /// Sends a signal.
    package func send(_ signal: Int32) { kill(id, signal) }

    /// Collects output until `condition` holds for what arrived on standard output.
    ///
    /// - Returns: what arrived, or nil when the program ended first or time was up.
    package func output(within limit: Duration = .seconds(60), until condition: (String) -> Bool) -> String? {
        let deadline = ContinuousClock.now + limit
        var isRunning = true
        while true {
            let text = state.withLock { String(decoding: $0.collected[0], as: UTF8.self) }
            if condition(text) { return text }
            guard isRunning, ContinuousClock.now < deadline else { return nil }
            isRunning = collect()
        }
    }

    /// Waits for the end.
    ///
    /// - Throws: `Failure` when it was still running when time was up; then it is killed.
    package func finish(within limit: Duration = .seconds(60)) throws -> Outcome {
        closeInput()
        let deadline = ContinuousClock.now + limit
        while collect() {
            guard ContinuousClock.now < deadline else {
                let outcome = reap(after: SIGKILL)
                throw Failure(
                    description: "the process did not end within \(limit); it said \(outcome.output)\(outcome.errors)")
            }
        }
        return reap()
    }

    private func reap(after signal: Int32? = nil) -> Outcome {
        if let signal { kill(id, signal) }
        var raw: Int32 = 0
        while waitpid(id, &raw, 0) < 0 && errno == EINTR {}
        return state.withLock { state in
            state.isReaped = true
            return Outcome(
                status: raw & 0x7f == 0 ? (raw >> 8) & 0xff : 128 + (raw & 0x7f),
                output: String(decoding: state.collected[0], as: UTF8.self),
                errors: String(decoding: state.collected[1], as: UTF8.self))
        }
    }

    /// Waits a moment for output and reads it; false once both streams have ended.
    private func collect() -> Bool {
        var polls = state.withLock { $0.streams.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) } }
        guard polls.contains(where: { $0.fd >= 0 }) else { return false }
        _ = poll(&polls, nfds_t(polls.count), 50)
        var chunk = [UInt8](repeating: 0, count: 65_536)
        for (index, entry) in polls.enumerated() where entry.revents != 0 {
            let count = read(entry.fd, &chunk, chunk.count)
            state.withLock { state in
                if count > 0 {
                    state.collected[index] += chunk[..<count]
                } else {
                    close(entry.fd)
                    state.streams[index] = -1
                }
            }
        }
        return true
    }

    private static func currentEnvironment() -> [String: String] {
        var values: [String: String] = [:]
        var entry = environ
        while let text = entry.pointee {
            let parts = String(cString: text).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { values[String(parts[0])] = String(parts[1]) }
            entry += 1
        }
        return values
    }
}

/// Lends a list of texts in the form in which C takes them.
private func withCStrings<Result>(
    _ texts: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    var pointers = texts.map { strdup($0) }
    defer { for pointer in pointers { free(pointer) } }
    pointers.append(nil)
    return pointers.withUnsafeMutableBufferPointer { buffer in
        guard let base = buffer.baseAddress else { preconditionFailure("a list with a terminator has an address") }
        return body(base)
    }
}
