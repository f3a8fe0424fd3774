/// A whole model of some 20 KB: random weights, a token for each byte, three merges and two control tokens.
///
/// What it says is nonsense, but it loads, tokenizes any text and runs like a large one.
public enum TinyModel {
    /// The id of `<|im_start|>`; every id below is a byte or a merge.
    public static let openingToken: Int32 = 259
    /// The id of `<|im_end|>`, which ends an answer.
    public static let endToken: Int32 = 260
    /// Number of token ids.
    public static let vocabularySize = 261
    /// ChatML that writes tools, calls of them, and the argument `note` as well.
    private static let template =
        "{% if tools %}{{ '<|im_start|>tools\\n' + (tools | tojson) + '<|im_end|>\\n' }}{% endif %}"
        + "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] }}"
        + "{% if message.tool_calls %}{{ message.tool_calls | tojson }}{% endif %}{{ '<|im_end|>\\n' }}"
        + "{% endfor %}{{ note }}{{ '<|im_start|>assistant\\n' }}"

    /// A file of the given architecture, "llama" (grouped heads, tied embeddings), "qwen2" (biases, an
    /// output matrix) or "qwen3" (norms of queries and keys, tied embeddings).
    public static func writer(architecture: String = "llama", seed: UInt64 = 1) -> GGUFWriter {
        var writer = GGUFWriter()
        let numbers = [
            "block_count": 2, "context_length": 256, "embedding_length": 16, "feed_forward_length": 24,
            "attention.head_count": 4, "attention.head_count_kv": 2,
        ]
        writer.keys = [
            ("general.architecture", .string(architecture)), ("general.name", .string("tiny")),
            (architecture + ".rope.freq_base", .float32(10_000)),
            (architecture + ".attention.layer_norm_rms_epsilon", .float32(1e-5)),
        ]
        for (key, value) in numbers.sorted(by: { $0.key < $1.key }) {
            writer.keys.append((architecture + "." + key, .uint32(UInt32(value))))
        }
        addTokenizer(to: &writer)
        addTensors(to: &writer, architecture: architecture, seed: seed)
        return writer
    }

    private static func addTokenizer(to writer: inout GGUFWriter) {
        let isPrintable = { (byte: UInt32) in
            (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || byte >= 0xAE
        }
        var next: UInt32 = 0x100
        var tokens: [String] = (UInt32(0)..<256).map { byte in
            defer { if !isPrintable(byte) { next += 1 } }
            return Unicode.Scalar(isPrintable(byte) ? byte : next).map { String($0) } ?? ""
        }
        tokens += ["th", "the", "Ġthe", "<|im_start|>", "<|im_end|>"]
        writer.keys += [
            ("tokenizer.ggml.model", .string("gpt2")), ("tokenizer.ggml.pre", .string("gpt-2")),
            ("tokenizer.ggml.tokens", .strings(tokens)),
            ("tokenizer.ggml.token_type", .int32s(tokens.map { $0.hasPrefix("<|") ? 3 : 1 })),
            ("tokenizer.ggml.merges", .strings(["t h", "th e", "Ġ the"])),
            ("tokenizer.ggml.eos_token_id", .uint32(UInt32(endToken))),
            ("tokenizer.chat_template", .string(Self.template)),
        ]
    }

    private static func addTensors(to writer: inout GGUFWriter, architecture: String, seed: UInt64) {
        let hasBias = architecture == "qwen2"
        var random = TestRandom(seed: seed)
        func add(_ name: String, _ dimensions: Int..., offset: Float = 0) {
            let elements = (0..<dimensions.reduce(1, *)).map { _ in Float(random.unit() - 0.5) + offset }
            writer.addTensor(name, dimensions, elements)
        }
        add("token_embd.weight", 16, vocabularySize)
        add("output_norm.weight", 16, offset: 1)
        if hasBias { add("output.weight", 16, vocabularySize) }
        for layer in 0..<2 {
            let prefix = "blk.\(layer)."
            add(prefix + "attn_norm.weight", 16, offset: 1)
            add(prefix + "attn_q.weight", 16, 16)
            add(prefix + "attn_k.weight", 16, 8)
            add(prefix + "attn_v.weight", 16, 8)
            add(prefix + "attn_output.weight", 16, 16)
            add(prefix + "ffn_norm.weight", 16, offset: 1)
            add(prefix + "ffn_gate.weight", 16, 24)
            add(prefix + "ffn_up.weight", 16, 24)
            add(prefix + "ffn_down.weight", 24, 16)
            if architecture == "qwen3" {
                add(prefix + "attn_q_norm.weight", 4, offset: 1)
                add(prefix + "attn_k_norm.weight", 4, offset: 1)
            }
            guard hasBias else { continue }
            add(prefix + "attn_q.bias", 16)
            add(prefix + "attn_k.bias", 8)
            add(prefix + "attn_v.bias", 8)
        }
    }
}
