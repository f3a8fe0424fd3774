import Glibc
import ProgramKit
import TestKit
import Testing

/// A running `lmserve` with a model of 20 KB: no stream waits for a computation that matters, and the context is soon full.
struct TinyServer {
    let server: Server
    private let model: TinyModelFile
    private let files: TestCertificates
    private let isEncrypted: Bool

    /// Keys that the server accepts when it listens with TLS, each of another identity.
    private static let keys = ["0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"]

    /// - Parameter isEncrypted: TLS, and keys are asked for.
    init(listen: String = "127.0.0.1:0", isEncrypted: Bool = false) throws {
        self.isEncrypted = isEncrypted
        files = try TestCertificates()
        model = try TinyModelFile(contextLength: 256)
        var options = ["--threads", "1", "--drain-timeout", "3s"]
        if isEncrypted {
            let lines = Self.keys.enumerated().map { "tenant\($0):\($1)\n" }.joined()
            options += ["--tls-cert", files.certificate, "--tls-key", files.key]
            options += ["--api-key-file", try files.write("keys", lines)]
        }
        server = try Server(options, model: model.path, listen: listen)
    }

    /// What `lmcall` needs to reach it.
    func reach() throws -> [String] {
        guard isEncrypted else { return [server.address] }
        let key = try files.write("key", Self.keys[0])
        let other = try files.write("other-key", Self.keys[1])
        return ["--tls-ca", files.certificate, "--key-file", key, "--other-key-file", other, server.address]
    }
}

extension TestCertificates {
    /// Writes a file that only its owner may read and that lives as long as this object; returns its path.
    fileprivate func write(_ name: String, _ text: String) throws -> String {
        let path = "\(directory)/\(name)"
        let stream = try #require(fopen(path, "we"), "cannot write \(path)")
        defer { fclose(stream) }
        try #require(fputs(text, stream) >= 0 && fchmod(fileno(stream), 0o600) == 0)
        return path
    }
}
