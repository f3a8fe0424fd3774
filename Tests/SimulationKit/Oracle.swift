internal import LMEngine
internal import TestKit

/// What every request must yield, known before it is asked: token t is a function of the request's seed and t.
package final class Oracle: @unchecked Sendable {  // one thread: that of the world
    /// The whole answer to one request.
    package struct Answer: Sendable {
        package var tokens: [Int32]
        package var text: String
        /// Whether an end token ends it, as against its length.
        package var isStopped: Bool
    }

    private var answers: [UInt64: Answer] = [:]

    /// Text in pieces: words, and characters in halves that may or may not meet.
    private static let pieces: [[UInt8]] =
        ["the ", "stream", "a", " ", "é", "日本", "\n", "😀", String(repeating: "long ", count: 12)].map { Array($0.utf8) }
        + [[0xE6, 0x97], [0xA5], [0xF0, 0x9F], [0x98, 0x80], [0xC3], [0xA9], [0xFF]]

    /// The tokenizer of the world's model.
    static let tokenizer = FakeTokenizer(pieces: pieces)

    /// Token `index` of the answer to the request with this seed.
    static func token(seed: UInt64, index: Int) -> Int32 {
        let bits = CounterRandom.bits(seed: seed, position: index)
        if bits.isMultiple(of: 97) { return FakeTokenizer.end }
        return FakeTokenizer.firstPiece + Int32((bits >> 32) % UInt64(pieces.count))
    }

    /// Writes down the answer to a request before it is asked.
    func expect(seed: UInt64, maxTokens: Int) -> Answer {
        var answer = Answer(tokens: [], text: "", isStopped: false)
        var bytes: [UInt8] = []
        while answer.tokens.count < maxTokens, !answer.isStopped {
            let token = Self.token(seed: seed, index: answer.tokens.count)
            answer.tokens.append(token)
            answer.isStopped = token == FakeTokenizer.end
            Self.tokenizer.appendBytes(of: token, to: &bytes)
        }
        answer.text = String(decoding: bytes, as: UTF8.self)
        answers[seed] = answer
        return answer
    }

    /// The answer that was written down.
    func answer(seed: UInt64) -> Answer? { answers[seed] }
}
