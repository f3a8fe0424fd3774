extension GGUFFile {
    /// The chat template of the `tokenizer` keys, and the tokens that it writes.
    func chatTemplate() throws(EngineError) -> ChatTemplateSource? {
        guard let text = try string("tokenizer.chat_template") else { return nil }
        var source = try chatTemplate(text)
        source.textForTools = try string("tokenizer.chat_template.tool_use")
        return source
    }

    /// A template from elsewhere with the tokens of this file.
    func chatTemplate(_ text: String) throws(EngineError) -> ChatTemplateSource {
        var source = ChatTemplateSource(text)
        source.beginning = try tokenText("tokenizer.ggml.bos_token_id")
        source.end = try tokenText("tokenizer.ggml.eos_token_id")
        return source
    }

    /// The text of the token that a key names; empty without the key.
    private func tokenText(_ key: String) throws(EngineError) -> String {
        guard let token = try integer(key, in: 0...Int(Int32.max)) else { return "" }
        var text = ""
        var index = 0
        _ = try forEachString("tokenizer.ggml.tokens") { (bytes) throws(EngineError) in
            if index == token { text = String(decoding: bytes, as: UTF8.self) }
            index += 1
        }
        return text
    }
}
