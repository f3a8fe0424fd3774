import Glibc
import LMSupport
import ProgramKit
import TestKit
import Testing

extension RealModelTests {
    /// TLS and API keys, from the command line of one program to that of the other.
    @Suite struct EncryptionTests {
        private static let key = "0123456789abcdef0123456789abcdef"

        private let certificates: TestCertificates
        private let server: Server

        init() throws {
            certificates = try TestCertificates()
            server = try Server(
                [
                    "--tls-cert", certificates.certificate, "--tls-key", certificates.key,
                    "--api-key-file", try file("keys", "# for the test\nalice:\(Self.key)\n", in: certificates),
                ])
        }

        /// Runs `lmcall` with the address given as `host`, whose certificate name is under test.
        private func call(
            host: String = "localhost", key: String? = Self.key, authority: String?, _ arguments: String...
        ) throws -> ChildProcess.Outcome {
            let port = try #require(server.address.split(separator: ":").last)
            return try Programs.run(
                "lmcall", ["--host", "\(host):\(port)"] + (authority.map { ["--tls-ca", $0] } ?? []) + arguments,
                environment: ["LMCALL_KEY": key ?? "", "LMCALL_HOST": ""])
        }

        @Test(arguments: ["localhost", "127.0.0.1"])
        func theRightAuthorityAndKeyAreAnswered(host: String) throws {
            let outcome = try call(
                host: host, authority: certificates.certificate, "-T0", "--max-tokens", "4", "The capital of France is")
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(!outcome.output.isEmpty)
        }

        @Test func theKeyMayComeFromAFile() throws {
            let path = try file("key", Self.key + "\n", in: certificates)
            let outcome = try call(key: nil, authority: certificates.certificate, "health", "--key-file", path)
            #expect(outcome.status == 0, "\(outcome.errors)")
        }

        @Test(arguments: [nil, "fedcba9876543210fedcba9876543210", key + "0"])
        func withoutTheRightKeyNobodyEnters(wrong: String?) throws {
            let outcome = try call(key: wrong, authority: certificates.certificate, "health")
            #expect(outcome.status == 4)
            #expect(outcome.errors.contains("--key-file or LMCALL_KEY"), "\(outcome.errors)")
            #expect(!outcome.errors.contains(Self.key) && outcome.output.isEmpty)
        }

        @Test func anAuthorityThatDidNotSignIsNotTrusted() throws {
            let strangers = try TestCertificates()
            for arguments in [["--tls-ca", strangers.certificate], ["--tls"]] {
                let outcome = try Programs.run(
                    "lmcall", ["--host", server.address, "health"] + arguments,
                    environment: ["LMCALL_KEY": Self.key])
                #expect(outcome.status == 3)
                #expect(outcome.errors.contains("certificate"), "\(outcome.errors)")
            }
        }

        @Test func aCertificateForAnotherHostIsRefused() throws {
            // All of 127.0.0.0/8 is this machine, but the certificate names 127.0.0.1 only.
            let elsewhere = try Server(
                ["--tls-cert", certificates.elsewhere, "--tls-key", certificates.key])
            let outcome = try Programs.run(
                "lmcall", ["--host", elsewhere.address, "--tls-ca", certificates.elsewhere, "health"])
            #expect(outcome.status == 3)
            #expect(outcome.errors.contains("127.0.0.1"), "\(outcome.errors)")
        }

        @Test func plainTextToATLSPortIsAFailureThatIsExplained() throws {
            let outcome = try call(authority: nil, "--connect-timeout", "3s", "health")
            #expect(outcome.status == 3)
            #expect(outcome.errors.contains("handshake"), "\(outcome.errors)")
        }

        @Test func aClientProvesItselfByCertificate() throws {
            let server = try Server(
                [
                    "--tls-cert", certificates.certificate, "--tls-key", certificates.key,
                    "--tls-client-ca", certificates.client, "--tls-min-version", "1.3",
                ])
            func call(_ arguments: String...) throws -> ChildProcess.Outcome {
                try Programs.run(
                    "lmcall", ["--host", server.address, "--tls-ca", certificates.certificate] + arguments)
            }
            let proof = ["--tls-cert", certificates.client, "--tls-key", certificates.key]
            let answered = try call("health", proof[0], proof[1], proof[2], proof[3])
            #expect(answered.status == 0, "\(answered.errors)")
            let unproved = try call("health")
            #expect(unproved.status == 3)
            #expect(unproved.errors.contains("--tls-cert"), "\(unproved.errors)")
            let forbidden = try call("stats", proof[0], proof[1], proof[2], proof[3])
            #expect(forbidden.status == 4)
            #expect(forbidden.errors.contains("role admin"), "\(forbidden.errors)")
        }

        @Test func theServersLogHoldsNoKey() throws {
            #expect(try call(authority: certificates.certificate, "health").status == 0)
            #expect(try call(key: Self.key + "0", authority: certificates.certificate, "health").status == 4)
            server.process.send(SIGTERM)
            let outcome = try server.process.finish()
            #expect(!outcome.output.contains(Self.key) && !outcome.errors.contains(Self.key))
        }
    }
}

/// What the client refuses before it connects.
@Suite(.timeLimit(.minutes(5))) struct PlainTextKeyTests {
    @Test func aKeyIsNotSentToAnotherMachineWithoutTLS() throws {
        let outcome = try Programs.run(
            "lmcall", ["--host", "192.0.2.1", "hi"], environment: ["LMCALL_KEY": "0123456789abcdef"])
        #expect(outcome.status == 2)
        #expect(outcome.errors.contains("192.0.2.1") && outcome.errors.contains("--tls"), "\(outcome.errors)")
        #expect(!outcome.errors.contains("0123456789abcdef"))
    }
}

/// Writes a file for its owner alone that lives as long as `certificates`.
private func file(_ name: String, _ text: String, in certificates: TestCertificates) throws -> String {
    let path = "\(certificates.directory)/\(name)"
    let stream = try #require(fopen(path, "we"), "cannot write \(path)")
    defer { fclose(stream) }
    fchmod(fileno(stream), 0o600)
    try #require(fputs(text, stream) >= 0)
    return path
}
