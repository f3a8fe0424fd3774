internal import LMEngine
internal import LMProtocol

/// The tokens of a generation that may have to be sent, or sent again: a window on its output, kept as frames have it, so
/// that a frame is a few copies. Its arrays keep their memory: in steady state a token costs no allocation.
struct TokenBuffer: ~Copyable {
    private var ids = PlainArray<Int32>()
    private var textLengths = PlainArray<UInt16>()
    private var text = PlainArray<UInt8>()

    /// Where a token lies in the arrays.
    private struct Position {
        var token: UInt32 = 0
        var text: UInt32 = 0
        var logprob: UInt32 = 0
    }

    // What each token needs fills the first two lines of the processor's cache.
    /// Of the next token to be sent.
    private var next = Position()
    /// Index of the next token to be sent.
    private(set) var nextIndex: UInt32 = 0
    /// Of the text of all tokens, also those that were dropped.
    private(set) var checksum = CRC32C()
    /// Bytes of `text` that are in `checksum`.
    private var checksummed: UInt32 = 0
    /// Tokens came in this turn.
    private var isTouched = false
    /// A token had log-probabilities; from then on each says how many it has.
    private var hasLogprobs = false
    /// Index of the first token kept.
    private(set) var firstIndex: UInt32 = 0
    /// Of the first token kept; what is before it was dropped.
    private var first = Position()

    private var logprobCounts = PlainArray<UInt8>()
    private var logprobs = PlainArray<TokensMessage.Logprob>()

    /// Index after the last token.
    var endIndex: UInt32 { nextIndex &+ UInt32(unsentCount) }

    /// Number of tokens to be sent.
    var unsentCount: Int { ids.count - Int(next.token) }

    /// Memory that the contents take.
    var byteCount: Int {
        text.count + ids.count * 6 + logprobCounts.count + logprobs.count * MemoryLayout<TokensMessage.Logprob>.stride
    }

    /// Adds the next token.
    @inline(__always)
    mutating func append(id: Int32, text piece: Span<UInt8>, logprobs entries: Span<TokenLogprob>) {
        ids.append(id)
        textLengths.append(UInt16(piece.count))
        text.append(piece)
        if hasLogprobs || !entries.isEmpty { append(entries) }
    }

    /// Adds the log-probabilities of the token that was just added.
    @inline(never)
    private mutating func append(_ entries: Span<TokenLogprob>) {
        hasLogprobs = true
        while logprobCounts.count < ids.count - 1 { logprobCounts.append(0) }
        logprobCounts.append(UInt8(entries.count))
        for index in entries.indices {
            logprobs.append(.init(token: entries[index].token, value: entries[index].logprob))
        }
    }

    /// Notes that tokens were added, and that `settle` is owed; true for the first time.
    @inline(__always)
    mutating func touch() -> Bool {
        if isTouched { return false }
        isTouched = true
        return true
    }

    /// Adds the text that came since the last time to the checksum.
    mutating func settle() {
        isTouched = false
        guard checksummed < text.count else { return }
        var updated = checksum
        updated.update(text.span.extracting(Int(checksummed)...).bytes)
        checksum = updated
        checksummed = UInt32(text.count)
    }

    /// Passes the next tokens to be sent to `send`, and takes note that they are.
    ///
    /// - Parameter count: at most `unsentCount`.
    mutating func send<Failure: Error>(
        _ count: Int, _ send: (UInt32, borrowing TokenSlice) throws(Failure) -> Void
    ) throws(Failure) {
        let end = position(count, after: next)
        let tokens = Int(next.token)..<Int(end.token)
        try send(
            nextIndex,
            TokenSlice(
                ids: ids.span.extracting(tokens), textLengths: textLengths.span.extracting(tokens),
                text: text.span.extracting(Int(next.text)..<Int(end.text)),
                logprobCounts: logprobCounts.span.extracting(hasLogprobs ? tokens : 0..<0),
                logprobs: logprobs.span.extracting(Int(next.logprob)..<Int(end.logprob))))
        next = end
        nextIndex += UInt32(count)
    }

    /// Sends from this index on, which lies in what is kept or right after it.
    mutating func rewind(to index: UInt32) {
        precondition((firstIndex...endIndex).contains(index), "what is sent again is kept")
        next = position(Int(index - firstIndex), after: first)
        nextIndex = index
    }

    /// Forgets tokens with an index below this, which were sent.
    mutating func drop(below index: UInt32) {
        guard index > firstIndex else { return }
        precondition(index <= nextIndex, "tokens are dropped that were never sent")
        settle()
        first = index == nextIndex ? next : position(Int(index - firstIndex), after: first)
        firstIndex = index
        // Each token is moved at most once per halving: linear in what is appended.
        if 2 * Int(first.token) >= ids.count { compact() }
    }

    private mutating func compact() {
        ids.removeFirst(Int(first.token))
        textLengths.removeFirst(Int(first.token))
        text.removeFirst(Int(first.text))
        if hasLogprobs {
            logprobCounts.removeFirst(Int(first.token))
            logprobs.removeFirst(Int(first.logprob))
        }
        next.token -= first.token
        next.text -= first.text
        next.logprob -= first.logprob
        checksummed -= first.text
        first = Position()
    }

    /// Where the token lies that is `count` tokens behind another one.
    private func position(_ count: Int, after start: Position) -> Position {
        var position = start
        position.token += UInt32(count)
        if position.token == ids.count {
            position.text = UInt32(text.count)
            position.logprob = UInt32(logprobs.count)
            return position
        }
        let (lengths, entries) = (textLengths.span, logprobCounts.span)
        for token in start.token..<position.token {
            position.text += UInt32(lengths[Int(token)])
            if hasLogprobs { position.logprob += UInt32(entries[Int(token)]) }
        }
        return position
    }
}
