import LMSupport
import ProgramKit
import TestKit
import Testing

/// The programs with small models in Hugging Face folders.
@Suite struct FolderTests {
    private static func model(_ name: String) throws -> FamilyModel {
        try #require(FamilyModel.all().first { $0.name.hasPrefix(name) })
    }

    @Test func `a folder is served and answers with the reference's tokens`() throws {
        let model = try Self.model("qwen2, seven heads on one")
        let folder = try model.folder(shards: 2)
        let server = try Server(["--backend", "reference", "--served-model-name", "tiny"], model: folder.path)
        let outcome = try Programs.run(
            "lmcall",
            [
                "--host", server.address, "--ids", model.prompt.map { String($0) }.joined(separator: ","),
                "--max-tokens", "32", "--temperature", "0", "--ignore-eos", "--format", "json",
            ])
        #expect(outcome.status == 0, "\(outcome.errors)")
        let ids = model.greedy.map { String($0) }.joined(separator: ",")
        #expect(outcome.output.contains("[\(ids)]"), "\(outcome.output)")
    }

    @Test func `eval prints the perplexity that the back ends agree on, and nothing else on standard output`() throws {
        struct Report: Decodable {
            let perplexity, negative_log_likelihood, standard_error, tokens_per_second: Double
            let tokens, context: Int
        }
        let folder = try Self.model("qwen2, seven heads on one").folder()
        let text = String(repeating: "the quick brown fox jumps over the lazy dog. ", count: 4)
        try folder.write("text.txt", text)
        func eval(_ arguments: String...) throws -> (status: Int32, output: String, errors: String) {
            let outcome = try Programs.run(
                "lmserve", ["eval", "--perplexity", folder.path + "/text.txt", "--model", folder.path] + arguments)
            return (outcome.status, outcome.output, outcome.errors)
        }
        func report(_ backend: String) throws -> Report {
            let outcome = try eval("--backend", backend, "--context", "32", "--tokens", "50", "--json")
            #expect(outcome.status == 0, "\(outcome.errors)")
            return try JSONText.decode(Report.self, from: Array(outcome.output.utf8), source: "eval")
        }
        let (slow, fast) = (try report("reference"), try report("cpu"))
        // The tokenizer has a beginning of sequence only if it says so; else the first token is not foretold.
        #expect((49...50).contains(slow.tokens) && slow.context == 32 && slow.tokens_per_second > 0)
        #expect(abs(slow.negative_log_likelihood - fast.negative_log_likelihood) < 2e-3 && fast.tokens == slow.tokens)
        #expect(slow.perplexity > 1 && slow.standard_error > 0)

        #expect(try eval().output.contains("perplexity  "))
        #expect(try eval("--context", "100000").status == 2)
        #expect(try Programs.run("lmserve", ["eval", "--model", folder.path]).status == 2)
    }

    @Test func `inspect says what is in a folder, as text and as JSON`() throws {
        struct Report: Decodable {
            struct Shape: Decodable {
                let layers, heads, key_value_heads, vocabulary: Int
            }
            struct Storage: Decodable {
                let type: String
                let tensors, bytes: Int
            }
            struct Server: Decodable {
                let key_value_bytes_per_token, max_model_len: Int
            }
            let family: String
            let parameters, weight_bytes: Int
            let shape: Shape
            let types: [Storage]
            let server: Server
        }
        let model = try Self.model("qwen2, seven heads on one")
        let folder = try model.folder(storage: .bfloat16)
        let outcome = try Programs.run("lmserve", ["inspect", folder.path, "--json"])
        #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
        let report = try JSONText.decode(Report.self, from: Array(outcome.output.utf8), source: "inspect")
        let count = model.tensors.values.reduce(0) { $0 + $1.reduce(1, *) }
        #expect(report.family == "qwen2" && report.parameters == count && report.weight_bytes == 2 * count)
        #expect(report.shape.layers == 2 && report.shape.heads == 7 && report.shape.key_value_heads == 1)
        #expect(report.types.map(\.type) == ["BF16"] && report.types.map(\.tensors) == [model.tensors.count])
        // Two layers of one head of 8, padded to 16, keys and values of 2 bytes.
        #expect(report.server.key_value_bytes_per_token == 2 * 16 * 2 * 2 && report.server.max_model_len == 256)

        let text = try Programs.run("lmserve", ["inspect", folder.path]).output
        for part in ["qwen2", "7 query and 1 key/value heads of 8", "BF16", "BPE, 101 tokens", "usable", "256 tokens"] {
            #expect(text.contains(part), "\(text)")
        }
    }

    @Test func `inspect foretells what number formats take`() throws {
        struct Report: Decodable {
            struct Server: Decodable { let packed_weight_bytes, key_value_bytes_per_token: Int }
            struct Storage: Decodable { let type: String }
            let server: Server
            let types: [Storage]
            let weight_bytes: Int
        }
        let folder = try Self.model("qwen2, seven heads on one").folder(storage: .bfloat16)
        func inspect(_ options: String...) throws -> Report {
            let outcome = try Programs.run("lmserve", ["inspect", folder.path, "--json"] + options)
            #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
            return try JSONText.decode(Report.self, from: Array(outcome.output.utf8), source: "inspect")
        }
        let plain = try inspect()
        let wide = try inspect("--dtype", "float32")
        #expect(wide.server.key_value_bytes_per_token == 2 * plain.server.key_value_bytes_per_token)
        #expect(
            wide.server.packed_weight_bytes > plain.server.packed_weight_bytes && wide.types.map(\.type) == ["BF16"])

        // One head of 8, padded to 16, and a scale.
        let narrow = try inspect("--kv-cache-dtype", "int8")
        #expect(narrow.server.key_value_bytes_per_token == 2 * 2 * (16 + 4))

        let names = try folder.names()
        let foretold = try inspect("--quantization", "w8a8")
        #expect(try folder.names() == names, "nothing is quantized")
        #expect(Set(foretold.types.map(\.type)) == ["BF16", "F32", "I8"])
        let plain8 = try inspect("--quantization", "w8a8", "--calibration", "none")
        #expect(Set(plain8.types.map(\.type)) == ["BF16", "I8"])
        let head = try inspect("--quantization", "w8a8", "--quantize-head")
        #expect(head.types.count == 3 && head.server.packed_weight_bytes != foretold.server.packed_weight_bytes)
        #expect(try Programs.run("lmserve", ["inspect", folder.path, "--quantize-head"]).status == 2)
        #expect(try Programs.run("lmserve", ["inspect", folder.path, "--calibration", "none"]).status == 2)
    }

    @Test func `inspect says which file of a broken folder is wrong`() throws {
        let folder = try Self.model("llama 2").folder(shards: 2)
        try folder.remove("model-00002-of-00002.safetensors")
        let outcome = try Programs.run("lmserve", ["inspect", folder.path])
        #expect(outcome.status == 65 && outcome.output.isEmpty)
        #expect(outcome.errors.contains("1 of 2 shards are missing: model-00002-of-00002.safetensors"))
    }
}
