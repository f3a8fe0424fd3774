/// What a request gives the model to continue; shared by GENERATE and the tokenize call.
package enum Prompt: Sendable, Hashable {
    /// Text.
    case text(String)
    /// Token ids, used as they are.
    case tokens([Int32])
    /// A conversation, rendered with the model's chat template.
    case messages([PromptMessage])

    /// The keys of the three forms, the same in every message that has a prompt.
    enum Key {
        static let text: UInt16 = 2
        static let tokens: UInt16 = 3
        static let message: UInt16 = 4 | FieldKey.repeatableBit
    }

    func encode(into bytes: inout [UInt8], _ part: Part) {
        switch (self, part) {
        case (.text(let text), .scalar): bytes.appendField(Key.text, text: text)
        case (.tokens(let tokens), .scalar): bytes.appendField(Key.tokens, integers: tokens)
        case (.messages(let messages), .repeated):
            for message in messages { bytes.appendField(Key.message) { message.encode(into: &$0) } }
        default: break
        }
    }

    /// Keys ascend, and repeatable ones are the greatest: a message writes its prompt in two places.
    enum Part {
        case scalar, repeated
    }
}

/// One message of a conversation.
package struct PromptMessage: Sendable, Hashable {
    /// Who speaks, as the chat template names it: `system`, `user`, `assistant`, `tool`.
    package var role: String
    /// What was said.
    package var content: String

    /// Creates a message.
    package init(role: String, content: String) {
        self.role = role
        self.content = content
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
    private var text: String?
    private var tokens: [Int32]?
    private var messages: [PromptMessage] = []

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
        default: return false
        }
        return true
    }

    /// The one prompt, or `invalid` when there was none or more than one.
    func finish() throws(WireError) -> Prompt {
        switch (text, tokens, messages.isEmpty) {
        case (let text?, nil, true): return .text(text)
        case (nil, let tokens?, true): return .tokens(tokens)
        case (nil, nil, false): return .messages(messages)
        case (nil, nil, true): throw WireError(.invalid, "there is no prompt: give text, token ids or messages")
        default: throw WireError(.invalid, "more than one prompt: give either text, token ids or messages")
        }
    }
}
