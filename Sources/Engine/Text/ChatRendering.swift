extension ChatTemplate {
    /// Appends the tokens of a conversation and of the opening of the assistant's answer.
    ///
    /// - Throws: `invalidRequest` when the format cannot express the conversation.
    public func encode(
        _ messages: [ChatMessage], with tokenizer: any Tokenizer, into tokens: inout [Int32]
    ) throws(EngineError) {
        for segment in try render(messages) {
            switch segment {
            case .special(let text): tokenizer.encode(Array(text.utf8).span, parseSpecial: true, into: &tokens)
            case .text(let text): tokenizer.encode(Array(text.utf8).span, parseSpecial: false, into: &tokens)
            }
        }
    }

    /// A conversation and the opening of the assistant's answer.
    ///
    /// - Throws: `invalidRequest` when the format cannot express the conversation.
    package func render(_ messages: [ChatMessage]) throws(EngineError) -> [Segment] {
        guard !messages.isEmpty else {
            throw EngineError(.invalidRequest, "the conversation is empty; send at least one message")
        }
        var output = SegmentWriter()
        switch format {
        case .chatml: renderChatML(messages, &output)
        case .llama3: renderLlama3(messages, &output)
        case .mistral: try renderMistral(messages, &output)
        case .zephyr: try renderZephyr(messages, &output)
        }
        return output.segments
    }

    private func renderChatML(_ messages: [ChatMessage], _ output: inout SegmentWriter) {
        var messages = messages
        if let defaultSystemMessage, messages.first?.role != "system" {
            messages.insert(ChatMessage(role: "system", content: defaultSystemMessage), at: 0)
        }
        for message in messages {
            output.special("<|im_start|>")
            output.text(message.role + "\n" + message.content)
            output.special("<|im_end|>")
            output.text("\n")
        }
        output.special("<|im_start|>")
        output.text("assistant\n")
    }

    private func renderLlama3(_ messages: [ChatMessage], _ output: inout SegmentWriter) {
        var turns = messages.map { ChatMessage(role: $0.role, content: $0.content.trimmed) }
        if !systemPreamble.isEmpty {
            if turns.first?.role != "system" { turns.insert(ChatMessage(role: "system", content: ""), at: 0) }
            turns[0].content = systemPreamble + turns[0].content
        }
        output.special("<|begin_of_text|>")
        for turn in turns {
            openLlama3Turn(turn.role, &output)
            output.text(turn.content)
            output.special("<|eot_id|>")
        }
        openLlama3Turn("assistant", &output)
    }

    private func openLlama3Turn(_ role: String, _ output: inout SegmentWriter) {
        output.special("<|start_header_id|>")
        output.text(role)
        output.special("<|end_header_id|>")
        output.text("\n\n")
    }

    private func renderMistral(_ messages: [ChatMessage], _ output: inout SegmentWriter) throws(EngineError) {
        output.special("<s>")
        for (index, message) in messages.enumerated() {
            guard message.role == (index % 2 == 0 ? "user" : "assistant") else {
                throw EngineError(
                    .invalidRequest,
                    "message \(index) is of role '\(message.role.printable)', but the chat template '\(format.rawValue)' takes "
                        + "user and assistant in turns, beginning with user")
            }
            if index % 2 == 0 {
                output.text("[INST] " + message.content + " [/INST]")
            } else {
                output.text(message.content)
                output.special("</s>")
            }
        }
    }

    private func renderZephyr(_ messages: [ChatMessage], _ output: inout SegmentWriter) throws(EngineError) {
        for (index, message) in messages.enumerated() {
            guard ["system", "user", "assistant"].contains(message.role) else {
                throw EngineError(
                    .invalidRequest,
                    "message \(index) is of role '\(message.role.printable)', but the chat template '\(format.rawValue)' takes "
                        + "system, user and assistant only")
            }
            output.special("<|\(message.role)|>")
            output.text("\n" + message.content)
            output.special("</s>")
            output.text("\n")
        }
        output.special("<|assistant|>")
        output.text("\n")
    }
}

/// Collects segments and joins neighbouring text.
private struct SegmentWriter {
    private(set) var segments: [ChatTemplate.Segment] = []

    mutating func special(_ text: String) {
        segments.append(.special(text))
    }

    mutating func text(_ text: String) {
        if case .text(let previous) = segments.last {
            segments[segments.count - 1] = .text(previous + text)
        } else {
            segments.append(.text(text))
        }
    }
}

extension String {
    /// Without whitespace at both ends: the `trim` filter of templates.
    fileprivate var trimmed: String {
        let scalars = unicodeScalars
        guard let first = scalars.firstIndex(where: { !$0.properties.isWhitespace }),
            let last = scalars.lastIndex(where: { !$0.properties.isWhitespace })
        else { return "" }
        return String(scalars[first...last])
    }
}
