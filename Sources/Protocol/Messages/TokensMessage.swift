/// TOKENS: one or more consecutive tokens of a stream with their text. What a server sends in large numbers it sends as
/// `TokenSlice`.
package struct TokensMessage: Sendable, Equatable {
    /// Position of the first token in the stream's output.
    package private(set) var firstIndex: UInt32
    /// The tokens, 1 to 255 of them.
    package private(set) var ids: [Int32] = []
    /// Where each token's bytes end in `text`.
    package private(set) var textEnds: [UInt16] = []
    /// UTF-8 of all tokens. A token's text is whole characters, and may be empty.
    package private(set) var text: [UInt8] = []
    /// Where each token's entries end in `logprobs`; empty when there are none at all.
    package private(set) var logprobEnds: [UInt16] = []
    /// Log-probabilities, the chosen token's first.
    package private(set) var logprobs: [Logprob] = []

    /// A token and the natural logarithm of its probability.
    package struct Logprob: BitwiseCopyable, Sendable, Equatable {
        /// The token.
        package var token: Int32
        /// Natural logarithm of its probability.
        package var value: Float

        /// Pairs a token with its log-probability.
        package init(token: Int32, value: Float) {
            self.token = token
            self.value = value
        }
    }

    /// An empty message whose first token will have this index.
    package init(firstIndex: UInt32) { self.firstIndex = firstIndex }

    /// Forgets the tokens and keeps the memory.
    package mutating func removeAll(firstIndex: UInt32) {
        self.firstIndex = firstIndex
        ids.removeAll(keepingCapacity: true)
        textEnds.removeAll(keepingCapacity: true)
        text.removeAll(keepingCapacity: true)
        logprobEnds.removeAll(keepingCapacity: true)
        logprobs.removeAll(keepingCapacity: true)
    }

    /// Number of tokens.
    package var count: Int { ids.count }

    /// Whether one more token with this much text fits the frame. Always true of an empty message and text within
    /// `Limits.tokenText`.
    package func hasRoom(forText bytes: Int) -> Bool {
        ids.count < Limits.tokensPerFrame && bytes <= Limits.tokenText && text.count + bytes <= Limits.tokensText
    }

    /// Adds the next token.
    ///
    /// - Throws: `internal` when there is no room.
    package mutating func append(id: Int32, text bytes: Span<UInt8>) throws(WireError) {
        guard hasRoom(forText: bytes.count) else {
            throw WireError(.internal, "no room for a token of \(bytes.count) bytes after \(ids.count) tokens")
        }
        ids.append(id)
        text.append(bytes.bytes)
        textEnds.append(UInt16(text.count))
        if !logprobEnds.isEmpty { logprobEnds.append(UInt16(logprobs.count)) }
    }

    /// Adds a log-probability to the last token: first the chosen token's, then at most `Limits.alternatives` more.
    ///
    /// - Throws: `internal` when there is no token, or it has them all.
    package mutating func append(_ logprob: Logprob) throws(WireError) {
        guard let last = ids.indices.last, logprobRange(last).count <= Limits.alternatives else {
            throw WireError(.internal, "no room for a log-probability in token \(firstIndex) + \(ids.count)")
        }
        if logprobEnds.isEmpty { logprobEnds.append(contentsOf: repeatElement(0, count: ids.count)) }
        logprobs.append(logprob)
        logprobEnds[last] = UInt16(logprobs.count)
    }

    /// The bytes of token `position` in `text`; positions count from 0 in this message.
    package func textRange(_ position: Int) -> Range<Int> {
        (position == 0 ? 0 : Int(textEnds[position - 1]))..<Int(textEnds[position])
    }

    /// The entries of token `position` in `logprobs`; positions count from 0 in this message.
    package func logprobRange(_ position: Int) -> Range<Int> {
        guard !logprobEnds.isEmpty else { return 0..<0 }
        return (position == 0 ? 0 : Int(logprobEnds[position - 1]))..<Int(logprobEnds[position])
    }
}

// The layout: u16 low bits of the first index, u8 count, u8 flags, count x i32 id, text length of each token but the last as
// u8 or with the wide flag u16; with the log-probability flag, count x u8 entries, then for each entry i32 token, f32 value;
// text to the end.
extension TokensMessage {
    enum Flag {
        static let logprobs: UInt8 = 1
        static let wide: UInt8 = 2
    }

    /// - Parameter nextIndex: of the first token that may come; the frame says its lowest bits only.
    init(_ reader: consuming ByteReader, at nextIndex: UInt32) throws(WireError) {
        firstIndex = nextIndex
        let index: UInt16 = try reader.integer()
        guard index == UInt16(truncatingIfNeeded: nextIndex) else {
            throw .malformed("token \(index) (lowest 16 bits) where \(nextIndex) is next")
        }
        let count = Int(try reader.integer(UInt8.self))
        let flags: UInt8 = try reader.integer()
        guard count > 0 else { throw .malformed("no tokens") }
        guard flags & ~(Flag.logprobs | Flag.wide) == 0 else {
            throw .malformed("flags \(flags) change the layout in an unknown way")
        }
        var idBytes = ByteReader(try reader.take(4 * count))
        ids = try idBytes.integers()
        try readTextLengths(&reader, count: count - 1, isWide: flags & Flag.wide != 0)
        if flags & Flag.logprobs != 0 { try readLogprobs(&reader, count: count) }
        try readText(&reader)
    }

    private mutating func readTextLengths(
        _ reader: inout ByteReader, count: Int, isWide: Bool
    ) throws(WireError) {
        textEnds.reserveCapacity(count + 1)
        var end = 0
        for _ in 0..<count {
            let length = isWide ? Int(try reader.integer(UInt16.self)) : Int(try reader.integer(UInt8.self))
            end += length
            guard length <= Limits.tokenText, end <= Limits.tokensText else {
                throw .malformed(
                    "\(length) bytes of text for a token and \(end) in all, limits \(Limits.tokenText) and "
                        + "\(Limits.tokensText)")
            }
            textEnds.append(UInt16(end))
        }
    }

    private mutating func readText(_ reader: inout ByteReader) throws(WireError) {
        let start = Int(textEnds.last ?? 0)
        let end = reader.remaining
        guard start <= end, end - start <= Limits.tokenText, end <= Limits.tokensText else {
            throw .malformed(
                "\(end) bytes of text where the last token's begins at \(start), limits \(Limits.tokenText) for a token "
                    + "and \(Limits.tokensText) in all")
        }
        text.append(try reader.take(end))
        textEnds.append(UInt16(end))
    }

    private mutating func readLogprobs(_ reader: inout ByteReader, count: Int) throws(WireError) {
        var total = 0
        logprobEnds.reserveCapacity(count)
        for _ in 0..<count {
            let entries = Int(try reader.integer(UInt8.self))
            guard entries <= 1 + Limits.alternatives else {
                throw .malformed("\(entries) log-probabilities for a token, limit \(1 + Limits.alternatives)")
            }
            total += entries
            logprobEnds.append(UInt16(total))
        }
        // A frame that announces entries and has none means the same as one that does not.
        if total == 0 { logprobEnds.removeAll() }
        logprobs.reserveCapacity(total)
        for _ in 0..<total {
            logprobs.append(Logprob(token: try reader.integer(), value: try reader.float()))
        }
    }

    /// Passes the tokens in the form in which they are sent.
    func withSlice(_ body: (borrowing TokenSlice) throws(WireError) -> Void) throws(WireError) {
        let textLengths = ids.indices.map { UInt16(textRange($0).count) }
        let logprobCounts = logprobs.isEmpty ? [] : ids.indices.map { UInt8(logprobRange($0).count) }
        try body(
            TokenSlice(
                ids: ids.span, textLengths: textLengths.span, text: text.span, logprobCounts: logprobCounts.span,
                logprobs: logprobs.span))
    }
}
