/// Consecutive tokens of a generation as they lie in their owner's memory: what `sendTokens` turns into frames, with no
/// message in between.
package struct TokenSlice: ~Escapable {
    let ids: Span<Int32>
    let textLengths: Span<UInt16>
    let text: Span<UInt8>
    let logprobCounts: Span<UInt8>
    let logprobs: Span<TokensMessage.Logprob>

    /// - Parameters:
    ///   - textLengths: bytes of text of each token, at most `Limits.tokenText`; as many as `ids`.
    ///   - text: UTF-8 of all tokens, exactly as long as the lengths say.
    ///   - logprobCounts: entries of each token in `logprobs`, at most 1 + `Limits.alternatives`; empty when no token has
    ///     any.
    @_lifetime(copy ids, copy textLengths, copy text, copy logprobCounts, copy logprobs)
    package init(
        ids: Span<Int32>, textLengths: Span<UInt16>, text: Span<UInt8>, logprobCounts: Span<UInt8>,
        logprobs: Span<TokensMessage.Logprob>
    ) {
        precondition(textLengths.count == ids.count, "each token says how long its text is")
        precondition(logprobCounts.isEmpty || logprobCounts.count == ids.count, "each token has its entries, or none")
        self.ids = ids
        self.textLengths = textLengths
        self.text = text
        self.logprobCounts = logprobCounts
        self.logprobs = logprobs
    }

    /// Number of tokens.
    package var count: Int { ids.count }
}

// The layout is TokensMessage's.
extension TokenSlice {
    /// How much of a slice the next frame takes.
    private struct Frame {
        var tokens: Range<Int>
        var text: Range<Int>
        var logprobs: Range<Int>
        var isWide: Bool

        var hasLogprobs: Bool { !logprobs.isEmpty }

        var payloadLength: Int {
            let lengths = (tokens.count - 1) * (isWide ? 2 : 1)
            return 4 + 4 * tokens.count + lengths + text.count + (hasLogprobs ? tokens.count + 8 * logprobs.count : 0)
        }
    }

    /// Appends TOKENS frames until all tokens are in one.
    ///
    /// - Parameter index: of the first token.
    func encode(stream: UInt32, from index: UInt32, into bytes: inout [UInt8]) {
        var (token, textStart, logprobStart) = (0, 0, 0)
        while token < count {
            let frame = nextFrame(token, textStart, logprobStart)
            let length = Limits.header + frame.payloadLength
            bytes.append(addingCapacity: length) { output in
                output.withUnsafeMutableBufferPointer { buffer, count in
                    var writer = RawWriter(UnsafeMutableRawBufferPointer(buffer))
                    write(frame, stream: stream, index: index &+ UInt32(token), to: &writer)
                    precondition(writer.offset == length, "a frame is as long as its header says")
                    count = length
                }
            }
            (token, textStart, logprobStart) = (
                frame.tokens.upperBound, frame.text.upperBound, frame.logprobs.upperBound
            )
        }
    }

    private func nextFrame(_ token: Int, _ textStart: Int, _ logprobStart: Int) -> Frame {
        let most = min(count, token + Limits.tokensPerFrame)
        var (end, textEnd, longest) = (token, textStart, 0)
        while end < most {
            let length = Int(textLengths[end])
            guard textEnd + length <= textStart + Limits.tokensText else { break }
            // The last token's length is not written.
            if end > token { longest = max(longest, Int(textLengths[end - 1])) }
            textEnd += length
            end += 1
        }
        precondition(end > token, "a token's text fits a frame")
        var logprobEnd = logprobStart
        if !logprobCounts.isEmpty {
            for position in token..<end { logprobEnd += Int(logprobCounts[position]) }
        }
        return Frame(
            tokens: token..<end, text: textStart..<textEnd, logprobs: logprobStart..<logprobEnd,
            isWide: longest > UInt8.max)
    }

    private func write(_ frame: Frame, stream: UInt32, index: UInt32, to writer: inout RawWriter) {
        var header = FrameHeader(.tokens, stream: stream)
        header.length = frame.payloadLength
        writer.write(header.word)
        writer.write(UInt16(truncatingIfNeeded: index))
        writer.write(UInt8(frame.tokens.count))
        writer.write(
            (frame.hasLogprobs ? TokensMessage.Flag.logprobs : 0) | (frame.isWide ? TokensMessage.Flag.wide : 0))
        for position in frame.tokens { writer.write(ids[position]) }
        for position in frame.tokens.dropLast() {
            if frame.isWide {
                writer.write(textLengths[position])
            } else {
                writer.write(UInt8(textLengths[position]))
            }
        }
        if frame.hasLogprobs {
            for position in frame.tokens { writer.write(logprobCounts[position]) }
            for position in frame.logprobs {
                writer.write(logprobs[position].token)
                writer.write(logprobs[position].value.bitPattern)
            }
        }
        writer.write(text.extracting(frame.text).bytes)
    }
}

/// Fills memory of a size that was computed from what is written.
private struct RawWriter {
    private let buffer: UnsafeMutableRawBufferPointer
    private(set) var offset = 0

    init(_ buffer: UnsafeMutableRawBufferPointer) { self.buffer = buffer }

    mutating func write<T: FixedWidthInteger & BitwiseCopyable>(_ value: T) {
        buffer.storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
        offset += MemoryLayout<T>.size
    }

    mutating func write(_ bytes: RawSpan) {
        bytes.withUnsafeBytes {
            UnsafeMutableRawBufferPointer(rebasing: buffer[offset...]).copyMemory(from: $0)
            offset += $0.count
        }
    }
}
