import Glibc
import LMEngine
import TestKit

/// A model that has a shape and nothing else: all weights are zero and share memory that is never there, so that a model
/// of any size can be planned, loaded and timed.
struct HollowCheckpoint: Checkpoint {
    let configuration: ModelConfiguration
    /// Whether the matrices of layers are 8-bit integers.
    let isInteger: Bool

    var tokenizer: any Tokenizer { FakeTokenizer() }
    var chatTemplate: ChatTemplateSource? { nil }
    var weightByteCount: Int { 0 }

    func tensor(_ role: TensorRole) throws(EngineError) -> Tensor {
        let shape = configuration.shape(of: role)
        let type: TensorType =
            switch role {
            case .layer where !role.isVector && isInteger: .i8
            case _ where role.isVector: .f32
            default: .bf16
            }
        return Tensor(
            name: "\(role)", type: type, rows: shape.rows, columns: shape.columns,
            bytes: UnsafeRawBufferPointer(
                rebasing: Zeros.shared.bytes[..<(shape.rows * shape.columns * type.blockByteCount)]),
            owner: Zeros.shared,
            integers: type == .i8 ? IntegerProduct(scales: [Float](repeating: 1, count: shape.rows)) : nil)
    }

    private final class Zeros: Sendable {
        static let shared = Zeros()
        nonisolated(unsafe) let bytes: UnsafeRawBufferPointer  // never written

        init() {
            let count = 2 << 30
            let start = mmap(nil, count, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
            precondition(start != MAP_FAILED, "addresses for weights")
            bytes = UnsafeRawBufferPointer(start: start, count: count)
        }
    }
}

extension ModelConfiguration {
    /// The shape of Qwen2.5-7B with fewer layers. The output matrix is the embedding, which costs a step the same as one of its
    /// own.
    static func qwen7B(layers: Int) -> ModelConfiguration {
        ModelConfiguration(
            family: .qwen2, name: "Qwen2.5-7B", layerCount: layers, embeddingLength: 3_584, feedForwardLength: 18_944,
            headCount: 28, keyValueHeadCount: 4, headDimension: 128, rotaryDimension: 128, rotaryBase: 1_000_000,
            rotaryScaling: .none, rotaryLayout: .halves, normEpsilon: 1e-6, vocabularySize: 152_064,
            contextLength: 2_048, hasAttentionBias: true, tiesEmbeddings: true)
    }

    /// The shape of DeepSeek-V2-Lite with fewer layers, the first of them without experts.
    static func deepseekV2Lite(layers: Int) -> ModelConfiguration {
        var model = ModelConfiguration(
            family: .deepseekV2, name: "DeepSeek-V2-Lite", layerCount: layers, embeddingLength: 2_048,
            feedForwardLength: 10_944, headCount: 16, keyValueHeadCount: 16, headDimension: 192, rotaryDimension: 64,
            rotaryBase: 10_000, rotaryScaling: .none, rotaryLayout: .interleaved, normEpsilon: 1e-6,
            vocabularySize: 102_400, contextLength: 2_048, hasAttentionBias: false, tiesEmbeddings: true)
        model.latentAttention = LatentAttention(
            queryRank: nil, keyValueRank: 512, plainDimension: 128, valueDimension: 128)
        var mixture = Mixture(expertCount: 64, expertsPerToken: 6, expertLength: 1_408)
        mixture.sharedLength = 2_816
        model.mixture = mixture
        for layer in model.layers.indices { model.layers[layer].isMixture = layer > 0 }
        return model
    }

    /// The shape of Qwen2.5-0.5B.
    static let qwenHalfB = ModelConfiguration(
        family: .qwen2, name: "Qwen2.5-0.5B", layerCount: 24, embeddingLength: 896, feedForwardLength: 4_864,
        headCount: 14, keyValueHeadCount: 2, headDimension: 64, rotaryDimension: 64, rotaryBase: 1_000_000,
        rotaryScaling: .none, rotaryLayout: .halves, normEpsilon: 1e-6, vocabularySize: 151_936, contextLength: 2_048,
        hasAttentionBias: true, tiesEmbeddings: true)

    /// The shape of SmolLM2-135M.
    static let smolLM2 = ModelConfiguration(
        family: .llama, name: "SmolLM2-135M", layerCount: 30, embeddingLength: 576, feedForwardLength: 1_536,
        headCount: 9,
        keyValueHeadCount: 3, headDimension: 64, rotaryDimension: 64, rotaryBase: 100_000, rotaryScaling: .none,
        rotaryLayout: .interleaved, normEpsilon: 1e-5, vocabularySize: 49_152, contextLength: 2_048,
        hasAttentionBias: false, tiesEmbeddings: true)
}
