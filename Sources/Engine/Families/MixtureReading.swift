/// Experts, as all files with experts describe them.
extension ConfigurationFile {
    /// The routed experts, by the keys the family uses.
    func mixture(
        expertCount countKey: String, expertsPerToken chosenKey: String, length lengthKey: String
    ) throws(EngineError) -> ModelConfiguration.Mixture {
        let count = try requiredInteger(countKey, in: ModelLimits.experts)
        return ModelConfiguration.Mixture(
            expertCount: count, expertsPerToken: try requiredInteger(chosenKey, in: 1...count),
            expertLength: try requiredInteger(lengthKey, in: ModelLimits.width))
    }
}

extension ModelConfiguration {
    /// Marks the layers with experts as Qwen's files name them: every `decoder_sparse_step`-th but for `mlp_only_layers`.
    mutating func setSparseLayers(_ file: ConfigurationFile) throws(EngineError) {
        let step = try file.integer("decoder_sparse_step", in: 1...ModelLimits.layers.upperBound) ?? 1
        let dense = try file.integers("mlp_only_layers", in: 0...ModelLimits.layers.upperBound) ?? []
        for layer in layers.indices { layers[layer].isMixture = (layer + 1) % step == 0 && !dense.contains(layer) }
    }
}
