public import LMJSON

/// The chat template of a model as its files carry it.
public struct ChatTemplateSource: Sendable, Equatable {
    /// The template's text.
    public var text: String
    /// The text that goes before it when there are tools, for models that have two.
    public var textForTools: String?
    /// What the template calls `bos_token`; empty when the model has none.
    public var beginning = ""
    /// What the template calls `eos_token`; empty when the model has none.
    public var end = ""

    /// A template without tokens of its own.
    public init(_ text: String) { self.text = text }

    /// Reads it from a folder of the Hugging Face hub.
    ///
    /// - Parameters:
    ///   - configuration: what `tokenizer_config.json` holds. Its `chat_template` is a text, or a list of texts with
    ///     names, of which `default` and `tool_use` are used.
    ///   - file: what `chat_template.jinja` holds, if there is one; it goes before the other.
    /// - Returns: nil when there is no template.
    public init?(tokenizerConfiguration configuration: JSON, file: String?) {
        let named = configuration["chat_template"]?.array ?? []
        func template(named name: String) -> String? { named.first { $0["name"]?.string == name }?["template"]?.string }
        guard let text = file ?? configuration["chat_template"]?.string ?? template(named: "default") else {
            return nil
        }
        self.text = text
        textForTools = file == nil ? template(named: "tool_use") : nil
        beginning = Self.token("bos_token", configuration)
        end = Self.token("eos_token", configuration)
    }

    /// A token is a text, or an object with the text in it.
    private static func token(_ key: String, _ configuration: JSON) -> String {
        configuration[key]?.string ?? configuration[key]?["content"]?.string ?? ""
    }
}
