import Foundation
import LMEngine

/// A Llama model of a GGUF file written as a Hugging Face folder: weights as floats, the tokenizer from its vocabulary and
/// merges.
public enum LlamaFolder {
    /// Writes the folder.
    ///
    /// - Parameter path: a GGUF file of SmolLM2: tied embeddings, digits by themselves.
    public static func make(fromGGUF path: String, storage: FamilyModel.Storage = .float32) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        try write(to: folder.path, fromGGUF: path, storage: storage)
        return folder
    }

    /// Writes the files of the folder to one that exists.
    ///
    /// - Parameter storage: of all weights, rounded to nearest even.
    public static func write(to folder: String, fromGGUF path: String, storage: FamilyModel.Storage) throws {
        let file = try GGUFFile(MappedFile(path: path))
        let checkpoint = try GGUFCheckpoint(file)
        func write(_ name: String, _ text: String) throws {
            try Data(text.utf8).write(to: URL(fileURLWithPath: folder).appendingPathComponent(name))
        }
        try write("config.json", config(checkpoint.configuration, storage))
        try write("tokenizer.json", try tokenizer(file))
        if let template = checkpoint.chatTemplate {
            try write("tokenizer_config.json", try json(TextSettings(template)))
        }
        let ends = checkpoint.tokenizer.endTokens.map { String($0) }.joined(separator: ",")
        try write("generation_config.json", #"{"eos_token_id":[\#(ends)]}"#)
        try writeWeights(of: checkpoint, to: folder + "/model.safetensors", storage)
    }

    private static func config(_ model: ModelConfiguration, _ storage: FamilyModel.Storage) -> String {
        """
        {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
         "vocab_size": \(model.vocabularySize), "hidden_size": \(model.embeddingLength),
         "intermediate_size": \(model.feedForwardLength), "num_hidden_layers": \(model.layerCount),
         "num_attention_heads": \(model.headCount), "num_key_value_heads": \(model.keyValueHeadCount),
         "rms_norm_eps": \(model.normEpsilon), "rope_theta": \(model.rotaryBase), "rope_scaling": null,
         "max_position_embeddings": \(model.contextLength), "tie_word_embeddings": \(model.tiesEmbeddings),
         "torch_dtype": "\(storage)"}
        """
    }

    private static func tokenizer(_ file: GGUFFile) throws -> String {
        func strings(_ key: String) throws -> [String] {
            var result: [String] = []
            _ = try file.forEachString(key) { result.append(String(decoding: $0, as: UTF8.self)) }
            return result
        }
        let tokens = try strings("tokenizer.ggml.tokens")
        let kinds = try file.int32Array("tokenizer.ggml.token_type") ?? []
        let control = tokens.indices.filter { kinds[$0] == 3 }
        let added = control.map { AddedToken(id: $0, content: tokens[$0]) }
        let vocabulary = Dictionary(uniqueKeysWithValues: tokens.enumerated().map { ($1, $0) })
        return #"{"added_tokens":\#(try json(added)),"normalizer":null,"post_processor":null,"#
            + #""pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},"#
            + #"{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}]},"#
            + #""decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true},"model":{"type":"BPE","vocab":\#(try json(vocabulary)),"#
            + #""merges":\#(try json(try strings("tokenizer.ggml.merges")))}}"#
    }

    private struct AddedToken: Encodable {
        let id: Int
        let content: String
        var special = true
        var normalized = false
        // The reference library reads no file without these.
        var singleWord = false
        var lstrip = false
        var rstrip = false

        enum CodingKeys: String, CodingKey {
            case id, content, special, normalized, lstrip, rstrip
            case singleWord = "single_word"
        }
    }

    /// `tokenizer_config.json`.
    private struct TextSettings: Encodable {
        let chatTemplate: String
        let bosToken: String
        let eosToken: String
        let tokenizerClass = "PreTrainedTokenizerFast"

        init(_ template: ChatTemplateSource) {
            (chatTemplate, bosToken, eosToken) = (template.text, template.beginning, template.end)
        }

        enum CodingKeys: String, CodingKey {
            case chatTemplate = "chat_template"
            case bosToken = "bos_token"
            case eosToken = "eos_token"
            case tokenizerClass = "tokenizer_class"
        }
    }

    private static func json(_ value: some Encodable) throws -> String {
        String(decoding: try JSONEncoder().encode(value), as: UTF8.self)
    }

    /// Rows are written as they are dequantized: the whole would take gigabytes.
    private static func writeWeights(of checkpoint: any Checkpoint, to path: String, _ storage: FamilyModel.Storage)
        throws
    {
        let model = checkpoint.configuration
        var header = SafetensorsWriter()
        var tensors: [(role: TensorRole, tensor: Tensor)] = []
        var next = 0
        for role in model.tensorRoles {
            let tensor = try checkpoint.tensor(role)
            let shape = role.isVector ? [tensor.columns] : [tensor.rows, tensor.columns]
            let end = next + tensor.rows * tensor.columns * (storage == .float32 ? 4 : 2)
            header.entries.append(
                SafetensorsWriter.Entry(
                    name: name(of: role), type: storage.rawValue, shape: shape, offsets: [next, end], data: []))
            next = end
            tensors.append((role, tensor))
        }
        guard FileManager.default.createFile(atPath: path, contents: Data(header.bytes())),
            let file = FileHandle(forWritingAtPath: path)
        else { throw CocoaError(.fileWriteUnknown) }
        try file.seekToEnd()
        for (role, tensor) in tensors {
            var elements = Data(count: tensor.rows * tensor.columns * 4)
            elements.withUnsafeMutableBytes { bytes in
                let floats = bytes.bindMemory(to: Float.self)
                for row in 0..<tensor.rows {
                    let target = UnsafeMutableBufferPointer(
                        rebasing: floats[row * tensor.columns..<(row + 1) * tensor.columns])
                    tensor.dequantize(row: source(of: row, role, model), into: target)
                }
            }
            try file.write(contentsOf: convert(elements, storage))
        }
        try file.close()
    }

    private static func convert(_ elements: Data, _ storage: FamilyModel.Storage) -> Data {
        guard storage != .float32 else { return elements }
        let floats = elements.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        let bits = floats.map {
            storage == .float16
                ? Float16($0).bitPattern : UInt16(TensorType.bf16.rounded($0).bitPattern >> 16)
        }
        return bits.withUnsafeBytes { Data($0) }
    }

    /// GGUF files hold the rows of queries and keys so that rotated pairs stand side by side; folders hold the first of
    /// all pairs of a head before the second.
    private static func source(of row: Int, _ role: TensorRole, _ model: ModelConfiguration) -> Int {
        guard case .layer(_, let part) = role, part == .query || part == .key else { return row }
        let (head, element) = row.quotientAndRemainder(dividingBy: model.headDimension)
        let (half, pair) = element.quotientAndRemainder(dividingBy: model.headDimension / 2)
        return head * model.headDimension + 2 * pair + half
    }

    private static func name(of role: TensorRole) -> String {
        switch role {
        case .tokenEmbedding: return "model.embed_tokens.weight"
        case .outputNorm: return "model.norm.weight"
        case .output: return "lm_head.weight"
        case .layer(let layer, let part):
            let names: [TensorRole.LayerRole: String] = [
                .attentionNorm: "input_layernorm", .query: "self_attn.q_proj", .key: "self_attn.k_proj",
                .value: "self_attn.v_proj", .attentionOutput: "self_attn.o_proj",
                .feedForwardNorm: "post_attention_layernorm", .gate: "mlp.gate_proj", .up: "mlp.up_proj",
                .down: "mlp.down_proj",
            ]
            return "model.layers.\(layer).\(names[part] ?? "\(part)").weight"
        case .expert: return "\(role)"
        }
    }
}
