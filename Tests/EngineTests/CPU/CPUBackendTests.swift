import LMEngine
import TestKit
import Testing

/// A small model with an odd vocabulary. Its widths suit every block format, unless `oddHeads`: heads of 84 elements,
/// three to one, of which 64 are rotated.
private func smallModel(
    _ family: ModelConfiguration.Family = .llama, oddHeads: Bool = false
) -> ModelConfiguration {
    ModelConfiguration(
        family: family, name: "small", layerCount: 3, embeddingLength: 256, feedForwardLength: 512,
        headCount: oddHeads ? 6 : 8, keyValueHeadCount: 2, headDimension: oddHeads ? 84 : 64, rotaryDimension: 64,
        rotaryBase: 10000, rotaryScaling: .none, rotaryLayout: family == .llama ? .interleaved : .halves,
        normEpsilon: 1e-5, vocabularySize: 301, contextLength: 1024, hasAttentionBias: family == .qwen2,
        tiesEmbeddings: true)
}

@Suite struct CPUBackendTests {
    @Test(arguments: TensorType.allCases.filter { $0 != .i8 }, [ModelConfiguration.Family.llama, .qwen2])
    func `logits are close to the reference`(type: TensorType, family: ModelConfiguration.Family) throws {
        let checkpoint = QuantizedCheckpoint(smallModel(family, oddHeads: type.blockLength == 1), type)
        let prompt = (0..<40).map { Int32($0 * 37 % 301) }
        let reference = try ReferenceBackend(checkpoint: checkpoint, dataType: type == .bf16 ? .bfloat16 : .auto)
        let expected = reference.forward(try Greedy(reference, tokens: 64).plan(prompt, 0..<40, samples: true))
        let backend = try CPUBackend(checkpoint: checkpoint, threads: 2)
        let logits = try backend.forward(try Greedy(backend, tokens: 64).plan(prompt, 0..<40, samples: true))[0]
        // Of bfloat16, an input that is rounded the other way is a step of 2^-8 off.
        let tolerance: Float = type.blockLength > 1 ? 0.05 : type == .bf16 ? 0.01 : 0.002
        #expect(relativeError(logits, expected) < tolerance)
    }

    @Test(arguments: try SyntheticGolden.all())
    func `float32 models give the golden logits`(golden: SyntheticGolden) throws {
        let backend = try CPUBackend(checkpoint: SyntheticCheckpoint(golden.configuration), threads: 1)
        let driver = try Greedy(backend, tokens: golden.prompt.count)
        let plan = driver.plan(golden.prompt, 0..<golden.prompt.count, samples: true)
        #expect(relativeError(try backend.forward(plan)[0], golden.logits) < 1e-5)
    }

    @Test(arguments: [(TensorType.q4_1, KeyValueDataType.auto), (.q8_0, .int8), (.q8_0, .auto), (.bf16, .auto)])
    func `logits are the same bits alone, batched, chunked and on more threads`(
        type: TensorType, cache: KeyValueDataType
    ) throws {
        let checkpoint = QuantizedCheckpoint(smallModel(), type)
        let alone = try CPUBackend(checkpoint: checkpoint, threads: 1, keyValueDataType: cache)
        let pair = try CPUBackend(checkpoint: checkpoint, threads: 2, keyValueDataType: cache)
        let sequences = unlikeSequences(32, length: 330, vocabulary: 301)
        for backend in [alone, pair] {
            try backend.allocateKeyValueCache(blockCount: 32 * 21, blockSize: 16)
        }
        let expected = try alone.forward(batch([sequences[5]], rows: 0..<330))[0]
        for backend in [alone, pair] {
            for chunk in [1, 7, 64, 330] {
                var logits: [Float] = []
                for start in stride(from: 0, to: 330, by: chunk) {
                    logits = try backend.forward(batch([sequences[5]], rows: start..<min(330, start + chunk)))[0]
                }
                #expect(logits == expected, "\(backend.summary), chunks of \(chunk)")
            }
            _ = try backend.forward(batch(sequences, rows: 0..<329))
            let together = try backend.forward(batch(sequences, rows: 329..<330))
            #expect(together[5] == expected, "\(backend.summary), batch of 32")
            let few = try backend.forward(batch(Array(sequences[3..<7]), rows: 0..<330))
            #expect(few[2] == expected, "\(backend.summary), batch of 4")
        }
    }

    @Test func `a row with NaN fails alone`() throws {
        let model = smallModel()
        let backend = try CPUBackend(checkpoint: PoisonedCheckpoint(base: SyntheticCheckpoint(model)), threads: 2)
        try backend.allocateKeyValueCache(blockCount: 4, blockSize: 16)
        var result = StepResult()
        try backend.execute(batch([[1, 2, 3], [4, 300, 6], [7, 8, 9]], rows: 0..<3, stride: 1), into: &result)
        #expect(result.tokens.count == 3)
        #expect(result.tokens[0] >= 0 && result.tokens[1] == StepResult.nonFinite && result.tokens[2] >= 0)
    }

    @Test func `progress runs from nothing to all`() throws {
        var shares: [Double] = []
        _ = try CPUBackend(checkpoint: SyntheticCheckpoint(smallModel()), threads: 2) { shares.append($0) }
        #expect(shares.first == 0 && shares.last == 1 && shares == shares.sorted())
    }

    @Test func `a block size the kernels cannot use is refused`() throws {
        let backend = try CPUBackend(checkpoint: SyntheticCheckpoint(smallModel()), threads: 1)
        #expect(throws: EngineError.self) { try backend.allocateKeyValueCache(blockCount: 4, blockSize: 8) }
        #expect(throws: EngineError.self) { try backend.allocateKeyValueCache(blockCount: .max / 2, blockSize: 16) }
    }
}

@Suite(.enabled(if: testModelPath != nil, "set LM_TEST_MODEL to SmolLM2's GGUF file"), .serialized)
struct CPUBackendModelTests {
    /// Greedy answers part ways for good at the first close call, so each golden token is asked for with the golden
    /// ones before it.
    @Test func `a real model chooses the golden tokens, close calls aside`() throws {
        let backend = try CPUBackend(checkpoint: try loadCheckpoint(path: testModelPath ?? ""), threads: 2)
        let driver = try Greedy(backend, tokens: 256)
        var agreed = 0
        var total = 0
        for prompt in try SmolLM2Golden.all() {
            var result = StepResult()
            var computed = 0
            for index in prompt.greedy.indices {
                let history = prompt.ids + prompt.greedy[..<index]
                try backend.execute(driver.plan(history, computed..<history.count, samples: true), into: &result)
                computed = history.count
                agreed += result.tokens == [prompt.greedy[index]] ? 1 : 0
                total += 1
            }
        }
        #expect(agreed * 100 > total * 94, "\(agreed) of \(total) tokens")
    }
}

extension CPUBackendModelTests {
    @Test func `the five likeliest first tokens are the golden ones`() throws {
        let backend = try CPUBackend(checkpoint: try loadCheckpoint(path: testModelPath ?? ""), threads: 2)
        let driver = try Greedy(backend, tokens: 256)
        var differing: [String] = []
        for prompt in try SmolLM2Golden.all() {
            let logits = try backend.forward(driver.plan(prompt.ids, 0..<prompt.ids.count, samples: true))[0]
            let likeliest = logits.indices.sorted { logits[$0] > logits[$1] }.prefix(5).map(Int32.init)
            if Set(likeliest) != Set(prompt.top5) {
                differing.append("\(prompt.testDescription): \(likeliest), golden \(prompt.top5)")
            }
        }
        #expect(differing.count <= 1, "\(differing)")
    }
}

/// Token 300's embedding becomes infinite when it is looked up.
private struct PoisonedCheckpoint: Checkpoint {
    let base: SyntheticCheckpoint
    var configuration: ModelConfiguration {
        var model = base.configuration
        model.tiesEmbeddings = false
        model.embeddingScale = 1e10
        return model
    }
    var tokenizer: any Tokenizer { base.tokenizer }
    var chatTemplate: ChatTemplateSource? { nil }
    var weightByteCount: Int { 0 }

    func tensor(_ role: TensorRole) throws(EngineError) -> Tensor {
        let tensor = try base.tensor(role)
        guard role == .tokenEmbedding else { return tensor }
        let copy = Copy(tensor.bytes)
        copy.bytes.storeBytes(of: Float(1e35), toByteOffset: 300 * tensor.columns * 4, as: Float.self)
        return Tensor(
            name: tensor.name, type: .f32, rows: tensor.rows, columns: tensor.columns,
            bytes: UnsafeRawBufferPointer(copy.bytes), owner: copy)
    }

    private final class Copy {
        let bytes: UnsafeMutableRawBufferPointer

        init(_ source: UnsafeRawBufferPointer) {
            bytes = .allocate(byteCount: source.count, alignment: 16)
            bytes.copyMemory(from: source)
        }

        deinit { bytes.deallocate() }
    }
}

/// Sequences of tokens below `vocabulary`, no two alike. Its loops are not nested closures: those take seconds to type-check.
func unlikeSequences(_ count: Int, length: Int, vocabulary: Int) -> [[Int32]] {
    var sequences: [[Int32]] = []
    for index in 0..<count {
        let sequence: [Int] = (0..<length).map { position in (position * 7 + index * 13) % vocabulary }
        sequences.append(sequence.map(Int32.init))
    }
    return sequences
}

/// A plan that computes the same rows of several sequences, each with its own run of blocks in descending order.
func batch(_ sequences: [[Int32]], rows: Range<Int>, stride blocks: Int = 21) -> StepPlan {
    var plan = StepPlan()
    plan.blockTableStride = blocks
    for (index, tokens) in sequences.enumerated() {
        let last = (index + 1) * blocks - 1
        for position in rows {
            plan.tokens.append(tokens[position])
            plan.positions.append(Int32(position))
            plan.slots.append(Int32((last - position / 16) * 16 + position % 16))
        }
        plan.rowStart.append(Int32(plan.rowCount))
        plan.contextLengths.append(Int32(rows.upperBound))
        plan.blockTables += (0..<blocks).map { Int32(last - $0) }
        var greedy = SamplingParameters()
        greedy.temperature = 0
        plan.samples.append(
            SampleTask(
                row: Int32(plan.rowCount - 1), parameters: greedy, history: tokens, promptLength: tokens.count,
                bannedTokens: []))
    }
    return plan
}

/// Euclidean distance relative to the length of what is expected.
func relativeError(_ values: [Float], _ expected: [Float]) -> Float {
    guard values.count == expected.count else { return .infinity }
    let distance = zip(values, expected).map { ($0 - $1) * ($0 - $1) }.reduce(0, +).squareRoot()
    return distance / expected.map { $0 * $0 }.reduce(0, +).squareRoot()
}
