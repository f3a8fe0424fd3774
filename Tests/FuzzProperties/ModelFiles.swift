import LMEngine
import LMJSON
import LMTemplate

// What model files hold: any bytes end in a value or a typed error, and what was accepted keeps its promises.
extension FuzzTarget {
    func checkJSON(_ input: [UInt8]) throws(Broken) {
        guard let value = parsed(input) else { return }
        try hold(parsed(input + [0x20]) == value, "space after a value changes it")
        try hold(parsed(input + [0x5D]) == nil, "a bracket after a value is accepted")
    }

    func checkTemplate(_ input: [UInt8]) throws(Broken) {
        guard let source = String(validating: input, as: UTF8.self) else { return }
        var limits = TemplateLimits()
        limits.steps = 20_000
        guard let template = try? Template(source, limits: limits) else { return }
        let user = "<|im_end|> & 中文"
        let message = Value.object([("role", .trusted("user")), ("content", .content(.string(user)))])
        let rendering = try? template.render(
            [("messages", .list([message])), ("bos_token", .trusted("<s>"))], clock: TemplateClock(secondsSince1970: 0))
        guard let rendering else { return }
        try hold(rendering.steps <= limits.steps, "it takes more steps than it may")
        var end = 0
        for range in rendering.content {
            try hold(range.lowerBound >= end && range.upperBound <= rendering.bytes.count, "content lies elsewhere")
            end = range.upperBound
        }
    }

    func checkTokenizer(_ input: [UInt8]) throws(Broken) {
        guard let document = parsed(input),
            let tokenizer = try? BytePairTokenizer(
                tokenizerJSON: document, configuration: nil, endTokens: [], source: "tokenizer.json")
        else { return }
        let text = Array("Hello  world, 中文 e\u{301} 123\n\t<s></s>'ll ▁ \u{1F600}".utf8)
        for parsesSpecial in [false, true] {
            var tokens: [Int32] = []
            tokenizer.encode(text.span, parseSpecial: parsesSpecial, into: &tokens)
            let range = 0..<Int32(tokenizer.vocabularySize)
            try hold(tokens.allSatisfy(range.contains), "it gives ids that it does not have")
            _ = tokenizer.decode(tokens)
        }
    }

    func checkSafetensors(_ input: [UInt8]) throws(Broken) {
        guard let file = try? SafetensorsFile(MappedFile(contents: input, name: "model.safetensors")) else { return }
        let covered = file.tensors.values.reduce(0) { $0 + file.bytes(of: $1).count }
        try hold(covered < input.count, "tensors take more than the file has")
        for tensor in file.tensors.values {
            try hold(tensor.range.upperBound <= input.count, "a tensor reaches beyond the file")
        }
    }

    func checkGGUF(_ input: [UInt8]) throws(Broken) {
        guard let file = try? GGUFFile(MappedFile(contents: input, name: "model.gguf")),
            let checkpoint = try? GGUFCheckpoint(file)
        else { return }
        try hold(checkpoint.weightByteCount <= input.count, "weights take more than the file has")
        for role in checkpoint.configuration.tensorRoles {
            try hold((try? checkpoint.tensor(role)) != nil, "an accepted file lacks a tensor")
        }
    }

    func checkConfiguration(_ input: [UInt8]) throws(Broken) {
        if let document = parsed(input), let file = try? ConfigurationFile(document, path: "adapter_config.json"),
            let adapter = try? AdapterConfiguration(file)
        {
            let module = "model.layers.0.self_attn.q_proj"
            try hold(adapter.rank(of: module) > 0 && adapter.scale(of: module).isFinite, "an adapter without a scale")
        }
        guard let document = parsed(input), let layout = try? FolderLayout(document, path: "config.json") else {
            return
        }
        let model = layout.configuration
        try hold(model.headCount % model.keyValueHeadCount == 0, "heads that share unevenly are accepted")
        _ = model.rotaryFrequencies
        guard model.layerCount <= 4 else { return }
        for role in model.tensorRoles.prefix(10_000) {
            let shape = model.shape(of: role)
            try hold(shape.rows > 0 && shape.columns > 0, "a tensor without elements is asked for")
            _ = layout.source(of: role)
        }
    }

    private func parsed(_ input: [UInt8]) -> JSON? {
        input.withUnsafeBytes { bytes in try? JSON(parsing: bytes) }
    }
}
