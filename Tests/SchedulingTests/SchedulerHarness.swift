import LMEngine
import TestKit
import Testing

/// A scheduler with the fake back end, driven step by step in one thread, its ledger audited after every command.
struct SchedulerHarness {
    var scheduler: Scheduler
    let backend: FakeBackend
    var collector = OutputCollector()
    var now: UInt64 = 1_000
    /// Nanoseconds that a step takes, by itself and for each row.
    var stepTime: (base: UInt64, row: UInt64) = (0, 0)
    private var result = StepResult()
    private var submitted: UInt64 = 0

    init(
        blocks: Int = 64, blockSize: Int = 4, maxNumSeqs: Int = 32, maxNumBatchedTokens: Int = 64,
        prefixCaching: Bool = true, tokenizer: FakeTokenizer = FakeTokenizer(),
        script: FakeBackend.Script = FakeBackend.Script()
    ) throws(EngineError) {
        backend = FakeBackend(vocabularySize: tokenizer.vocabularySize, script: script)
        try backend.allocateKeyValueCache(blockCount: blocks, blockSize: blockSize)
        scheduler = Scheduler(
            limits: Scheduler.Limits(
                maxNumSeqs: maxNumSeqs, maxNumBatchedTokens: maxNumBatchedTokens,
                vocabularySize: tokenizer.vocabularySize),
            pool: BlockPool(blockCount: blocks, blockSize: blockSize, prefixCaching: prefixCaching),
            tokenizer: tokenizer)
    }

    mutating func add(_ request: GenerationRequest) -> RequestID {
        submitted += 1
        let id = RequestID(rawValue: submitted)
        scheduler.add(request, id: id, tag: submitted * 10, receiver: 0, seed: submitted, now: now)
        return id
    }

    /// Runs one step; false when there was nothing to run.
    @discardableResult
    mutating func step() -> Bool {
        now += 1_000
        let hasWork = scheduler.schedule(now: now)
        if hasWork { executePlanned() }
        deliver()
        return hasWork
    }

    /// Runs the step that was planned, for tests that look at the plan first.
    mutating func executePlanned() {
        do throws(EngineError) {
            try backend.execute(scheduler.plan, into: &result)
            now += stepTime.base + stepTime.row * UInt64(scheduler.plan.rowCount)
            scheduler.commit(result, now: now)
        } catch {
            scheduler.stepFailed(error)
        }
    }

    mutating func deliver() {
        for index in scheduler.outboxes.indices {
            collector.collect(scheduler.outboxes[index])
            scheduler.outboxes[index].removeAll()
        }
        #expect(scheduler.audit() == nil)
        #expect(backend.faults.isEmpty)
    }

    /// Runs until nothing is left to run; returns the number of steps.
    @discardableResult
    mutating func run(atMost limit: Int = 100_000) -> Int {
        for steps in 0..<limit where !step() { return steps }
        Issue.record("still running after \(limit) steps")
        return limit
    }

    /// The output of a request that has the engine for itself.
    static func alone(
        _ request: GenerationRequest, tokenizer: FakeTokenizer = FakeTokenizer(),
        script: FakeBackend.Script = FakeBackend.Script()
    ) throws(EngineError) -> Output {
        var harness = try SchedulerHarness(
            blocks: 1_000, blockSize: 16, maxNumBatchedTokens: 4_096, prefixCaching: false, tokenizer: tokenizer,
            script: script)
        let id = harness.add(request)
        harness.run()
        return harness.collector[id]
    }
}
