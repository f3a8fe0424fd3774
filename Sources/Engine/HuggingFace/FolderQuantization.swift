internal import LMJSON

/// How the matrices of a folder are stored: as floats, or as the signed bytes of one of two tools.
struct FolderQuantization: Sendable {
    /// What a weight is.
    enum Scheme: Sendable {
        case float
        /// Signed bytes with a scale per row, for inputs with a scale per token.
        case perToken
        /// ModelSlim's static W8A8: the bias is part of `quant_bias`.
        case modelSlimStatic
        /// The static form of compressed-tensors: the bias stays apart.
        case compressedStatic
    }

    /// What ModelSlim's files are called, the newest name first.
    static let modelSlimStems = [
        "quant_model_weights", "quant_model_weight_w8a8", "quant_model_weight_w8a8_dynamic", "model",
    ]

    private enum Tool: Sendable {
        case none
        /// The scheme of each tensor, by name, and the file that says so.
        case modelSlim([String: String], path: String)
        case compressedTensors
    }

    private let tool: Tool

    /// What the names of the weight files begin with, the likeliest first.
    var stems: [String] {
        if case .modelSlim = tool { Self.modelSlimStems } else { ["model"] }
    }

    /// - Throws: `unsupportedModel` naming the key and the scheme.
    init(_ folder: ModelFolder, isCompressed: Bool) throws(EngineError) {
        let name = "quant_model_description.json"
        guard let document = try folder.json(name) else {
            tool = isCompressed ? .compressedTensors : .none
            return
        }
        let path = folder.path(of: name)
        guard let object = document.object else {
            throw EngineError(.invalidModel, "\(path): must be a JSON object, is \(document.kind)")
        }
        for key in ["kv_quant_type", "kv_cache_type", "fa_quant_type"] {
            guard let type = object[key]?.string, !type.isEmpty, type.uppercased() != "FLOAT" else { continue }
            throw EngineError(
                .unsupportedModel, "\(path): key '\(key)': '\(type.printable)'; a quantized cache is not supported")
        }
        var schemes: [String: String] = [:]
        for (key, value) in object.members { if let scheme = value.string { schemes[key] = scheme } }
        tool = .modelSlim(schemes, path: path)
    }

    /// What the weight of that name is.
    ///
    /// - Parameter type: how its elements are stored.
    /// - Throws: `unsupportedModel` naming a scheme that is not run, `invalidModel` when scheme and elements disagree.
    func scheme(of name: String, _ weights: WeightFiles) throws(EngineError) -> Scheme {
        guard let entry = weights.tensors[name] else { return .float }
        let isIntegers = entry.info.type == .i8
        switch tool {
        case .none: return .float
        case .compressedTensors:
            guard isIntegers else { return .float }
            return weights.tensors[Self.companion("input_scale", of: name)] == nil ? .perToken : .compressedStatic
        case .modelSlim(let schemes, let path):
            let text = schemes[name] ?? "FLOAT"
            let schemes: [String: Scheme] = ["FLOAT": .float, "W8A8": .modelSlimStatic, "W8A8_DYNAMIC": .perToken]
            guard let scheme = schemes[text] else {
                throw EngineError(
                    .unsupportedModel,
                    "\(path): key '\(name)': scheme '\(text.printable)'; supported are FLOAT, W8A8 and W8A8_DYNAMIC")
            }
            guard (scheme == .float) != isIntegers else {
                throw EngineError(
                    .invalidModel,
                    "\(path): key '\(name)': '\(text)' but its elements are \(entry.info.type.rawValue); "
                        + "the description is not that of these weights")
            }
            return scheme
        }
    }

    /// The name of a tensor that belongs to a weight: that of its scales, for example.
    static func companion(_ suffix: String, of weight: String) -> String {
        let stem = weight.hasSuffix(".weight") ? weight.dropLast("weight".utf8.count) : Substring(weight + ".")
        return stem + suffix
    }

    /// What may stand beside a quantized weight.
    static let companions = [
        "weight_scale", "weight_offset", "weight_zero_point", "input_scale", "input_offset", "input_zero_point",
        "quant_bias", "deq_scale", "bias",
    ]
}

/// The keys of `quantization_config` in a `config.json`.
enum CompressedTensors {
    /// Refuses everything but 8-bit integers.
    ///
    /// - Throws: `unsupportedModel` naming key and scheme.
    static func check(_ configuration: ConfigurationFile) throws(EngineError) {
        let method = try configuration.string("quant_method") ?? "none"
        guard method == "compressed-tensors" else {
            throw configuration.unsupported(
                "quant_method",
                "'\(method.printable)'; supported are compressed-tensors with 8-bit integers, and "
                    + "ModelSlim's W8A8 and W8A8_DYNAMIC")
        }
        let format = try configuration.string("format") ?? "none"
        guard format == "int-quantized" else {
            throw configuration.unsupported("format", "'\(format.printable)'; supported is int-quantized")
        }
        if configuration.value("kv_cache_scheme") != nil {
            throw configuration.unsupported("kv_cache_scheme", "a quantized cache is not supported")
        }
        guard let groups = try configuration.nested("config_groups") else {
            throw configuration.invalid("config_groups", "is missing")
        }
        for name in groups.keys {
            guard let group = try groups.nested(name) else { continue }
            try check(group, "weights", strategies: ["channel", "tensor"], isSymmetric: true)
            try check(group, "input_activations", strategies: ["token", "tensor"], isSymmetric: false)
        }
    }

    private static func check(
        _ group: ConfigurationFile, _ key: String, strategies: [String], isSymmetric: Bool
    ) throws(EngineError) {
        guard let scheme = try group.nested(key) else {
            throw group.unsupported(key, "none; supported are 8-bit integers for weights and inputs")
        }
        let (type, bits) = (try scheme.string("type") ?? "int", try scheme.integer("num_bits", in: 1...64) ?? 8)
        guard type == "int", bits == 8 else {
            throw scheme.unsupported("num_bits", "\(bits)-bit \(type.printable); supported are 8-bit integers")
        }
        let strategy = try scheme.string("strategy") ?? "tensor"
        guard strategies.contains(strategy) else {
            throw scheme.unsupported(
                "strategy", "'\(strategy.printable)'; supported are \(strategies.joined(separator: " and "))")
        }
        let isPlain = try scheme.bool("symmetric") ?? true
        let isDynamic = try scheme.bool("dynamic") ?? false
        guard isPlain || (!isSymmetric && !isDynamic) else {
            throw scheme.unsupported("symmetric", "false is supported for static inputs only")
        }
        if !isSymmetric, isDynamic != (strategy == "token") {
            throw scheme.unsupported("dynamic", "\(isDynamic) with strategy '\(strategy)' is not supported")
        }
    }
}
