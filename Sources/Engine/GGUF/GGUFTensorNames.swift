/// The names that GGUF files give to tensors.
enum GGUFTensorNames {
    /// Divisors of the rotary frequencies (Llama 3.1); part of the configuration.
    static let rotaryFrequencies = "rope_freqs.weight"

    /// The name of the tensor with that role.
    static func name(of role: TensorRole) -> String {
        switch role {
        case .tokenEmbedding: "token_embd.weight"
        case .outputNorm: "output_norm.weight"
        case .output: "output.weight"
        case .layer(let layer, let role): "blk.\(layer).\(name(of: role))"
        case .expert: preconditionFailure("mixtures of experts were refused")
        }
    }

    private static func name(of role: TensorRole.LayerRole) -> String {
        switch role {
        case .attentionNorm: "attn_norm.weight"
        case .query: "attn_q.weight"
        case .key: "attn_k.weight"
        case .value: "attn_v.weight"
        case .queryBias: "attn_q.bias"
        case .keyBias: "attn_k.bias"
        case .valueBias: "attn_v.bias"
        case .attentionOutput: "attn_output.weight"
        case .feedForwardNorm: "ffn_norm.weight"
        case .gate: "ffn_gate.weight"
        case .up: "ffn_up.weight"
        case .down: "ffn_down.weight"
        case .queryNorm: "attn_q_norm.weight"
        case .keyNorm: "attn_k_norm.weight"
        default: preconditionFailure("no GGUF architecture that is read has a tensor for \(role)")
        }
    }
}
