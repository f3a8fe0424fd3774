import LMEngine
import TestKit
import Testing

@Suite("A device without memory for a step")
struct DeviceMemoryTests {
    /// Runs to the end on a device that has memory for steps of so many rows; returns the rows of each step.
    private func run(_ harness: inout SchedulerHarness, room: Int) -> [Int] {
        var rows: [Int] = []
        while rows.count < 1_000, harness.scheduler.schedule(now: harness.now) {
            rows.append(harness.scheduler.plan.rowCount)
            #expect(harness.scheduler.plan.sequenceCount <= rows[rows.count - 1], "every sequence has a row")
            if harness.scheduler.plan.rowCount > room {
                harness.scheduler.stepFailed(EngineError(.deviceMemory, "planted"))
            } else {
                harness.executePlanned()
            }
            harness.deliver()
            harness.now += 1_000
        }
        return rows
    }

    private static func request(_ salt: UInt64) -> GenerationRequest {
        .test(prompt: 30, salt: salt, maxTokens: 6) { $0.stop.ignoreEndOfSequence = true }
    }

    @Test("Steps have half the rows from then on, and no request fails")
    func halves() throws {
        var harness = try SchedulerHarness()
        let requests = (0..<3).map { Self.request($0) }
        let ids = requests.map { harness.add($0) }
        let rows = run(&harness, room: 40)
        #expect(rows[0] == 64 && rows.dropFirst().allSatisfy { $0 <= 32 } && rows.contains(32))
        for (id, request) in zip(ids, requests) {
            #expect(try harness.collector[id].tokens == SchedulerHarness.alone(request).tokens)
        }
        #expect(harness.scheduler.counters.failedSteps == 1)
    }

    @Test("Where half has no room either, the youngest request of the step fails alone")
    func youngest() throws {
        var harness = try SchedulerHarness()
        let requests = (0..<3).map { Self.request($0) }
        let ids = requests.map { harness.add($0) }
        // 64 and 32 rows have none, 16 have. Of 32 rows the first request has 30, the second two.
        let rows = run(&harness, room: 20)
        #expect(rows[..<2] == [64, 32] && rows.dropFirst(2).allSatisfy { $0 <= 16 })
        #expect(harness.collector[ids[1]].error?.code == .deviceMemory)
        for index in [0, 2] {
            #expect(try harness.collector[ids[index]].tokens == SchedulerHarness.alone(requests[index]).tokens)
        }
    }

    @Test("Of sequences that were parked meanwhile no more run than there are rows for")
    func parked() throws {
        var harness = try SchedulerHarness()
        let requests = (0..<8).map { salt in
            GenerationRequest.test(prompt: 4, salt: salt, maxTokens: 8) { $0.stop.ignoreEndOfSequence = true }
        }
        let ids = requests.map { request in
            var paced = request
            paced.creditLimit = 2
            return harness.add(paced)
        }
        harness.run()
        for id in ids[..<4] { harness.scheduler.grant(id, creditLimit: 8, now: harness.now) }
        #expect(run(&harness, room: 3)[0] == 4)
        for id in ids[4...] { harness.scheduler.grant(id, creditLimit: 8, now: harness.now) }
        let rows = run(&harness, room: 3)
        #expect(!rows.isEmpty && rows.allSatisfy { $0 <= 2 })
        for (id, request) in zip(ids, requests) {
            #expect(try harness.collector[id].tokens == SchedulerHarness.alone(request).tokens)
        }
    }

    @Test("Sequences beyond the rows that fit wait for their turn; without room for one they all fail, one by one")
    func seats() throws {
        var harness = try SchedulerHarness()
        let requests = (0..<8).map { salt in
            GenerationRequest.test(prompt: 4, salt: salt, maxTokens: 20) { $0.stop.ignoreEndOfSequence = true }
        }
        let ids = requests.map { harness.add($0) }
        for _ in 0..<4 { harness.step() }
        let rows = run(&harness, room: 5)
        #expect(rows[0] == 8 && rows.dropFirst().allSatisfy { $0 <= 4 })
        for (id, request) in zip(ids, requests) {
            #expect(try harness.collector[id].tokens == SchedulerHarness.alone(request).tokens)
        }
        var other = try SchedulerHarness()
        let all = (0..<3).map { other.add(Self.request($0)) }
        _ = run(&other, room: 0)
        #expect(all.allSatisfy { other.collector[$0].error?.code == .deviceMemory })
        #expect(other.scheduler.pool.freeCount == 64)
    }

    @Test("After long enough twice the rows are tried again")
    func comesBack() throws {
        var harness = try SchedulerHarness(blocks: 4_000, blockSize: 16)
        _ = harness.add(.test(prompt: 4, salt: 1, maxTokens: 8_000) { $0.stop.ignoreEndOfSequence = true })
        _ = harness.add(Self.request(2))
        var isPlanned = harness.scheduler.schedule(now: harness.now)
        #expect(isPlanned)
        harness.scheduler.stepFailed(EngineError(.deviceMemory, "planted"))
        for _ in 0..<5_000 { harness.step() }
        _ = harness.add(.test(prompt: 60, salt: 3, maxTokens: 2))
        isPlanned = harness.scheduler.schedule(now: harness.now)
        #expect(isPlanned)
        #expect(harness.scheduler.plan.rowCount > 17, "34 rows did not fit, 17 did, 34 are tried")
        harness.executePlanned()
        harness.deliver()
    }
}
