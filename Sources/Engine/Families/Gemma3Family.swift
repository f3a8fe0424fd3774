/// Gemma 3, its text models: like Gemma 2 without bounds, with norms of queries and keys; five of six layers attend to a
/// window, and these turn heads faster.
enum Gemma3Family: ModelFamily {
    static let family = ModelConfiguration.Family.gemma3

    static func configuration(_ file: ConfigurationFile) throws(EngineError) -> ModelConfiguration {
        // Newer files nest the parameters of both kinds of layers.
        let parameters = try file.nested("rope_parameters")
        let windowed = try parameters?.nested("sliding_attention")
        var model = try ModelConfiguration(gemmaLike: file, family: family, rotaryBase: 1_000_000)
        if let kind = try windowed?.string("rope_type"), kind != "default" {
            throw file.unsupported(
                "rope_parameters.sliding_attention.rope_type", "'\(kind.printable)'; only default is")
        }
        model.windowRotaryBase = try windowed?.positiveFloat("rope_theta")
        if model.windowRotaryBase == nil {
            model.windowRotaryBase = try file.positiveFloat("rope_local_base_freq") ?? 10_000
        }
        model.hasQueryKeyNorm = true
        let pattern = try file.integer("sliding_window_pattern", in: ModelLimits.layers) ?? 6
        try model.setWindows(file, default: 4096) { ($0 + 1) % pattern != 0 }
        if file.value("attn_logit_softcapping") != nil {
            throw file.unsupported("attn_logit_softcapping", "Gemma 3 has none")
        }
        model.logitSoftcap = try file.positiveFloat("final_logit_softcapping")
        return model
    }

    static func source(of role: TensorRole, in model: ModelConfiguration) -> TensorSource {
        gemmaSource(of: role)
    }
}
