import LMEngine
import LMJSON
import TestKit
import Testing

/// A configuration of a family as small as it can be, some keys changed: a value of JSON, or nil for no such key.
private func layout(
    _ family: String, _ changes: KeyValuePairs<String, String?> = [:]
) throws -> FolderLayout {
    var keys: [String: String] = [
        "model_type": "\"\(family)\"", "hidden_size": "64", "intermediate_size": "96", "num_hidden_layers": "4",
        "num_attention_heads": "4", "num_key_value_heads": "2", "max_position_embeddings": "512",
        "vocab_size": "300", "rms_norm_eps": "1e-5", "num_experts": "8", "num_local_experts": "8",
        "num_experts_per_tok": "2", "moe_intermediate_size": "32", "shared_expert_intermediate_size": "48",
    ]
    if family.hasPrefix("deepseek") {
        let latent = [
            "num_key_value_heads": "4", "qk_nope_head_dim": "16", "qk_rope_head_dim": "8", "v_head_dim": "16",
            "kv_lora_rank": "24", "q_lora_rank": "null", "n_routed_experts": "8", "n_shared_experts": "2",
            "n_group": "4", "topk_group": "2", "first_k_dense_replace": "1",
        ]
        keys.merge(latent) { $1 }
    }
    for (key, value) in changes { keys[key] = value }
    let text = "{" + keys.map { "\"\($0)\":\($1)" }.joined(separator: ",") + "}"
    return try FolderLayout(JSON(parsing: text), path: "/models/a/config.json")
}

@Suite struct FolderLayoutTests {
    @Test(arguments: ModelConfiguration.Family.allCases)
    func `every family is read, and no two roles share a tensor's rows`(family: ModelConfiguration.Family) throws {
        let layout = try layout(family.rawValue)
        #expect(layout.configuration.family == family)
        var rows: [String: [Range<Int>]] = [:]
        for role in layout.configuration.tensorRoles {
            let source = layout.source(of: role)
            let own = source.rows ?? 0..<layout.configuration.shape(of: role).rows
            #expect(rows[source.name]?.contains { $0.overlaps(own) } != true, "\(source.name) \(own)")
            rows[source.name, default: []].append(own)
        }
    }

    @Test func `windows are those that the family means`() throws {
        func windows(_ family: String, _ changes: KeyValuePairs<String, String?>) throws -> [Int?] {
            try layout(family, changes).configuration.layers.map(\.attentionWindow)
        }
        #expect(try windows("mistral", ["sliding_window": "7"]) == [7, 7, 7, 7])
        #expect(try windows("mistral", ["sliding_window": "null"]) == [nil, nil, nil, nil])
        #expect(try windows("qwen2", ["sliding_window": "7", "max_window_layers": "1"]) == [nil, nil, nil, nil])
        #expect(
            try windows("qwen2", ["use_sliding_window": "true", "sliding_window": "7", "max_window_layers": "3"])
                == [nil, nil, nil, 7])
        #expect(try windows("gemma2", ["sliding_window": "7"]) == [7, nil, 7, nil])
        #expect(try windows("gemma3_text", ["sliding_window": "7", "sliding_window_pattern": "3"]) == [7, 7, nil, 7])
        let kinds = #"["full_attention","sliding_attention","full_attention","full_attention"]"#
        #expect(try windows("gemma2", ["sliding_window": "7", "layer_types": kinds]) == [nil, 7, nil, nil])
    }

    @Test func `layers with experts are those that the family means`() throws {
        func mixtures(_ family: String, _ changes: KeyValuePairs<String, String?> = [:]) throws -> [Bool] {
            try layout(family, changes).configuration.layers.map(\.isMixture)
        }
        #expect(try mixtures("mixtral") == [true, true, true, true])
        #expect(try mixtures("qwen2_moe", ["decoder_sparse_step": "2"]) == [false, true, false, true])
        #expect(try mixtures("qwen3_moe", ["mlp_only_layers": "[0,2]"]) == [false, true, false, true])
        #expect(try mixtures("deepseek_v3", ["first_k_dense_replace": "3"]) == [false, false, false, true])
    }

    /// Family, key, value and what the message must say besides file and key.
    private static let refusals: [(String, String, String?, String)] = [
        ("gpt2", "model_type", "\"gpt2\"", "supported are"),
        ("llama", "model_type", nil, "missing"),
        ("llama", "hidden_size", nil, "missing"),
        ("llama", "hidden_size", "\"64\"", "integer"),
        ("llama", "hidden_size", "63", "num_attention_heads"),
        ("llama", "num_hidden_layers", "0", "1...1024"),
        ("llama", "num_key_value_heads", "3", "divide"),
        ("llama", "hidden_act", "\"relu\"", "silu"),
        ("llama", "rms_norm_eps", "0", "above 0"),
        ("llama", "rope_theta", "1", "above 1"),
        ("llama", "rope_scaling", "7", "object"),
        ("llama", "rope_scaling", #"{"type":"spiral"}"#, "supported are default"),
        ("llama", "rope_scaling", #"{"type":"linear"}"#, "factor"),
        ("llama", "rope_scaling", #"{"type":"linear","factor":-1}"#, "rope_scaling.factor"),
        ("llama", "vision_config", "{}", "text model"),
        ("llama", "architectures", #"["LlamaForSequenceClassification"]"#, "ForCausalLM"),
        ("llama", "quantization_config", #"{"quant_method":"fp8"}"#, "fp8"),
        ("mistral", "sliding_window", "0", "1..."),
        ("qwen3", "head_dim", "7", "even"),
        ("phi3", "rope_scaling", #"{"type":"longrope","short_factor":[1],"long_factor":[1]}"#, "array of 8"),
        ("gemma2", "use_bidirectional_attention", "true", "not supported"),
        ("gemma3_text", "attn_logit_softcapping", "30", "none"),
        ("gemma2", "layer_types", #"["full_attention"]"#, "4 layers"),
        ("mixtral", "num_experts_per_tok", "9", "1...8"),
        ("qwen2_moe", "decoder_sparse_step", "0", "1..."),
        ("deepseek_v2", "topk_method", "\"best\"", "greedy"),
        ("deepseek_v2", "norm_topk_prob", "true", "not supported"),
        ("deepseek_v3", "scoring_func", "\"softmax\"", "sigmoid"),
        ("deepseek_v3", "n_group", "3", "divide"),
        ("deepseek_v3", "topk_group", "5", "1...4"),
        ("deepseek_v3", "qk_rope_head_dim", "7", "even"),
    ]

    @Test(arguments: refusals.indices)
    func `what does not run is refused by file and key`(index: Int) throws {
        let (family, key, value, reason) = Self.refusals[index]
        let error = try #require(throws: EngineError.self) { _ = try layout(family, [key: value]) }
        #expect(error.code == .invalidModel || error.code == .unsupportedModel)
        #expect(error.message.contains("/models/a/config.json: key '"), "\(error)")
        #expect(error.message.contains(reason), "\(error)")
    }

    @Test func `tensors without influence may be left over`() throws {
        let deepseek = try layout("deepseek_v3")
        #expect(deepseek.ignores(tensor: "model.layers.4.embed_tokens.weight"))
        #expect(!deepseek.ignores(tensor: "model.layers.3.embed_tokens.weight"))
        #expect(!deepseek.ignores(tensor: "model.layers."))
        let tied = try layout("llama", ["tie_word_embeddings": "true"])
        #expect(tied.ignores(tensor: "lm_head.weight"))
        #expect(!(try layout("llama").ignores(tensor: "lm_head.weight")))
    }
}
