import Glibc
import LMConformance
import ProgramKit
import Testing

/// Our server against the specification, over every transport.
@Suite(.timeLimit(.minutes(10))) struct ConformanceTests {
    @Test func plainTCP() throws { try check(try TinyServer()) }

    @Test func aByteAtATime() throws { try check(try TinyServer(), "--byte-at-a-time") }

    @Test func tls12() throws { try check(try TinyServer(isEncrypted: true), "--tls-max-version", "1.2") }

    @Test func tls13() throws { try check(try TinyServer(isEncrypted: true), "--tls-max-version", "1.3") }

    @Test func unixSocket() throws {
        let path = "/tmp/lmcall-conformance-\(getpid()).sock"
        defer { unlink(path) }
        try check(try TinyServer(listen: "unix:\(path)"))
    }

    /// Runs every case, also those in which the server is told to go.
    private func check(_ server: TinyServer, _ options: String...) throws {
        let junit = "/tmp/lmcall-conformance-\(server.server.process.id).xml"
        defer { unlink(junit) }
        let arguments =
            ["conformance", "--timeout", "30s", "--strict", "--junit", junit]
            + ["--drain-command", "kill -TERM \(server.server.process.id)"] + options + (try server.reach())
        let lmcall = try ChildProcess(Programs.path("lmcall"), arguments)
        let outcome = try lmcall.finish(within: .seconds(500))
        let failures = outcome.output.split(separator: "\n").filter { $0.hasPrefix("FAIL") || $0.hasPrefix("    ") }
        #expect(outcome.status == 0, "\(failures.joined(separator: "\n"))\(outcome.errors)")
        #expect(outcome.output.contains("\(Catalogue.cases.count) cases: "), "\(outcome.output.suffix(300))")
        #expect(try report(junit) == Catalogue.cases.count)
        #expect(try server.server.process.finish().status == 0, "the server was asked to go, and went")
    }

    /// Number of cases in a JUnit file.
    private func report(_ path: String) throws -> Int {
        let stream = try #require(fopen(path, "re"), "cannot read \(path)")
        defer { fclose(stream) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while case let count = fread(&chunk, 1, chunk.count, stream), count > 0 { bytes += chunk[..<count] }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").count { $0.contains("<testcase ") }
    }
}

/// What `lmcall conformance` promises of itself.
@Suite struct CatalogueTests {
    @Test func casesAreManyAndNumberedOnce() {
        let ids = Catalogue.cases.map(\.id)
        #expect(ids.count >= 240)
        #expect(Set(ids).count == ids.count)
    }

    @Test func theListNeedsNoServer() throws {
        let outcome = try Programs.run("lmcall", ["conformance", "--list", "5.1"])
        #expect(outcome.status == 0)
        let lines = outcome.output.split(separator: "\n")
        #expect(lines.count == Catalogue.cases.count { $0.section == "5.1" })
    }

    @Test func aCaseThatIsNotThereIsSaid() throws {
        let outcome = try Programs.run("lmcall", ["conformance", "99/1", "127.0.0.1:1"])
        #expect(outcome.status == 2)
        #expect(outcome.errors.contains("99/1"), "\(outcome.errors)")
    }

    @Test func aServerThatIsNotThereIsToldOnce() throws {
        let outcome = try Programs.run("lmcall", ["conformance", "5.5", "unix:/tmp/lmcall-nobody-listens-here"])
        #expect(outcome.status == 3)
        #expect(outcome.errors.contains("/tmp/lmcall-nobody-listens-here"), "\(outcome.errors)")
        #expect(outcome.output.isEmpty, "\(outcome.output)")
    }
}
