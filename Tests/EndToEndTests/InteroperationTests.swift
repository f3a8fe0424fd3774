import Glibc
import ProgramKit
import TestKit
import Testing

/// The Python client, which shares no line with ours, against the real server.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct InteroperationTests {
    /// How the two meet.
    enum Way: String, CaseIterable, Sendable {
        case tcp, tls, unixSocket
    }

    private static let root = #filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 }
    private static let keys = ["0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"]

    @Test("the list of cases passes", arguments: Way.allCases)
    func cases(_ way: Way) throws {
        let model = try TinyModelFile()
        let certificates = try TestCertificates()
        let keys = "\(certificates.directory)/keys"
        let file = try #require(fopen(keys, "we"))
        try #require(fputs("alice:\(Self.keys[0]):admin\nbob:\(Self.keys[1])\n", file) >= 0 && fclose(file) == 0)
        try #require(chmod(keys, 0o600) == 0)

        // Small enough a context that a prompt beyond it is soon written.
        var options = ["--max-model-len", "2048"]
        var arguments: [String] = []
        if way != .unixSocket {
            options += ["--api-key-file", keys]
            arguments += ["--key", Self.keys[0], "--other-key", Self.keys[1]]
        }
        if way == .tls {
            options += ["--tls-cert", certificates.certificate, "--tls-key", certificates.key]
            arguments += ["--tls-ca", certificates.certificate]
        }
        let listen = way == .unixSocket ? "unix:\(certificates.directory)/socket" : "127.0.0.1:0"
        let server = try Server(options, model: model.path, listen: listen)
        let outcome = try python(
            ["-m", "tests.interop", server.address, "--process", String(server.process.id)] + arguments)
        #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
        #expect(outcome.output.contains("resume_mid") && outcome.output.contains(" ok\n"))
        #expect(try server.process.finish().status == 0, "the list ends with a drain")
    }

    @Test("the client's own tests pass, and the vectors are what their script writes")
    func unitTests() throws {
        let tests = try python(["-m", "unittest", "discover", "-t", ".", "-s", "tests"])
        #expect(tests.status == 0, "\(tests.errors)")
        let check = try python(["\(Self.root)/Tests/Vectors/make_vectors.py", "--check"])
        #expect(check.status == 0, "\(check.errors)")
    }

    private func python(_ arguments: [String]) throws -> ChildProcess.Outcome {
        let child = try ChildProcess(
            "/bin/sh", ["-c", "cd \"$0\" && exec python3 -B \"$@\"", Self.root + "/clients/python"] + arguments)
        return try child.finish(within: .seconds(500))
    }
}
