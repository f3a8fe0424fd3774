import Glibc
internal import LMJSON
internal import LMTemplate

/// How a conversation is written for a model: the template that the model's files carry, or a built-in one, executed.
///
/// Roles and contents are text whatever they hold: only what the template itself writes can become a special token.
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

    private let template: Template
    private let templateForTools: Template?
    private let beginning: String
    private let end: String

    /// Reads the template that a model's files carry.
    ///
    /// - Throws: `unsupportedModel` with the line that is not understood.
    public init(_ source: ChatTemplateSource) throws(EngineError) {
        do throws(TemplateError) {
            template = try Template(source.text)
            templateForTools = try source.textForTools.map { text throws(TemplateError) in try Template(text) }
        } catch {
            throw EngineError(
                .unsupportedModel,
                "the model's chat template cannot be used: \(error.description.legible); send raw text (--raw), "
                    + "or name another with --chat-template: \(Self.names)")
        }
        beginning = source.beginning
        end = source.end
    }

    /// Picks a template.
    ///
    /// - Parameters:
    ///   - source: the template that the model's file carries, if it does.
    ///   - name: a format's name, which goes before `source`.
    /// - Throws: `invalidRequest` for an unknown name, `unsupportedModel` when there is no template or it is not
    ///   understood.
    public init(source: String?, name: String? = nil) throws(EngineError) {
        if let name {
            guard let format = Format(rawValue: name) else {
                throw EngineError(
                    .invalidRequest, "chat template '\(name.printable)' is unknown; there are \(Self.names)")
            }
            try self.init(ChatTemplateSource(format.source))
        } else if let source {
            try self.init(ChatTemplateSource(source))
        } else {
            throw EngineError(
                .unsupportedModel,
                "the model carries no chat template; send raw text (--raw), or name one with --chat-template: "
                    + Self.names
            )
        }
    }

    private static var names: String { Format.allCases.map(\.rawValue).joined(separator: ", ") }

    /// Appends the tokens of a conversation.
    ///
    /// - Throws: `invalidRequest` when the template cannot express the conversation, `tooLarge` when that takes too
    ///   much.
    public func encode(
        _ messages: [ChatMessage], _ options: ChatOptions = ChatOptions(), with tokenizer: any Tokenizer,
        into tokens: inout [Int32]
    ) throws(EngineError) {
        let prompt = try render(messages, options)
        tokenizer.encode(prompt.bytes.span, specialIn: prompt.own, into: &tokens)
    }

    /// A rendered conversation.
    package struct Prompt {
        /// The whole text.
        package let bytes: [UInt8]
        /// The template's own words in it, which may be special tokens.
        package let own: [Range<Int>]
    }

    /// Writes a conversation; throws as `encode` does.
    package func render(_ messages: [ChatMessage], _ options: ChatOptions = ChatOptions()) throws(EngineError) -> Prompt
    {
        guard !messages.isEmpty else {
            throw EngineError(.invalidRequest, "the conversation is empty; send at least one message")
        }
        let template = options.tools.isEmpty ? template : templateForTools ?? template
        guard options.tools.isEmpty || template.names.contains("tools") else {
            throw EngineError(
                .invalidRequest,
                "the model's chat template does not use tools, so the model would not see them; leave them out, or "
                    + "describe them in a message")
        }
        let clock = TemplateClock(secondsSince1970: options.time ?? Int64(time(nil)))
        let variables = try variables(messages, options)
        do throws(TemplateError) {
            let rendering = try template.render(variables, clock: clock)
            return Prompt(bytes: rendering.bytes, own: rendering.content.gaps(in: rendering.bytes.count))
        } catch {
            throw EngineError(error)
        }
    }

    private func variables(
        _ messages: [ChatMessage], _ options: ChatOptions
    ) throws(EngineError) -> [(name: String, value: Value)] {
        var variables: [(name: String, value: Value)] = [
            ("messages", .list(messages.map(Self.value))),
            ("tools", options.tools.isEmpty ? .none : .content(.array(options.tools))),
            ("documents", .none),
            ("add_generation_prompt", .bool(options.addsGenerationPrompt)),
            ("bos_token", .trusted(beginning)),
            ("eos_token", .trusted(end)),
        ]
        let taken = Set(variables.map(\.name) + Template.globals + ["chat_template"])
        for (name, value) in options.arguments.members {
            guard !taken.contains(name) else {
                throw EngineError(
                    .invalidRequest,
                    "the template argument '\(name.printable)' is not the request's to set; leave it out")
            }
            variables.append((name, .content(value)))
        }
        return variables
    }

    /// Templates make special tokens of roles (`<|user|>`), so the known ones are the template's words, and no others.
    private static let roles: Set = ["system", "developer", "user", "assistant", "tool"]

    private static func value(_ message: ChatMessage) -> Value {
        let role: Value = roles.contains(message.role) ? .trusted(message.role) : .content(.string(message.role))
        return .object(
            [("role", role), ("content", .content(.string(message.content)))]
                + message.members.members.filter { $0.key != "role" }.map { ($0.key, .content($0.value)) })
    }
}

extension EngineError {
    fileprivate init(_ error: TemplateError) {
        let message = error.message.legible
        switch error.kind {
        case .raised:
            self.init(.invalidRequest, "the model's chat template refuses the conversation: \(message)")
        case .limit:
            self.init(.tooLarge, "line \(error.line) of the chat template: \(message)")
        case .syntax, .evaluation:
            self.init(
                .invalidRequest,
                "the model's chat template cannot write the conversation: line \(error.line): \(message)")
        }
    }
}

extension String {
    /// Without control characters: templates and requests have a say in the messages of errors.
    fileprivate var legible: String {
        var text = ""
        text.unicodeScalars.append(contentsOf: unicodeScalars.lazy.filter { $0.properties.generalCategory != .control })
        return text
    }
}

extension [Range<Int>] {
    /// What lies between ascending ranges, from 0 to `count`.
    fileprivate func gaps(in count: Int) -> [Range<Int>] {
        var gaps: [Range<Int>] = []
        var start = 0
        for range in self + [count..<count] {
            if start < range.lowerBound { gaps.append(start..<range.lowerBound) }
            start = range.upperBound
        }
        return gaps
    }
}
