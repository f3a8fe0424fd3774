/// DeepSeek-V2: keys and values in a latent, interleaved rotary pairs, and experts behind the first layers.
enum DeepseekV2Family: ModelFamily {
    static let family = ModelConfiguration.Family.deepseekV2

    static func configuration(_ file: ConfigurationFile) throws(EngineError) -> ModelConfiguration {
        var model = try ModelConfiguration(deepseekLike: file, family: family)
        // The reference implementation reads the key and does nothing.
        try file.reject("norm_topk_prob")
        switch try file.string("topk_method") {
        case nil, "greedy": break
        case "group_limited_greedy": try model.mixture?.setGroups(file)
        case let name?:
            throw file.unsupported(
                "topk_method", "'\(name.printable)'; supported are greedy and group_limited_greedy")
        }
        model.mixture?.weightScale = try file.positiveFloat("routed_scaling_factor") ?? 1
        return model
    }

    static func source(of role: TensorRole, in model: ModelConfiguration) -> TensorSource {
        deepseekSource(of: role, in: model)
    }
}

/// DeepSeek-V3 and R1: as V2, with sigmoid scores that a bias corrects when experts are chosen.
enum DeepseekV3Family: ModelFamily {
    static let family = ModelConfiguration.Family.deepseekV3

    static func configuration(_ file: ConfigurationFile) throws(EngineError) -> ModelConfiguration {
        var model = try ModelConfiguration(deepseekLike: file, family: family)
        for (key, only) in [("topk_method", "noaux_tc"), ("scoring_func", "sigmoid")] {
            if let name = try file.string(key), name != only {
                throw file.unsupported(key, "'\(name.printable)'; supported is \(only)")
            }
        }
        model.rotaryLayout = try file.bool("rope_interleave") ?? true ? .interleaved : .halves
        model.mixture?.scoring = .sigmoid
        model.mixture?.hasCorrectionBias = true
        try model.mixture?.setGroups(file)
        model.mixture?.groupScore = .bestTwo
        model.mixture?.normalizesWeights = try file.bool("norm_topk_prob") ?? true
        model.mixture?.weightScale = try file.positiveFloat("routed_scaling_factor") ?? 2.5
        return model
    }

    static func source(of role: TensorRole, in model: ModelConfiguration) -> TensorSource {
        deepseekSource(of: role, in: model)
    }

    /// The layers behind the last predict further tokens (`num_nextn_predict_layers`); the model is whole without them.
    static func ignores(tensor name: String, in model: ModelConfiguration) -> Bool {
        let parts = name.split(separator: ".")
        guard name.hasPrefix("model.layers."), parts.count > 3, let layer = Int(parts[2]) else { return false }
        return layer >= model.layerCount || name.hasSuffix(".rotary_emb.inv_freq")
    }
}

extension ModelFamily {
    /// What makes queries out of a latent has a name of its own.
    fileprivate static func deepseekSource(of role: TensorRole, in model: ModelConfiguration) -> TensorSource {
        if case .layer(let layer, .query) = role, model.latentAttention?.queryRank != nil {
            return TensorSource(name: "model.layers.\(layer).self_attn.q_b_proj.weight")
        }
        return TensorSource(name: llamaName(of: role))
    }
}

extension ModelConfiguration {
    /// What V2 and V3 have in common.
    fileprivate init(deepseekLike file: ConfigurationFile, family: Family) throws(EngineError) {
        let plain = try file.requiredInteger("qk_nope_head_dim", in: ModelLimits.headDimension)
        let rotary = try file.requiredInteger("qk_rope_head_dim", in: ModelLimits.headDimension)
        guard rotary % 2 == 0 else { throw file.invalid("qk_rope_head_dim", "must be even, is \(rotary)") }
        // Files may name a head dimension, that of the rotated part.
        try self.init(llamaLike: file, family: family, headDimension: rotary)
        guard keyValueHeadCount == headCount else {
            throw file.unsupported("num_key_value_heads", "not equal to num_attention_heads")
        }
        try file.reject("attention_bias")
        try file.reject("mlp_bias")
        rotaryLayout = .interleaved
        headDimension = plain + rotary
        rotaryDimension = rotary
        rotaryScaling = try file.rotaryScaling(rotaryDimension: rotary, contextLength: contextLength)
        attentionScale = try file.latentAttentionScale(headDimension: headDimension)
        latentAttention = LatentAttention(
            queryRank: try file.integer("q_lora_rank", in: ModelLimits.width),
            keyValueRank: try file.requiredInteger("kv_lora_rank", in: ModelLimits.width), plainDimension: plain,
            valueDimension: try file.requiredInteger("v_head_dim", in: ModelLimits.headDimension))
        var mixture = try file.mixture(
            expertCount: "n_routed_experts", expertsPerToken: "num_experts_per_tok", length: "moe_intermediate_size")
        mixture.sharedLength =
            mixture.expertLength * (try file.integer("n_shared_experts", in: 0...ModelLimits.experts.upperBound) ?? 0)
        self.mixture = mixture
        let dense = try file.integer("first_k_dense_replace", in: 0...ModelLimits.layers.upperBound) ?? 0
        guard try file.integer("moe_layer_freq", in: ModelLimits.layers) ?? 1 == 1 else {
            throw file.unsupported("moe_layer_freq", "not 1")
        }
        for layer in layers.indices { layers[layer].isMixture = layer >= dense }
    }
}

extension ModelConfiguration.Mixture {
    fileprivate mutating func setGroups(_ file: ConfigurationFile) throws(EngineError) {
        groupCount = try file.requiredInteger("n_group", in: 1...expertCount)
        groupsPerToken = try file.requiredInteger("topk_group", in: 1...groupCount)
        guard expertCount % groupCount == 0 else {
            throw file.invalid("n_group", "\(groupCount) must divide the \(expertCount) experts")
        }
        guard expertsPerToken <= expertCount / groupCount * groupsPerToken else {
            throw file.invalid("topk_group", "\(groupsPerToken) groups have fewer than \(expertsPerToken) experts")
        }
    }
}

extension ConfigurationFile {
    /// YaRN sharpens attention once more here, by the square of what `mscale_all_dim` says.
    fileprivate func latentAttentionScale(headDimension: Int) throws(EngineError) -> Float {
        let scale = 1 / Float(headDimension).squareRoot()
        guard let parameters = try rotaryParameters(),
            let all = try parameters.positiveFloat("mscale_all_dim", zeroIsAbsent: true)
        else { return scale }
        let sharpening = yarnLogarithm(of: try parameters.requiredPositiveFloat("factor"), times: all)
        return scale * sharpening * sharpening
    }
}
