import Glibc
import LMSupport
import ProgramKit
import Testing

extension RealModelTests {
    /// Keys in the life of a server, and in everything that the programs print.
    @Suite final class KeyTests {
        private static let alice = "canary-alice-0123456789abcdef"
        private static let admin = "canary-admin-0123456789abcdef"

        private let path = "/tmp/lmcall-key-test-\(getpid())"

        deinit { unlink(path) }

        private func write(_ text: String, to path: String) throws {
            let file = try #require(fopen(path, "we"))
            defer { fclose(file) }
            fchmod(fileno(file), 0o600)
            try #require(fputs(text, file) >= 0)
        }

        private func run(_ program: String = "lmcall", key: String, _ arguments: String...) throws
            -> ChildProcess.Outcome
        {
            try Programs.run(program, arguments, environment: ["LMCALL_KEY": key])
        }

        private func statistic(_ name: String, _ server: Server) throws -> UInt64? {
            let outcome = try run(key: Self.admin, "--host", server.address, "stats", "--format", "json")
            return try JSONText.decode([String: UInt64].self, from: Array(outcome.output.utf8), source: "stats")[name]
        }

        private func endlessCall(_ server: Server, key: String) throws -> ChildProcess {
            let call = try ChildProcess(
                Programs.path("lmcall"), ["-T0", "--ignore-eos", "--max-tokens", "4000", "Count."],
                environment: ["LMCALL_HOST": server.address, "LMCALL_KEY": key])
            call.closeInput()
            _ = try #require(call.output { !$0.isEmpty }, "the answer did not start")
            return call
        }

        @Test func hangupReadsTheKeysAgain() throws {
            try write("alice:\(Self.alice)\nops:\(Self.admin):admin\n", to: path)
            let server = try Server(["--api-key-file", path])
            let revoked = try endlessCall(server, key: Self.alice)
            let kept = try endlessCall(server, key: Self.admin)

            try write("ops:\(Self.admin):admin\nrubbish\n", to: path)
            server.process.send(SIGHUP)
            while try statistic("reload_failures_total", server) != 1 { usleep(20_000) }
            #expect(revoked.isRunning && kept.isRunning)

            try write("ops:\(Self.admin):admin\n", to: path)
            server.process.send(SIGHUP)
            let outcome = try revoked.finish()
            #expect(outcome.status == 4)
            #expect(outcome.errors.contains("revoked"), "\(outcome.errors)")
            #expect(kept.isRunning)
            #expect(try statistic("reloads_total", server) == 1)

            kept.send(SIGINT)
            #expect(try kept.finish().status == 130)
            server.process.send(SIGTERM)
            let end = try server.process.finish()
            #expect(end.status == 0)
            #expect(end.errors.contains("not reloaded") && end.errors.contains("line 2"), "\(end.errors)")
            #expect(end.errors.contains("\nreloaded keys and certificates\n"), "\(end.errors)")
        }

        @Test func theServersMemoryStaysOutOfDumpsAndItsSocketsAreThoseAskedFor() throws {
            try write("alice:\(Self.alice)\n", to: path)
            let server = try Server(["--api-key-file", path])
            func proc(_ name: String) throws -> String {
                let path = "/proc/\(server.process.id)/\(name)"
                // The lists of connections are those of the whole machine, and other tests open and close tens of thousands.
                return try InputText.text(InputText.bytes(of: path, limit: 64 << 20), source: path)
            }
            #expect(try proc("coredump_filter") == "00000000\n")
            let limits = try proc("limits").split(separator: "\n")
            let core = limits.first { $0.hasPrefix("Max core file size") }
            #expect(core?.split(separator: " ").dropFirst(4).first == "0")

            let own = try openFiles(of: server.process.id)
            let rows = try (proc("net/tcp") + proc("net/tcp6")).split(separator: "\n").map { $0.split(separator: " ") }
            // State 0A listens.
            let listening = rows.filter { $0.count > 9 && $0[3] == "0A" && own.contains("socket:[\($0[9])]") }
            let port = try #require(server.address.split(separator: ":").last.flatMap { UInt16($0) })
            let hex = String(port, radix: 16, uppercase: true)
            let expected = "0100007F:" + String(repeating: "0", count: 4 - hex.count) + hex
            #expect(listening.map { Array($0[1].utf8) } == [Array(expected.utf8)])
        }

        /// Whatever happens, no key is printed.
        @Test func noKeyIsEverPrinted() throws {
            try write("alice:\(Self.alice)\nops:\(Self.admin):admin\n", to: path)
            let keyFile = path + "-client"
            try write(Self.alice + "\n", to: keyFile)
            defer { unlink(keyFile) }
            let server = try Server(["--api-key-file", path])
            let host = server.address
            let wrong = "canary-wrong-0123456789abcdef"
            var outcomes = [
                try run(
                    key: Self.alice, "--host", host, "-T0", "--max-tokens", "3", "--usage", "--format", "json", "hi"),
                try run(key: Self.alice, "--host", host, "stats"),
                try run(key: Self.alice, "--host", host, "--model", "nothing", "hi"),
                try run(key: wrong, "--host", host, "health"),
                try run(key: wrong, "--host", host, "--format", "ndjson", "hi"),
                try run(key: "", "--host", host, "--key-file", keyFile, "models"),
                try run(key: Self.alice, "--host", "192.0.2.1", "health"),
                try run(key: Self.alice, "--host", "127.0.0.1:1", "--format", "json", "hi"),
                try run(key: Self.alice, "--host", host, "--tls-ca", keyFile, "health"),
                try run(key: Self.alice, "--temprature", "1", "hi"),
                try run(
                    "lmload", key: Self.alice, "--host", host, "--num-prompts", "2", "--random-input-len", "8",
                    "--random-output-len", "2"),
                try run("lmload", key: wrong, "--host", host),
            ]
            #expect(outcomes.map(\.status) == [0, 4, 5, 4, 4, 0, 2, 3, 2, 2, 0, 4])
            let model = try #require(Programs.model)
            for text in ["canary\n", "alice:canary-short\n", "canary-canary-canary:a\n", "a:canary-canary:canary\n"] {
                try write(text, to: path)
                server.process.send(SIGHUP)
                let start = try Programs.run("lmserve", ["--model", model, "--api-key-file", path])
                #expect(start.status == 74)
                outcomes.append(start)
            }
            server.process.send(SIGTERM)
            outcomes.append(try server.process.finish())
            for outcome in outcomes {
                #expect(!outcome.output.contains("canary"), "\(outcome.output)")
                #expect(!outcome.errors.contains("canary"), "\(outcome.errors)")
            }
        }
    }
}

/// What a process's descriptors lead to.
private func openFiles(of process: pid_t) throws -> Set<String> {
    let folder = "/proc/\(process)/fd"
    let entries = try #require(opendir(folder))
    defer { closedir(entries) }
    var files: Set<String> = []
    while let entry = readdir(entries) {
        let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        var target = [CChar](repeating: 0, count: 256)
        let length = readlink("\(folder)/\(name)", &target, target.count)
        files.insert(String(decoding: target.prefix(max(0, length)).map { UInt8(bitPattern: $0) }, as: UTF8.self))
    }
    return files
}
