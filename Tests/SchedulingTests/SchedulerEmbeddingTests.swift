import LMEngine
import TestKit
import Testing

@Suite("Scheduling of embeddings")
struct SchedulerEmbeddingTests {
    @Test("A mean asks for every row and a last vector for one; neither samples", arguments: [Pooling.last, .mean])
    func plans(pooling: Pooling) throws {
        var harness = try SchedulerHarness(maxNumSeqs: 4, maxNumBatchedTokens: 8)
        let prompt = Self.prompt(20)
        let id = harness.add(.embedding(prompt, pooling))
        var hidden: [[Int32]] = []
        repeat {
            harness.now += 1_000
            guard harness.scheduler.schedule(now: harness.now) else { break }
            hidden.append(harness.scheduler.plan.hiddenRows)
            #expect(harness.scheduler.plan.samples.isEmpty)
            harness.executePlanned()
            harness.deliver()
        } while true
        let all = [Array(0..<8), Array(0..<8), Array(0..<4)].map { $0.map(Int32.init) }
        #expect(hidden == (pooling == .mean ? all : [[], [], [3]]))
        let output = harness.collector[id]
        #expect(output.embedding == Self.expected(prompt, pooling))
        #expect(output.tokens.isEmpty && output.text.isEmpty)
        #expect(output.usage?.promptTokens == 20)
        #expect((output.usage?.prefillNanoseconds ?? 0) > 0)
        #expect(harness.scheduler.census == Scheduler.Census())
    }

    @Test(
        "Chunks of any size, a small pool and generations beside it change no bit", arguments: [16, 24, 64], [3, 9, 64])
    func company(blocks: Int, rows: Int) throws {
        var harness = try SchedulerHarness(blocks: blocks, maxNumSeqs: min(rows, 8), maxNumBatchedTokens: rows)
        var embeddings: [(RequestID, [Float])] = []
        var generations: [(RequestID, GenerationRequest)] = []
        for number in 0..<12 {
            let prompt = Self.prompt(5 + 3 * number, salt: UInt64(number))
            let pooling: Pooling = number % 2 == 0 ? .mean : .last
            embeddings.append((harness.add(.embedding(prompt, pooling)), Self.expected(prompt, pooling)))
            let request = GenerationRequest.test(prompt: 4 + number, salt: UInt64(number), maxTokens: 25) {
                $0.stop.ignoreEndOfSequence = true
            }
            generations.append((harness.add(request), request))
            harness.step()
        }
        harness.run()
        for (id, expected) in embeddings { #expect(harness.collector[id].embedding == expected) }
        for (id, request) in generations {
            #expect(harness.collector[id].isSame(as: try SchedulerHarness.alone(request)))
        }
        #expect(blocks > 16 || harness.scheduler.counters.preemptions > 0)
    }

    @Test("A sequence that loses its memory between chunks starts its sum again", arguments: [Pooling.last, .mean])
    func preempted(pooling: Pooling) throws {
        var harness = try SchedulerHarness(blocks: 20, maxNumSeqs: 4, maxNumBatchedTokens: 4)
        let first = GenerationRequest.test(prompt: 6, maxTokens: 60) { $0.stop.ignoreEndOfSequence = true }
        let generation = harness.add(first)
        for _ in 0..<4 { harness.step() }
        // As much as is left: the earlier sequence, which grows, takes it back while the prompt is being computed.
        let prompt = Self.prompt(60)
        let id = harness.add(.embedding(prompt, pooling))
        harness.run()
        #expect((harness.collector[id].usage?.preemptions ?? 0) > 0)
        #expect(harness.collector[id].embedding == Self.expected(prompt, pooling))
        #expect(harness.collector[generation].isSame(as: try SchedulerHarness.alone(first)))
    }

    @Test("A failed step is computed again, and the second failure is final", arguments: [1, 2])
    func failedSteps(failures: Int) throws {
        let executed = Counter()
        var script = FakeBackend.Script()
        script.willExecute = { _ throws(EngineError) in
            if (1..<1 + failures).contains(executed.next()) { throw EngineError(.backend, "lost") }
        }
        var harness = try SchedulerHarness(maxNumSeqs: 1, maxNumBatchedTokens: 8, script: script)
        let prompt = Self.prompt(20)
        let id = harness.add(.embedding(prompt, .mean))
        harness.run()
        if failures == 1 {
            #expect(harness.collector[id].embedding == Self.expected(prompt, .mean))
        } else {
            #expect(harness.collector[id].error?.code == .backend)
        }
        #expect(harness.scheduler.pool.ownedCount == 0)
    }

    @Test("Cached prefixes are neither taken nor left", arguments: [Pooling.last, .mean])
    func prefixes(pooling: Pooling) throws {
        var harness = try SchedulerHarness()
        let prompt = Self.prompt(21)
        let before = harness.add(.embedding(prompt, pooling))
        harness.run()
        #expect(harness.scheduler.pool.cachedCount == 0)
        var request = GenerationRequest.test(maxTokens: 1)
        request.prompt = prompt
        let generation = harness.add(request)
        harness.run()
        #expect(harness.collector[generation].usage?.cachedTokens == 0)
        #expect(harness.scheduler.pool.cachedCount > 0)
        let after = harness.add(.embedding(prompt, pooling))
        harness.run()
        #expect(harness.collector[after].usage?.cachedTokens == 0)
        for id in [before, after] { #expect(harness.collector[id].embedding == Self.expected(prompt, pooling)) }
    }

    @Test("A cancel and a deadline free what it has between two chunks")
    func ends() throws {
        var harness = try SchedulerHarness(maxNumSeqs: 2, maxNumBatchedTokens: 8)
        let cancelled = harness.add(.embedding(Self.prompt(20), .mean))
        harness.step()
        #expect(harness.scheduler.pool.ownedCount > 0)
        harness.scheduler.cancel(cancelled)
        harness.deliver()
        #expect(harness.collector[cancelled].reason == .cancelled)
        #expect(harness.scheduler.pool.ownedCount == 0)

        var request = GenerationRequest.embedding(Self.prompt(20), .mean)
        request.deadline = harness.now + 2_500
        let late = harness.add(request)
        harness.run()
        let error = try #require(harness.collector[late].error)
        #expect(error.code == .deadlineExceeded)
        #expect(error.message.contains("of the prompt's 20 tokens"))
        #expect(harness.scheduler.pool.ownedCount == 0)
    }

    @Test("A row with a fault, or a hidden state that is not finite, fails the one request", arguments: [true, false])
    func notFinite(isReported: Bool) throws {
        var script = FakeBackend.Script()
        script.fault = { token, _ in isReported && token == 77 ? "not finite" : nil }
        script.hiddenState = { history in
            !isReported && history.last == 77 ? [0, .infinity, 0] : FakeBackend.hiddenState(after: history)
        }
        var harness = try SchedulerHarness(script: script)
        let bad = harness.add(.embedding([1, 77, 3], .mean))
        let good = harness.add(.embedding([1, 2, 3], .mean))
        harness.run()
        #expect(harness.collector[bad].error?.code == .nonFiniteLogits)
        #expect(harness.collector[good].embedding == Self.expected([1, 2, 3], .mean))
    }

    @Test("Normalizing gives the length 1, and leaves a vector of length 0")
    func normalized() throws {
        var script = FakeBackend.Script()
        script.hiddenState = { $0.count == 2 ? [3, 0, -4] : [0, 0, 0] }
        var harness = try SchedulerHarness(script: script)
        var requests = [[1], [1, 2]].map { GenerationRequest.embedding($0, .last) }
        for index in requests.indices { requests[index].embedding?.isNormalized = true }
        let ids = requests.map { harness.add($0) }
        harness.run()
        #expect(harness.collector[ids[0]].embedding == [0, 0, 0])
        #expect(harness.collector[ids[1]].embedding == [0.6, 0, -0.8])
    }

    private static func prompt(_ count: Int, salt: UInt64 = 0) -> [Int32] {
        GenerationRequest.test(prompt: count, salt: salt).prompt
    }

    /// What the fake back end's hidden states make of a prompt.
    static func expected(_ prompt: [Int32], _ pooling: Pooling) -> [Float] {
        let states = prompt.indices.map { FakeBackend.hiddenState(after: Array(prompt[...$0])) }
        guard pooling == .mean else { return states.last ?? [] }
        return (0..<3).map { column in
            Float(states.reduce(0) { $0 + Double($1[column]) } / Double(states.count))
        }
    }
}
