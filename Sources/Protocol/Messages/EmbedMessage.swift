/// The call `embed`: asks for hidden states of a prompt, pooled into one vector.
package struct EmbedMessage: Sendable, Equatable {
    /// What is embedded; text is taken as raw.
    package var prompt: Prompt
    /// Name of the model; nil for the server's only or first one.
    package var model: String?
    /// Which hidden states count; nil for the last token's.
    package var pooling: Pooling?
    /// The vector is scaled to the length 1.
    package var isNormalized = false
    /// Milliseconds from receipt after which the call fails with `deadline`; 0 for the server's own limit.
    package var timeout: UInt32 = 0

    /// Which hidden states count.
    package enum Pooling: UInt8, Sendable {
        /// The last token's.
        case last = 1
        /// The mean over all tokens.
        case mean = 2
    }

    /// Asks for the embedding of `prompt`.
    package init(_ prompt: Prompt) { self.prompt = prompt }

    private enum Key {
        static let pooling: UInt16 = 16
        static let normalize: UInt16 = 17
        static let timeout: UInt16 = 18
    }

    /// Whether `key` was one of those that only this call has.
    mutating func read(_ key: UInt16, _ fields: inout FieldReader) throws(WireError) -> Bool {
        switch key {
        case Key.pooling:
            let number: UInt8 = try fields.integer()
            pooling = Pooling(rawValue: number)
            if pooling == nil { throw WireError(.invalid, "pooling \(number) is not 1 (last token) or 2 (mean)") }
        case Key.normalize:
            let number: UInt8 = try fields.integer()
            guard number <= 1 else { throw WireError(.invalid, "normalize \(number) is not 0 or 1") }
            isNormalized = number == 1
        case Key.timeout: timeout = try fields.integer()
        default: return false
        }
        return true
    }

    func encode(into bytes: inout [UInt8]) {
        prompt.encode(into: &bytes, .scalar)
        bytes.appendField(Key.pooling, integer: pooling?.rawValue)
        if isNormalized { bytes.appendField(Key.normalize, integer: UInt8(1)) }
        if timeout > 0 { bytes.appendField(Key.timeout, integer: timeout) }
        prompt.encode(into: &bytes, .repeated)
    }
}

/// The embedding that `embed` asked for.
package struct EmbedReply: Sendable, Equatable {
    /// As many numbers as the model's hidden states have.
    package var vector: [Float]
    /// Tokens of the prompt.
    package var promptTokens: UInt32 = 0

    /// Creates the message.
    package init(_ vector: [Float]) { self.vector = vector }

    private enum Key {
        static let vector: UInt16 = 7
        static let promptTokens: UInt16 = 16
    }

    init(_ fields: inout FieldReader) throws(WireError) {
        vector = []
        while let key = try fields.next() {
            switch key {
            case Key.vector: vector = try fields.floats()
            case Key.promptTokens: promptTokens = try fields.integer()
            default: try fields.skip()
            }
        }
    }

    func encode(into bytes: inout [UInt8]) {
        bytes.appendField(Key.vector, floats: vector)
        bytes.appendField(Key.promptTokens, integer: promptTokens)
    }
}
