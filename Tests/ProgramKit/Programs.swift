internal import Glibc
internal import LMSupport

/// The programs under test and the model they run.
package enum Programs {
    /// The GGUF file of the test model; tests that need it are skipped without.
    package static let model = environmentValue("LM_TEST_MODEL")

    /// Path of one of our programs: they are built into the folder of this test program.
    package static func path(_ name: String) throws -> String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        let own = String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let folder = own.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 }
        let path = "\(folder)/\(name)"
        guard access(path, X_OK) == 0 else {
            throw ChildProcess.Failure(description: "\(path) is missing; build with --build-tests first")
        }
        return path
    }

    /// Runs a program to its end.
    package static func run(
        _ name: String, _ arguments: [String], input: [UInt8] = [], environment: [String: String] = [:]
    ) throws -> ChildProcess.Outcome {
        let child = try ChildProcess(path(name), arguments, environment: environment)
        child.type(input)
        return try child.finish()
    }
}
