/// The keys that nearly all families share.
extension ModelConfiguration {
    /// The network that a Llama-like `config.json` describes; a family then sets its differences.
    ///
    /// - Parameter headDimension: elements of a head when the file does not say; nil for embedding / heads.
    init(
        llamaLike file: ConfigurationFile, family: Family, headDimension defaultHeadDimension: Int? = nil,
        rotaryBase defaultBase: Float = 10_000, tiesEmbeddings: Bool = false
    ) throws(EngineError) {
        let embeddingLength = try file.requiredInteger("hidden_size", in: ModelLimits.width)
        let headCount = try file.requiredInteger("num_attention_heads", in: ModelLimits.heads)
        let keyValueHeadCount = try file.integer("num_key_value_heads", in: ModelLimits.heads) ?? headCount
        guard headCount % keyValueHeadCount == 0 else {
            throw file.invalid("num_key_value_heads", "\(keyValueHeadCount) must divide the \(headCount) query heads")
        }
        let headDimension = try Self.headDimension(
            file, embeddingLength: embeddingLength, headCount: headCount, default: defaultHeadDimension)
        let rotaryDimension = try file.rotaryDimension(of: headDimension)
        let contextLength = try file.requiredInteger("max_position_embeddings", in: ModelLimits.context)
        self.init(
            family: family, name: try file.string("_name_or_path") ?? "",
            layerCount: try file.requiredInteger("num_hidden_layers", in: ModelLimits.layers),
            embeddingLength: embeddingLength,
            feedForwardLength: try file.requiredInteger("intermediate_size", in: ModelLimits.width),
            headCount: headCount, keyValueHeadCount: keyValueHeadCount, headDimension: headDimension,
            rotaryDimension: rotaryDimension, rotaryBase: try file.rotaryBase(default: defaultBase),
            rotaryScaling: try file.rotaryScaling(rotaryDimension: rotaryDimension, contextLength: contextLength),
            rotaryLayout: .halves, normEpsilon: try file.positiveFloat("rms_norm_eps") ?? 1e-6,
            vocabularySize: try file.requiredInteger("vocab_size", in: ModelLimits.vocabulary),
            contextLength: contextLength, hasAttentionBias: false,
            tiesEmbeddings: try file.bool("tie_word_embeddings") ?? tiesEmbeddings)
        activation = try file.activation()
    }

    private static func headDimension(
        _ file: ConfigurationFile, embeddingLength: Int, headCount: Int, default: Int?
    ) throws(EngineError) -> Int {
        if let dimension = try file.integer("head_dim", in: ModelLimits.headDimension) ?? `default` {
            return dimension
        }
        guard embeddingLength % headCount == 0, ModelLimits.headDimension.contains(embeddingLength / headCount) else {
            throw file.invalid("num_attention_heads", "\(headCount) must divide the hidden size \(embeddingLength)")
        }
        return embeddingLength / headCount
    }

    /// Gives the layers that `isWindowed` chooses the file's `sliding_window`.
    mutating func setWindows(
        _ file: ConfigurationFile, default window: Int? = nil, where isWindowed: (Int) -> Bool
    ) throws(EngineError) {
        guard let window = try file.integer("sliding_window", in: ModelLimits.context) ?? window else { return }
        let kinds = try file.strings("layer_types")
        if let kinds, kinds.count != layerCount {
            throw file.invalid("layer_types", "has \(kinds.count) entries for \(layerCount) layers")
        }
        for layer in layers.indices {
            switch kinds?[layer] {
            case nil: layers[layer].attentionWindow = isWindowed(layer) ? window : nil
            case "full_attention": break
            case "sliding_attention": layers[layer].attentionWindow = window
            case let kind?:
                throw file.unsupported(
                    "layer_types", "'\(kind.printable)'; supported are full_attention and sliding_attention")
            }
        }
    }
}

extension ConfigurationFile {
    /// The function of the feed-forward block.
    fileprivate func activation() throws(EngineError) -> ModelConfiguration.Activation {
        // Gemma's files have both keys, of which the longer one is meant.
        let key = value("hidden_activation") == nil ? "hidden_act" : "hidden_activation"
        switch try string(key) {
        case nil, "silu", "swish": return .silu
        case "gelu_pytorch_tanh": return .geluTanh
        case let name?: throw unsupported(key, "'\(name.printable)'; supported are silu and gelu_pytorch_tanh")
        }
    }
}
