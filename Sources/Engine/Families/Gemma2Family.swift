/// Gemma 2: every other layer attends to a window, four norms a layer, bounded scores and logits, scaled embeddings.
enum Gemma2Family: ModelFamily {
    static let family = ModelConfiguration.Family.gemma2

    static func configuration(_ file: ConfigurationFile) throws(EngineError) -> ModelConfiguration {
        var model = try ModelConfiguration(gemmaLike: file, family: family, rotaryBase: 10_000)
        try model.setWindows(file, default: 4096) { $0 % 2 == 0 }
        model.attentionSoftcap = try softcap(file, "attn_logit_softcapping", default: 50)
        model.logitSoftcap = try softcap(file, "final_logit_softcapping", default: 30)
        return model
    }

    static func source(of role: TensorRole, in model: ModelConfiguration) -> TensorSource {
        gemmaSource(of: role)
    }

    /// Null means none, a missing key the default.
    private static func softcap(
        _ file: ConfigurationFile, _ key: String, default bound: Float
    ) throws(EngineError) -> Float? {
        file.isNull(key) ? nil : try file.positiveFloat(key) ?? bound
    }
}

extension ModelConfiguration {
    /// What Gemma 2 and 3 have in common.
    init(
        gemmaLike file: ConfigurationFile, family: Family, rotaryBase: Float
    ) throws(EngineError) {
        try self.init(
            llamaLike: file, family: family, headDimension: 256, rotaryBase: rotaryBase, tiesEmbeddings: true)
        try file.reject("use_bidirectional_attention")
        if file.value("hidden_activation") == nil, file.value("hidden_act") == nil { activation = .geluTanh }
        hasAttentionBias = try file.bool("attention_bias") ?? false
        hasAttentionOutputBias = hasAttentionBias
        hasPostNorms = true
        normWeightOffset = 1
        embeddingScale = Float(embeddingLength).squareRoot()
        attentionScale = 1 / (try file.positiveFloat("query_pre_attn_scalar") ?? 256).squareRoot()
    }
}

extension ModelFamily {
    /// The norm before the feed-forward block has a name of its own.
    static func gemmaSource(of role: TensorRole) -> TensorSource {
        if case .layer(let layer, .feedForwardNorm) = role {
            return TensorSource(name: "model.layers.\(layer).pre_feedforward_layernorm.weight")
        }
        return TensorSource(name: llamaName(of: role))
    }
}
