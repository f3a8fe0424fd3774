import LMProtocol
import Testing

@Suite("Sessions under hostile conditions")
struct FuzzTests {
    /// Everything a server and a client receive in one conversation, from the preface on.
    private func conversation() throws -> (toServer: [UInt8], toClient: [UInt8]) {
        var pair = try Pair()
        var toServer: [UInt8] = []
        var hello = Connection.client(HelloMessage(maxPayload: Limits.clientPayload))
        try hello.start(into: &toServer)
        var toClient: [UInt8] = []
        toServer += try pair.toServer { client, bytes in
            _ = try client.sendGenerate(.full, into: &bytes)
            _ = try client.sendCall(.tokenize(.messages([.init(role: "user", content: "x")]), model: nil), into: &bytes)
            _ = try client.sendGenerate(.sample(), into: &bytes)
            try client.sendPing(5, into: &bytes)
        }.bytes
        toClient += try pair.toClient { server, bytes in
            try server.sendPong(5, into: &bytes)
            try server.sendAccept(on: 1, .full, into: &bytes)
            try server.sendTokens(on: 1, .withLogprobs, into: &bytes)
            try server.sendReply(on: 2, .tokenize([1, 2, 3]), into: &bytes)
            try server.sendError(on: 3, ErrorMessage(.overloaded, "full"), into: &bytes)
            try server.sendProgress(on: 1, .sample, into: &bytes)
        }.bytes
        toServer += try pair.toServer { client, bytes in
            try client.sendCredit(on: 1, CreditMessage(limit: 20, consumed: 2), into: &bytes)
            try client.sendCancel(on: 1, .user, into: &bytes)
        }.bytes
        toClient += try pair.toClient { server, bytes in
            try server.sendFinish(
                on: 1, FinishMessage(reason: .cancelled, tokens: 2, checksum: 0xC1D0_4330), into: &bytes)
            try server.sendGoAway(isFinal: true, grace: 1, reason: .draining, into: &bytes)
        }.bytes
        return (toServer, toClient)
    }

    /// A server that answers nothing but HELLO; or what it threw.
    private func serve(_ pieces: [ArraySlice<UInt8>]) -> Result<[Connection.Action], WireError> {
        var server = Connection.server(HelloMessage(maxPayload: Limits.serverPayload))
        var actions: [Connection.Action] = []
        var pending: [UInt8] = []
        var answers: [UInt8] = []
        do throws(WireError) {
            for piece in pieces {
                pending.append(contentsOf: piece)
                var consumed = 0
                while let action = try server.receive(pending.span.bytes, consumed: &consumed) {
                    actions.append(action)
                    switch action {
                    case .hello: try server.sendHello(into: &answers)
                    case .generate(1, _):
                        try server.sendAccept(on: 1, AcceptMessage(), into: &answers)
                        try server.sendTokens(on: 1, .two, into: &answers)
                    default: break
                    }
                }
                pending.removeFirst(consumed)
            }
            return .success(actions)
        } catch {
            return .failure(error)
        }
    }

    /// A client that has opened what the conversation answers.
    private func waitingClient() throws -> Connection {
        var pair = try Pair()
        try pair.generate(accept: false)
        try pair.call(.tokenize(.text("x"), model: nil))
        try pair.generate(accept: false)
        return pair.client
    }

    @Test("a conversation cut in two anywhere, or into bytes, means the same")
    func everySplit() throws {
        let (toServer, toClient) = try conversation()
        let served = try serve([toServer[...]]).get()
        #expect(served.count == 7)
        for cut in toServer.indices { #expect(try serve([toServer[..<cut], toServer[cut...]]).get() == served) }
        #expect(try serve(toServer.indices.map { toServer[$0...$0] }).get() == served)

        let fresh = try waitingClient()
        var client = fresh
        let answers = try client.receiveAll(toClient)
        #expect(answers.count == 11)
        for cut in toClient.indices {
            client = fresh
            #expect(try client.receive(pieces: [toClient[..<cut], toClient[cut...]]) == answers)
        }
        client = fresh
        #expect(try client.receive(pieces: toClient.indices.map { toClient[$0...$0] }) == answers)
    }

    @Test("200,000 mutations of a conversation end in actions or a typed error")
    func mutations() throws {
        let (toServer, toClient) = try conversation()
        let fresh = try waitingClient()
        var random = SplitMix64(state: 1)
        var failures = 0
        for round in 0..<200_000 {
            let isServer = round.isMultiple(of: 2)
            let received = mutate(isServer ? toServer : toClient, &random)
            if isServer {
                if case .failure = serve([received[...]]) { failures += 1 }
            } else {
                var client = fresh
                let actions = try? client.receiveAll(received)
                if actions == nil { failures += 1 }
                for case .tokens(_, let tokens) in actions ?? [] { walk(tokens) }
            }
        }
        #expect(failures > 50_000, "mutations that hit nothing test nothing")
    }

    /// What decoding let through must be safe to use.
    private func walk(_ tokens: TokensMessage) {
        for position in 0..<tokens.count {
            _ = tokens.text[tokens.textRange(position)]
            _ = tokens.logprobs[tokens.logprobRange(position)]
        }
    }

    private func mutate(_ original: [UInt8], _ random: inout SplitMix64) -> [UInt8] {
        var bytes = original
        // The preface stays in half of the rounds: behind a wrong one there is nothing to test.
        let start = random.next() % 16 == 0 ? 0 : 8
        for _ in 0...random.next() % 3 {
            let position = Int.random(in: start..<bytes.count, using: &random)
            switch random.next() % 5 {
            case 0: bytes[position] = UInt8.random(in: 0...255, using: &random)
            case 1: bytes[position] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 2: bytes[position] = random.next() % 2 == 0 ? 0 : 0xFF
            case 3: bytes.remove(at: position)
            default: bytes.insert(UInt8.random(in: 0...255, using: &random), at: position)
            }
        }
        return bytes
    }
}
