/// What is particular about the folders of one family: how its `config.json` is meant and what its tensors are called.
///
/// The defaults are Llama's, which most families share; a family is a file of the differences. How to add one is in
/// docs/adding-a-family.md.
package protocol ModelFamily: SendableMetatype {
    /// The family, by the name its configurations have in `model_type`.
    static var family: ModelConfiguration.Family { get }
    /// What `config.json` says, checked.
    ///
    /// - Throws: `invalidModel` and `unsupportedModel` naming file and key.
    static func configuration(_ file: ConfigurationFile) throws(EngineError) -> ModelConfiguration
    /// Where the tensor with that role is.
    static func source(of role: TensorRole, in model: ModelConfiguration) -> TensorSource
    /// Whether a tensor that no role asks for may be left over: it has no influence on what the model says.
    static func ignores(tensor name: String, in model: ModelConfiguration) -> Bool
}

/// A tensor in a folder, or consecutive rows of one that several roles share.
package struct TensorSource: Equatable {
    /// The tensor's name in the folder's files.
    package var name: String
    /// The rows of it; nil for all. A tensor of three dimensions counts as (first · second, third).
    package var rows: Range<Int>?
}

extension ModelConfiguration.Family {
    /// The reader of this family's folders.
    var reader: any ModelFamily.Type {
        switch self {
        case .llama: LlamaFamily.self
        case .qwen2: Qwen2Family.self
        case .qwen3: Qwen3Family.self
        case .mistral: MistralFamily.self
        case .phi3: Phi3Family.self
        case .gemma2: Gemma2Family.self
        case .gemma3: Gemma3Family.self
        case .qwen2MoE: Qwen2MoEFamily.self
        case .qwen3MoE: Qwen3MoEFamily.self
        case .mixtral: MixtralFamily.self
        case .deepseekV2: DeepseekV2Family.self
        case .deepseekV3: DeepseekV3Family.self
        }
    }
}

extension ModelFamily {
    package static func source(of role: TensorRole, in model: ModelConfiguration) -> TensorSource {
        TensorSource(name: llamaName(of: role))
    }

    package static func ignores(tensor name: String, in model: ModelConfiguration) -> Bool {
        // Old files carry the table of rotary frequencies, which the configuration determines; files of tied models may
        // carry the embedding twice.
        name.hasSuffix(".rotary_emb.inv_freq") || (model.tiesEmbeddings && name == "lm_head.weight")
    }

    /// The name in Llama's folders, or in those of the family that has the tensor first.
    static func llamaName(of role: TensorRole) -> String {
        switch role {
        case .tokenEmbedding: "model.embed_tokens.weight"
        case .outputNorm: "model.norm.weight"
        case .output: "lm_head.weight"
        case .layer(let layer, let role): "model.layers.\(layer).\(llamaName(of: role))"
        case .expert(let layer, let expert, let role):
            "model.layers.\(layer).mlp.experts.\(expert).\(role.rawValue)_proj.weight"
        }
    }

    private static func llamaName(of role: TensorRole.LayerRole) -> String {
        switch role {
        case .attentionNorm: "input_layernorm.weight"
        case .query: "self_attn.q_proj.weight"
        case .key: "self_attn.k_proj.weight"
        case .value: "self_attn.v_proj.weight"
        case .queryBias: "self_attn.q_proj.bias"
        case .keyBias: "self_attn.k_proj.bias"
        case .valueBias: "self_attn.v_proj.bias"
        case .queryNorm: "self_attn.q_norm.weight"
        case .keyNorm: "self_attn.k_norm.weight"
        case .attentionOutput: "self_attn.o_proj.weight"
        case .attentionOutputBias: "self_attn.o_proj.bias"
        case .attentionPostNorm, .feedForwardNorm: "post_attention_layernorm.weight"
        case .gate: "mlp.gate_proj.weight"
        case .up: "mlp.up_proj.weight"
        case .down: "mlp.down_proj.weight"
        case .gateBias: "mlp.gate_proj.bias"
        case .upBias: "mlp.up_proj.bias"
        case .downBias: "mlp.down_proj.bias"
        case .feedForwardPostNorm: "post_feedforward_layernorm.weight"
        case .queryLatent: "self_attn.q_a_proj.weight"
        case .queryLatentNorm: "self_attn.q_a_layernorm.weight"
        case .keyValueLatent: "self_attn.kv_a_proj_with_mqa.weight"
        case .keyValueLatentNorm: "self_attn.kv_a_layernorm.weight"
        case .keyValueExpansion: "self_attn.kv_b_proj.weight"
        case .router: "mlp.gate.weight"
        case .routerCorrection: "mlp.gate.e_score_correction_bias"
        case .sharedGate: "mlp.shared_experts.gate_proj.weight"
        case .sharedUp: "mlp.shared_experts.up_proj.weight"
        case .sharedDown: "mlp.shared_experts.down_proj.weight"
        case .sharedWeight: "mlp.shared_expert_gate.weight"
        }
    }
}
