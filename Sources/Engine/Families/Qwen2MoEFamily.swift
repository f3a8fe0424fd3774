/// Qwen2-MoE: Qwen2 with experts, and one more expert for every token that a gate of its own weighs.
enum Qwen2MoEFamily: ModelFamily {
    static let family = ModelConfiguration.Family.qwen2MoE

    static func configuration(_ file: ConfigurationFile) throws(EngineError) -> ModelConfiguration {
        var model = try ModelConfiguration(llamaLike: file, family: family)
        model.hasAttentionBias = try file.bool("qkv_bias") ?? true
        var mixture = try file.mixture(
            expertCount: "num_experts", expertsPerToken: "num_experts_per_tok", length: "moe_intermediate_size")
        mixture.sharedLength = try file.requiredInteger("shared_expert_intermediate_size", in: ModelLimits.width)
        mixture.hasSharedGate = true
        mixture.normalizesWeights = try file.bool("norm_topk_prob") ?? false
        model.mixture = mixture
        try model.setSparseLayers(file)
        if try file.bool("use_sliding_window") ?? false {
            let end = try file.integer("max_window_layers", in: 0...ModelLimits.layers.upperBound) ?? 28
            try model.setWindows(file, default: 4096) { $0 < end && $0 % 2 == 0 }
        }
        return model
    }

    static func source(of role: TensorRole, in model: ModelConfiguration) -> TensorSource {
        switch role {
        case .layer(let layer, .sharedGate): shared(layer, "gate")
        case .layer(let layer, .sharedUp): shared(layer, "up")
        case .layer(let layer, .sharedDown): shared(layer, "down")
        default: TensorSource(name: llamaName(of: role))
        }
    }

    private static func shared(_ layer: Int, _ name: String) -> TensorSource {
        TensorSource(name: "model.layers.\(layer).mlp.shared_expert.\(name)_proj.weight")
    }
}
