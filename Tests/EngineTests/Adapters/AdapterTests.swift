import LMEngine
import TestKit
import Testing

/// Small random models with adapters, read from real folders, against transformers and PEFT.
@Suite struct AdapterTests {
    /// A model, its adapters, and a case of it: -1 for the model by itself, else an adapter.
    private static func selections(_ model: AdaptedModel) -> [(adapter: Int, expected: FamilyModel)] {
        [(-1, model.model)] + model.adapters.enumerated().map { ($0, $1) }
    }

    @Test func `the elements of every adapter are those that the reference had`() throws {
        let models = try AdaptedModel.all()
        #expect(models.map(\.adapters.count) == [2, 2, 2])
        #expect(models.flatMap { [$0.model] + $0.adapters }.allSatisfy { $0.hasSameElements() })
    }

    @Test(arguments: try AdaptedModel.all())
    func `float32 logits are within 1e-4 of the reference, with each adapter and without`(model: AdaptedModel) throws {
        let folder = try model.model.folder()
        let checkpoint = try loadCheckpoint(path: folder.path)
        let backend = try ReferenceBackend(
            checkpoint: checkpoint, adapters: model.load(for: checkpoint.configuration))
        #expect(backend.adapterCount == 2)
        for (adapter, expected) in Self.selections(model) {
            let driver = try Greedy(backend, tokens: 80, adapter: adapter)
            var computed = 0
            for (position, logits) in zip(expected.positions, expected.expectedLogits()) {
                let plan = driver.plan(expected.prompt, computed..<position + 1, samples: true)
                #expect(relativeError(backend.forward(plan), logits) < 1e-4, "\(expected), position \(position)")
                computed = position + 1
            }
        }
    }

    @Test(arguments: try AdaptedModel.all(), [1, 7, Int.max])
    func `greedy tokens are those of the reference however the prompt is cut`(model: AdaptedModel, chunk: Int) throws {
        let folder = try model.model.folder(storage: .bfloat16)
        let checkpoint = try loadCheckpoint(path: folder.path)
        let backend = try ReferenceBackend(
            checkpoint: checkpoint, adapters: model.load(storage: .float16, for: checkpoint.configuration))
        for (adapter, expected) in Self.selections(model) {
            let driver = try Greedy(backend, tokens: 80, adapter: adapter)
            #expect(try driver.generate(expected.prompt, count: 32, chunk: chunk) == expected.greedy, "\(expected)")
        }
    }

    @Test(arguments: try AdaptedModel.all(), [FamilyModel.Storage.float32, .float16])
    func `the fast back end's logits are close`(model: AdaptedModel, storage: FamilyModel.Storage) throws {
        let folder = try model.model.folder(storage: storage)
        let checkpoint = try loadCheckpoint(path: folder.path)
        let backend = try CPUBackend(
            checkpoint: checkpoint, threads: 2, adapters: model.load(storage: .bfloat16, for: checkpoint.configuration))
        #expect(backend.adapterCount == 2)
        for (adapter, expected) in Self.selections(model) {
            let driver = try Greedy(backend, tokens: 80, adapter: adapter)
            let plan = driver.plan(expected.prompt, 0..<expected.prompt.count, samples: true)
            let logits = try #require(expected.expectedLogits().last)
            let limit: Float = storage == .float32 ? 1e-5 : 0.002
            #expect(relativeError(try backend.forward(plan)[0], logits) < limit, "\(expected)")
        }
    }

    @Test(arguments: try AdaptedModel.all(), [false, true])
    func `logits are the same bits alone, beside other adapters, chunked and on more threads`(
        model: AdaptedModel, isQuantized: Bool
    ) throws {
        let folder = try isQuantized ? IntegerFolder(.modelSlim).make(model.model) : model.model.folder()
        let checkpoint = try loadCheckpoint(path: folder.path)
        let adapters = try model.load(for: checkpoint.configuration)
        // More rows than a part of either matrix has, each adapter in several runs.
        let selection = [-1, 0, 1, 1, -1, 0, 0, -1, 1, 1, 0, -1, 1]
        let prompts = unlikeSequences(selection.count, length: 45, vocabulary: 101)
        let plain = try CPUBackend(checkpoint: checkpoint, threads: 1)
        try plain.allocateKeyValueCache(blockCount: 3, blockSize: 16)
        let alone = try CPUBackend(checkpoint: checkpoint, threads: 1, adapters: adapters)
        try alone.allocateKeyValueCache(blockCount: 3, blockSize: 16)
        let expected = try selection.indices.map { index in
            var plan = batch([prompts[index]], rows: 0..<45, stride: 3)
            guard selection[index] >= 0 else { return try plain.forward(plan)[0] }
            let without = try plain.forward(plan)[0]
            plan.adapters = [Int32(selection[index])]
            let logits = try alone.forward(plan)[0]
            #expect(logits != without)
            return logits
        }
        for threads in 1...2 {
            let backend = try CPUBackend(checkpoint: checkpoint, threads: threads, adapters: adapters)
            try backend.allocateKeyValueCache(blockCount: 3 * selection.count, blockSize: 16)
            for chunk in [1, 13, 45] {
                var logits: [[Float]] = []
                for start in stride(from: 0, to: 45, by: chunk) {
                    var plan = batch(prompts, rows: start..<min(45, start + chunk), stride: 3)
                    plan.adapters = selection.map { Int32($0) }
                    logits = try backend.forward(plan)
                }
                #expect(logits == expected, "\(threads) threads, chunks of \(chunk)")
            }
        }
    }

    @Test(arguments: try AdaptedModel.all())
    func `beside 8-bit weights an adapter adds what it adds in the oracle`(model: AdaptedModel) throws {
        let folder = try IntegerFolder(.compressedTensors).make(model.model)
        let checkpoint = try loadCheckpoint(path: folder.path)
        let adapters = try model.load(for: checkpoint.configuration)
        let fast = try CPUBackend(checkpoint: checkpoint, threads: 2, dataType: .float32, adapters: adapters)
        let slow = try ReferenceBackend(checkpoint: checkpoint, dataType: .float32, adapters: adapters)
        for adapter in adapters.indices {
            let prompt = model.model.prompt
            let logits = try fast.forward(
                Greedy(fast, tokens: 80, adapter: adapter).plan(prompt, 0..<prompt.count, samples: true))[0]
            let expected = slow.forward(
                try Greedy(slow, tokens: 80, adapter: adapter).plan(prompt, 0..<prompt.count, samples: true))
            #expect(relativeError(logits, expected) < 0.01)
        }
    }

    @Test func `an adapter made for a folder suits the GGUF file of the same model`() throws {
        let golden = try AdaptedModel.all()[0]
        let folder = try golden.model.folder()
        let checkpoint = InterleavedCheckpoint(base: try loadCheckpoint(path: folder.path))
        let adapters = try golden.load(for: checkpoint.configuration)
        let slow = try ReferenceBackend(checkpoint: checkpoint, adapters: adapters)
        let fast = try CPUBackend(checkpoint: checkpoint, threads: 1, adapters: adapters)
        for (adapter, expected) in Self.selections(golden) {
            let driver = try Greedy(slow, tokens: 80, adapter: adapter)
            #expect(try driver.generate(expected.prompt, count: 32) == expected.greedy, "\(expected)")
            let plan = try Greedy(fast, tokens: 80, adapter: adapter).plan(expected.prompt, 0..<24, samples: true)
            let logits = try #require(expected.expectedLogits().last)
            #expect(relativeError(try fast.forward(plan)[0], logits) < 1e-5, "\(expected)")
        }
    }
}

/// A Llama model as GGUF files have it: pairs of rows that are rotated together stand side by side.
private struct InterleavedCheckpoint: Checkpoint {
    let base: any Checkpoint

    var configuration: ModelConfiguration {
        var model = base.configuration
        model.rotaryLayout = .interleaved
        return model
    }
    var tokenizer: any Tokenizer { base.tokenizer }
    var chatTemplate: ChatTemplateSource? { nil }
    var weightByteCount: Int { 0 }

    func tensor(_ role: TensorRole) throws(EngineError) -> Tensor {
        let tensor = try base.tensor(role)
        guard case .layer(_, let part) = role, part == .query || part == .key else { return tensor }
        let dimension = base.configuration.headDimension
        let width = tensor.bytes.count / tensor.rows
        let bytes = (0..<tensor.rows).flatMap { row in
            let (head, element) = row.quotientAndRemainder(dividingBy: dimension)
            let source = head * dimension + element % 2 * (dimension / 2) + element / 2
            return Array(tensor.bytes[source * width..<(source + 1) * width])
        }
        let file = try MappedFile(contents: bytes, name: tensor.name)
        return Tensor(
            name: tensor.name, type: tensor.type, rows: tensor.rows, columns: tensor.columns, bytes: file.bytes,
            owner: file)
    }
}
