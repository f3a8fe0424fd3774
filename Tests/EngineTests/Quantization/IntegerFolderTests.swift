import LMEngine
import TestKit
import Testing

/// Folders of 8-bit integers that other tools made.
@Suite struct IntegerFolderTests {
    @Test(arguments: try FamilyModel.all(), IntegerFolder.Tool.allCases)
    func `dynamic folders give the numbers of our own quantization`(
        model: FamilyModel, tool: IntegerFolder.Tool
    ) throws {
        let original = try model.folder(storage: .bfloat16)
        let folder = try IntegerFolder(tool).make(model)
        let (own, theirs) = (
            try logits(quantized(original.path, calibrationText: nil), model),
            try logits(loadCheckpoint(path: folder.path), model)
        )
        #expect(own == theirs)
    }

    @Test(arguments: try FamilyModel.all().filter { !$0.family.contains("deepseek") }, IntegerFolder.Tool.allCases)
    func `static folders give the oracle's logits, near those of the floats`(
        model: FamilyModel, tool: IntegerFolder.Tool
    ) throws {
        var maker = IntegerFolder(tool)
        maker.scheme = Self.mixed
        maker.configuration = IntegerFolder.configuration(
            inputs: #""dynamic":false,"num_bits":8,"strategy":"tensor","symmetric":false,"type":"int""#)
        let checkpoint = try load(maker, model)
        let oracle = try ReferenceBackend(checkpoint: checkpoint)
        let driver = try Greedy(oracle, tokens: 80)
        let expected = oracle.forward(driver.plan(model.prompt, 0..<model.prompt.count, samples: true))
        // Where inputs lie at the border between two integers, the last bit of a float moves them across: seen once.
        let limit: Float = model.name == "gemma2, tight soft caps, wide heads" ? 0.02 : 0.002
        let error = relativeError(try logits(checkpoint, model), expected)
        #expect(error < limit, "\(error)")
        let original = try model.folder(storage: .bfloat16)
        let floats = try logits(loadCheckpoint(path: original.path), model)
        #expect(relativeError(expected, floats) < 0.2, "\(relativeError(expected, floats))")
    }

    /// Attention static, experts and the way down dynamic, the way up as floats.
    private static let mixed: @Sendable (String) -> IntegerFolder.Scheme = { name in
        if name.contains(".experts.") || name.contains("shared_expert") { return .dynamic }
        if name.contains("o_proj") { return .fixed(inputScale: 0.02, inputOffset: 5) }
        if name.contains("self_attn") { return .fixed(inputScale: 0.03125, inputOffset: -7) }
        return name.contains("down_proj") ? .dynamic : .float
    }

    @Test func `scales in 64 bits are the floats they hold`() throws {
        let model = try Self.biased()
        var maker = IntegerFolder(.modelSlim)
        maker.scheme = Self.mixed
        let narrow = try logits(load(maker, model), model)
        maker.hasWideScales = true
        #expect(try logits(load(maker, model), model) == narrow)
        // A negative float's sign may be extended over the upper half: it is a float then, and no scale.
        maker.edit = { Self.replace("layers.0.self_attn.q_proj.deq_scale", in: &$0, with: GGUFWriter.bytes(Int64.min)) }
        let error = try refusal(maker, model)
        #expect(error?.message.contains("deq_scale': element 0 is no float in 64 bits") == true)
    }

    @Test func `the bias that is part of quant_bias is not added again`() throws {
        let model = try Self.biased()
        var maker = IntegerFolder(.modelSlim)
        maker.scheme = Self.mixed
        let expected = try logits(load(maker, model), model)
        maker.edit = { writer in writer.entries.removeAll { $0.name.hasSuffix("self_attn.q_proj.bias") } }
        #expect(try logits(load(maker, model), model) == expected)
    }

    @Test func `a row's product is that of the formula`() throws {
        let model = try Self.biased()
        var maker = IntegerFolder(.modelSlim)
        maker.scheme = Self.mixed
        let checkpoint = try load(maker, model)
        let tensor = try checkpoint.tensor(.layer(0, .query))
        let meaning = try #require(tensor.integers)
        #expect(meaning.inputs == .fixed(scale: 0.03125, offset: -7))
        let weights = model.elements(of: "model.layers.0.self_attn.q_proj.weight")
        let bias = model.elements(of: "model.layers.0.self_attn.q_proj.bias")
        #expect(try checkpoint.tensor(.layer(0, .queryBias)).bytes.allSatisfy { $0 == 0 })
        for row in 0..<tensor.rows {
            let own = weights[row * tensor.columns..<(row + 1) * tensor.columns]
            let quants = tensor.bytes[row * tensor.columns..<(row + 1) * tensor.columns].map { Int8(bitPattern: $0) }
            // Inputs of zero are the offset, and give the bias.
            let sum = quants.reduce(Int32(0)) { $0 + Int32($1) }
            let y = Float(-7 * sum + meaning.addends[row]) * meaning.scales[row]
            #expect(abs(y - bias[row]) <= meaning.scales[row])
            #expect(
                zip(elements(of: tensor, row: row), own).allSatisfy { abs($0 - $1) <= (own.map(abs).max() ?? 0) / 250 })
        }
    }

    @Test(arguments: [
        ("model.layers.0.mlp.up_proj.weight", "W4A8_DYNAMIC", "scheme 'W4A8_DYNAMIC'; supported are FLOAT, W8A8"),
        ("model.layers.0.mlp.up_proj.weight", "FLOAT", "its elements are I8"),
        ("model.norm.weight", "W8A8", "its elements are BF16"), ("kv_cache_type", "C8", "'C8'; a quantized cache"),
    ])
    func `schemes of ModelSlim that are not run are refused by name`(key: String, value: String, part: String) throws {
        var maker = IntegerFolder(.modelSlim)
        maker.description = [key: value]
        let error = try refusal(maker, FamilyModel.all()[0])
        #expect(error?.message.contains(part) == true, "\(error?.message ?? "")")
        #expect(error?.message.contains("quant_model_description.json: key '\(key)'") == true)
    }

    @Test(arguments: [
        (#""num_bits":8,"type":"float","strategy":"token","dynamic":true"#, "input_activations.num_bits': 8-bit float"),
        (#""num_bits":4,"type":"int","strategy":"token","dynamic":true"#, "input_activations.num_bits': 4-bit int"),
        (#""num_bits":8,"type":"int","strategy":"group","dynamic":true"#, "strategy': 'group'"),
        (#""num_bits":8,"type":"int","strategy":"tensor","dynamic":true"#, "dynamic': true with strategy 'tensor'"),
    ])
    func `schemes of compressed-tensors that are not run are refused by name`(inputs: String, part: String) throws {
        var maker = IntegerFolder(.compressedTensors)
        maker.configuration = IntegerFolder.configuration(inputs: inputs)
        let error = try refusal(maker, FamilyModel.all()[0])
        #expect(error?.code == .unsupportedModel)
        #expect(error?.message.contains(part) == true, "\(error?.message ?? "")")
    }

    @Test(arguments: ["pack-quantized", "float-quantized"])
    func `other formats of compressed-tensors are refused by name`(format: String) throws {
        var maker = IntegerFolder(.compressedTensors)
        maker.configuration = IntegerFolder.configuration(inputs: "", format: format)
        let error = try refusal(maker, FamilyModel.all()[0])
        #expect(error?.message.contains("'\(format)'; supported is int-quantized") == true)
    }

    @Test func `what belongs to the weights must be there and be right`() throws {
        let model = try Self.biased()
        let name = "model.layers.1.mlp.down_proj"
        func message(_ edit: @escaping (inout SafetensorsWriter) -> Void) throws -> String {
            var maker = IntegerFolder(.modelSlim)
            maker.edit = edit
            return try refusal(maker, model)?.message ?? ""
        }
        let missing = try message { $0.entries.removeAll { $0.name == name + ".weight_scale" } }
        #expect(missing.contains("tensor '\(name).weight_scale' is missing"))
        let infinite = try message {
            Self.replace("1.mlp.down_proj.weight_scale", in: &$0, with: GGUFWriter.bytes(Float.infinity.bitPattern))
        }
        #expect(infinite.contains("weight_scale': holds inf"))
        let asymmetric = try message {
            Self.replace("1.mlp.down_proj.weight_offset", in: &$0, with: GGUFWriter.bytes(Float(3).bitPattern))
        }
        #expect(asymmetric.contains("weight_offset' is not zero: asymmetric weights"))
        let short = try message { writer in
            let index = writer.entries.firstIndex { $0.name == name + ".weight_scale" } ?? 0
            writer.entries[index].data.removeLast(4)
            writer.entries[index].shape = [writer.entries[index].data.count / 4, 1]
        }
        #expect(short.contains("weight_scale'") && short.contains("are needed"))
        let stranger = try message { $0.add("model.layers.0.input_layernorm.bias", [4], [0, 0, 0, 0]) }
        #expect(stranger.contains("'model.layers.0.input_layernorm.bias' has no place"))
    }

    @Test func `matrices of one input with different scales are refused`() throws {
        var maker = IntegerFolder(.modelSlim)
        maker.scheme = { name in
            name.contains("k_proj") ? .fixed(inputScale: 0.5, inputOffset: 0) : .fixed(inputScale: 0.25, inputOffset: 0)
        }
        let model = try Self.biased()
        let checkpoint = try load(maker, model)
        let error = #expect(throws: EngineError.self) { try CPUBackend(checkpoint: checkpoint, threads: 1) }
        #expect(error?.message.contains("q_proj.weight' and 'model.layers.0.self_attn.k_proj.weight'") == true)
    }

    private func refusal(_ maker: IntegerFolder, _ model: FamilyModel) throws -> EngineError? {
        let folder = try maker.make(model)
        return #expect(throws: EngineError.self) { try loadCheckpoint(path: folder.path) }
    }

    private func load(_ maker: IntegerFolder, _ model: FamilyModel) throws -> any Checkpoint {
        let folder = try maker.make(model)
        return try loadCheckpoint(path: folder.path)
    }

    private static func replace(_ suffix: String, in writer: inout SafetensorsWriter, with bytes: [UInt8]) {
        guard let index = writer.entries.firstIndex(where: { $0.name.hasSuffix(suffix) }) else { return }
        writer.entries[index].data.replaceSubrange(0..<bytes.count, with: bytes)
    }

    /// A model with biases.
    private static func biased() throws -> FamilyModel {
        try #require(FamilyModel.all().first { $0.tensors["model.layers.1.self_attn.q_proj.bias"] != nil })
    }

    private func logits(_ checkpoint: any Checkpoint, _ model: FamilyModel) throws -> [Float] {
        let backend = try CPUBackend(checkpoint: checkpoint, threads: 2, dataType: .float32)
        let driver = try Greedy(backend, tokens: 80)
        return try backend.forward(driver.plan(model.prompt, 0..<model.prompt.count, samples: true))[0]
    }
}
