import LMEngine
import TestKit
import Testing

/// The engine with real arithmetic: what the fake back end cannot show is whether a prefix hit, a chunk or a recompute
/// changes a bit of the logits.
@Suite("Engine on the reference back end", .timeLimit(.minutes(5)))
struct ReferenceEngineTests {
    private static let generated = 40

    private func run(
        _ requests: [GenerationRequest], _ configuration: ModelConfiguration, _ adjust: (inout EngineOptions) -> Void
    ) throws -> (outputs: [Output], statistics: EngineStatistics) {
        let checkpoint = SyntheticCheckpoint(configuration)
        let backend = try ReferenceBackend(checkpoint: checkpoint)
        var options = EngineOptions()
        options.blockSize = 4
        options.keyValueCacheBytes = backend.keyValueBytesPerToken * 4 * 400
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

    @Test("Batch, chunks, cached prefixes and preemption change no token and no log-probability")
    func sameBits() throws {
        let golden = try #require(try SyntheticGolden.all().first)
        let requests = (0..<8).map { number in
            GenerationRequest.test(maxTokens: Self.generated) { request in
                request.prompt = Array(golden.prompt.prefix(3 + number)) + golden.prompt.prefix(number % 3)
                request.sampling.temperature = number % 2 == 0 ? 0 : 0.9
                request.sampling.seed = UInt64(number)
                request.sampling.logprobs = 3
                request.stop.ignoreEndOfSequence = true
            }
        }
        let alone = try requests.map { try run([$0], golden.configuration) { _ in }.outputs[0] }
        let sizes: [(rows: Int, blocks: Int)] = [(512, 400), (8, 400), (8, 20), (64, 14)]
        for (rows, blocks) in sizes {
            let bytes = try ReferenceBackend(checkpoint: SyntheticCheckpoint(golden.configuration))
                .keyValueBytesPerToken
            let (together, statistics) = try run(requests, golden.configuration) {
                $0.maxNumBatchedTokens = rows
                $0.maxNumSeqs = min(8, rows)
                $0.keyValueCacheBytes = bytes * 4 * blocks
            }
            for (one, other) in zip(together, alone) {
                #expect(one.isSame(as: other), "\(rows) rows, \(blocks) blocks")
            }
            #expect((statistics.preemptions > 0) == (blocks < 100))
        }
    }
}
