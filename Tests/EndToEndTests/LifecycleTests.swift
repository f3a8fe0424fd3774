import Glibc
import LMSupport
import ProgramKit
import Testing

extension RealModelTests {
    /// How programs end: by signals, by readers that leave, by a port that is taken.
    @Suite struct LifecycleTests {
        /// Runs until it is stopped, as far as a test is concerned.
        private let endless = ["-T0", "--ignore-eos", "--max-tokens", "4000", "Count."]

        private func startEndless(_ server: Server) throws -> ChildProcess {
            let call = try ChildProcess(Programs.path("lmcall"), endless, environment: ["LMCALL_HOST": server.address])
            call.closeInput()
            _ = try #require(call.output { !$0.isEmpty }, "the answer did not start")
            return call
        }

        /// Asks until it is so; the time limit of the suite ends the wait.
        private func awaitIdle(_ server: Server) throws {
            while try server.statistic("requests_running") != 0 { usleep(20_000) }
        }

        @Test func interruptCancelsOnTheServer() throws {
            let server = try Server()
            let call = try startEndless(server)
            call.send(SIGINT)
            let outcome = try call.finish(within: .seconds(20))
            #expect(outcome.status == 130, "\(outcome.errors)")
            #expect(!outcome.output.isEmpty)
            try awaitIdle(server)
        }

        @Test func aReaderThatLeavesCancelsAndIsNoFailure() throws {
            let server = try Server()
            let call = try startEndless(server)
            call.closeOutput()
            #expect(try call.finish(within: .seconds(20)).status == 0)
            try awaitIdle(server)
        }

        @Test func terminateLetsRunningRequestsFinish() throws {
            let server = try Server()
            let call = try ChildProcess(
                Programs.path("lmcall"),
                ["-T0", "--ignore-eos", "--max-tokens", "150", "--format", "ndjson", "Count."],
                environment: ["LMCALL_HOST": server.address])
            call.closeInput()
            _ = try #require(call.output { $0.contains(#""t":"delta""#) }, "the answer did not start")
            server.process.send(SIGTERM)
            let outcome = try call.finish()
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.output.contains(#""completion":150"#))
            #expect(try server.process.finish().status == 0)
            #expect(try server.call("health").status == 3)
        }

        @Test func aSecondSignalStopsAtOnce() throws {
            let server = try Server()
            let call = try startEndless(server)
            // Two equal signals that are both pending are one to the kernel, hence again until it has ended.
            while server.process.isRunning {
                server.process.send(SIGTERM)
                usleep(10_000)
            }
            #expect(try server.process.finish().status == 143)
            #expect([3, 8, 10].contains(try call.finish().status))
        }

        @Test func strangersAreNotServedByAccident() throws {
            let model = try #require(Programs.model)
            let outcome = try Programs.run("lmserve", ["--model", model, "--listen", "0.0.0.0:0"])
            #expect(outcome.status == 74)
            #expect(outcome.errors.contains("--tls-cert"), "\(outcome.errors)")
            #expect(outcome.output.isEmpty)
        }

        @Test func closedStandardStreamsAreNotMistakenForSockets() throws {
            let server = try Server()
            let lmcall = try Programs.path("lmcall")
            let call = try ChildProcess(
                "/bin/sh", ["-c", "exec \"$0\" -T0 --max-tokens 4 hi >&- <&-", lmcall],
                environment: ["LMCALL_HOST": server.address])
            #expect(try call.finish().status == 0)
        }

        @Test func aPortInUseIsSaid() throws {
            let server = try Server()
            let model = try #require(Programs.model)
            let second = try Programs.run("lmserve", ["--model", model, "--listen", server.address])
            #expect(second.status == 74)
            #expect(second.errors.contains(server.address), "\(second.errors)")
            #expect(second.output.isEmpty)
        }
    }
}
