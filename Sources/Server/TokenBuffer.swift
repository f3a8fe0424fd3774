internal import LMEngine
internal import LMProtocol

/// The tokens of a generation that may have to be sent, or sent again: a window on its output, in flat arrays that keep
/// their memory, so that in steady state a token costs no allocation.
struct TokenBuffer {
    /// Index of the first token kept.
    private(set) var firstIndex: UInt32 = 0

    private var ids: [Int32] = []
    private var text: [UInt8] = []
    private var logprobs: [TokenLogprob] = []
    /// Where each token's text ends in `text`, and its entries in `logprobs`.
    private var ends: [(text: Int, logprobs: Int)] = []
    /// Tokens at the front of the arrays that were dropped already.
    private var dropped = 0

    /// Index after the last token.
    var endIndex: UInt32 { firstIndex + UInt32(ids.count - dropped) }

    /// Memory that the contents take.
    var byteCount: Int {
        text.count + ids.count * 20 + logprobs.count * MemoryLayout<TokenLogprob>.stride
    }

    /// Adds the next token.
    mutating func append(id: Int32, text piece: Span<UInt8>, logprobs entries: Span<TokenLogprob>) {
        ids.append(id)
        text.append(piece.bytes)
        if !entries.isEmpty { entries.withUnsafeBufferPointer { logprobs.append(contentsOf: $0) } }
        ends.append((text.count, logprobs.count))
    }

    /// Forgets tokens with an index below this, which is at most `endIndex`.
    mutating func drop(below index: UInt32) {
        guard index > firstIndex else { return }
        dropped += Int(index - firstIndex)
        firstIndex = index
        precondition(dropped <= ids.count, "tokens are dropped that never came")
        // Each token is moved at most once per halving: linear in what is appended.
        if dropped >= ids.count - dropped { compact() }
    }

    private mutating func compact() {
        let start = start(of: dropped)
        ids.removeFirst(dropped)
        ends.removeFirst(dropped)
        text.removeFirst(start.text)
        logprobs.removeFirst(start.logprobs)
        for position in ends.indices {
            ends[position].text -= start.text
            ends[position].logprobs -= start.logprobs
        }
        dropped = 0
    }

    private func start(of position: Int) -> (text: Int, logprobs: Int) {
        position == 0 ? (0, 0) : ends[position - 1]
    }

    /// Adds the text of the tokens from `index` on to a checksum.
    func addText(from index: UInt32, to checksum: inout CRC32C) {
        let start = start(of: dropped + Int(index - firstIndex)).text
        checksum.update(text.span.extracting(start..<text.count).bytes)
    }

    /// Fills a frame with tokens in `range`, which is kept here and not empty, as far as they fit.
    func fill(_ message: inout TokensMessage, with range: Range<UInt32>) throws(WireError) {
        message.removeAll(firstIndex: range.lowerBound)
        let first = dropped + Int(range.lowerBound - firstIndex)
        var start = start(of: first)
        for position in first..<first + range.count {
            let end = ends[position]
            guard message.hasRoom(forText: end.text - start.text) else { return }
            try message.append(id: ids[position], text: text.span.extracting(start.text..<end.text))
            for entry in logprobs[start.logprobs..<end.logprobs] {
                try message.append(.init(token: entry.token, value: entry.logprob))
            }
            start = end
        }
    }
}
