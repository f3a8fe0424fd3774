internal import LMJSON

/// What a model recommends where a request does not say: `generation_config.json` of its folder. Nil leaves a value to
/// the engine's own default.
public struct GenerationDefaults: Sendable, Equatable, Encodable {
    /// 0...2; 0, greedy, also where the file says `"do_sample": false`.
    public var temperature: Float?
    /// (0, 1].
    public var topP: Float?
    /// 0 keeps all.
    public var topK: Int?
    /// 0...1.
    public var minP: Float?
    /// Above 0, at most 2.
    public var repetitionPenalty: Float?
    /// Most tokens generated; at least 1.
    public var maxTokens: Int?

    /// Recommends nothing.
    public init() {}

    /// Reads the recommendation of a model.
    ///
    /// - Parameter path: the model's folder or file; a GGUF file recommends nothing.
    /// - Throws: `invalidModel` naming the file, the key and the value that is out of its range.
    public init(modelPath path: String) throws(EngineError) {
        let folder = try ModelFolder(path: path)
        let name = "generation_config.json"
        guard let document = try folder.json(name) else { return }
        let field = Field(document: document, path: folder.path(of: name))
        temperature = try field.float("temperature")
        topP = try field.float("top_p")
        topK = try field.integer("top_k")
        minP = try field.float("min_p")
        repetitionPenalty = try field.float("repetition_penalty")
        maxTokens = try field.integer("max_new_tokens")
        if document["do_sample"] == .bool(false) { temperature = 0 }
        do throws(EngineError) {
            try RequestValidator.check(sampling)
        } catch {
            throw field.wrong(error.message)
        }
        if let maxTokens, maxTokens < 1 {
            throw field.wrong("max_new_tokens is \(maxTokens); it must be at least 1")
        }
    }

    /// The engine's defaults with the model's in their place.
    public var sampling: SamplingParameters {
        var sampling = SamplingParameters()
        if let temperature { sampling.temperature = temperature }
        if let topP { sampling.topP = topP }
        if let topK { sampling.topK = topK }
        if let minP { sampling.minP = minP }
        if let repetitionPenalty { sampling.repetitionPenalty = repetitionPenalty }
        return sampling
    }

    private struct Field {
        let document: JSON
        let path: String

        func float(_ key: String) throws(EngineError) -> Float? {
            guard let value = document[key], !value.isNull else { return nil }
            guard let number = value.number else { throw wrong("\(key) is \(value.kind); it must be a number") }
            return Float(number)
        }

        func integer(_ key: String) throws(EngineError) -> Int? {
            guard let value = document[key], !value.isNull else { return nil }
            guard let number = value.integer else {
                throw wrong("\(key) is \(value.number.map { "\($0)" } ?? value.kind); it must be a whole number")
            }
            return number
        }

        func wrong(_ what: String) -> EngineError {
            EngineError(
                .invalidModel, "\(path): \(what); correct the file, or ignore it with --generation-config none")
        }
    }
}
