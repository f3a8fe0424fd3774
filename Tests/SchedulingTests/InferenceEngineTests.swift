import LMEngine
import TestKit
import Testing

@Suite("Inference engine", .timeLimit(.minutes(5)))
struct InferenceEngineTests {
    /// An engine on the fake back end with an inbox.
    private struct Rig {
        let engine: InferenceEngine
        let backend: FakeBackend
        let inbox = EventInbox()
        var collector = OutputCollector()

        init(
            contextLength: Int = 512, script: FakeBackend.Script = FakeBackend.Script(),
            _ adjust: (inout EngineOptions) -> Void = { _ in }
        ) throws(EngineError) {
            let tokenizer = FakeTokenizer()
            backend = FakeBackend(vocabularySize: tokenizer.vocabularySize, script: script)
            var options = EngineOptions()
            options.keyValueCacheBytes = 8 * 16 * 400
            adjust(&options)
            engine = try InferenceEngine(
                backend: backend, tokenizer: tokenizer,
                model: .fake(vocabularySize: tokenizer.vocabularySize, contextLength: contextLength), options: options)
        }

        /// Submits with the tag that `OutputCollector` expects of the `number`th request.
        func submit(_ request: GenerationRequest, number: UInt64 = 1) throws(EngineError) -> RequestID {
            try engine.submit(request, tag: number * 10, to: inbox.mailbox)
        }

        /// Collects events until all of these have ended.
        mutating func wait(for ids: [RequestID]) {
            var batch = EventBatch()
            while !ids.allSatisfy({ collector[$0].isEnded }) {
                guard inbox.wait(into: &batch) else {
                    Issue.record("no event for 30 seconds")
                    return
                }
                collector.collect(batch)
            }
        }

        /// Collects events until a request has so many tokens.
        mutating func wait(for count: Int, tokensOf id: RequestID) {
            var batch = EventBatch()
            while collector[id].tokens.count < count {
                guard inbox.wait(into: &batch) else {
                    Issue.record("no event for 30 seconds")
                    return
                }
                collector.collect(batch)
            }
        }
    }

    @Test("32 concurrent requests equal the same requests alone, token for token")
    func concurrent() throws {
        var rig = try Rig()
        let requests = (0..<32).map(SchedulerTests.variedRequest)
        var ids: [RequestID] = []
        for (number, request) in requests.enumerated() {
            ids.append(try rig.submit(request, number: UInt64(number + 1)))
        }
        rig.wait(for: ids)
        for (id, request) in zip(ids, requests) {
            #expect(rig.collector[id].isSame(as: try SchedulerHarness.alone(request)))
        }
        let statistics = rig.engine.statistics()
        #expect(statistics.blocksOwned == 0)
        #expect(statistics.blocksFree + statistics.blocksCached == statistics.blocksTotal)
        #expect(statistics.tokensGenerated == ids.reduce(0) { $0 + rig.collector[$1].tokens.count })
        #expect(rig.backend.faults.isEmpty)
    }

    @Test("Credit paces a request while another runs at full speed")
    func credit() throws {
        var rig = try Rig()
        let slow = try rig.submit(
            .test(maxTokens: 30) { ($0.creditLimit, $0.stop.ignoreEndOfSequence) = (8, true) }, number: 1)
        for consumed in 1...22 {
            rig.wait(for: 7 + consumed, tokensOf: slow)
            #expect(rig.collector[slow].tokens.count == 7 + consumed, "never more than 8 ahead")
            if consumed == 5 {
                let fast = try rig.submit(
                    .test(salt: 1, maxTokens: 100) { $0.stop.ignoreEndOfSequence = true }, number: 2)
                rig.wait(for: [fast])
                #expect(rig.collector[fast].tokens.count == 100)
                #expect(rig.engine.statistics().parked == 1)
            }
            rig.engine.grant(slow, creditLimit: UInt32(8 + consumed))
        }
        rig.wait(for: [slow])
    }

    @Test("1,000 random cancels leave every block free and every request with one end")
    func cancels() throws {
        var rig = try Rig { ($0.keyValueCacheBytes, $0.prefixCaching) = (8 * 16 * 40, false) }
        var random = TestRandom(seed: 5)
        var ids: [RequestID] = []
        var batch = EventBatch()
        for number in 0..<1_200 {
            let request = GenerationRequest.test(
                prompt: random.below(100) + 1, salt: UInt64(number), maxTokens: random.below(60) + 1)
            ids.append(try rig.submit(request, number: UInt64(number + 1)))
            if number % 6 < 5 {
                rig.engine.cancel(ids[random.below(10) == 0 ? ids.count - 1 : random.below(ids.count)])
            }
            if random.below(20) == 0, rig.inbox.wait(into: &batch) { rig.collector.collect(batch) }
        }
        rig.wait(for: ids)
        let statistics = rig.engine.statistics()
        #expect(statistics.blocksFree == statistics.blocksTotal)
        #expect(statistics.running + statistics.waiting + statistics.parked == 0)
        #expect(statistics.cancels > 50, "how many come in time is the scheduler's luck")
        #expect(rig.backend.faults.isEmpty)
    }

    @Test("A cancel takes effect before the next step")
    func cancelBeforeNextStep() throws {
        let entered = Arrivals()
        let proceed = Arrivals()
        var script = FakeBackend.Script()
        script.willExecute = { _ in
            entered.signal()
            _ = proceed.wait()
        }
        var rig = try Rig(script: script)
        let id = try rig.submit(.test(maxTokens: 50))
        #expect(entered.wait())
        rig.engine.cancel(id)  // while the first step runs
        proceed.signal()
        rig.wait(for: [id])
        #expect(rig.collector[id].tokens.count == 1)
        #expect(rig.collector[id].reason == .cancelled)
        #expect(rig.engine.statistics().steps == 1)
        #expect(rig.engine.statistics().blocksOwned == 0)
    }

    @Test("A deadline ends a parked request although nothing runs")
    func deadline() throws {
        var rig = try Rig()
        let id = try rig.submit(.test { ($0.creditLimit, $0.deadline) = (0, 1) })
        rig.wait(for: [id])
        #expect(rig.collector[id].error?.code == .deadlineExceeded)
    }

    @Test("A back end that fails twice fails the requests of that step; the engine lives on")
    func backendFailure() throws {
        let step = Counter()
        var script = FakeBackend.Script()
        script.willExecute = { _ throws(EngineError) in
            if step.next() < 2 { throw EngineError(.backend, "planted") }
        }
        var rig = try Rig(script: script)
        let first = try rig.submit(.test())
        rig.wait(for: [first])
        #expect(rig.collector[first].error == EngineError(.backend, "planted"))
        let second = try rig.submit(.test(), number: 2)
        rig.wait(for: [second])
        #expect(rig.collector[second].reason != nil)
        #expect(rig.engine.statistics().failedSteps == 2)
    }

    @Test("The limit of requests refuses at once, and an end makes room")
    func overload() throws {
        var rig = try Rig { $0.maxNumRequests = 2 }
        let parked = try rig.submit(.test { $0.creditLimit = 0 })
        let other = try rig.submit(.test { $0.creditLimit = 0 }, number: 2)
        let error = #expect(throws: EngineError.self) { try rig.submit(.test()) }
        #expect(error?.code == .overloaded)
        rig.engine.cancel(parked)
        rig.wait(for: [parked])
        let third = try rig.submit(.test(), number: 3)
        rig.engine.cancel(other)
        rig.wait(for: [other, third])
    }

    @Test("Draining refuses new requests and finishes those inside; shutdown cancels the rest")
    func drainAndShutdown() throws {
        var rig = try Rig()
        let running = try rig.submit(.test(maxTokens: 60) { $0.stop.ignoreEndOfSequence = true })
        let parked = try rig.submit(.test { $0.creditLimit = 0 }, number: 2)
        rig.engine.drain()
        let error = #expect(throws: EngineError.self) { try rig.submit(.test()) }
        #expect(error?.code == .draining)
        rig.wait(for: [running])
        #expect(rig.collector[running].tokens.count == 60)
        rig.engine.shutdown()
        rig.engine.shutdown()
        rig.engine.cancel(running)
        rig.wait(for: [parked])
        #expect(rig.collector[parked].reason == .cancelled)
        #expect(rig.engine.statistics().blocksOwned == 0)
    }

    @Test("Requests without a seed get different ones; with a seed, the same text")
    func seeds() throws {
        var rig = try Rig()
        var ids: [RequestID] = []
        for number in 0..<4 {
            let request = GenerationRequest.test(maxTokens: 20) {
                $0.sampling.seed = number < 2 ? nil : 7
                $0.stop.ignoreEndOfSequence = true
            }
            ids.append(try rig.submit(request, number: UInt64(number + 1)))
        }
        rig.wait(for: ids)
        #expect(rig.collector[ids[0]].tokens != rig.collector[ids[1]].tokens)
        #expect(rig.collector[ids[2]].tokens == rig.collector[ids[3]].tokens)
    }

    @Test("An engine that is let go ends its thread")
    func release() throws {
        let inbox = EventInbox()
        var batch = EventBatch()
        do {
            let rig = try Rig()
            _ = try rig.engine.submit(.test { $0.creditLimit = 0 }, tag: 10, to: inbox.mailbox)
        }
        #expect(inbox.wait(into: &batch))
        #expect(batch.events.count == 1)
    }
}
