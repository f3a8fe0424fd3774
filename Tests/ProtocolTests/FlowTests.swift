import LMProtocol
import Testing

@Suite("Credit and stream grants")
struct FlowTests {
    @Test("credit is absolute, only grows, and counts the tokens sent")
    func credit() throws {
        var pair = try Pair()
        let stream = try pair.generate(credit: 2)
        #expect(pair.server.credit(on: stream) == 2)
        let two = try TokensMessage(first: 0, [(1, "a"), (2, "b")])
        try pair.toClient { try $0.sendTokens(on: stream, two, into: &$1) }
        #expect(pair.server.credit(on: stream) == 0)

        let credit = CreditMessage(limit: 10, consumed: 2)
        #expect(
            try pair.toServer { try $0.sendCredit(on: stream, credit, into: &$1) }.actions == [.credit(stream, credit)])
        #expect(pair.server.credit(on: stream) == 8)

        let again = try pair.toServer { client, bytes in
            try client.sendCredit(on: stream, credit, into: &bytes)
            try client.sendCredit(on: stream, CreditMessage(limit: 4, consumed: 2), into: &bytes)
        }
        #expect(again.bytes.isEmpty, "a client does not repeat itself")

        let smaller = frame(type: 0x92, stream: stream, [4, 0, 0, 0, 2, 0, 0, 0])
        let isIgnored = if case .ignored? = try pair.server.receiveAll(smaller).first { true } else { false }
        #expect(isIgnored && pair.server.credit(on: stream) == 8, "a smaller limit changes nothing")
        let largest = CreditMessage(limit: .max, consumed: 2)
        try pair.toServer { try $0.sendCredit(on: stream, largest, into: &$1) }
        #expect(pair.server.credit(on: stream) == UInt32.max - 2)
    }

    @Test("consuming what was not sent is a violation")
    func consumedTooMuch() throws {
        var pair = try Pair()
        try pair.generate()
        #expect(throws: WireError.self) {
            try pair.server.receiveAll(frame(type: 0x92, stream: 1, [99, 0, 0, 0, 1, 0, 0, 0]))
        }
    }

    @Test(
        "a client does not take tokens beyond its credit, repeated or missing",
        arguments: [(0, 3), (1, 1), (UInt32.max, 1)] as [(UInt32, Int)])
    func badTokens(_ first: UInt32, _ count: Int) throws {
        var pair = try Pair()
        try pair.generate(credit: 2)
        let tokens = try TokensMessage(first: first, Array(repeating: (5, "x"), count: count))
        // A server that does not mind sends the same frame on a stream with more credit.
        var reckless = try Pair()
        try reckless.generate(credit: 99)
        var sent: [UInt8] = []
        if first == 0 { try reckless.server.sendTokens(on: 1, tokens, into: &sent) }
        sent = sent.isEmpty ? frame(type: 0xA1, stream: 1, one(first: first)) : sent
        #expect(throws: WireError.self) { try pair.client.receiveAll(sent) }
    }

    private func one(first: UInt32) -> [UInt8] {
        var payload: [UInt8] = []
        payload.append(integer: UInt16(truncatingIfNeeded: first))
        return payload + bytes(hex: "01 00 05 00 00 00 78")
    }

    @Test(
        "malformed TOKENS",
        arguments: [
            "00 00 00 00",  // no tokens
            "00 00 01 04 07 00 00 00",  // unknown flag
            "00 00 02 00 07 00 00 00 09 00 00 00 04 61 62 63",  // text past the end of the frame
            "00 00 02 00 07 00 00 00",  // half the ids
            "00 00 02 02 07 00 00 00 09 00 00 00 01",  // half a wide length
            "00 00 02 02 07 00 00 00 09 00 00 00 01 10",  // a token of 4,097 bytes
            "00 00 01 01 07 00 00 00 16",  // 22 log-probabilities
            "00 00 01 01 07 00 00 00 01 07 00 00 00",  // half an entry
            "01 00 01 00 07 00 00 00",  // token 1 is not the next one
        ])
    func malformedTokens(_ payload: String) throws {
        var pair = try Pair()
        try pair.generate()
        #expect(throws: WireError.self) {
            try pair.client.receiveAll(frame(type: 0xA1, stream: 1, bytes(hex: payload)))
        }
    }

    @Test("the text of a frame and of its last token are bounded")
    func tooMuchText() throws {
        for (count, isFine) in [(4_096, true), (4_097, false)] {
            var pair = try Pair()
            try pair.generate()
            let payload = bytes(hex: "00 00 01 00 07 00 00 00") + Array(repeating: 0x78, count: count)
            let actions = try? pair.client.receiveAll(frame(type: 0xA1, stream: 1, payload))
            #expect((actions != nil) == isFine)
        }
    }

    @Test("token indexes go on past the 16 bits that a frame says of them")
    func indexWraps() throws {
        var pair = try Pair()
        try pair.generate(credit: .max)
        var message = TokensMessage(firstIndex: 0)
        for index: UInt32 in 0..<66_000 {
            message.removeAll(firstIndex: index)
            try message.append(id: 5, text: [0x61].span)
            let actions = try pair.toClient { try $0.sendTokens(on: 1, message, into: &$1) }.actions
            if index % 1_000 == 535 { #expect(actions == [.tokens(1, message)]) }
        }
    }

    @Test("a resumed stream starts where it was asked to, within its credit, and its whole text is checked")
    func resume() throws {
        var checksum = CRC32C()
        checksum.update(Array("ab".utf8).span.bytes)
        let rest = try TokensMessage(first: 2, [(1, "c")])
        func resumed() throws -> Pair {
            var pair = try Pair()
            let resume = ResumeMessage(token: .sample, nextIndex: 2, creditLimit: 3)
            let actions = try pair.toServer { _ = try $0.sendResume(resume, checksum: checksum, into: &$1) }.actions
            #expect(actions == [.resume(1, resume)])
            var accept = AcceptMessage()
            accept.startIndex = 2
            try pair.toClient { try $0.sendAccept(on: 1, accept, into: &$1) }
            try pair.toClient { try $0.sendTokens(on: 1, rest, into: &$1) }
            #expect(pair.server.credit(on: 1) == 0)
            return pair
        }
        var pair = try resumed()
        let good = FinishMessage(reason: .stop, tokens: 3, checksum: 0x364B_3FB7)
        #expect(
            try pair.toClient { try $0.sendFinish(on: 1, good, into: &$1) }.actions
                == [.finish(1, good), .maxStreams(129)])
        pair = try resumed()
        let bad = FinishMessage(reason: .stop, tokens: 3, checksum: 0x364B_3FB6)
        let actions = try pair.toClient { try $0.sendFinish(on: 1, bad, into: &$1) }.actions
        guard case .error(1, let error)? = actions.first else {
            Issue.record("a wrong checksum went unnoticed: \(actions)")
            return
        }
        #expect(error.code == .internal && !error.isRetryable)
        pair = try resumed()
        #expect(throws: WireError.self) {
            try pair.client.receiveAll(
                frame(type: 0xA2, stream: 1, bytes(hex: "01 00 00 00 02 00 00 00 00 00 00 00")))
        }
        #expect(pair.client.isClosed, "the number of tokens in FINISH is the number sent")
    }

    @Test("ACCEPT of a resumed stream must name the token asked for", arguments: [0, 1, 3] as [UInt32])
    func wrongStart(_ index: UInt32) throws {
        var pair = try Pair()
        let resume = ResumeMessage(token: .sample, nextIndex: 2, creditLimit: 3)
        try pair.toServer { _ = try $0.sendResume(resume, checksum: nil, into: &$1) }
        var payload: [UInt8] = []
        payload.append(integer: index)
        #expect(throws: WireError.self) { try pair.client.receiveAll(frame(type: 0xA0, stream: 1, payload)) }
    }

    @Test("a client never has more streams open than the server allows, and never starves", arguments: [1, 2, 3, 128])
    func streamGrants(_ limit: UInt32) throws {
        var pair = try Pair(concurrentStreams: limit)
        var random = SplitMix64(state: 7)
        var open: [UInt32] = []
        for _ in 0..<2_000 {
            if pair.client.canOpenStream, random.next() % 3 != 0 {
                open.append(try pair.call())
            } else if let index = open.indices.randomElement(using: &random) {
                let stream = open.remove(at: index)
                try pair.toClient {
                    try $0.sendReply(on: stream, .health(HealthReply(status: .ready)), into: &$1)
                }
            }
            #expect(pair.server.openStreamCount == open.count && open.count <= limit)
            #expect(pair.client.canOpenStream == (open.count < limit))
        }
        #expect(open.count < 2_000)
    }

    @Test("a stream number beyond the grant, or not growing, is a violation")
    func badStreamNumbers() throws {
        let payload = bytes(hex: "01 00 00 00")
        var pair = try Pair(concurrentStreams: 4)
        var server = pair.server
        #expect(throws: WireError.self) { try server.receiveAll(frame(type: 0x91, stream: 5, payload)) }
        server = pair.server
        #expect(try server.receiveAll(frame(type: 0x91, stream: 4, payload)) == [.call(4, .health)], "gaps are allowed")
        #expect(throws: WireError.self) { try server.receiveAll(frame(type: 0x91, stream: 3, payload)) }
        for _ in 0..<4 { try pair.call() }
        #expect(!pair.client.canOpenStream && !pair.client.isExhausted)
        var bytes: [UInt8] = []
        let error = #expect(throws: WireError.self) { _ = try pair.client.sendCall(.health, into: &bytes) }
        #expect(error?.code == .overloaded && bytes.isEmpty)
    }

    @Test("refilling and sending TOKENS uses no new memory")
    func steadyState() throws {
        var pair = try Pair()
        let stream = try pair.generate(credit: .max)
        var message = TokensMessage(firstIndex: 0)
        var buffer: [UInt8] = []
        buffer.reserveCapacity(1_024)
        let text: [UInt8] = [0x20, 0x61]
        var address: UInt?
        for index: UInt32 in 0..<1_000 {
            message.removeAll(firstIndex: index)
            try message.append(id: 5, text: text.span)
            buffer.removeAll(keepingCapacity: true)
            try pair.server.sendTokens(on: stream, message, into: &buffer)
            let now = buffer.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
            #expect(address ?? now == now)
            address = now
        }
        #expect(pair.server.credit(on: stream) == UInt32.max - 1_000)
    }
}

/// A small generator with a fixed seed, so that a failure repeats.
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
