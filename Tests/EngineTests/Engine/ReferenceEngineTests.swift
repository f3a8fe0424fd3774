import LMEngine
import TestKit
import Testing

/// The engine with real arithmetic: what the fake back end cannot show is whether a prefix hit, a chunk or a recompute
/// changes a bit of the logits.
@Suite("Engine with real arithmetic", .timeLimit(.minutes(5)))
struct ReferenceEngineTests {
    private static let generated = 40

    /// What computes.
    enum Subject {
        case reference
        /// The CPU back end with a cache of 8-bit integers.
        case integers

        var blockSize: Int { self == .reference ? 4 : 16 }

        func backend(_ checkpoint: any Checkpoint) throws -> any Backend {
            self == .reference
                ? try ReferenceBackend(checkpoint: checkpoint)
                : try CPUBackend(checkpoint: checkpoint, threads: 2, keyValueDataType: .int8)
        }
    }

    private func run(
        _ requests: [GenerationRequest], _ configuration: ModelConfiguration, on subject: Subject,
        blocks: Int = 400, _ adjust: (inout EngineOptions) -> Void = { _ in }
    ) throws -> (outputs: [Output], statistics: EngineStatistics) {
        let checkpoint = SyntheticCheckpoint(configuration)
        let backend = try subject.backend(checkpoint)
        var options = EngineOptions()
        options.blockSize = subject.blockSize
        options.keyValueCacheBytes = backend.keyValueBytesPerToken * options.blockSize * blocks
        adjust(&options)
        let engine = try InferenceEngine(
            backend: backend, tokenizer: checkpoint.tokenizer, model: configuration, options: options)
        let inbox = EventInbox()
        let ids = try requests.enumerated().map { number, request in
            try engine.submit(request, tag: UInt64(number + 1) * 10, to: inbox.mailbox)
        }
        var collector = OutputCollector()
        var batch = EventBatch()
        while !ids.allSatisfy({ collector[$0].isEnded }) {
            try #require(inbox.wait(into: &batch))
            collector.collect(batch)
        }
        return (ids.map { collector[$0] }, engine.statistics())
    }

    @Test(
        "Batch, chunks, cached prefixes and preemption change no token and no log-probability",
        arguments: [Subject.reference, .integers])
    func sameBits(subject: Subject) throws {
        let golden = try #require(try SyntheticGolden.all().first)
        // Long enough for blocks in common.
        let text = (0..<subject.blockSize).flatMap { _ in golden.prompt }
        let requests = (0..<8).map { number in
            GenerationRequest.test(maxTokens: Self.generated) { request in
                request.prompt = Array(text.prefix(subject.blockSize + number - 1)) + text.prefix(number % 3)
                request.sampling.temperature = number % 2 == 0 ? 0 : 0.9
                request.sampling.seed = UInt64(number)
                request.sampling.logprobs = 3
                request.stop.ignoreEndOfSequence = true
            }
        }
        let alone = try requests.map { try run([$0], golden.configuration, on: subject).outputs[0] }
        let sizes: [(rows: Int, blocks: Int)] = [(512, 400), (8, 400), (8, 20), (64, 14)]
        for (rows, blocks) in sizes {
            let (together, statistics) = try run(requests, golden.configuration, on: subject, blocks: blocks) {
                $0.maxNumBatchedTokens = rows
                $0.maxNumSeqs = min(8, rows)
            }
            for (one, other) in zip(together, alone) {
                #expect(one.isSame(as: other), "\(rows) rows, \(blocks) blocks")
            }
            #expect((statistics.preemptions > 0) == (blocks < 100))
        }
    }
}
