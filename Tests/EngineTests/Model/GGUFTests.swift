import LMEngine
import TestKit
import Testing

private func load(_ bytes: [UInt8]) throws(EngineError) -> GGUFCheckpoint {
    try GGUFCheckpoint(GGUFFile(MappedFile(contents: bytes, name: "m.gguf")))
}

/// A change to a sound file and what the error must say.
struct BadFile: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let code: EngineError.Code
    let says: [String]
    let change: @Sendable (inout GGUFWriter) -> Void

    init(
        _ name: String, _ code: EngineError.Code = .invalidModel, says: [String],
        change: @escaping @Sendable (inout GGUFWriter) -> Void
    ) {
        testDescription = name
        self.code = code
        self.says = says
        self.change = change
    }

    static let headers = [
        BadFile("magic", says: ["byte 0", "GGUF"]) { $0.magic = Array("GGML".utf8) },
        BadFile("version 1", says: ["byte 4", "version 1", "2 and 3"]) { $0.version = 1 },
        BadFile("big endian", says: ["big endian"]) { $0.version = 3 << 24 },
        BadFile("keys beyond the limit", says: ["header", "byte 16", "65536"]) { $0.declaredKeyCount = 65_537 },
        BadFile("keys beyond Int", says: ["\(UInt64.max)", "65536"]) { $0.declaredKeyCount = .max },
        BadFile("tensors beyond the limit", says: ["header", "byte 8", "131072"]) { $0.declaredTensorCount = 131_073 },
        BadFile("tensors beyond Int", says: ["131072"]) { $0.declaredTensorCount = .max },
        BadFile("more keys than there are", says: ["number"]) { $0.declaredKeyCount = UInt64($0.keys.count) + 3 },
        BadFile("more tensors than there are", says: ["tensor"]) { $0.declaredTensorCount = 100_000 },
        BadFile("key twice", says: ["'general.name'", "twice"]) { $0.keys.append(("general.name", .string("again"))) },
        BadFile("unknown value type", says: ["'k'", "value type 13"]) { $0.keys.append(("k", .raw(13, []))) },
        BadFile("boolean 2", says: ["'k'", "boolean is 2"]) { $0.keys.append(("k", .raw(7, [2]))) },
        BadFile("string beyond the limit", says: ["'k'", "16777217", "16777216"]) {
            $0.keys.append(("k", .raw(8, GGUFWriter.bytes(UInt64(16 << 20) + 1))))
        },
        BadFile("string of all lengths", says: ["'k'", "16777216"]) {
            $0.keys.append(("k", .raw(8, GGUFWriter.bytes(UInt64.max))))
        },
        BadFile("array beyond the limit", says: ["'k'", "16777217", "16777216"]) {
            $0.keys.append(("k", .raw(9, GGUFWriter.bytes(UInt32(0)) + GGUFWriter.bytes(UInt64(16 << 20) + 1))))
        },
        BadFile("array beyond the file", says: ["'k'", "134217728", "truncated"]) {
            $0.keys.append(("k", .raw(9, GGUFWriter.bytes(UInt32(10)) + GGUFWriter.bytes(UInt64(16 << 20)))))
        },
        BadFile("arrays too deep", says: ["'k'", "deeper than 4"]) {
            let level = GGUFWriter.bytes(UInt32(9)) + GGUFWriter.bytes(UInt64(1))
            let nested = level + level + level + level + level
            $0.keys.append(("k", .raw(9, nested)))
        },
        BadFile("alignment 0", says: ["general.alignment", "power of two"]) {
            $0.setKey("general.alignment", .uint32(0))
        },
        BadFile("alignment 48", says: ["general.alignment", "65536"]) { $0.setKey("general.alignment", .uint32(48)) },
        BadFile("alignment 2^31", says: ["general.alignment"]) { $0.setKey("general.alignment", .uint32(1 << 31)) },
        BadFile("alignment as text", says: ["general.alignment"]) { $0.setKey("general.alignment", .string("32")) },
    ]

    static let tensors = [
        BadFile("no dimensions", says: ["tensor 'token_embd.weight'", "0 dimensions"]) {
            $0.tensors[0].dimensions = []
        },
        BadFile("five dimensions", says: ["5 dimensions", "1 to 4"]) { $0.tensors[0].dimensions = [1, 1, 1, 1, 1] },
        BadFile("dimension 0", says: ["token_embd.weight", "dimension 0"]) { $0.tensors[0].dimensions[1] = 0 },
        BadFile("dimension beyond Int", says: ["dimension \(UInt64.max)"]) { $0.tensors[0].dimensions[0] = .max },
        BadFile("product wraps to 0", says: ["larger than the file"]) {
            $0.tensors[0].dimensions = [1 << 32, 1 << 32, 1 << 32, 1]
        },
        BadFile("product wraps to a small number", says: ["larger than the file"]) {
            $0.tensors[0].dimensions = [(1 << 62) + 4, 4]
        },
        BadFile("larger than the file", says: ["larger than the file"]) { $0.tensors[0].dimensions[1] = 1 << 40 },
        BadFile("row is no whole block", says: ["32 elements of a Q4_0 block"]) {
            $0.tensors[0].type = 2
        },
        BadFile("offset beyond the file", says: ["outside the file"]) { $0.tensors[1].offset = 1 << 40 },
        BadFile("offset beyond Int", says: ["outside the file"]) { $0.tensors[1].offset = .max },
        BadFile("offset not aligned", says: ["output_norm.weight", "multiple of the alignment 32"]) {
            $0.tensors[1].offset = 16
        },
        BadFile("overlap", says: ["overlaps that of tensor 'token_embd.weight'"]) { $0.tensors[1].offset = 32 },
        BadFile("same place", says: ["overlaps"]) { $0.tensors[1].offset = 0 },
        BadFile("name twice", says: ["token_embd.weight", "twice"]) { $0.tensors[1].name = "token_embd.weight" },
        BadFile("unsupported type", .unsupportedModel, says: ["token_embd.weight", "Q2_K", "Q4_K, Q5_K, Q6_K"]) {
            $0.tensors[0].type = 10
        },
        BadFile("unknown type", .unsupportedModel, says: ["number 4000000000"]) { $0.tensors[0].type = 4_000_000_000 },
        BadFile("data missing", says: ["end beyond the file", "truncated"]) { $0.tensors[19].data.removeAll() },
        BadFile("tensor missing", says: ["'output_norm.weight' is missing"]) { $0.tensors.remove(at: 1) },
        BadFile("tensor left over", .unsupportedModel, says: ["'blk.0.attn_q_norm.weight' has no place"]) {
            $0.addTensor("blk.0.attn_q_norm.weight", [4], [1, 1, 1, 1])
        },
        BadFile("shape against the configuration", says: ["blk.0.attn_norm.weight", "[16]"]) {
            $0.tensors[2].dimensions = [8]
        },
        BadFile("name of a terminal escape", .unsupportedModel, says: ["'?[31m?'"]) {
            $0.addTensor("\u{1B}[31m\n", [1], [1])
        },
    ]

    static let models = [
        BadFile("no architecture", says: ["general.architecture", "missing"]) {
            $0.setKey("general.architecture", nil)
        },
        BadFile("other architecture", .unsupportedModel, says: ["'rwkv'", "llama, qwen2"]) {
            $0.setKey("general.architecture", .string("rwkv"))
        },
        BadFile("layers missing", says: ["llama.block_count", "missing"]) { $0.setKey("llama.block_count", nil) },
        BadFile("layers 0", says: ["llama.block_count", "1...1024"]) { $0.setKey("llama.block_count", .uint32(0)) },
        BadFile("layers as text", says: ["llama.block_count", "integer"]) {
            $0.setKey("llama.block_count", .string("2"))
        },
        BadFile("width beyond the limit", says: ["embedding_length", "1048576"]) {
            $0.setKey("llama.embedding_length", .uint32(.max))
        },
        BadFile("heads do not divide the width", says: ["attention.head_count", "must divide"]) {
            $0.setKey("llama.attention.head_count", .uint32(6))
        },
        BadFile("heads of one element", says: ["attention.head_count"]) {
            $0.setKey("llama.attention.head_count", .uint32(16))
        },
        BadFile("groups do not divide", says: ["head_count_kv", "must divide"]) {
            $0.setKey("llama.attention.head_count_kv", .uint32(3))
        },
        BadFile("odd rotation", says: ["rope.dimension_count", "even"]) {
            $0.setKey("llama.rope.dimension_count", .uint32(3))
        },
        BadFile("epsilon not a number", says: ["rms_epsilon", "finite"]) {
            $0.setKey("llama.attention.layer_norm_rms_epsilon", .float32(.nan))
        },
        BadFile("other scaling", .unsupportedModel, says: ["'yarn'", "linear"]) {
            $0.setKey("llama.rope.scaling.type", .string("yarn"))
        },
        BadFile("experts", .unsupportedModel, says: ["expert"]) { $0.setKey("llama.expert_count", .uint32(8)) },
        BadFile("divisor 0", says: ["rope_freqs.weight", "finite"]) { $0.addTensor("rope_freqs.weight", [2], [1, 0]) },
        BadFile("divisors of another count", says: ["rope_freqs.weight", "[2]"]) {
            $0.addTensor("rope_freqs.weight", [1], [1])
        },
        BadFile("other tokenizer", .unsupportedModel, says: ["'llama'", "gpt2"]) {
            $0.setKey("tokenizer.ggml.model", .string("llama"))
        },
        BadFile("other pre-tokenizer", .unsupportedModel, says: ["'tekken'", "smollm"]) {
            $0.setKey("tokenizer.ggml.pre", .string("tekken"))
        },
        BadFile("no tokens", says: ["tokenizer.ggml.tokens", "missing"]) { $0.setKey("tokenizer.ggml.tokens", nil) },
        BadFile("empty vocabulary", says: ["tokens"]) { $0.setKey("tokenizer.ggml.tokens", .strings([])) },
        BadFile("too few types", says: ["token_type", "token 1 "]) {
            $0.setKey("tokenizer.ggml.token_type", .int32s([1]))
        },
        BadFile("unknown type of token", says: ["token_type", "(9)"]) {
            $0.setKey("tokenizer.ggml.token_type", .int32s([Int32](repeating: 9, count: 261)))
        },
        BadFile("merge of unknown tokens", says: ["merge number 1 "]) {
            $0.setKey("tokenizer.ggml.merges", .strings(["t h", "q z"]))
        },
        BadFile("merge of one token", says: ["merge number 0 "]) {
            $0.setKey("tokenizer.ggml.merges", .strings(["th"]))
        },
        BadFile("end token beyond the vocabulary", says: ["eos_token_id", "0...260"]) {
            $0.setKey("tokenizer.ggml.eos_token_id", .uint32(261))
        },
        BadFile("more tokens than rows", says: ["embedding has 200 rows"]) { $0.tensors[0].dimensions[1] = 200 },
    ]
}

@Suite struct GGUFTests {
    @Test(arguments: ["llama", "qwen2", "qwen3"], [UInt32(2), 3])
    func aSoundFileLoads(architecture: String, version: UInt32) throws {
        var writer = TinyModel.writer(architecture: architecture)
        writer.version = version
        let checkpoint = try load(writer.bytes())
        let configuration = checkpoint.configuration
        #expect(configuration.family.rawValue == architecture)
        #expect(configuration.headDimension == 4 && configuration.keyValueLength == 8)
        #expect(configuration.hasAttentionBias == (architecture == "qwen2"))
        #expect(configuration.hasQueryKeyNorm == (architecture == "qwen3"))
        #expect(configuration.tiesEmbeddings == (architecture != "qwen2"))
        #expect(configuration.vocabularySize == TinyModel.vocabularySize)
        #expect(checkpoint.tokenizer.encode(" the then", parseSpecial: false) == [258, 258, 110])
        #expect(checkpoint.tokenizer.endTokens == [TinyModel.endToken])
        #expect(checkpoint.weightByteCount == writer.tensors.reduce(0) { $0 + $1.data.count })
        for role in configuration.tensorRoles {
            let tensor = try checkpoint.tensor(role)
            #expect(tensor.type == .f32)
        }
        let norm = try checkpoint.tensor(.layer(1, .attentionNorm))
        let data = try #require(writer.tensors.first { $0.name == "blk.1.attn_norm.weight" }?.data)
        #expect(Array(norm.bytes) == data)
    }

    @Test func optionalKeysAreHeeded() throws {
        var writer = TinyModel.writer()
        writer.setKey("llama.attention.key_length", .uint32(4))
        writer.setKey("llama.rope.dimension_count", .uint32(2))
        writer.setKey("llama.rope.scaling.type", .string("linear"))
        writer.setKey("llama.rope.scaling.factor", .float32(8))
        writer.setKey("tokenizer.ggml.add_bos_token", .bool(true))
        writer.setKey("tokenizer.ggml.bos_token_id", .uint32(259))
        let checkpoint = try load(writer.bytes())
        #expect(checkpoint.configuration.rotaryDimension == 2)
        #expect(checkpoint.configuration.rotaryScaling == .linear(factor: 8))
        #expect(checkpoint.tokenizer.beginningOfSequence == 259)
        writer.addTensor("rope_freqs.weight", [1], [4])
        #expect(try load(writer.bytes()).configuration.rotaryScaling == .perFrequency([4]))
    }

    @Test(arguments: BadFile.headers + BadFile.tensors + BadFile.models)
    func aBadFileIsRejectedWithItsFault(_ bad: BadFile) {
        var writer = TinyModel.writer()
        bad.change(&writer)
        let error = #expect(throws: EngineError.self) { try load(writer.bytes()) }
        #expect(error?.code == bad.code)
        for part in bad.says + ["m.gguf"] {
            #expect(error?.message.contains(part) == true, "\(error?.message ?? "") lacks \(part)")
        }
    }

    @Test func everyTruncationIsRejected() {
        let writer = TinyModel.writer()
        let bytes = writer.bytes()
        let padding = (32 - (writer.tensors.last?.data.count ?? 0) % 32) % 32
        let cuts =
            Array(1...writer.header().count)
            + Array(stride(from: writer.header().count, to: bytes.count - padding, by: 61))
        for count in cuts {
            #expect(throws: EngineError.self, "\(count) bytes") { try load(Array(bytes[..<count])) }
        }
    }

    /// Whatever a flipped bit does to the header, the answer is a model or an error. Every third bit, for time.
    @Test func noFlippedBitTraps() {
        var bytes = TinyModel.writer(architecture: "qwen2").bytes()
        var rejected = 0
        let count = TinyModel.writer(architecture: "qwen2").header().count
        for bit in stride(from: 0, to: count * 8, by: 3) {
            bytes[bit / 8] ^= 1 << (bit % 8)
            do throws(EngineError) { _ = try load(bytes) } catch { rejected += 1 }
            bytes[bit / 8] ^= 1 << (bit % 8)
        }
        #expect(rejected > count && rejected < count * 8 / 3)
    }

    /// Whatever many changes at once do to the header, the answer is an error or a model that can be used.
    @Test func noMutationTraps() {
        let sound = ["llama", "qwen2"].map { TinyModel.writer(architecture: $0) }
        let files = sound.map { (bytes: $0.bytes(), header: $0.header().count) }
        var random = TestRandom(seed: 20)
        var accepted = 0
        for round in 0..<5_000 {
            var (bytes, header) = files[round % files.count]
            for _ in 0...random.below(4) { mutate(&bytes, within: header, &random) }
            guard let checkpoint = try? load(bytes) else { continue }
            accepted += 1
            use(checkpoint)
        }
        #expect(accepted > 0)
    }

    private func mutate(_ bytes: inout [UInt8], within header: Int, _ random: inout TestRandom) {
        let place = random.below(header)
        let extremes: [UInt64] = [0, 1, 4, 1 << 16, 1 << 31, 1 << 32, 1 << 62, 1 << 63, .max, .max - 7]
        switch random.below(5) {
        case 0: bytes[place] = UInt8(random.below(256))
        case 1:
            let width = [1, 4, 8][random.below(3)]
            let value = GGUFWriter.bytes(extremes[random.below(extremes.count)])
            bytes.replaceSubrange(place..<place + width, with: value.prefix(width))
        case 2: bytes.removeSubrange(place..<min(place + 1 + random.below(16), header))
        case 3: bytes.insert(contentsOf: bytes[place..<place + 1 + random.below(64)], at: random.below(header))
        default: bytes.swapAt(place, random.below(header))
        }
    }

    private func use(_ checkpoint: GGUFCheckpoint) {
        let tokens = checkpoint.tokenizer.encode(" the then 12\u{E9}<|im_end|>", parseSpecial: true)
        var text: [UInt8] = []
        for token in tokens { checkpoint.tokenizer.appendBytes(of: token, to: &text) }
        _ = try? checkpoint.chatTemplate.map(ChatTemplate.init)
        #expect(
            checkpoint.configuration.rotaryFrequencies(windowed: false).count == checkpoint.configuration
                .rotaryDimension / 2)
        for role in checkpoint.configuration.tensorRoles {
            guard let tensor = try? checkpoint.tensor(role) else { continue }
            var row = [Float](repeating: 0, count: tensor.columns)
            row.withUnsafeMutableBufferPointer { tensor.dequantize(row: tensor.rows - 1, into: $0) }
        }
    }

    @Test func filesAndNamesThatAreNotThere() {
        let missing = #expect(throws: EngineError.self) {
            try locateModel("tiny", directories: ["/nowhere", "/else"])
        }
        #expect(missing?.code == .modelNotFound)
        #expect(missing?.message.contains("/nowhere/tiny, /nowhere/tiny.gguf, /else/tiny, /else/tiny.gguf") == true)
        #expect(throws: EngineError.self) { try locateModel("../passwd", directories: ["/etc/ssl"]) }
        #expect(throws: EngineError.self) { try locateModel("", directories: ["/etc"]) }
        #expect(throws: EngineError.self) { try locateModel("passwd\0x", directories: ["/etc"]) }
        #expect(throws: EngineError.self) { try MappedFile(path: "/dev/null") }
        #expect(throws: EngineError.self) { try MappedFile(contents: [], name: "empty") }
        let directory = #expect(throws: EngineError.self) { try MappedFile(path: "/etc") }
        #expect(directory?.message.contains("regular file") == true)
    }

    @Test func aNameIsFoundInItsDirectories() throws {
        #expect(try locateModel("passwd", directories: ["/nowhere", "/etc"]) == "/etc/passwd")
        #expect(try locateModel("/etc/passwd", directories: []) == "/etc/passwd")
    }
}
