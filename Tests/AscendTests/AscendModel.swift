import LMEngine
import TestKit

/// Small random models of shapes that the NPU's operators take.
enum AscendModel: String, CaseIterable, CustomStringConvertible {
    case llama, qwen2, qwen3
    case mixtral, qwen2Experts, qwen3Experts
    /// Experts chosen by groups as DeepSeek-V2 does it, and as V3.
    case groupedExperts, correctedExperts
    /// The same behind attention over latents, V2's with queries that are projected directly.
    case deepseekV2, deepseekV3

    /// Those without experts.
    static let dense: [AscendModel] = [.llama, .qwen2, .qwen3]
    /// Those with.
    static let experts: [AscendModel] = [
        .mixtral, .qwen2Experts, .qwen3Experts, .groupedExperts, .correctedExperts, .deepseekV2, .deepseekV3,
    ]
    /// Those with attention over latents.
    static let latents: [AscendModel] = [.deepseekV2, .deepseekV3]

    var description: String { rawValue }

    private var family: ModelConfiguration.Family {
        switch self {
        case .llama: .llama
        case .qwen2: .qwen2
        case .qwen3: .qwen3
        case .mixtral: .mixtral
        case .qwen2Experts: .qwen2MoE
        case .qwen3Experts, .groupedExperts, .correctedExperts: .qwen3MoE
        case .deepseekV2: .deepseekV2
        case .deepseekV3: .deepseekV3
        }
    }

    /// The shape: grouped heads of 64, biases, norms and experts as the family has them.
    func configuration(layers: Int = 2) -> ModelConfiguration {
        var model = ModelConfiguration(
            family: family, name: rawValue, layerCount: layers,
            embeddingLength: 96, feedForwardLength: 160, headCount: 4, keyValueHeadCount: 2, headDimension: 64,
            rotaryDimension: 64, rotaryBase: 10_000, rotaryScaling: .none,
            rotaryLayout: self == .llama || Self.latents.contains(self) ? .interleaved : .halves, normEpsilon: 1e-5,
            vocabularySize: 320,
            contextLength: 256, hasAttentionBias: self == .qwen2 || self == .qwen2Experts,
            tiesEmbeddings: self != .qwen3)
        model.hasQueryKeyNorm = self == .qwen3 || self == .qwen3Experts
        if Self.experts.contains(self) { addExperts(to: &model) }
        if Self.latents.contains(self) { addLatents(to: &model) }
        return model
    }

    /// As long as the operators want them; the rest is small, and no two lengths are the same.
    private func addLatents(to model: inout ModelConfiguration) {
        (model.keyValueHeadCount, model.headDimension) = (model.headCount, 32 + 64)
        model.attentionScale = 0.1
        model.latentAttention = ModelConfiguration.LatentAttention(
            queryRank: self == .deepseekV3 ? 80 : nil, keyValueRank: 512, plainDimension: 32, valueDimension: 48)
    }

    /// The first layer of Qwen2 and of DeepSeek stays without; of Qwen2 a third expert of every token is shared.
    private func addExperts(to model: inout ModelConfiguration) {
        var mixture = ModelConfiguration.Mixture(
            expertCount: 8, expertsPerToken: self == .mixtral ? 2 : 3, expertLength: 64)
        mixture.normalizesWeights = self != .qwen2Experts
        mixture.sharedLength = self == .qwen2Experts ? 80 : 0
        mixture.hasSharedGate = self == .qwen2Experts
        switch self {
        case .groupedExperts, .deepseekV2: addGroups(to: &mixture, isCorrected: false)
        case .correctedExperts, .deepseekV3: addGroups(to: &mixture, isCorrected: true)
        default: break
        }
        model.mixture = mixture
        let firstMixture = self == .qwen2Experts || Self.latents.contains(self) ? 1 : 0
        for layer in model.layers.indices { model.layers[layer].isMixture = layer >= firstMixture }
    }

    /// Weights that add up to something else than one, and a shared expert without a gate.
    private func addGroups(to mixture: inout ModelConfiguration.Mixture, isCorrected: Bool) {
        mixture.normalizesWeights = isCorrected
        mixture.sharedLength = 96
        (mixture.groupCount, mixture.groupsPerToken) = (4, 2)
        mixture.weightScale = isCorrected ? 2.5 : 16
        guard isCorrected else { return }
        (mixture.scoring, mixture.groupScore, mixture.hasCorrectionBias) = (.sigmoid, .bestTwo, true)
    }

    /// The shape without experts.
    func denseConfiguration() -> ModelConfiguration {
        var model = configuration()
        model.mixture = nil
        for layer in model.layers.indices { model.layers[layer].isMixture = false }
        return model
    }

    /// Its weights, in bfloat16.
    func checkpoint(layers: Int = 2) -> QuantizedCheckpoint {
        QuantizedCheckpoint(configuration(layers: layers), .bf16)
    }
}

extension AscendModel {
    /// How 8-bit matrices take their inputs.
    enum Integers: CaseIterable {
        case perToken, fixed
    }

    /// Its weights with matrices of 8-bit integers.
    func checkpoint(_ integers: Integers) throws -> any Checkpoint {
        try Self.checkpoint(of: configuration(), integers)
    }

    /// Such weights of any shape.
    static func checkpoint(of model: ModelConfiguration, _ integers: Integers) throws -> any Checkpoint {
        let base = QuantizedCheckpoint(model, .f32)
        let dynamic = try W8A8Checkpoint(base, options: W8A8Checkpoint.Options())
        return integers == .perToken ? dynamic : FixedInputs(base: dynamic)
    }
}

/// The same integers for inputs whose scale and offset are known before.
private struct FixedInputs: Checkpoint {
    let base: any Checkpoint
    var configuration: ModelConfiguration { base.configuration }
    var tokenizer: any Tokenizer { base.tokenizer }
    var chatTemplate: ChatTemplateSource? { nil }
    var weightByteCount: Int { base.weightByteCount }

    func tensor(_ role: TensorRole) throws(EngineError) -> Tensor {
        let tensor = try base.tensor(role)
        guard let integers = tensor.integers else { return tensor }
        let (scale, offset): (Float, Float) = (0.03, 3)
        let addends = (0..<tensor.rows).map { row in
            -Int32(offset)
                * tensor.bytes[row * tensor.columns..<(row + 1) * tensor.columns]
                .reduce(0) { $0 + Int32(Int8(bitPattern: $1)) }
        }
        return Tensor(
            name: tensor.name, type: .i8, rows: tensor.rows, columns: tensor.columns, bytes: tensor.bytes,
            owner: Owner(tensor),
            integers: IntegerProduct(
                inputs: .fixed(scale: scale, offset: offset), scales: integers.scales.map { $0 * scale },
                addends: addends))
    }

    private final class Owner {
        let tensor: Tensor
        init(_ tensor: Tensor) { self.tensor = tensor }
    }
}
