import Glibc
import LMSupport
import TestKit
import Testing

extension RealModelTests {
    /// TLS and keys, from the files that an operator and a user have.
    @Suite struct SecurityTests {
        private let certificates: TestCertificates
        private let key = "0123456789abcdef0123456789abcdef"

        init() throws { certificates = try TestCertificates() }

        private func write(_ text: String, to name: String) throws -> String {
            let path = "\(certificates.directory)/\(name)"
            let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
            try #require(descriptor >= 0)
            defer { close(descriptor) }
            try StandardStream(descriptor: descriptor).write(text)
            return path
        }

        @Test func onlyWhoTrustsAndIsTrustedGetsAnAnswer() throws {
            let keys = try write("# test\nann:\(key)\n", to: "keys")
            let own = try write(key + "\n", to: "own")
            let wrong = try write(String(key.reversed()) + "\n", to: "wrong")
            let server = try Server([
                "--tls-cert", certificates.certificate, "--tls-key", certificates.key, "--api-key-file", keys,
            ])
            let authority = certificates.certificate
            for (arguments, status) in [
                (["--tls-ca", authority, "--key-file", own], 0 as Int32),
                (["--tls-ca", authority, "--key-file", wrong], 4),
                (["--tls-ca", authority], 4),
                (["--tls-ca", certificates.elsewhere, "--key-file", own], 3),
                (["--tls", "--key-file", own], 3),
                (["--tls-ca", "/nonexistent.pem", "--key-file", own], 2),
            ] {
                let outcome = try Programs.run(
                    "lmcall", ["health"] + arguments, environment: ["LMCALL_HOST": server.address])
                #expect(outcome.status == status, "\(arguments): \(outcome.errors)")
                #expect(!outcome.errors.contains(key))
            }
            // Without TLS the two ends do not understand each other; what matters is that it ends, and is a failure.
            let plain = try Programs.run(
                "lmcall", ["health", "--connect-timeout", "1s"], environment: ["LMCALL_HOST": server.address])
            #expect([3, 8, 10].contains(plain.status), "\(plain.errors)")
        }

        @Test func strangersAreNotServedByAccident() throws {
            let model = try #require(Programs.model)
            let outcome = try Programs.run("lmserve", ["--model", model, "--listen", "0.0.0.0:0"])
            #expect(outcome.status == 74)
            #expect(outcome.errors.contains("0.0.0.0:0"), "\(outcome.errors)")
            #expect(outcome.output.isEmpty)
        }
    }
}
