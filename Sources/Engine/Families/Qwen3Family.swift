/// Qwen3: heads' queries and keys are normalized; biases on all of attention or none.
enum Qwen3Family: ModelFamily {
    static let family = ModelConfiguration.Family.qwen3

    static func configuration(_ file: ConfigurationFile) throws(EngineError) -> ModelConfiguration {
        var model = try ModelConfiguration(llamaLike: file, family: family, headDimension: 128)
        model.hasQueryKeyNorm = true
        model.hasAttentionBias = try file.bool("attention_bias") ?? false
        model.hasAttentionOutputBias = model.hasAttentionBias
        try model.setQwenWindows(file)
        return model
    }
}
