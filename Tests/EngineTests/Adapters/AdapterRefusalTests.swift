import LMEngine
import TestKit
import Testing

private let query = "base_model.model.model.layers.1.self_attn.q_proj"

/// A change to a sound adapter and what the error must say.
private struct BadAdapter: CustomTestStringConvertible {
    let testDescription: String
    let code: EngineError.Code
    let says: [String]
    /// What is replaced in adapter_config.json, and by what.
    var key: (old: String, new: String)?
    var tensors: @Sendable (inout SafetensorsWriter) -> Void = { _ in }
    var files: @Sendable (TemporaryFolder) throws -> Void = { _ in }

    init(_ name: String, _ code: EngineError.Code = .invalidModel, says: [String]) {
        testDescription = name
        self.code = code
        self.says = says
    }

    private static func key(
        _ old: String, _ new: String, _ code: EngineError.Code = .unsupportedModel, says: String...
    ) -> BadAdapter {
        var bad = BadAdapter("\(old) is \(new)", code, says: ["adapter_config.json"] + says)
        bad.key = (old, new)
        return bad
    }

    private static func tensors(
        _ name: String, _ code: EngineError.Code = .invalidModel, says: String...,
        change: @escaping @Sendable (inout SafetensorsWriter) -> Void
    ) -> BadAdapter {
        var bad = BadAdapter(name, code, says: ["adapter_model.safetensors"] + says)
        bad.tensors = change
        return bad
    }

    private static func files(
        _ name: String, says: String..., change: @escaping @Sendable (TemporaryFolder) throws -> Void
    ) -> BadAdapter {
        var bad = BadAdapter(name, says: says)
        bad.files = change
        return bad
    }

    static let configurations = [
        key(#""peft_type": "LORA""#, #""peft_type": "IA3""#, says: "'peft_type'", "'IA3'", "LORA"),
        key(#""peft_type": "LORA""#, #""peft_type": null"#, .invalidModel, says: "'peft_type'", "is missing"),
        key(#""use_dora": false"#, #""use_dora": true"#, says: "'use_dora'", "true"),
        key(#""use_dora": false"#, #""use_dora": 1"#, .invalidModel, says: "'use_dora'", "a boolean"),
        key(#""bias": "none""#, #""bias": "lora_only""#, says: "'bias'", "'lora_only'", "none"),
        key(#""lora_bias": false"#, #""lora_bias": true"#, says: "'lora_bias'", "true"),
        key(#""fan_in_fan_out": false"#, #""fan_in_fan_out": true"#, says: "'fan_in_fan_out'", "true"),
        key(#""modules_to_save": null"#, #""modules_to_save": ["lm_head"]"#, says: "'modules_to_save'", "an array"),
        key(#""layer_replication": null"#, #""layer_replication": [[0, 1]]"#, says: "'layer_replication'"),
        key(#""init_lora_weights": true"#, #""init_lora_weights": "pissa""#, says: "'init_lora_weights'", "'pissa'"),
        key(#""r": 4"#, #""r": 0"#, .invalidModel, says: "'r'", "1...4096"),
        key(#""r": 4"#, #""r": "4""#, .invalidModel, says: "'r'", "integer"),
        key(#""r": 4,"#, "", .invalidModel, says: "'r'", "is missing"),
        key(#""lora_alpha": 8"#, #""lora_alpha": 0"#, .invalidModel, says: "'lora_alpha'", "above 0"),
        key(#""lora_alpha": 8"#, #""lora_alpha": null"#, .invalidModel, says: "'lora_alpha'", "is missing"),
        key(#""rank_pattern": {}"#, #""rank_pattern": [4]"#, .invalidModel, says: "'rank_pattern'", "an object"),
        key(#""rank_pattern": {}"#, #""rank_pattern": {"a": 0.5}"#, .invalidModel, says: "'rank_pattern.a'", "integer"),
        key(#""alpha_pattern": {}"#, #""alpha_pattern": {"a": "b"}"#, .invalidModel, says: "'alpha_pattern.a'"),
        key(#""alpha_pattern": {}"#, #""alpha_pattern": {"(?<=a)b": 1}"#, says: "'alpha_pattern.(?<=a)b'", "pattern"),
    ]

    static let weights = [
        tensors("A without B", says: "\(query).lora_A.weight'", "without '\(query).lora_B.weight'") {
            $0.entries.removeAll { $0.name == "\(query).lora_B.weight" }
        },
        tensors("B without A", says: "\(query).lora_B.weight'", "without '\(query).lora_A.weight'") {
            $0.entries.removeAll { $0.name == "\(query).lora_A.weight" }
        },
        tensors("another model's width", says: "\(query).lora_A.weight'", "[4, 24]", "[4, 48]") {
            $0.replace("\(query).lora_A.weight", [4, 24])
        },
        tensors("another model's heads", says: "\(query).lora_B.weight'", "[24, 4]", "[48, 4]") {
            $0.replace("\(query).lora_B.weight", [24, 4])
        },
        tensors("another rank", says: "\(query).lora_A.weight'", "[2, 48]", "[4, 48]", "adapter_config.json") {
            $0.replace("\(query).lora_A.weight", [2, 48])
        },
        tensors("a vector", says: "\(query).lora_B.weight'", "[192]", "[48, 4]") {
            $0.replace("\(query).lora_B.weight", [192])
        },
        tensors("a layer too many", says: "layers.2.", "there is no layer 2", "has 2") {
            $0.add("base_model.model.model.layers.2.self_attn.q_proj.lora_A.weight", [4, 48], zeros(192))
        },
        tensors("a matrix the model lacks", says: "no matrix 'model.layers.0.self_attn.qkv_proj'") {
            $0.add("base_model.model.model.layers.0.self_attn.qkv_proj.lora_A.weight", [4, 48], zeros(192))
        },
        tensors("an embedding", .unsupportedModel, says: "embed_tokens.lora_embedding_A'", "is not supported") {
            $0.add("base_model.model.model.embed_tokens.lora_embedding_A", [4, 101], zeros(404))
        },
        tensors("an embedding as a matrix", .unsupportedModel, says: "'model.embed_tokens'", "q, k, v, o, gate") {
            $0.add("base_model.model.model.embed_tokens.lora_A.weight", [4, 48], zeros(192))
        },
        tensors("a bias", .unsupportedModel, says: "q_proj.bias'", "is not supported") {
            $0.add("base_model.model.model.layers.0.self_attn.q_proj.bias", [48], zeros(48))
        },
        tensors("integers", .unsupportedModel, says: "\(query).lora_A.weight'", "I8", "BF16") {
            $0.replace("\(query).lora_A.weight", [4, 48], type: "I8")
        },
        tensors("NaN", says: "element [3, 47] is NaN") { $0.poison("\(query).lora_A.weight") },
        tensors("nothing", says: "holds no tensor") { $0.entries = [] },
    ]

    static let downloads = [
        files("no configuration", says: "adapter_config.json is missing") { try $0.remove("adapter_config.json") },
        files("a configuration cut short", says: "adapter_config.json", "byte 34") {
            try $0.write("adapter_config.json", Array($0.read("adapter_config.json")[..<40]))
        },
        files("a configuration that is no object", says: "adapter_config.json", "must be a JSON object") {
            try $0.write("adapter_config.json", "[]")
        },
        files("no weights", says: "adapter_model.safetensors is missing", "incomplete") {
            try $0.remove("adapter_model.safetensors")
        },
        files("pickled weights", says: "adapter_model.safetensors is missing", "adapter_model.bin") {
            try $0.remove("adapter_model.safetensors")
            try $0.write("adapter_model.bin", [1])
        },
        files("weights cut short", says: "adapter_model.safetensors", "truncated") {
            try $0.write("adapter_model.safetensors", $0.read("adapter_model.safetensors").dropLast(1))
        },
    ]
}

private func zeros(_ count: Int) -> [Float] { [Float](repeating: 0, count: count) }

extension SafetensorsWriter {
    /// The tensor again, of zeros.
    fileprivate mutating func replace(_ name: String, _ shape: [Int], type: String = "F32") {
        for index in entries.indices where entries[index].name == name {
            (entries[index].type, entries[index].shape) = (type, shape)
            entries[index].data = [UInt8](repeating: 0, count: shape.reduce(type == "F32" ? 4 : 1, *))
        }
    }

    /// Makes the tensor's last element, a float32, NaN.
    fileprivate mutating func poison(_ name: String) {
        for index in entries.indices where entries[index].name == name {
            entries[index].data = entries[index].data.dropLast(4) + [0, 0, 0xC0, 0x7F]
        }
    }
}

@Suite struct AdapterRefusalTests {
    @Test(arguments: BadAdapter.configurations + BadAdapter.weights + BadAdapter.downloads)
    private func `an adapter that cannot be used is refused by file and key or tensor`(bad: BadAdapter) throws {
        let golden = try AdaptedModel.all()[0]
        let base = try golden.model.folder()
        let model = try loadCheckpoint(path: base.path).configuration
        let adapter = golden.adapters[0]
        if let key = bad.key { #expect(adapter.config.contains(key.old)) }
        let folder = try adapter.adapterFolder(
            config: { text in bad.key.map { text.replacing($0.old, with: $0.new) } ?? text }, tensors: bad.tensors)
        try bad.files(folder)
        let error = #expect(throws: EngineError.self) { try Adapter(name: "a", path: folder.path, for: model) }
        #expect(error?.code == bad.code, "\(error?.message ?? "")")
        for part in bad.says { #expect(error?.message.contains(part) == true, "\(error?.message ?? "")") }
    }

    @Test(
        arguments: [
            ("mixtral", "block_sparse_moe.experts.0.w1"), ("qwen2-moe, shared", "mlp.shared_expert.gate_proj"),
            ("qwen3-moe, weights of sum one", "mlp.experts.1.down_proj"), ("qwen3-moe, weights of sum one", "mlp.gate"),
            ("deepseek-v3, groups", "self_attn.q_b_proj"), ("deepseek-v3, groups", "self_attn.o_proj"),
        ])
    func `experts, routers and latent attention take no adapter`(family: String, module: String) throws {
        let base = try #require(FamilyModel.all().first { $0.name.hasPrefix(family) }).folder()
        let model = try loadCheckpoint(path: base.path).configuration
        let folder = try TemporaryFolder()
        try folder.write("adapter_config.json", #"{"peft_type":"LORA","r":1,"lora_alpha":1}"#)
        var writer = SafetensorsWriter()
        writer.add("base_model.model.model.layers.1.\(module).lora_A.weight", [1, 48], zeros(48))
        writer.add("base_model.model.model.layers.1.\(module).lora_B.weight", [48, 1], zeros(48))
        try folder.write("adapter_model.safetensors", writer.bytes())
        let error = #expect(throws: EngineError.self) { try Adapter(name: "a", path: folder.path, for: model) }
        #expect(error?.code == .unsupportedModel)
        #expect(error?.message.contains("adapters of 'model.layers.1.\(module)' are not supported") == true)
    }

    @Test func `a folder that is not there is named`() throws {
        let base = try AdaptedModel.all()[0].model.folder()
        let model = try loadCheckpoint(path: base.path).configuration
        let error = #expect(throws: EngineError.self) { try Adapter(name: "a", path: "/nowhere/a", for: model) }
        #expect(error?.code == .modelNotFound && error?.message.contains("/nowhere/a") == true)
    }
}
