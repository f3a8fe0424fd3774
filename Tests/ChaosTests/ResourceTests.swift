import ChaosKit
import Glibc
import LMClient
import ProgramKit
import TestKit
import Testing

extension ChaosTests {
    /// A machine that has run out of something.
    @Suite struct ResourceTests {
        @Test func withoutDescriptorsTheListenerRestsAndLaterServesAgain() async throws {
            let site = try Site(shell: "ulimit -n 40; exec \"$@\"")
            let known = try await KnownRequest(1, tokens: 100, from: site.direct)
            let process = site.server.process.id
            var crowd = try (0..<100).map { _ in try PlainSocket(to: site.port) }
            #expect(try await eventually { try Footprint(of: process).descriptors >= 39 })
            // Who is connected is served; who waits costs next to nothing.
            #expect(await known.check(over: site.direct) == .whole)
            let before = try Footprint(of: process)
            let start = ContinuousClock.now
            try await Task.sleep(for: .seconds(2))
            let spent = try Footprint(of: process).processorTime - before.processorTime
            let passed = ContinuousClock.now - start
            // A listener that spins takes all of a processor, or what a loaded machine leaves it; one that rests, a thousandth.
            #expect(spent < passed / 20, "\(spent) of a processor in \(passed)")
            // Some of those who wait are sent away, so that they need not wait for ever.
            #expect(crowd.contains { $0.isEnded })
            crowd.removeAll()
            let late = try Site.client(site.server.address)
            #expect(await known.check(over: late) == .whole)
            late.shutdown()
            try await site.expectNothingLeft()
        }

        @Test(
            "serving goes on when what is said to standard error cannot be written",
            arguments: [
                ("a full disk", "exec \"$@\" 2>/dev/full"),
                ("a file at its size limit", Self.fullFile),
                ("closed", "exec \"$@\" 2>&-"),
                ("a pipe that nobody reads", Self.fullPipe),
            ])
        func standardError(what: String, shell: String) async throws {
            let site = try Site(shell: shell)
            let known = try await KnownRequest(1, tokens: 50, from: site.direct)
            #expect(await known.check(over: site.direct) == .whole)
            site.server.process.send(SIGTERM)
            #expect(try site.server.process.finish().status == 0, "\(what)")
        }

        private static let fullFile = """
            file="${TMPDIR:-/tmp}/lmcall-file-$$"
            exec 2>"$file" && rm "$file" && ulimit -f 0 && exec "$@"
            """

        /// The pipe holds 64 KiB, and its reader is the program itself, which does not read.
        private static let fullPipe = """
            pipe="${TMPDIR:-/tmp}/lmcall-pipe-$$"
            mkfifo "$pipe" && exec 3<>"$pipe" && rm "$pipe" && head -c 65536 /dev/zero >&3 && exec "$@" 2>&3
            """

        @Test func aReaderOfStandardErrorThatLeavesIsNotMissed() async throws {
            let site = try Site()
            site.server.process.closeErrors()
            let known = try await KnownRequest(1, tokens: 50, from: site.direct)
            #expect(await known.check(over: site.direct) == .whole)
            site.server.process.send(SIGTERM)
            #expect(try site.server.process.finish().status == 0)
        }

        @Test func aModelFileThatIsCutOffEndsTheServerAndNotInWrongTokens() async throws {
            // Without a backtrace: what writes it has been seen to hang, and the crashed server with it.
            let site = try Site(shell: "SWIFT_BACKTRACE=enable=no exec \"$@\"")
            let known = try await KnownRequest(1, tokens: 100, from: site.direct)
            #expect(truncate(site.model.path, 0) == 0)
            #expect(await !known.check(over: site.direct).isWrong)
        }
    }
}
