import LMEngine
import LMJSON
import TestKit
import Testing

private func load(_ folder: TemporaryFolder) throws(EngineError) -> any Checkpoint {
    try loadCheckpoint(path: folder.path)
}

/// A change to a sound folder and what the error must say.
private struct BadFolder: CustomTestStringConvertible {
    let testDescription: String
    let shards: Int
    let code: EngineError.Code
    let says: [String]
    let change: @Sendable (TemporaryFolder) throws -> Void

    init(
        _ name: String, _ code: EngineError.Code = .invalidModel, shards: Int = 1, says: [String],
        change: @escaping @Sendable (TemporaryFolder) throws -> Void
    ) {
        testDescription = name
        self.shards = shards
        self.code = code
        self.says = says
        self.change = change
    }

    static let pointer = """
        version https://git-lfs.github.com/spec/v1
        oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393
        size 988097824

        """

    static let downloads = [
        BadFolder("no config.json", says: ["config.json is missing"]) { try $0.remove("config.json") },
        BadFolder("config.json cut short", says: ["config.json", "byte 40"]) {
            try $0.write("config.json", Array($0.read("config.json")[..<40]))
        },
        BadFolder("empty config.json", says: ["config.json", "empty"]) { try $0.write("config.json", "") },
        BadFolder("weights are a pointer", says: ["model.safetensors", "Git LFS", "988097824 bytes", "git lfs pull"]) {
            try $0.write("model.safetensors", pointer)
        },
        BadFolder("tokenizer is a pointer", says: ["tokenizer.json", "Git LFS"]) {
            try $0.write("tokenizer.json", pointer)
        },
        BadFolder("weights cut short", says: ["model.safetensors", "truncated", "bytes"]) {
            try $0.write("model.safetensors", $0.read("model.safetensors").dropLast(10))
        },
        BadFolder("no weights", says: ["holds no weights", "model.safetensors.index.json"]) {
            try $0.remove("model.safetensors")
        },
        BadFolder("weights still on their way", says: ["model.safetensors is missing", "model.safetensors.incomplete"])
        {
            try $0.write("model.safetensors.incomplete", [1])
            try $0.remove("model.safetensors")
        },
        BadFolder("pickled weights", says: ["pytorch_model.bin", "programs", "save_pretrained"]) {
            try $0.write("pytorch_model.bin", [1])
            try $0.remove("model.safetensors")
        },
        BadFolder("an adapter", says: ["adapter"]) {
            try $0.write("adapter_model.safetensors", $0.read("model.safetensors"))
            try $0.remove("model.safetensors")
        },
        BadFolder("GGUF files", says: ["name one of them", "m.gguf"]) {
            try $0.write("m.gguf", [1])
            try $0.remove("model.safetensors")
        },
        BadFolder("shards without their index", shards: 2, says: ["index.json is missing", "model-00001-of-00002"]) {
            try $0.remove("model.safetensors.index.json")
        },
        BadFolder(
            "a shard missing", shards: 3, says: ["1 of 3 shards are missing", "model-00002-of-00003.safetensors"]
        ) {
            try $0.remove("model-00002-of-00003.safetensors")
        },
        BadFolder("a shard on its way", shards: 2, says: ["1 of 2", "unfinished", "00002.safetensors.part"]) {
            try $0.write("model-00002-of-00002.safetensors.part", [1])
            try $0.remove("model-00002-of-00002.safetensors")
        },
        BadFolder("a shard on its way elsewhere", shards: 2, says: ["unfinished", "abc.incomplete"]) {
            try $0.write(".cache/huggingface/download/abc.incomplete", [1])
            try $0.remove("model-00002-of-00002.safetensors")
        },
        BadFolder("a shard cut short", shards: 3, says: ["model-00003-of-00003.safetensors", "truncated"]) {
            let name = "model-00003-of-00003.safetensors"
            try $0.write(name, $0.read(name).dropLast(1))
        },
        BadFolder("a shard is a pointer", shards: 2, says: ["model-00001-of-00002.safetensors", "Git LFS"]) {
            try $0.write("model-00001-of-00002.safetensors", pointer)
        },
        BadFolder("a shard of another model", shards: 2, says: ["'lm_head.weight'", "missing in shard model-00001"]) {
            var writer = SafetensorsWriter()
            writer.add("other", [1], [1])
            try $0.write("model-00001-of-00002.safetensors", writer.bytes())
        },
        BadFolder("the same shard twice", shards: 2, says: ["is in", "as well"]) {
            try $0.write("model-00001-of-00002.safetensors", $0.read("model-00002-of-00002.safetensors"))
        },
        BadFolder("an index without a map", shards: 2, says: ["index.json", "'weight_map'"]) {
            try $0.write("model.safetensors.index.json", "{}")
        },
        BadFolder("a shard outside the folder", shards: 2, says: ["'weight_map.a'", "in the folder"]) {
            try $0.write("model.safetensors.index.json", #"{"weight_map":{"a":"../x.safetensors"}}"#)
        },
    ]

    /// Rewrites the tensors.
    private static func tensors(
        _ name: String, _ code: EngineError.Code = .invalidModel, says: [String],
        change: @escaping @Sendable (inout SafetensorsWriter) -> Void
    ) -> BadFolder {
        BadFolder(name, code, says: ["model.safetensors"] + says) { folder in
            var writer = try plain().writer()
            change(&writer)
            try folder.write("model.safetensors", writer.bytes())
        }
    }

    static let contents = [
        tensors("a tensor missing", says: ["'model.norm.weight' is missing", "[48]"]) {
            $0.entries.removeAll { $0.name == "model.norm.weight" }
        },
        tensors("a tensor of another shape", says: ["q_proj.weight", "[48, 24]", "[48, 48]"]) { writer in
            let index = writer.entries.firstIndex { $0.name.hasSuffix("1.self_attn.q_proj.weight") } ?? 0
            writer.entries[index].shape = [48, 24]
            writer.entries[index].data.removeLast(48 * 24 * 4)
        },
        tensors("a vector as a matrix", says: ["'model.norm.weight'", "[1, 48]", "[48]"]) { writer in
            let index = writer.entries.firstIndex { $0.name == "model.norm.weight" } ?? 0
            writer.entries[index].shape = [1, 48]
        },
        tensors("a tensor left over", .unsupportedModel, says: ["'model.layers.0.extra'", "no place in a llama"]) {
            $0.add("model.layers.0.extra", [1], [1])
        },
        tensors("integers", .unsupportedModel, says: ["'lm_head.weight'", "I8", "F32, F16 and BF16"]) { writer in
            let index = writer.entries.firstIndex { $0.name == "lm_head.weight" } ?? 0
            writer.entries[index].type = "I8"
            writer.entries[index].data.removeLast(writer.entries[index].data.count / 4 * 3)
        },
        BadFolder("no tokenizer", says: ["tokenizer.json", "missing", "download"]) { try $0.remove("tokenizer.json") },
        BadFolder("an older tokenizer", says: ["tokenizer.model alone", "save_pretrained"]) {
            try $0.write("tokenizer.model", [1])
            try $0.remove("tokenizer.json")
        },
        BadFolder("more tokens than rows", says: ["tokenizer.json", "101 tokens", "100"]) {
            let config = String(decoding: try $0.read("config.json"), as: UTF8.self)
            try $0.write("config.json", config.replacing(#""vocab_size": 101"#, with: #""vocab_size": 100"#))
            var writer = try plain().writer()
            for index in writer.entries.indices where writer.entries[index].shape == [101, 48] {
                writer.entries[index].shape = [100, 48]
                writer.entries[index].data.removeLast(48 * 4)
            }
            try $0.write("model.safetensors", writer.bytes())
        },
        BadFolder("an end token that is text", says: ["generation_config.json", "'eos_token_id'"]) {
            try $0.write("generation_config.json", #"{"eos_token_id":"</s>"}"#)
        },
    ]

    /// An untied model without biases.
    static func plain() throws -> FamilyModel {
        try #require(FamilyModel.all().first { $0.name.hasPrefix("llama 2") })
    }
}

@Suite struct FolderTests {
    @Test(arguments: BadFolder.downloads + BadFolder.contents)
    fileprivate func `a bad folder is refused by file and part`(bad: BadFolder) throws {
        let folder = try BadFolder.plain().folder(shards: bad.shards)
        _ = try load(folder)
        try bad.change(folder)
        let error = #expect(throws: EngineError.self) { try load(folder) }
        let message = try #require(error).message
        #expect(error?.code == bad.code)
        for part in [folder.path] + bad.says { #expect(message.contains(part), "\(message)") }
    }

    @Test(arguments: FamilyModel.Storage.allCases, [1, 4])
    func `weights are found in any storage and number of files`(storage: FamilyModel.Storage, shards: Int) throws {
        let model = try BadFolder.plain()
        let checkpoint = try load(model.folder(storage: storage, shards: shards))
        #expect(checkpoint.configuration.family == .llama)
        let tensor = try checkpoint.tensor(.layer(1, .down))
        #expect(tensor.type.rawValue == storage.rawValue && tensor.rows == 48 && tensor.columns == 56)
        let elements = model.elements(of: "model.layers.1.mlp.down_proj.weight")
        #expect(Array(tensor.bytes) == SafetensorsWriter.bytes(elements, type: storage.rawValue))
        let count = model.tensors.values.reduce(0) { $0 + $1.reduce(1, *) }
        #expect(checkpoint.weightByteCount == count * (storage == .float32 ? 4 : 2))
    }

    @Test func `what has no influence may be left over`() throws {
        let tied = try #require(FamilyModel.all().first)
        let folder = try tied.folder()
        var writer = tied.writer()
        writer.add("lm_head.weight", [1, 1], [1])
        writer.add("model.layers.0.self_attn.rotary_emb.inv_freq", [2], [1, 1])
        try folder.write("model.safetensors", writer.bytes())
        #expect(try load(folder).configuration.tiesEmbeddings)
    }

    @Test func `end tokens are those of the generation, or else of the model`() throws {
        let folder = try BadFolder.plain().folder()
        try folder.write("tokenizer_config.json", "{}")
        try folder.write("generation_config.json", #"{"eos_token_id":[100,7]}"#)
        #expect(try load(folder).tokenizer.endTokens.sorted() == [7, 100])
        try folder.remove("generation_config.json")
        #expect(try load(folder).tokenizer.endTokens == [100])
    }

    @Test func `ids beyond the tokenizer stand for no text`() throws {
        let model = try #require(FamilyModel.all().first { $0.config.contains(#""vocab_size": 113"#) })
        let tokenizer = try load(model.folder()).tokenizer
        #expect(tokenizer.vocabularySize == 101)
        var bytes: [UInt8] = []
        for token: Int32 in [101, 112] {
            #expect(tokenizer.isSpecial(token))
            tokenizer.appendBytes(of: token, to: &bytes)
        }
        #expect(bytes.isEmpty)
    }

    @Test func `the chat template is the file of its own, or else the configuration's`() throws {
        let folder = try BadFolder.plain().folder()
        #expect(try load(folder).chatTemplate?.text.contains("message.content") == true)
        #expect(try load(folder).chatTemplate?.beginning == "<s>" && load(folder).chatTemplate?.end == "</s>")
        try folder.write(
            "tokenizer_config.json",
            #"{"chat_template":[{"name":"tool_use","template":"T"},{"name":"default","template":"D"}]}"#)
        #expect(try load(folder).chatTemplate?.text == "D")
        #expect(try load(folder).chatTemplate?.textForTools == "T")
        try folder.write("chat_template.json", #"{"chat_template":"J"}"#)
        #expect(try load(folder).chatTemplate?.text == "J")
        try folder.write("chat_template.jinja", "F\n")
        #expect(try load(folder).chatTemplate?.text == "F\n")
        try folder.write("additional_chat_templates/tool_use.jinja", "X")
        #expect(try load(folder).chatTemplate?.textForTools == "X")
        for name in ["chat_template.jinja", "chat_template.json", "tokenizer_config.json"] { try folder.remove(name) }
        #expect(try load(folder).chatTemplate?.text == nil)
    }

    @Test func `a folder of the hub's cache means its snapshot`() throws {
        let model = try BadFolder.plain()
        let cache = try TemporaryFolder()
        func add(_ commit: String) throws {
            let folder = try model.folder()
            for name in ["config.json", "tokenizer.json", "model.safetensors"] {
                try cache.write("models--org--name/snapshots/\(commit)/\(name)", folder.read(name))
            }
        }
        let path = cache.path + "/models--org--name/"
        try add("aaaa")
        #expect(try loadCheckpoint(path: path).configuration.layerCount == 2)
        try add("bbbb")
        let error = #expect(throws: EngineError.self) { try loadCheckpoint(path: path) }
        #expect(error?.message.contains("2 snapshots") == true)
        try cache.write("models--org--name/refs/main", "bbbb\n")
        try cache.remove("models--org--name/snapshots/aaaa/config.json")
        #expect(try loadCheckpoint(path: path).configuration.layerCount == 2)
    }

    @Test func `a model is found by the name of its folder`() throws {
        let place = try TemporaryFolder()
        try place.write("qwen/config.json", "{}")
        try place.write("tiny.gguf", [1])
        #expect(try locateModel("qwen", directories: ["/nowhere", place.path]) == place.path + "/qwen")
        #expect(try locateModel("tiny", directories: [place.path]) == place.path + "/tiny.gguf")
        #expect(throws: EngineError.self) { try locateModel("other", directories: [place.path]) }
    }

    @Test func `a file out of a folder is answered with the folder`() throws {
        let folder = try BadFolder.plain().folder()
        for name in ["model.safetensors", "config.json"] {
            let error = #expect(throws: EngineError.self) { try loadCheckpoint(path: "\(folder.path)/\(name)") }
            #expect(error?.message.contains("name the folder") == true)
        }
    }
}

@Suite struct DamagedFolderTests {
    /// Every family's configuration with bytes replaced: what is read must name its tensors without a trap too.
    @Test(arguments: try FamilyModel.all())
    func `a damaged config.json gives an error or a network`(model: FamilyModel) throws {
        var random = TestRandom(seed: 19)
        let text = Array(model.config.utf8)
        var networks = 0
        for _ in 0..<400 {
            var damaged = text
            for _ in 0...random.below(2) {
                let replacement =
                    random.below(4) == 0 ? UInt8(random.below(256)) : Array("0123456789-.e\"".utf8)[random.below(14)]
                damaged[random.below(text.count)] = replacement
            }
            guard let layout = try? layout(damaged) else { continue }
            networks += 1
            guard layout.configuration.layerCount < 100, layout.configuration.mixture?.expertCount ?? 0 < 100 else {
                continue
            }
            for role in layout.configuration.tensorRoles {
                _ = (layout.source(of: role), layout.configuration.shape(of: role))
            }
        }
        #expect(networks > 20)
        for count in 0..<text.count { #expect(throws: (any Error).self) { try layout(Array(text[..<count])) } }
    }

    @Test func `a damaged index, or part of one, gives an error or a model`() throws {
        let model = try #require(FamilyModel.all().first)
        let folder = try model.folder(storage: .bfloat16, shards: 2)
        let weights = { try WeightFiles(ModelFolder(path: folder.path)) }
        let name = "model.safetensors.index.json"
        let index = try folder.read(name)
        var random = TestRandom(seed: 18)
        for count in stride(from: 1, to: index.count, by: 7) {
            try folder.write(name, Array(index[..<count]))
            #expect(throws: EngineError.self) { try weights() }
            var damaged = index
            damaged[random.below(index.count)] = UInt8(random.below(256))
            try folder.write(name, damaged)
            if let found = try? weights() { #expect(found.tensors.count == model.tensors.count) }
        }
    }

    @Test func `more experts than any model has are refused before they are listed`() throws {
        let model = try #require(FamilyModel.all().first { $0.family == "qwen3_moe" })
        let folder = try model.folder()
        let config = model.config.replacing(#""num_hidden_layers": 2"#, with: #""num_hidden_layers": 1024"#)
        try folder.write("config.json", config.replacing(#""num_experts": 8"#, with: #""num_experts": 4096"#))
        let error = #expect(throws: EngineError.self) { try loadCheckpoint(path: folder.path) }
        #expect(error?.message.contains("4194304 experts; the limit is 131072") == true, "\(error?.message ?? "")")
    }

    private func layout(_ text: [UInt8]) throws -> FolderLayout {
        try FolderLayout(try text.withUnsafeBytes { try JSON(parsing: $0) }, path: "config.json")
    }
}
