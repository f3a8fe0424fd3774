/// Phi-3 and Phi-3.5: one matrix holds queries, keys and values, and one holds gate and up.
enum Phi3Family: ModelFamily {
    static let family = ModelConfiguration.Family.phi3

    static func configuration(_ file: ConfigurationFile) throws(EngineError) -> ModelConfiguration {
        var model = try ModelConfiguration(llamaLike: file, family: family)
        try model.setWindows(file) { _ in true }
        return model
    }

    static func source(of role: TensorRole, in model: ModelConfiguration) -> TensorSource {
        guard case .layer(let layer, let layerRole) = role else { return TensorSource(name: llamaName(of: role)) }
        let keys = model.queryLength + model.keyValueLength
        let hidden = model.feedForwardLength
        let (name, rows): (String, Range<Int>)
        switch layerRole {
        case .query: (name, rows) = ("self_attn.qkv_proj", 0..<model.queryLength)
        case .key: (name, rows) = ("self_attn.qkv_proj", model.queryLength..<keys)
        case .value: (name, rows) = ("self_attn.qkv_proj", keys..<keys + model.keyValueLength)
        case .gate: (name, rows) = ("mlp.gate_up_proj", 0..<hidden)
        case .up: (name, rows) = ("mlp.gate_up_proj", hidden..<2 * hidden)
        default: return TensorSource(name: llamaName(of: role))
        }
        return TensorSource(name: "model.layers.\(layer).\(name).weight", rows: rows)
    }
}
