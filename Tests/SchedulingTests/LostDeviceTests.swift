import LMEngine
import TestKit
import Testing

@Suite("A lost device")
struct LostDeviceTests {
    @Test("All sequences are computed anew, in the step or not, and no cached prefix is used again")
    func everythingIsComputedAnew() throws {
        var harness = try SchedulerHarness(blocks: 64, blockSize: 4)
        let finished = GenerationRequest.test(salt: 3, maxTokens: 6) { $0.stop.ignoreEndOfSequence = true }
        let cached = harness.add(finished)
        harness.run()
        #expect(harness.scheduler.pool.cachedCount > 0)

        let requests = (0..<3).map { number in
            GenerationRequest.test(salt: UInt64(number), maxTokens: 12) { $0.stop.ignoreEndOfSequence = true }
        }
        var paced = requests[0]
        paced.creditLimit = 2
        let ids = [paced, requests[1], requests[2]].map { harness.add($0) }
        for _ in 0..<4 { harness.step() }
        #expect(harness.collector[ids[0]].tokens.count == 2, "it is parked, and so in no step")

        let isPlanned = harness.scheduler.schedule(now: harness.now)
        #expect(isPlanned)
        try harness.backend.allocateKeyValueCache(blockCount: 64, blockSize: 4)
        harness.scheduler.stepFailed(EngineError(.deviceLost, "planted"))
        harness.deliver()
        #expect(harness.scheduler.pool.freeCount == 64)

        let again = harness.add(finished)
        harness.scheduler.grant(ids[0], creditLimit: 12, now: harness.now)
        harness.run()
        for (id, request) in zip(ids + [again], requests + [finished]) {
            #expect(try harness.collector[id].tokens == SchedulerHarness.alone(request).tokens)
        }
        #expect(harness.collector[again].tokens == harness.collector[cached].tokens)
    }

    @Test("A device that is lost twice fails the requests of the step, and leaves the others waiting")
    func lostTwice() throws {
        var harness = try SchedulerHarness()
        let running = harness.add(.test(salt: 1, maxTokens: 12) { $0.stop.ignoreEndOfSequence = true })
        let parked = harness.add(.test(salt: 2, maxTokens: 12) { $0.creditLimit = 1 })
        for _ in 0..<3 { harness.step() }
        for _ in 0..<2 {
            let isPlanned = harness.scheduler.schedule(now: harness.now)
            #expect(isPlanned)
            try harness.backend.allocateKeyValueCache(blockCount: 64, blockSize: 4)
            harness.scheduler.stepFailed(EngineError(.deviceLost, "planted"))
            harness.deliver()
        }
        #expect(harness.collector[running].error?.code == .deviceLost)
        #expect(harness.collector[parked].error == nil)
        #expect(harness.scheduler.pool.freeCount == 64)
    }
}
