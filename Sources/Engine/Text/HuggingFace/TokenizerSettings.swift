internal import LMJSON

/// What begins a prompt and what ends an answer, by `tokenizer.json` and `tokenizer_config.json` together.
struct TokenizerSettings {
    private let configuration: TokenizerField?
    private let reader: TokenizerReader

    init(_ configuration: TokenizerField?, _ reader: TokenizerReader) {
        self.configuration = configuration
        self.reader = reader
    }

    /// `add_bos_token` decides if it is there, otherwise the `post_processor`. What that puts after a prompt does not count:
    /// an answer goes on from there.
    func beginningOfSequence(_ postProcessor: TokenizerField?) throws(EngineError) -> Int32? {
        guard let configuration, configuration["add_bos_token"] != nil else { return try postProcessor?.firstToken() }
        guard try configuration.flag("add_bos_token", absent: false) else { return nil }
        guard let token = try token("bos_token") else {
            throw configuration.invalid("says 'add_bos_token' but names no 'bos_token'")
        }
        return token
    }

    /// The tokens that the folder names and the configuration's `eos_token`.
    func endTokens(_ named: [Int32]) throws(EngineError) -> [Int32] {
        Set(named + (try token("eos_token").map { [$0] } ?? [])).sorted()
    }

    /// The id of a token that is written as its text or as an object that holds it.
    private func token(_ key: String) throws(EngineError) -> Int32? {
        guard let field = configuration?[key] else { return nil }
        let text = try (field["content"] ?? field).string()
        guard let id = reader.id(of: text) else {
            throw field.invalid("is '\(text.printable)', which tokenizer.json does not have")
        }
        return id
    }
}

extension TokenizerField {
    /// The token that a `post_processor` puts before a text.
    fileprivate func firstToken() throws(EngineError) -> Int32? {
        var result: Int32?
        for field in try flattened("processors") {
            let type = try field.member("type")
            switch try type.string() {
            case "ByteLevel": break
            case "TemplateProcessing":
                for token in try field.tokensBeforeText() {
                    guard result == nil else {
                        throw field.unsupported("a template with several tokens before the text")
                    }
                    result = token
                }
            case let name:
                throw type.unsupported(
                    "'\(name.printable)'; supported are TemplateProcessing, ByteLevel and Sequence")
            }
        }
        return result
    }

    private func tokensBeforeText() throws(EngineError) -> [Int32] {
        var tokens: [Int32] = []
        for part in try member("single").elements(atMost: TokenizerLimits.steps) {
            guard let special = part["SpecialToken"] else { return tokens }
            let name = try special.member("id")
            let ids = try member("special_tokens").member(try name.string()).member("ids")
            for id in try ids.elements(atMost: TokenizerLimits.steps) {
                tokens.append(Int32(try id.integer(in: 0...TokenizerLimits.tokens - 1)))
            }
        }
        return tokens
    }
}
