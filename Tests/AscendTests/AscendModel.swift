import LMEngine
import TestKit

/// Small random models of shapes that the NPU's operators take.
enum AscendModel: String, CaseIterable, CustomStringConvertible {
    case llama, qwen2, qwen3

    var description: String { rawValue }

    /// The shape: grouped heads of 64, biases and norms as the family has them.
    func configuration(layers: Int = 2) -> ModelConfiguration {
        var model = ModelConfiguration(
            family: self == .llama ? .llama : self == .qwen2 ? .qwen2 : .qwen3, name: rawValue, layerCount: layers,
            embeddingLength: 96, feedForwardLength: 160, headCount: 4, keyValueHeadCount: 2, headDimension: 64,
            rotaryDimension: 64, rotaryBase: 10_000, rotaryScaling: .none,
            rotaryLayout: self == .llama ? .interleaved : .halves, normEpsilon: 1e-5, vocabularySize: 320,
            contextLength: 256, hasAttentionBias: self == .qwen2, tiesEmbeddings: self != .qwen3)
        model.hasQueryKeyNorm = self == .qwen3
        return model
    }

    /// Its weights, in bfloat16.
    func checkpoint(layers: Int = 2) -> QuantizedCheckpoint {
        QuantizedCheckpoint(configuration(layers: layers), .bf16)
    }
}
