internal import LMJSON

/// What a folder says about text: how it becomes tokens, which tokens end an answer, how conversations are written.
struct FolderTexts {
    private let folder: ModelFolder
    private let configuration: JSON

    /// - Parameter configuration: `config.json`.
    init(_ folder: ModelFolder, configuration: JSON) {
        self.folder = folder
        self.configuration = configuration
    }

    /// The tokenizer.
    ///
    /// Models often have more rows than tokens, for the sake of round numbers. Such an id is unlikely to be sampled, and
    /// stands for no text.
    ///
    /// - Parameter rows: those of the embedding.
    func tokenizer(rows: Int) throws(EngineError) -> any Tokenizer {
        let name = "tokenizer.json"
        guard let document = try folder.json(name) else { throw missingTokenizer(name) }
        let tokenizer = try BytePairTokenizer(
            tokenizerJSON: document, configuration: try folder.json("tokenizer_config.json"),
            endTokens: try endTokens(), source: folder.path(of: name))
        guard tokenizer.vocabularySize <= rows else {
            throw EngineError(
                .invalidModel,
                "\(folder.path(of: name)): has \(tokenizer.vocabularySize) tokens but config.json says "
                    + "'vocab_size' \(rows); the files are not of one model")
        }
        return tokenizer
    }

    private func missingTokenizer(_ name: String) -> EngineError {
        let older = ["tokenizer.model", "vocab.json", "tiktoken.model"].first(where: folder.has)
        let hint =
            older.map {
                "\($0) alone is not read: make one with transformers, AutoTokenizer.from_pretrained(FOLDER)"
                    + ".save_pretrained(FOLDER)"
            } ?? "download it"
        return EngineError(.invalidModel, "\(folder.path(of: name)): is missing; \(hint)")
    }

    /// `eos_token_id` of `generation_config.json`, or else of `config.json`.
    private func endTokens() throws(EngineError) -> [Int32] {
        let key = "eos_token_id"
        var (file, value) = ("generation_config.json", try folder.json("generation_config.json")?[key])
        if value == nil || value?.isNull == true { (file, value) = ("config.json", configuration[key]) }
        guard let value, !value.isNull else { return [] }
        var tokens: [Int32] = []
        for element in value.array ?? [value] {
            guard let token = element.integer.flatMap({ Int32(exactly: $0) }), token >= 0 else {
                throw EngineError(
                    .invalidModel,
                    "\(folder.path(of: file)): key '\(key)': must be a token id or an array of them")
            }
            tokens.append(token)
        }
        return tokens
    }

    /// `chat_template.jinja`, or else the template in `chat_template.json` or `tokenizer_config.json`.
    func chatTemplateSource() throws(EngineError) -> String? {
        if folder.has("chat_template.jinja") { return try folder.text("chat_template.jinja") }
        for file in ["chat_template.json", "tokenizer_config.json"] {
            guard let value = try folder.json(file)?["chat_template"] else { continue }
            if let text = value.string { return text }
            let named = value.array?.first { $0["name"]?.string == "default" }
            if let text = named?["template"]?.string { return text }
        }
        return nil
    }
}
