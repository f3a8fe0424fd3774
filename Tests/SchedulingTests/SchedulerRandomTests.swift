import LMEngine
import TestKit
import Testing

/// Random commands against a naive model: each request's output is computed alone, and whatever happens to it among the
/// others must be a beginning of that, ended as the commands say. The ledger is audited after every command, and the fake
/// back end checks the contents of every block that a step reads.
@Suite("Scheduler under random commands", .timeLimit(.minutes(5)))
struct SchedulerRandomTests {
    private struct Expectation {
        var whole: Output
        var creditLimit: UInt32
        var isCancelled = false
    }

    private struct Run {
        var harness: SchedulerHarness
        var random: TestRandom
        var expectations: [RequestID: Expectation] = [:]
        var live: [RequestID] = []
        let capacity: Int

        mutating func command() throws {
            switch random.below(16) {
            case 0..<3: try add()
            case 3..<5 where !live.isEmpty: grant(live[random.below(live.count)])
            case 5 where !live.isEmpty: cancel(live[random.below(live.count)])
            default: step()
            }
        }

        private mutating func add() throws {
            guard live.count < 24 else { return }
            let number = random.below(40)
            var request = SchedulerTests.variedRequest(number)
            request.prompt = Array(request.prompt.prefix(random.below(request.prompt.count) + 1))
            request.stop.maxTokens = min(random.below(30) + 1, capacity - request.prompt.count + 1)
            request.stop.minTokens = random.below(3) == 0 ? min(4, request.stop.maxTokens) : 0
            request.cacheScope = UInt64(random.below(2))
            request.priority = random.below(3)
            request.adapter = [nil, nil, 0, 1][random.below(4)]
            if random.below(4) == 0 {
                request.embedding = EmbeddingOptions()
                request.embedding?.pooling = random.below(2) == 0 ? .mean : .last
            }
            let whole = try SchedulerHarness.alone(request)
            request.creditLimit = random.below(3) == 0 ? UInt32(random.below(6)) : .max
            let id = harness.add(request)
            expectations[id] = Expectation(whole: whole, creditLimit: request.creditLimit)
            live.append(id)
        }

        private mutating func grant(_ id: RequestID) {
            guard let old = expectations[id]?.creditLimit else { return }
            let limit = old >= 1_000 ? old : old + UInt32(random.below(8))
            harness.scheduler.grant(id, creditLimit: limit, now: harness.now)
            expectations[id]?.creditLimit = limit
        }

        private mutating func cancel(_ id: RequestID) {
            harness.scheduler.cancel(id)
            harness.deliver()
            expectations[id]?.isCancelled = true
            #expect(harness.collector[id].reason == .cancelled)
            live.removeAll { $0 == id }
        }

        private mutating func step() {
            let before = live.reduce(0) { $0 + harness.collector[$1].tokens.count }
            let rowsBefore = harness.scheduler.counters.rows
            let runnable = live.filter(isRunnable)
            let ran = harness.step()
            #expect(ran == !runnable.isEmpty, "it runs exactly when something can")
            #expect(!ran || harness.scheduler.counters.rows > rowsBefore)
            let after = live.reduce(0) { $0 + harness.collector[$1].tokens.count }
            #expect(after <= before + runnable.count)
            for id in live { check(id) }
            live.removeAll { harness.collector[$0].isEnded }
        }

        private func isRunnable(_ id: RequestID) -> Bool {
            guard let expectation = expectations[id] else { return false }
            return harness.collector[id].tokens.count < Int(expectation.creditLimit)
        }

        func check(_ id: RequestID) {
            guard let expectation = expectations[id] else { return }
            let output = harness.collector[id]
            #expect(output.tokens.count <= Int(expectation.creditLimit))
            #expect(expectation.whole.tokens.starts(with: output.tokens))
            #expect(expectation.whole.text.starts(with: output.text))
            #expect(expectation.whole.logprobs.starts(with: output.logprobs))
            #expect((expectation.whole.embedding == nil) || output.tokens.isEmpty)
            if output.isEnded && !expectation.isCancelled { #expect(output.isSame(as: expectation.whole)) }
        }

        /// Lets everything run to its end.
        mutating func finish() {
            for id in live {
                harness.scheduler.grant(id, creditLimit: .max, now: harness.now)
                expectations[id]?.creditLimit = .max
            }
            harness.run()
            for id in live { #expect(harness.collector[id].isEnded) }
            for id in expectations.keys { check(id) }
            let pool = harness.scheduler.pool
            #expect(pool.ownedCount == 0 && pool.availableCount == pool.blockCount)
            #expect(harness.scheduler.census == Scheduler.Census())
        }
    }

    @Test("Ledger, order, credit, progress and tokens hold", arguments: 0..<12)
    func random(seed: Int) throws {
        let blocks = [32, 40, 60, 200][seed % 4]
        let maxNumSeqs = [1, 3, 8, 32][seed / 3 % 4]
        let harness = try SchedulerHarness(
            blocks: blocks, blockSize: 4, maxNumSeqs: maxNumSeqs,
            maxNumBatchedTokens: maxNumSeqs + [0, 5, 64][seed % 3],
            prefixCaching: seed % 5 != 0)
        var run = Run(harness: harness, random: TestRandom(seed: UInt64(seed)), capacity: blocks * 4)
        for _ in 0..<2_500 { try run.command() }
        run.finish()
    }
}
