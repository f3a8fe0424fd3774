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
    /// Encodes one text that a template made of its own words and a user's. Special tokens are recognised where they lie
    /// in `ranges`, the template's words, as a whole.
    ///
    /// Not the same as encoding the parts by themselves: tokens may reach across their borders, and only the beginning of
    /// the text is treated as one.
    ///
    /// - Parameter utf8: valid UTF-8.
    /// - Parameter ranges: places in `utf8`, in bytes.
    func encode(_ utf8: Span<UInt8>, specialIn ranges: [Range<Int>], into tokens: inout [Int32])
    /// Appends the bytes a token stands for: not necessarily whole characters; nothing for special and unknown tokens.
    func appendBytes(of token: Int32, to bytes: inout [UInt8])
    /// The bytes of a whole text: those of its tokens, without the space that encoding may have put before it.
    ///
    /// An answer is not a whole text but goes on from its prompt: there `appendBytes(of:to:)` says it all.
    func decode(_ tokens: [Int32]) -> [UInt8]
    /// Whether the token is a control token, not text.
    func isSpecial(_ token: Int32) -> Bool
}

extension Tokenizer {
    /// For tokenizers whose tokens do not reach across the borders of the ranges.
    public func encode(_ utf8: Span<UInt8>, specialIn ranges: [Range<Int>], into tokens: inout [Int32]) {
        var start = 0
        for range in SpecialRanges(ranges, count: utf8.count).ranges {
            encode(utf8.extracting(start..<range.lowerBound), parseSpecial: false, into: &tokens)
            encode(utf8.extracting(range), parseSpecial: true, into: &tokens)
            start = range.upperBound
        }
        encode(utf8.extracting(start...), parseSpecial: false, into: &tokens)
    }

    /// For tokenizers that put nothing before a text.
    public func decode(_ tokens: [Int32]) -> [UInt8] {
        var bytes: [UInt8] = []
        for token in tokens { appendBytes(of: token, to: &bytes) }
        return bytes
    }
}
