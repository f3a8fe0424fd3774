import LMEngine
import Synchronization
import TestKit
import Testing

@Suite("Scheduler")
struct SchedulerTests {
    @Test("A prompt is prefilled in chunks, then decoded a token a step")
    func chunks() throws {
        var harness = try SchedulerHarness(maxNumSeqs: 4, maxNumBatchedTokens: 8)
        let id = harness.add(.test(prompt: 20, maxTokens: 3) { $0.stop.ignoreEndOfSequence = true })
        let steps = harness.run()
        #expect(steps == 5)
        #expect(harness.backend.steps.map(\.rows) == [8, 8, 4, 1, 1])
        #expect(harness.backend.steps.map(\.samples) == [0, 0, 1, 1, 1])
        #expect(harness.collector[id].tokens.count == 3)
        #expect(harness.collector[id].reason == .length)
        #expect(harness.scheduler.pool.ownedCount == 0)
    }

    @Test("Decoding goes first, prefill takes the rows that are left, in order of submission")
    func mixing() throws {
        var harness = try SchedulerHarness(maxNumSeqs: 4, maxNumBatchedTokens: 8)
        for salt in 0..<3 {
            _ = harness.add(.test(prompt: 10, salt: UInt64(salt), maxTokens: 50) { $0.stop.ignoreEndOfSequence = true })
        }
        for _ in 0..<5 { harness.step() }
        #expect(harness.backend.steps.map(\.rows) == [8, 8, 8, 8, 3])
        #expect(harness.backend.steps.map(\.sequences) == [1, 2, 3, 3, 3])
    }

    @Test("Neither rows nor sequences of a step exceed their limits", arguments: [(1, 1), (2, 3), (7, 7), (3, 100)])
    func limits(maxNumSeqs: Int, maxNumBatchedTokens: Int) throws {
        var harness = try SchedulerHarness(maxNumSeqs: maxNumSeqs, maxNumBatchedTokens: maxNumBatchedTokens)
        let ids = (0..<10).map { harness.add(.test(prompt: 3 + $0, salt: UInt64($0))) }
        harness.run()
        #expect(harness.backend.steps.allSatisfy { $0.sequences <= maxNumSeqs && $0.rows <= maxNumBatchedTokens })
        #expect(ids.allSatisfy { harness.collector[$0].isEnded })
    }

    @Test("32 requests together yield what each yields alone", arguments: [1, 16, 64, 512], [true, false])
    func batchInvariance(maxNumBatchedTokens: Int, prefixCaching: Bool) throws {
        var harness = try SchedulerHarness(
            blocks: 200, maxNumSeqs: min(32, maxNumBatchedTokens), maxNumBatchedTokens: maxNumBatchedTokens,
            prefixCaching: prefixCaching)
        let requests = (0..<32).map(Self.variedRequest)
        let ids = requests.map { harness.add($0) }
        harness.run()
        for (id, request) in zip(ids, requests) {
            let alone = try SchedulerHarness.alone(request)
            #expect(harness.collector[id].isSame(as: alone))
            #expect(alone.isEnded)
        }
    }

    /// Requests that use every sampling parameter and share some prefixes.
    static func variedRequest(_ number: Int) -> GenerationRequest {
        .test(prompt: 3 + number * 3, salt: UInt64(number / 4), maxTokens: 12 + number) { request in
            request.sampling.seed = UInt64(number)
            request.sampling.temperature = [0, 0.7, 1, 2][number % 4]
            request.sampling.topP = number % 3 == 0 ? 0.9 : 1
            request.sampling.topK = number % 5 == 0 ? 20 : 0
            request.sampling.minP = number % 7 == 0 ? 0.05 : 0
            request.sampling.repetitionPenalty = number % 2 == 0 ? 1.2 : 1
            request.sampling.presencePenalty = number % 3 == 1 ? 1 : 0
            request.sampling.frequencyPenalty = number % 3 == 2 ? 0.5 : 0
            request.sampling.logprobs = number % 4 == 1 ? 3 : nil
            request.stop.ignoreEndOfSequence = number % 2 == 0
            request.stop.stopStrings = number % 6 == 0 ? ["a", "zz"] : []
        }
    }

    @Test("A pool too small for all preempts and yields the same tokens", arguments: [16, 20, 30, 60])
    func preemption(blocks: Int) throws {
        var harness = try SchedulerHarness(blocks: blocks, maxNumBatchedTokens: 32)
        let requests = (0..<12).map { number in
            GenerationRequest.test(prompt: 4 + number, salt: UInt64(number), maxTokens: 40) { request in
                request.sampling = Self.variedRequest(number).sampling
                request.stop.ignoreEndOfSequence = true
                request.stop.stopStrings = number == 3 ? ["q"] : []
            }
        }
        let ids = requests.map { harness.add($0) }
        harness.run()
        for (id, request) in zip(ids, requests) {
            #expect(harness.collector[id].isSame(as: try SchedulerHarness.alone(request)))
        }
        #expect(harness.scheduler.counters.preemptions > 0)
        let counted = ids.reduce(0) { $0 + (harness.collector[$1].usage?.preemptions ?? 0) }
        #expect(counted == harness.scheduler.counters.preemptions)
        #expect(harness.scheduler.pool.ownedCount == 0)
    }

    @Test("The oldest is never preempted by a newer one")
    func oldestAdvances() throws {
        var harness = try SchedulerHarness(blocks: 12, maxNumBatchedTokens: 32)
        let ids = (0..<6).map { number in
            harness.add(.test(prompt: 6, salt: UInt64(number), maxTokens: 40) { $0.stop.ignoreEndOfSequence = true })
        }
        harness.run()
        #expect(harness.collector[ids[0]].usage?.preemptions == 0)
        #expect(harness.scheduler.counters.preemptions > 0)
    }

    // MARK: Priority

    @Test("Urgent requests are admitted first, older ones first among equals")
    func admissionOrder() throws {
        var harness = try SchedulerHarness(maxNumSeqs: 1)
        let running = harness.add(.test(maxTokens: 5) { ($0.priority, $0.stop.ignoreEndOfSequence) = (7, true) })
        harness.step()
        let priorities = [5, 3, 3, 0, 7, 0, 3]
        let ids = priorities.enumerated().map { number, priority in
            harness.add(.test(salt: UInt64(number), maxTokens: 2) { $0.priority = priority })
        }
        var ended: [RequestID] = []
        while harness.step() {
            ended += ([running] + ids).filter { harness.collector[$0].isEnded && !ended.contains($0) }
        }
        #expect(ended == [running] + [3, 5, 1, 2, 6, 0, 4].map { ids[$0] }, "nobody stops a sequence that runs")
    }

    @Test("The least urgent lose their blocks, whatever their age, and yield what they yield alone")
    func preemptionOrder() throws {
        var harness = try SchedulerHarness(blocks: 12, maxNumBatchedTokens: 32)
        let requests = [6, 6, 0, 3].enumerated().map { number, priority in
            GenerationRequest.test(prompt: 6, salt: UInt64(number), maxTokens: 40) {
                ($0.priority, $0.stop.ignoreEndOfSequence) = (priority, true)
            }
        }
        let ids = requests.map { harness.add($0) }
        harness.run()
        let preemptions = ids.map { harness.collector[$0].usage?.preemptions ?? -1 }
        #expect(preemptions[2] == 0)
        #expect(preemptions[1] > 0, "the last in order is the first victim")
        #expect(harness.collector[ids[2]].usage?.decodeNanoseconds == 39_000, "the first advances in every step")
        for (id, request) in zip(ids, requests) {
            #expect(harness.collector[id].isSame(as: try SchedulerHarness.alone(request)))
        }
    }

    @Test("Under a steady load of its own priority, every request gets its turn")
    func noStarvation() throws {
        var harness = try SchedulerHarness(blocks: 20, maxNumSeqs: 2)
        // The first needs nearly the whole pool: smaller ones that came later must not pass it for ever.
        _ = harness.add(.test(maxTokens: 30))
        let large = harness.add(.test(prompt: 70, salt: 1, maxTokens: 5))
        for salt in 2..<200 where !harness.collector[large].isEnded {
            _ = harness.add(.test(salt: UInt64(salt), maxTokens: 10) { $0.stop.ignoreEndOfSequence = true })
            _ = harness.add(.test(salt: UInt64(salt), maxTokens: 10) { $0.priority = 7 })
            harness.step()
        }
        #expect(harness.collector[large].isEnded)
    }

    @Test("A sequence that fills the pool alone finishes")
    func exactFit() throws {
        var harness = try SchedulerHarness(blocks: 5, blockSize: 4)
        let request = GenerationRequest.test(prompt: 11, maxTokens: 10) { $0.stop.ignoreEndOfSequence = true }
        let ids = (0..<3).map { _ in harness.add(request) }
        harness.run()
        #expect(ids.allSatisfy { harness.collector[$0].tokens.count == 10 })
    }

    @Test("A second request finds the first one's prompt in the cache")
    func prefixHit() throws {
        var harness = try SchedulerHarness(blockSize: 4)
        let request = GenerationRequest.test(prompt: 18)
        let first = harness.add(request)
        harness.run()
        let second = harness.add(request)
        harness.run()
        #expect(harness.collector[first].usage?.cachedTokens == 0)
        #expect(harness.collector[second].usage?.cachedTokens == 16)
        #expect(harness.collector[first].isSame(as: harness.collector[second]))
        let foreign = harness.add(.test(prompt: 18) { $0.cacheScope = 1 })
        harness.run()
        #expect(harness.collector[foreign].usage?.cachedTokens == 0)
    }

    @Test("A cached prefix is computed once for each adapter, and found by the next request with the same")
    func prefixOfAdapter() throws {
        var harness = try SchedulerHarness(blockSize: 4)
        var outputs: [Output] = []
        for adapter in [nil, 0, 1, nil, 0, 1] {
            let id = harness.add(.test(prompt: 18) { $0.adapter = adapter })
            harness.run()
            outputs.append(harness.collector[id])
        }
        #expect(outputs.map { $0.usage?.cachedTokens } == [0, 0, 0, 16, 16, 16])
        for (first, second) in zip(outputs[..<3], outputs[3...]) { #expect(first.isSame(as: second)) }
        #expect(Set(outputs.map(\.tokens)).count == 3)
    }

    @Test("Decoding sequences stand side by side by adapter, and yield what they yield alone")
    func adaptersSideBySide() throws {
        let latest = Mutex<[Int32]>([])
        var script = FakeBackend.Script()
        script.willExecute = { plan in
            let adapters = plan.adapters
            latest.withLock { $0 = adapters }
        }
        var harness = try SchedulerHarness(blocks: 200, script: script)
        let requests = (0..<9).map { number in
            GenerationRequest.test(prompt: 5, salt: UInt64(number)) { request in
                request.adapter = [nil, 1, 0][number % 3]
                request.stop.ignoreEndOfSequence = true
            }
        }
        let ids = requests.map { harness.add($0) }
        harness.run()
        #expect(latest.withLock(\.self) == [-1, -1, -1, 0, 0, 0, 1, 1, 1])
        for (id, request) in zip(ids, requests) {
            #expect(harness.collector[id].isSame(as: try SchedulerHarness.alone(request)))
        }
    }

    // MARK: Credit

    @Test("Credit of 8, granted token by token, is never exceeded, and others run meanwhile")
    func credit() throws {
        var harness = try SchedulerHarness()
        let slow = harness.add(
            .test(maxTokens: 40) {
                $0.creditLimit = 8
                $0.stop.ignoreEndOfSequence = true
            })
        let fast = harness.add(.test(salt: 1, maxTokens: 60) { $0.stop.ignoreEndOfSequence = true })
        for _ in 0..<60 { harness.step() }
        #expect(harness.collector[slow].tokens.count == 8)
        #expect(harness.collector[fast].tokens.count == 60)
        #expect(harness.scheduler.census == Scheduler.Census(running: 0, waiting: 0, parked: 1))
        for consumed in 1...32 {
            harness.scheduler.grant(slow, creditLimit: UInt32(8 + consumed), now: harness.now)
            harness.scheduler.grant(slow, creditLimit: 3, now: harness.now)  // credit never falls
            harness.run()
            #expect(harness.collector[slow].tokens.count == 8 + consumed)
        }
        #expect(harness.collector[slow].reason == .length)
    }

    @Test("Parked sequences hold no seat, and lose their blocks first")
    func parkedYield() throws {
        var harness = try SchedulerHarness(blocks: 12, maxNumSeqs: 2)
        let parked = (0..<3).map { number in
            harness.add(
                .test(prompt: 9, salt: UInt64(number), maxTokens: 20) {
                    $0.creditLimit = 1
                    $0.stop.ignoreEndOfSequence = true
                })
        }
        harness.run()
        #expect(harness.scheduler.pool.ownedCount == 9)
        let busy = harness.add(.test(prompt: 9, salt: 9, maxTokens: 30) { $0.stop.ignoreEndOfSequence = true })
        harness.run()
        #expect(harness.collector[busy].tokens.count == 30)
        #expect(harness.collector[busy].usage?.preemptions == 0)
        for id in parked { harness.scheduler.grant(id, creditLimit: .max, now: harness.now) }
        harness.run()
        for (number, id) in parked.enumerated() {
            let alone = try SchedulerHarness.alone(
                .test(prompt: 9, salt: UInt64(number), maxTokens: 20) { $0.stop.ignoreEndOfSequence = true })
            #expect(harness.collector[id].isSame(as: alone))
        }
    }

    // MARK: Cancel and deadline

    @Test("A cancelled request frees its blocks before the next plan, in every condition")
    func cancel() throws {
        for stepsBefore in 0..<12 {
            var harness = try SchedulerHarness(maxNumSeqs: 4, maxNumBatchedTokens: 4)
            let id = harness.add(.test(prompt: 17, maxTokens: 100) { $0.stop.ignoreEndOfSequence = true })
            for _ in 0..<stepsBefore { harness.step() }
            harness.scheduler.cancel(id)
            harness.scheduler.cancel(id)
            #expect(harness.scheduler.pool.ownedCount == 0)
            let ran = harness.step()
            #expect(!ran)
            #expect(harness.collector[id].reason == .cancelled)
            #expect(harness.backend.steps.count == stepsBefore)
        }
    }

    @Test("Cancelled while queued, a request is never computed")
    func cancelQueued() throws {
        var harness = try SchedulerHarness(maxNumSeqs: 1)
        let running = harness.add(.test(maxTokens: 200) { $0.stop.ignoreEndOfSequence = true })
        let queued = (0..<100).map { harness.add(.test(salt: UInt64($0))) }
        harness.step()
        for id in queued { harness.scheduler.cancel(id) }
        harness.run()
        #expect(harness.collector[running].tokens.count == 200)
        #expect(harness.backend.steps.allSatisfy { $0.sequences == 1 })
        #expect(queued.allSatisfy { harness.collector[$0].reason == .cancelled })
        #expect(queued.allSatisfy { harness.collector[$0].tokens.isEmpty })
    }

    @Test("A deadline fails queued, running and parked requests, and no others")
    func deadline() throws {
        var harness = try SchedulerHarness(maxNumSeqs: 2)
        let deadline = harness.now + 5_500
        let parked = harness.add(.test(maxTokens: 50) { ($0.deadline, $0.creditLimit) = (deadline, 1) })
        let running = harness.add(
            .test(maxTokens: 50) { ($0.deadline, $0.stop.ignoreEndOfSequence) = (deadline, true) })
        let patient = harness.add(
            .test(maxTokens: 50) { ($0.deadline, $0.stop.ignoreEndOfSequence) = (.max, true) })
        let queued = harness.add(.test(maxTokens: 50) { $0.deadline = deadline })
        harness.run()
        for (id, tokens) in [(parked, 1), (running, 5), (queued, 0)] {
            #expect(harness.collector[id].error?.code == .deadlineExceeded)
            #expect(harness.collector[id].tokens.count == tokens)
        }
        #expect(harness.collector[patient].tokens.count == 50)
    }

    // MARK: Failures

    @Test("A row without finite logits fails its own request only")
    func nonFinite() throws {
        var script = FakeBackend.Script()
        script.output = { history, promptLength in
            history.first == 7 && history.count == promptLength + 3 ? .nonFinite : .natural
        }
        var harness = try SchedulerHarness(script: script)
        let healthy = (0..<4).map { number in
            (GenerationRequest.test(salt: UInt64(number)), number)
        }
        let ids = healthy.map { harness.add($0.0) }
        let sick = harness.add(.test(salt: 50) { ($0.prompt[0], $0.stop.ignoreEndOfSequence) = (7, true) })
        harness.run()
        #expect(harness.collector[sick].error?.code == .nonFiniteLogits)
        #expect(harness.collector[sick].tokens.count == 3)
        for (id, request) in zip(ids, healthy) {
            #expect(harness.collector[id].isSame(as: try SchedulerHarness.alone(request.0)))
        }
    }

    @Test("Keys that are not finite fail their own request, sampled or not, and are not cached")
    func faultyRows() throws {
        var script = FakeBackend.Script()
        script.fault = { token, position in token == 7 && position == 10 ? "planted in layer 3" : nil }
        var harness = try SchedulerHarness(maxNumSeqs: 4, maxNumBatchedTokens: 8, script: script)
        let healthy = (0..<3).map { GenerationRequest.test(salt: UInt64($0)) }
        let ids = healthy.map { harness.add($0) }
        for _ in 0..<2 {
            let sick = harness.add(.test(salt: 50) { $0.prompt = Array(repeating: 7, count: 30) })
            harness.run()
            #expect(harness.collector[sick].error == EngineError(.nonFiniteLogits, "planted in layer 3"))
            #expect(harness.collector[sick].tokens.isEmpty)
        }
        for (id, request) in zip(ids, healthy) {
            #expect(harness.collector[id].isSame(as: try SchedulerHarness.alone(request)))
        }
    }

    @Test("One failed step is computed again unseen; two in a row fail its requests and no others")
    func backendFailure() throws {
        for failures in [1, 2] {
            let step = Counter()
            var script = FakeBackend.Script()
            script.willExecute = { _ throws(EngineError) in
                if (4..<4 + failures).contains(step.next()) { throw EngineError(.backend, "planted") }
            }
            var harness = try SchedulerHarness(script: script)
            let request = GenerationRequest.test(maxTokens: 30) { $0.stop.ignoreEndOfSequence = true }
            let id = harness.add(request)
            let parked = harness.add(
                .test(salt: 3, maxTokens: 30) { ($0.creditLimit, $0.stop.ignoreEndOfSequence) = (2, true) })
            harness.run()
            harness.scheduler.grant(parked, creditLimit: .max, now: harness.now)
            harness.run()
            if failures == 1 {
                #expect(harness.collector[id].isSame(as: try SchedulerHarness.alone(request)))
                #expect(harness.collector[id].usage?.preemptions == 1)
            } else {
                #expect(harness.collector[id].error == EngineError(.backend, "planted"))
                #expect(harness.collector[id].tokens.count == 4)
            }
            #expect(harness.collector[parked].tokens.count == 30)
            #expect(harness.scheduler.pool.ownedCount == 0)
        }
    }
}
