internal import LMJSON

/// What an adapter's `adapter_config.json` says about its matrices, as PEFT writes it.
package struct AdapterConfiguration {
    private let rank: Int
    private let alpha: Float
    private let ranks: ModulePatterns<Int>
    private let alphas: ModulePatterns<Float>
    private let isRankStabilized: Bool

    /// - Throws: `invalidModel` and `unsupportedModel` naming file and key.
    package init(_ file: ConfigurationFile) throws(EngineError) {
        guard let kind = try file.string("peft_type") else { throw file.invalid("peft_type", "is missing") }
        guard kind == "LORA" else { throw file.unsupported("peft_type", "'\(kind.printable)'; supported is LORA") }
        try Self.rejectVariants(file)
        rank = try file.requiredInteger("r", in: ModelLimits.adapterRank)
        alpha = try file.requiredPositiveFloat("lora_alpha")
        isRankStabilized = try file.bool("use_rslora") ?? false
        ranks = try ModulePatterns(file, "rank_pattern") { (file, key) throws(EngineError) in
            try file.requiredInteger(key, in: ModelLimits.adapterRank)
        }
        alphas = try ModulePatterns(file, "alpha_pattern") { (file, key) throws(EngineError) in
            try file.requiredPositiveFloat(key)
        }
    }

    /// The rank of the matrices for that module, such as `model.layers.0.self_attn.q_proj`.
    package func rank(of module: String) -> Int { ranks.value(for: module) ?? rank }

    /// What their product is multiplied by.
    package func scale(of module: String) -> Float {
        let rank = Float(rank(of: module))
        return (alphas.value(for: module) ?? alpha) / (isRankStabilized ? rank.squareRoot() : rank)
    }

    /// Ways of training that compute something else with the same matrices, or with more than these.
    private static func rejectVariants(_ file: ConfigurationFile) throws(EngineError) {
        let bias = try file.string("bias") ?? "none"
        guard bias == "none" else { throw file.unsupported("bias", "'\(bias.printable)'; supported is none") }
        for key in ["use_dora", "fan_in_fan_out", "lora_bias", "use_qalora"] { try file.reject(key) }
        let others = [
            "modules_to_save", "trainable_token_indices", "target_parameters", "layer_replication",
            "alora_invocation_tokens", "arrow_config", "use_bdlora", "kasa_config", "monteclora_config",
        ]
        for key in others {
            guard let value = file.value(key), value.array?.isEmpty != true, value.object?.count != 0 else { continue }
            throw file.unsupported(key, "\(value.kind) is not supported; supported is null")
        }
        // The rest of these start from other weights than the model's.
        let starts = ["gaussian", "eva", "orthogonal"]
        if let start = file.value("init_lora_weights"), start.bool == nil, !starts.contains(start.string ?? "") {
            throw file.unsupported(
                "init_lora_weights",
                "'\((start.string ?? start.kind).printable)' changes the model's own weights; convert the adapter to "
                    + "plain LoRA when saving it, as PEFT's documentation says")
        }
    }
}

/// Values for modules by regular expressions of their names, as PEFT reads them: the first that matches all of the name,
/// or all of it behind a dot, counts.
private struct ModulePatterns<Value: Sendable>: Sendable {
    /// Most names mean themselves: a pattern each, for thousands of modules, would take its time.
    private enum Name: Sendable {
        case literal(String)
        case pattern(Pattern)
    }

    private let entries: [(name: Name, value: Value)]

    /// - Parameter read: the value of a key of the object.
    init(
        _ file: ConfigurationFile, _ key: String,
        _ read: (ConfigurationFile, String) throws(EngineError) -> Value
    ) throws(EngineError) {
        var entries: [(name: Name, value: Value)] = []
        if let object = try file.nested(key) {
            guard object.keys.count <= ModelLimits.adapterPatterns else {
                throw file.invalid(key, "has \(object.keys.count) keys; the limit is \(ModelLimits.adapterPatterns)")
            }
            for name in object.keys {
                entries.append((try Self.name(name, object), try read(object, name)))
            }
        }
        self.entries = entries
    }

    private static func name(_ name: String, _ object: ConfigurationFile) throws(EngineError) -> Name {
        guard name.utf8.contains(where: { !isPlain($0) }) else { return .literal(name) }
        do throws(PatternError) {
            return .pattern(try Pattern(#"(.*\.)?(\#(name))$"#))
        } catch {
            throw object.unsupported(name.printable, "the pattern is not supported: \(error.message)")
        }
    }

    /// A dot stands for any character, but in the names of modules there is none in its place.
    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "."):
            true
        default: false
        }
    }

    func value(for module: String) -> Value? {
        entries.first { entry in
            switch entry.name {
            case .literal(let name): module == name || module.hasSuffix("." + name)
            case .pattern(let pattern): Self.matches(pattern, module)
            }
        }?.value
    }

    private static func matches(_ pattern: Pattern, _ module: String) -> Bool {
        var matcher = PatternMatcher(pattern)
        var isMatch = false
        let text = Array(module.utf8)
        text.withUnsafeBufferPointer { text in
            matcher.forEachMatch(in: text) { isMatch = isMatch || $0 == text.indices }
        }
        return isMatch
    }
}
