/// Llama 2 and 3, and what is built like them (SmolLM2).
enum LlamaFamily: ModelFamily {
    static let family = ModelConfiguration.Family.llama

    static func configuration(_ file: ConfigurationFile) throws(EngineError) -> ModelConfiguration {
        var model = try ModelConfiguration(llamaLike: file, family: family)
        let hasBias = try file.bool("attention_bias") ?? false
        model.hasAttentionBias = hasBias
        model.hasAttentionOutputBias = hasBias
        model.hasFeedForwardBias = try file.bool("mlp_bias") ?? false
        return model
    }
}
