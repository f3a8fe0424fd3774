/// What becomes of tokens when they are text again.
struct TokenOutput: Sendable {
    /// What encoding may have put before a text.
    enum Opening: Sendable, Equatable {
        case nothing
        /// Marks in the first token.
        case marks([UInt8])
        /// A text, up to so many times.
        case repeated([UInt8], limit: Int)
    }

    /// Replaced in each token, in order.
    var replacements: [(bytes: [UInt8], content: [UInt8])] = []
    var opening = Opening.nothing

    /// What stands in each token as the vocabulary has it.
    static let verbatim = TokenOutput()

    /// A token's bytes from those in the vocabulary.
    func text(of bytes: [UInt8]) -> [UInt8] {
        replacements.reduce(bytes) { text, replacement in
            text.withUnsafeBufferPointer {
                NormalizerStep.replace(replacement.bytes, by: replacement.content, in: $0)
            } ?? text
        }
    }
}
