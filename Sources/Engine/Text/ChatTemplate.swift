/// One turn of a conversation.
public struct ChatMessage: Sendable, Equatable {
    /// Who speaks: "system", "user" or "assistant"; the more open templates take others.
    public var role: String
    /// What is said.
    public var content: String

    /// Pairs a role with its text.
    public init(role: String, content: String) {
        self.role = role
        self.content = content
    }
}

/// How a conversation is written for a model.
///
/// Templates are built in and chosen by the source text that the model's file carries; that source is never run. Roles
/// and contents are text whatever they hold: only what the template itself writes can become a special token.
public struct ChatTemplate: Sendable {
    /// The formats that are built in.
    public enum Format: String, Sendable, CaseIterable {
        /// Qwen, SmolLM and many others: `<|im_start|>role\ncontent<|im_end|>\n`.
        case chatml
        /// Llama 3: `<|start_header_id|>role<|end_header_id|>\n\ncontent<|eot_id|>`.
        case llama3
        /// Mistral 7B Instruct 0.1 and 0.2: `[INST] content [/INST]`.
        case mistral = "mistral-instruct"
        /// Zephyr, StableLM: `<|role|>\ncontent</s>\n`.
        case zephyr
    }

    /// A part of a rendered conversation.
    package enum Segment: Equatable {
        /// Written by the template and meant as a special token.
        case special(String)
        /// Text, of the template or of a message: never a special token. Two of these never stand side by side, so
        /// that tokens across their border come out as for the whole text.
        case text(String)
    }

    /// The format in use.
    public let format: Format
    /// The system message when the conversation has none, as the model's own template says; nil for none.
    let defaultSystemMessage: String?
    /// What Llama 3.1 and later write before the system message; empty for others.
    let systemPreamble: String

    /// Picks a template.
    ///
    /// - Parameters:
    ///   - source: the template that the model's file carries, if it does.
    ///   - name: a format's name, which goes before the one recognised in `source`.
    /// - Throws: `invalidRequest` for an unknown name, `unsupportedModel` when nothing is recognised.
    public init(source: String?, name: String? = nil) throws(EngineError) {
        let source = source ?? ""
        let names = Format.allCases.map(\.rawValue).joined(separator: ", ")
        if let name {
            guard let named = Format(rawValue: name) else {
                throw EngineError(
                    .invalidRequest, "chat template '\(name.printable)' is unknown; there are \(names)")
            }
            format = named
        } else if let recognised = Self.recognise(source) {
            format = recognised
        } else {
            let problem = source.isEmpty ? "the model carries no chat template" : "the model's chat template is unknown"
            throw EngineError(
                .unsupportedModel, "\(problem); send raw text (--raw), or name one with --chat-template: \(names)")
        }
        defaultSystemMessage = format == .chatml ? Self.chatMLSystemMessage(source) : nil
        // The date is the default in the template of the models; it is a part of what they were trained on.
        systemPreamble =
            format == .llama3 && source.contains("Cutting Knowledge Date")
            ? "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n" : ""
    }

    private static func recognise(_ source: String) -> Format? {
        if source.contains("<|im_start|>") { return .chatml }
        if source.contains("<|start_header_id|>") { return .llama3 }
        if source.contains("[INST]") && !source.contains("<<SYS>>") { return .mistral }
        if source.contains("<|user|>") && source.contains("<|assistant|>") { return .zephyr }
        return nil
    }

    /// The system message that a ChatML template writes out in full: what stands between the opening of a system turn
    /// and the next `<|im_end|>` with no quote, that is no template code, between them. Each turn is looked at once:
    /// nothing bounds how many of either mark a file has.
    private static func chatMLSystemMessage(_ source: String) -> String? {
        let text = source.replacing("\\n", with: "\n")
        let turns = text.split(separator: "<|im_end|>", omittingEmptySubsequences: false).dropLast()
        for turn in turns {
            guard let opening = turn.ranges(of: "<|im_start|>system\n").last else { continue }
            let message = turn[opening.upperBound...]
            if !message.contains("'") && !message.contains("\"") { return String(message) }
        }
        return nil
    }
}
