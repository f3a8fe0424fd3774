import LMProtocol
import TestKit
import Testing

/// Tokens sent from where they lie.
@Suite struct TokenSliceTests {
    /// A token and all that belongs to it.
    private struct Token: Equatable {
        var id: Int32
        var text: [UInt8]
        var logprobs: [TokensMessage.Logprob]
    }

    @Test("a slice of any length arrives whole, in frames that are as full as their limits allow", arguments: 0..<40)
    func anySlice(seed: UInt64) throws {
        var random = TestRandom(seed: seed)
        let tokens = Self.tokens(withLogprobs: seed.isMultiple(of: 3), &random)
        var pair = try Pair()
        try pair.generate(credit: .max)
        // Two slices, so that the second starts elsewhere than at 0.
        let split = random.below(tokens.count + 1)
        let actions =
            try Self.send(tokens[..<split], from: 0, &pair) + Self.send(tokens[split...], from: UInt32(split), &pair)

        var received: [Token] = []
        for action in actions {
            guard case .tokens(1, let message) = action else {
                Issue.record("\(action) instead of tokens")
                return
            }
            #expect(message.firstIndex == UInt32(received.count))
            received += (0..<message.count).map { position in
                Token(
                    id: message.ids[position], text: Array(message.text[message.textRange(position)]),
                    logprobs: Array(message.logprobs[message.logprobRange(position)]))
            }
            guard received.count < tokens.count, received.count != split else { continue }
            #expect(
                message.count == Limits.tokensPerFrame
                    || message.text.count + tokens[received.count].text.count > Limits.tokensText,
                "the next token had had room")
        }
        #expect(received == tokens)
    }

    /// Mostly short texts, so that frames end by their number of tokens, and some long ones, so that they end by their text
    /// and need wide lengths.
    private static func tokens(withLogprobs: Bool, _ random: inout TestRandom) -> [Token] {
        let longest = [8, 300, Limits.tokenText][random.below(3)]
        return (0..<1 + random.below(700)).map { index in
            let length = random.below(10) == 0 ? random.below(longest + 1) : random.below(8)
            let entries = withLogprobs ? random.below(2 + Limits.alternatives) : 0
            return Token(
                id: Int32(truncatingIfNeeded: random.next()), text: (0..<length).map { UInt8(97 + ($0 + index) % 26) },
                logprobs: (0..<entries).map { .init(token: Int32($0), value: -Float($0)) })
        }
    }

    private static func send(
        _ tokens: ArraySlice<Token>, from index: UInt32, _ pair: inout Pair
    ) throws -> [Connection.Action] {
        let ids = tokens.map(\.id)
        let lengths = tokens.map { UInt16($0.text.count) }
        let text = tokens.flatMap(\.text)
        let logprobs = tokens.flatMap(\.logprobs)
        let counts = logprobs.isEmpty ? [] : tokens.map { UInt8($0.logprobs.count) }
        return try pair.toClient { server, bytes in
            let slice = TokenSlice(
                ids: ids.span, textLengths: lengths.span, text: text.span, logprobCounts: counts.span,
                logprobs: logprobs.span)
            try server.sendTokens(on: 1, from: index, slice, into: &bytes)
        }.actions
    }
}
