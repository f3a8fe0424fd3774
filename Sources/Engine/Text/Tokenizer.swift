/// Text to token ids and back.
public protocol Tokenizer: Sendable {
    /// Number of ids, special ones included.
    var vocabularySize: Int { get }
    /// Prepended to raw prompts when the model wants it.
    var beginningOfSequence: Int32? { get }
    /// Ids that end an answer.
    var endTokens: [Int32] { get }
    /// Encodes text. Special tokens in the text are recognised only when `parseSpecial` is true, which is for templates
    /// alone: a user's text never yields a special token.
    ///
    /// - Parameter utf8: valid UTF-8.
    func encode(_ utf8: Span<UInt8>, parseSpecial: Bool, into tokens: inout [Int32])
    /// Appends the bytes a token stands for: not necessarily whole characters; nothing for special and unknown tokens.
    func appendBytes(of token: Int32, to bytes: inout [UInt8])
    /// Whether the token is a control token, not text.
    func isSpecial(_ token: Int32) -> Bool
}
