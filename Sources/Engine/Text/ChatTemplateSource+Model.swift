internal import LMJSON

extension ChatTemplateSource {
    /// A template from elsewhere, with the tokens that the model calls `bos_token` and `eos_token`.
    ///
    /// - Parameter path: the model's folder or GGUF file.
    /// - Throws: as the model's own template would.
    public init(_ text: String, modelPath path: String) throws(EngineError) {
        let folder = try ModelFolder(path: path)
        guard folder.has("config.json") else {
            self = try GGUFFile(MappedFile(path: path)).chatTemplate(text)
            return
        }
        let configuration = try folder.json("tokenizer_config.json") ?? .object(JSONObject())
        guard let source = ChatTemplateSource(tokenizerConfiguration: configuration, file: text) else {
            preconditionFailure("a text is given")
        }
        self = source
    }
}
