import LMEngine
import TestKit
import Testing

/// One case of Tests/Goldens/synthetic.json.
struct SyntheticGolden: Decodable, CustomTestStringConvertible {
    let name: String
    let family: String
    let vocabulary, embedding, feed_forward, layers, heads, key_value_heads, head: Int
    let tied: Bool
    let rotary_base: Float
    let linear: Float?
    let rotary_divisors: [Float]?
    let prompt: [Int32]
    let logits: [Float]
    let greedy: [Int32]

    var testDescription: String { name }

    static func all() throws -> [SyntheticGolden] { try Golden.load("synthetic.json") }

    var configuration: ModelConfiguration {
        let qwen = family == "qwen2"
        let scaling: ModelConfiguration.RotaryScaling =
            if let linear {
                .linear(factor: linear)
            } else if let rotary_divisors {
                .perFrequency(rotary_divisors)
            } else {
                .none
            }
        return ModelConfiguration(
            family: qwen ? .qwen2 : .llama, name: name, layerCount: layers, embeddingLength: embedding,
            feedForwardLength: feed_forward, headCount: heads, keyValueHeadCount: key_value_heads,
            headDimension: head, rotaryDimension: head, rotaryBase: rotary_base, rotaryScaling: scaling,
            rotaryLayout: qwen ? .halves : .interleaved, normEpsilon: 1e-5, vocabularySize: vocabulary,
            contextLength: 256, hasAttentionBias: qwen, tiesEmbeddings: tied)
    }
}

@Suite struct SyntheticGoldenTests {
    @Test("float32 logits equal transformers'", arguments: try SyntheticGolden.all())
    func logits(_ golden: SyntheticGolden) throws {
        let backend = try ReferenceBackend(checkpoint: SyntheticCheckpoint(golden.configuration))
        let driver = try Greedy(backend, tokens: golden.prompt.count)
        let logits = backend.forward(driver.plan(golden.prompt, 0..<golden.prompt.count, samples: true))
        try #require(logits.count == golden.logits.count)
        let worst = zip(logits, golden.logits).map { abs($0 - $1) }.max() ?? .infinity
        #expect(worst < 1e-4, "largest difference \(worst)")
    }

    @Test("greedy tokens equal transformers'", arguments: try SyntheticGolden.all(), [1, 3, Int.max])
    func greedy(_ golden: SyntheticGolden, chunk: Int) throws {
        let backend = try ReferenceBackend(checkpoint: SyntheticCheckpoint(golden.configuration))
        let driver = try Greedy(backend, tokens: golden.prompt.count + golden.greedy.count)
        #expect(try driver.generate(golden.prompt, count: golden.greedy.count, chunk: chunk) == golden.greedy)
    }
}
