import ChaosKit
import Glibc
import LMClient
import ProgramKit
import Synchronization
import TestKit
import Testing

extension ChaosTests {
    /// Processes that are killed, stopped, continued and asked to go, with clients at work.
    @Suite struct ProcessTests {
        @Test func aServerThatIsKilledComesBackAndNobodyIsLiedTo() async throws {
            let model = try TinyModelFile()
            // Below the ports that the kernel gives out: nobody takes it while the server is away.
            let address = "127.0.0.1:\(Int.random(in: 20_000..<30_000))"
            var server = try Server(model: model.path, listen: address)
            let client = try Site.client(address) {
                $0.retry.limit = 100
                $0.retry.initialDelay = .milliseconds(20)
                $0.retry.maximumDelay = .milliseconds(200)
            }
            let known = try await KnownRequest.make(4, tokens: 100, from: client)
            let isOver = Flag()
            let workers = known.map { known in
                Task {
                    var verdicts: [Verdict] = []
                    while !isOver.isRaised { verdicts.append(await known.check(over: client)) }
                    return verdicts
                }
            }
            for seed in ChaosTests.seeds(6) {
                var random = TestRandom(seed: seed)
                try await Task.sleep(for: .milliseconds(random.below(400)))
                server.process.send(SIGKILL)
                #expect(try server.process.finish().status == 128 + SIGKILL)
                server = try Server(model: model.path, listen: address)
            }
            isOver.raise()
            var verdicts: [Verdict] = []
            for worker in workers { verdicts += await worker.value }
            #expect(!verdicts.contains { $0.isWrong }, "\(verdicts)")
            #expect(verdicts.contains(.whole))
            #expect(await known.checkAll(over: client) == [.whole, .whole, .whole, .whole])
            client.shutdown()
        }

        @Test func aServerThatStandsStillForAWhileLosesNobody() async throws {
            let site = try Site()
            let known = try await KnownRequest.make(4, tokens: 600, from: site.direct)
            let server = site.server.process
            let client = try Site.client(site.server.address) { $0.window = 64 }
            let streams = known.enumerated().map { index, known in
                Task {
                    // The window keeps the server from having sent everything before it stands still.
                    await known.check(over: client) { if index == 0, $0 == 100 { server.send(SIGSTOP) } }
                }
            }
            #expect(await eventually { Self.state(of: server) == "T" })
            // Somebody new knocks at a door behind which nobody moves.
            let late = Task {
                let client = try Site.client(site.server.address)
                return await known[0].check(over: client)
            }
            // Not a wait for something to happen: the standstill is the test.
            try await Task.sleep(for: .seconds(5))
            server.send(SIGCONT)
            for stream in streams { #expect(await stream.value == .whole) }
            #expect(try await late.value == .whole)
            try await site.expectNothingLeft()
        }

        @Test func aClientThatStandsStillForAWhileGetsItsWholeAnswer() async throws {
            let site = try Site()
            let known = try await KnownRequest(1, tokens: 100, from: site.direct)
            let question = ["--seed", "3", "-T1", "--ignore-eos", "--max-tokens", "3000", "--raw", "the"]
            let expected = try Programs.run("lmcall", question, environment: ["LMCALL_HOST": site.server.address])
            #expect(expected.status == 0, "\(expected.errors)")
            let call = try ChildProcess(
                Programs.path("lmcall"), question, environment: ["LMCALL_HOST": site.server.address])
            call.closeInput()
            _ = try #require(call.output { $0.utf8.count > 100 }, "the answer did not start")
            call.send(SIGSTOP)
            #expect(await known.check(over: site.direct) == .whole)
            try await Task.sleep(for: .seconds(3))
            call.send(SIGCONT)
            let outcome = try call.finish()
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.output == expected.output)
            try await site.expectNothingLeft()
        }

        @Test func whoCanFinishBeforeTheServerGoesDoesFinish() async throws {
            for seed in ChaosTests.seeds(6) {
                var random = TestRandom(seed: seed)
                let site = try Site()
                let known = try await KnownRequest.make(4, tokens: 150, from: site.direct)
                let server = site.server.process
                let started = Counter(of: 4)
                let streams = known.map { known in
                    Task { [moment = 1 + random.below(149)] in
                        await known.check(over: site.direct) { if $0 == moment { started.add() } }
                    }
                }
                #expect(await eventually { started.isReached })
                server.send(SIGTERM)
                for stream in streams { #expect(await stream.value == .whole, "LM_CHAOS_SEED=\(seed)") }
                let outcome = try server.finish()
                #expect(outcome.status == 0, "LM_CHAOS_SEED=\(seed): \(outcome.errors)")
            }
        }

        @Test func whoCannotFinishIsToldSo() async throws {
            for seed in ChaosTests.seeds(4) {
                var random = TestRandom(seed: seed)
                let site = try Site(["--drain-timeout", "\(random.below(300))ms"])
                let known = try await KnownRequest.make(3, tokens: 150, from: site.direct)
                let stream = try await site.direct.generate(KnownRequest.request(9, tokens: 1_000_000))
                let streams = known.map { known in Task { await known.check(over: site.direct) } }
                try await Task.sleep(for: .milliseconds(random.below(300)))
                site.server.process.send(SIGTERM)
                await #expect { try await stream.collect() } throws: { ($0 as? LMError)?.code == .draining }
                for stream in streams {
                    let verdict = await stream.value
                    #expect(
                        [.whole, .failed(.draining), .failed(.unreachable)].contains(verdict), "LM_CHAOS_SEED=\(seed)")
                }
                #expect(try site.server.process.finish().status == 0)
            }
        }

        @Test func whoIsAskedTwiceGoesAtOnce() async throws {
            for _ in ChaosTests.seeds(2) {
                let site = try Site()
                let stream = try await site.direct.generate(KnownRequest.request(1, tokens: 1_000_000))
                while site.server.process.isRunning {
                    site.server.process.send(SIGTERM)
                    usleep(10_000)
                }
                #expect(try site.server.process.finish().status == 128 + SIGTERM)
                await #expect(throws: LMError.self) { try await stream.collect() }
            }
        }

        /// The letter that `ps` shows.
        private static func state(of process: ChildProcess) -> Character? {
            guard let file = fopen("/proc/\(process.id)/stat", "r") else { return nil }
            defer { fclose(file) }
            var line = [CChar](repeating: 0, count: 512)
            guard fgets(&line, 512, file) != nil else { return nil }
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            return text.split(separator: ")").last?.first { $0 != " " }
        }
    }
}

/// Raised once, seen by every task.
private final class Flag: Sendable {
    private let state = Atomic(false)

    var isRaised: Bool { state.load(ordering: .relaxed) }

    func raise() { state.store(true, ordering: .relaxed) }
}

/// Counts up to what is waited for.
private final class Counter: Sendable {
    private let left: Atomic<Int>

    init(of count: Int) { left = Atomic(count) }

    var isReached: Bool { left.load(ordering: .relaxed) <= 0 }

    func add() { left.subtract(1, ordering: .relaxed) }
}
