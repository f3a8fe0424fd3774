import Glibc
import LMSupport
import Testing

/// The programs under test and the model they run.
enum Programs {
    /// The GGUF file of the test model; tests that need it are skipped without.
    static let model = environmentValue("LM_TEST_MODEL")

    /// Path of one of our programs: they are built into the folder of this test program.
    static func path(_ name: String) throws -> String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        let own = String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let folder = own.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 }
        let path = "\(folder)/\(name)"
        try #require(access(path, X_OK) == 0, "\(path) is missing; build with --build-tests first")
        return path
    }

    /// Runs a program to its end.
    static func run(
        _ name: String, _ arguments: [String], input: [UInt8] = [], environment: [String: String] = [:]
    ) throws -> ChildProcess.Outcome {
        let child = try ChildProcess(path(name), arguments, environment: environment)
        child.type(input)
        return try child.finish()
    }
}

/// Tests that run the model: one after the other, because each server takes all cores.
@Suite(.enabled(if: Programs.model != nil, "needs LM_TEST_MODEL"), .serialized, .timeLimit(.minutes(5)))
struct RealModelTests {}

/// A running `lmserve` with the test model on a free port; stopped when the value goes away.
struct Server {
    let process: ChildProcess
    /// Where it listens.
    let address: String

    /// Starts it and waits until it is ready.
    init(_ options: [String] = [], listen: String = "127.0.0.1:0") throws {
        let model = try #require(Programs.model)
        process = try ChildProcess(
            Programs.path("lmserve"), ["--model", model, "--listen", listen, "--kv-cache-memory", "512MiB"] + options)
        let prefix = "listening on "
        guard let output = process.output(until: { $0.hasPrefix(prefix) && $0.hasSuffix("\n") }) else {
            let outcome = try process.finish(within: .seconds(5))
            throw ProgramError(.failure, "lmserve did not become ready (\(outcome.status)): \(outcome.errors)")
        }
        address = String(output.dropFirst(prefix.count).prefix { $0 != "\n" })
    }

    /// Runs `lmcall` against it to the end.
    func call(_ arguments: String..., input: [UInt8] = []) throws -> ChildProcess.Outcome {
        try Programs.run("lmcall", arguments, input: input, environment: ["LMCALL_HOST": address])
    }

    /// Starts `lmcall` against it.
    func startCall(_ arguments: String...) throws -> ChildProcess {
        let child = try ChildProcess(Programs.path("lmcall"), arguments, environment: ["LMCALL_HOST": address])
        child.closeInput()
        return child
    }

    /// Value of a counter or gauge.
    func statistic(_ name: String) throws -> UInt64? {
        let outcome = try call("stats", "--format", "json")
        return try JSONText.decode([String: UInt64].self, from: Array(outcome.output.utf8), source: "stats")[name]
    }
}
