/// What a request gives the model to continue; shared by GENERATE and the tokenize call.
package enum Prompt: Sendable, Hashable {
    /// Text.
    case text(String)
    /// Token ids, used as they are.
    case tokens([Int32])
    /// A conversation, rendered with the model's chat template.
    case messages([PromptMessage])

    /// The keys of the three forms and of what goes with them, the same in every message that has a prompt.
    enum Key {
        static let text: UInt16 = 2
        static let tokens: UInt16 = 3
        static let message: UInt16 = 4 | FieldKey.repeatableBit
        static let tools: UInt16 = 5 | FieldKey.criticalBit
        static let templateArguments: UInt16 = 6 | FieldKey.criticalBit
        static let messageMembers: UInt16 = 7 | FieldKey.repeatableBit | FieldKey.criticalBit
    }

    func encode(into bytes: inout [UInt8], _ part: Part) {
        switch (self, part) {
        case (.text(let text), .scalar): bytes.appendField(Key.text, text: text)
        case (.tokens(let tokens), .scalar): bytes.appendField(Key.tokens, integers: tokens)
        case (.messages(let messages), .repeated):
            for message in messages { bytes.appendField(Key.message) { message.encode(into: &$0) } }
        case (.messages(let messages), .critical):
            for (index, message) in messages.enumerated() {
                guard let members = message.members else { continue }
                bytes.appendField(Key.messageMembers) {
                    $0.append(integer: UInt16(clamping: index))
                    $0.append(contentsOf: members.utf8)
                }
            }
        default: break
        }
    }

    /// Keys ascend, and the bits of repeatable and critical ones are the highest: a message writes its prompt in
    /// several places.
    enum Part {
        case scalar, repeated, critical
    }
}

/// What the chat template is told beside the conversation: JSON that this module carries and does not read.
package struct TemplateInput: Sendable, Hashable {
    /// An array of the functions that the model may call; the template's `tools`.
    package var tools: String?
    /// An object whose members become variables of the template.
    package var arguments: String?

    /// Absent values are not sent.
    package init(tools: String? = nil, arguments: String? = nil) {
        self.tools = tools
        self.arguments = arguments
    }

    func encode(into bytes: inout [UInt8]) {
        bytes.appendField(Prompt.Key.tools, text: tools)
        bytes.appendField(Prompt.Key.templateArguments, text: arguments)
    }
}

/// One message of a conversation.
package struct PromptMessage: Sendable, Hashable {
    /// Who speaks, as the chat template names it: `system`, `user`, `assistant`, `tool`.
    package var role: String
    /// What was said.
    package var content: String
    /// A JSON object with what else the chat template may read of it, such as `tool_calls`; not read by this module.
    package var members: String?

    /// Creates a message.
    package init(role: String, content: String, members: String? = nil) {
        self.role = role
        self.content = content
        self.members = members
    }

    init(_ reader: consuming ByteReader) throws(WireError) {
        let length: UInt8 = try reader.integer()
        var role = ByteReader(try reader.take(Int(length)))
        self.role = try role.text("role", limit: Limits.role)
        content = try reader.text("message")
    }

    func encode(into bytes: inout [UInt8]) {
        // A role that does not fit is cut here and refused by every server: its limit is far below 255.
        let role = Array(self.role.utf8.prefix(Int(UInt8.max)))
        bytes.append(UInt8(role.count))
        bytes.append(contentsOf: role)
        bytes.append(contentsOf: content.utf8)
    }
}

/// Collects the prompt of a message while its fields are read.
struct PromptFields {
    private(set) var template = TemplateInput()
    private var text: String?
    private var tokens: [Int32]?
    private var messages: [PromptMessage] = []
    private let takesTemplate: Bool

    /// - Parameter takesTemplate: whether the message knows the fields that only chat templates read.
    init(takesTemplate: Bool = false) { self.takesTemplate = takesTemplate }

    /// Whether `key` was one of a prompt's.
    mutating func read(_ key: UInt16, _ fields: inout FieldReader) throws(WireError) -> Bool {
        switch key {
        case Prompt.Key.text: text = try fields.text("prompt")
        case Prompt.Key.tokens: tokens = try fields.integers()
        case Prompt.Key.message:
            guard messages.count < Limits.messages else {
                throw WireError(.invalid, "more than \(Limits.messages) messages")
            }
            messages.append(try PromptMessage(fields.reader))
        case Prompt.Key.tools where takesTemplate: template.tools = try fields.text("tools", limit: Limits.tools)
        case Prompt.Key.templateArguments where takesTemplate:
            template.arguments = try fields.text("template arguments", limit: Limits.templateArguments)
        case Prompt.Key.messageMembers where takesTemplate: try readMembers(fields.reader)
        default: return false
        }
        return true
    }

    /// Greater keys than the messages' have them, so all of these are there.
    private mutating func readMembers(_ reader: consuming ByteReader) throws(WireError) {
        let index = Int(try reader.integer(UInt16.self))
        guard index < messages.count else {
            throw WireError(
                .invalid, "members for message \(index), but there are \(messages.count) messages, from 0 on")
        }
        guard messages[index].members == nil else {
            throw WireError(.invalid, "message \(index) has members twice; put them into one object")
        }
        messages[index].members = try reader.text("members of message \(index)")
    }

    /// The one prompt, or `invalid` when there was none or more than one, or when it meets no chat template and there is
    /// something for one.
    ///
    /// - Parameter textIsRaw: text is used as it is instead of becoming the user's message.
    func finish(textIsRaw: Bool = true) throws(WireError) -> Prompt {
        let prompt = try onlyPrompt()
        let isRendered =
            switch prompt {
            case .tokens: false
            case .text: !textIsRaw
            case .messages: true
            }
        guard isRendered || template == TemplateInput() else {
            throw WireError(
                .invalid,
                "tools and template arguments are for the chat template, which raw text and token ids skip; "
                    + "send messages")
        }
        return prompt
    }

    private func onlyPrompt() throws(WireError) -> Prompt {
        switch (text, tokens, messages.isEmpty) {
        case (let text?, nil, true): return .text(text)
        case (nil, let tokens?, true): return .tokens(tokens)
        case (nil, nil, false): return .messages(messages)
        case (nil, nil, true): throw WireError(.invalid, "there is no prompt: give text, token ids or messages")
        default: throw WireError(.invalid, "more than one prompt: give either text, token ids or messages")
        }
    }
}
