import LMEngine
import TestKit
import Testing

/// What a request has yielded so far, and whether its events came in order.
struct Output: Equatable {
    var tokens: [Int32] = []
    var text: [UInt8] = []
    var logprobs: [TokenLogprob] = []
    var reason: FinishReason?
    var error: EngineError?
    var usage: Usage?

    var isEnded: Bool { reason != nil || error != nil }
    var string: String { String(decoding: text, as: UTF8.self) }

    /// What a request must yield whatever it shares the engine with.
    func isSame(as other: Output) -> Bool {
        tokens == other.tokens && text == other.text && logprobs == other.logprobs && reason == other.reason
    }
}

/// Sorts the events of batches by request.
struct OutputCollector {
    private(set) var outputs: [RequestID: Output] = [:]

    subscript(id: RequestID) -> Output { outputs[id] ?? Output() }

    mutating func collect(_ batch: EventBatch) {
        var text = batch.text[...]
        var logprobs = batch.logprobs[...]
        var ends = batch.ends[...]
        for event in batch.events {
            var output = self[event.request]
            #expect(!output.isEnded, "an event after the last one")
            #expect(event.tag == event.request.rawValue * 10)
            switch event.kind {
            case .token(let id, let index, let textLength, let logprobCount):
                #expect(Int(index) == output.tokens.count, "indices have no gaps")
                output.tokens.append(id)
                output.text += text.prefix(Int(textLength))
                output.logprobs += logprobs.prefix(Int(logprobCount))
                text = text.dropFirst(Int(textLength))
                logprobs = logprobs.dropFirst(Int(logprobCount))
            case .ended:
                switch ends.popFirst() {
                case .finished(let reason, let usage):
                    output.reason = reason
                    output.usage = usage
                    #expect(usage.completionTokens == output.tokens.count)
                case .failed(let error, let usage):
                    output.error = error
                    output.usage = usage
                case nil: Issue.record("an end that the batch does not hold")
                }
            }
            outputs[event.request] = output
        }
        #expect(text.isEmpty && logprobs.isEmpty && ends.isEmpty)
    }
}

/// A scheduler with the fake back end, driven step by step in one thread, its ledger audited after every command.
struct SchedulerHarness {
    var scheduler: Scheduler
    let backend: FakeBackend
    var collector = OutputCollector()
    var now: UInt64 = 1_000
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
        if hasWork {
            do throws(EngineError) {
                try backend.execute(scheduler.plan, into: &result)
                scheduler.commit(result, now: now)
            } catch {
                scheduler.stepFailed(error)
            }
        }
        deliver()
        return hasWork
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

extension GenerationRequest {
    /// A request for tests: a prompt of hashed tokens, and conditions set in place.
    static func test(
        prompt length: Int = 5, salt: UInt64 = 0, maxTokens: Int = 8,
        _ adjust: (inout GenerationRequest) -> Void = { _ in }
    ) -> GenerationRequest {
        var random = TestRandom(seed: salt)
        var request = GenerationRequest(prompt: (0..<length).map { _ in Int32(random.below(256)) })
        request.stop.maxTokens = maxTokens
        request.sampling.seed = salt
        adjust(&request)
        return request
    }
}
