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

    /// The chat template: `chat_template.jinja`, or else the one in `chat_template.json` or `tokenizer_config.json`.
    func chatTemplate() throws(EngineError) -> ChatTemplateSource? {
        let configuration = try folder.json("tokenizer_config.json") ?? .object(JSONObject())
        let isFile = folder.has("chat_template.jinja")
        let file =
            isFile
            ? try folder.text("chat_template.jinja") : try folder.json("chat_template.json")?["chat_template"]?.string
        var source = ChatTemplateSource(tokenizerConfiguration: configuration, file: file)
        let forTools = "additional_chat_templates/tool_use.jinja"
        if isFile, folder.has(forTools) { source?.textForTools = try folder.text(forTools) }
        return source
    }
}
