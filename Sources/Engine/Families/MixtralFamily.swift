/// Mixtral: Mistral with experts in every layer, under names of their own.
enum MixtralFamily: ModelFamily {
    static let family = ModelConfiguration.Family.mixtral

    static func configuration(_ file: ConfigurationFile) throws(EngineError) -> ModelConfiguration {
        var model = try ModelConfiguration(llamaLike: file, family: family, rotaryBase: 1_000_000)
        try model.setWindows(file) { _ in true }
        var mixture = try file.mixture(
            expertCount: "num_local_experts", expertsPerToken: "num_experts_per_tok", length: "intermediate_size")
        mixture.normalizesWeights = true
        model.mixture = mixture
        for layer in model.layers.indices { model.layers[layer].isMixture = true }
        return model
    }

    static func source(of role: TensorRole, in model: ModelConfiguration) -> TensorSource {
        switch role {
        case .layer(let layer, .router):
            return TensorSource(name: "model.layers.\(layer).block_sparse_moe.gate.weight")
        case .expert(let layer, let expert, let role):
            let name =
                switch role {
                case .gate: "w1"
                case .down: "w2"
                case .up: "w3"
                }
            return TensorSource(name: "model.layers.\(layer).block_sparse_moe.experts.\(expert).\(name).weight")
        default: return TensorSource(name: llamaName(of: role))
        }
    }
}
