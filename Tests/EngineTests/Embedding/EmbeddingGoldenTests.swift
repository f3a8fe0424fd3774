import LMEngine
import TestKit
import Testing

/// Embeddings of small random models of every family, against the base models of transformers.
@Suite(.timeLimit(.minutes(5))) struct EmbeddingGoldenTests {
    /// A case of Tests/Goldens/embeddings.json.
    struct Golden: Decodable, Sendable, CustomTestStringConvertible {
        let name: String
        private let last: String
        private let mean: String

        var testDescription: String { name }

        static func all() throws -> [Golden] { try TestKit.Golden.load("embeddings.json") }

        func expected(_ pooling: Pooling) -> [Float] { FamilyModel.floats(pooling == .last ? last : mean) }

    }

    /// Every family's model, by name: the file is long.
    private static let models = Result {
        Dictionary(uniqueKeysWithValues: try FamilyModel.all().map { ($0.name, $0) })
    }

    private func model(_ name: String) throws -> FamilyModel { try #require(try Self.models.get()[name]) }

    @Test(arguments: try Golden.all())
    func `the vectors of both back ends are within 1e-4 of the reference's`(golden: Golden) throws {
        let model = try model(golden.name)
        // The same model as in float32: see make_families.py.
        let folder = try model.folder(storage: .float16)
        let reference = try EngineRig(folder) { try ReferenceBackend(checkpoint: $0) }
        let fast = try EngineRig(folder) { try CPUBackend(checkpoint: $0, threads: 2, dataType: .float32) }
        for pooling in [Pooling.last, .mean] {
            let expected = golden.expected(pooling)
            let exact = relativeError(try reference.embed(model.prompt, pooling), expected)
            let close = relativeError(try fast.embed(model.prompt, pooling), expected)
            #expect(exact < 1e-4 && close < 1e-4, "\(pooling)")
        }
    }

    @Test(arguments: [Pooling.last, .mean])
    func `chunks and company change no bit, and a normalized vector has the length 1`(pooling: Pooling) throws {
        let model = try model("gemma2, window in every other layer, soft caps")
        let folder = try model.folder(storage: .float16)
        func rig(rows: Int) throws -> EngineRig {
            try EngineRig(folder, rows: rows) { try CPUBackend(checkpoint: $0, threads: 2) }
        }
        let alone = try rig(rows: 512).embed(model.prompt, pooling)
        for rows in [1, 7, 64] { #expect(try rig(rows: rows).embed(model.prompt, pooling) == alone, "\(rows) rows") }

        let crowd = try rig(rows: 24)
        var requests = (0..<6).map { number in
            GenerationRequest.test(maxTokens: 20) {
                $0.prompt = Array(model.prompt.dropFirst(number))
                $0.sampling.temperature = 0
                $0.stop.ignoreEndOfSequence = true
            }
        }
        requests.insert(.embedding(model.prompt, pooling), at: 3)
        let outputs = try crowd.run(requests)
        #expect(outputs[3].embedding == alone)
        for (request, output) in zip(requests, outputs) where request.embedding == nil {
            #expect(try rig(rows: 512).run([request])[0].isSame(as: output))
        }

        var request = GenerationRequest.embedding(model.prompt, pooling)
        request.embedding?.isNormalized = true
        let normalized = try #require(try rig(rows: 64).run([request])[0].embedding)
        let length = normalized.reduce(0) { $0 + $1 * $1 }.squareRoot()
        #expect(abs(length - 1) < 1e-6)
        let longest = alone.reduce(0) { $0 + $1 * $1 }.squareRoot()
        #expect(relativeError(normalized.map { $0 * longest }, alone) < 1e-6)
    }
}

/// An engine on a real back end; each call waits for all it asked.
private final class EngineRig {
    private let engine: InferenceEngine
    private var submitted = 0

    /// - Parameter rows: most rows of a step.
    init(_ folder: TemporaryFolder, rows: Int = 512, _ backend: (any Checkpoint) throws -> any Backend) throws {
        let checkpoint = try loadCheckpoint(path: folder.path)
        let backend = try backend(checkpoint)
        var options = EngineOptions()
        options.keyValueCacheBytes = backend.keyValueBytesPerToken * 16 * 64
        options.maxNumBatchedTokens = rows
        options.maxNumSeqs = min(rows, 8)
        var model = checkpoint.configuration
        // Some prompts of the goldens are longer than their model was made for.
        model.contextLength = max(model.contextLength, 128)
        engine = try InferenceEngine(backend: backend, tokenizer: FakeTokenizer(), model: model, options: options)
    }

    deinit { engine.shutdown() }

    func run(_ requests: [GenerationRequest]) throws -> [Output] {
        let inbox = EventInbox()
        let ids = try requests.map { request in
            submitted += 1
            return try engine.submit(request, tag: UInt64(submitted) * 10, to: inbox.mailbox)
        }
        var collector = OutputCollector()
        var batch = EventBatch()
        while !ids.allSatisfy({ collector[$0].isEnded }) {
            try #require(inbox.wait(into: &batch))
            collector.collect(batch)
        }
        return ids.map { collector[$0] }
    }

    func embed(_ prompt: [Int32], _ pooling: Pooling) throws -> [Float] {
        try #require(try run([.embedding(prompt, pooling)])[0].embedding)
    }
}
