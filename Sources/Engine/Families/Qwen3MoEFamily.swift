/// Qwen3-MoE: Qwen3 with experts.
enum Qwen3MoEFamily: ModelFamily {
    static let family = ModelConfiguration.Family.qwen3MoE

    static func configuration(_ file: ConfigurationFile) throws(EngineError) -> ModelConfiguration {
        var model = try ModelConfiguration(llamaLike: file, family: family)
        model.hasQueryKeyNorm = true
        model.hasAttentionBias = try file.bool("attention_bias") ?? false
        model.hasAttentionOutputBias = model.hasAttentionBias
        // Older files say num_experts.
        let countKey = file.value("num_experts") == nil ? "num_local_experts" : "num_experts"
        var mixture = try file.mixture(
            expertCount: countKey, expertsPerToken: "num_experts_per_tok", length: "moe_intermediate_size")
        mixture.normalizesWeights = try file.bool("norm_topk_prob") ?? false
        model.mixture = mixture
        try model.setSparseLayers(file)
        if try file.bool("use_sliding_window") ?? false { try model.setWindows(file, default: 4096) { _ in true } }
        return model
    }
}
