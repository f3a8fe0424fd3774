import LMProtocol
import Testing

/// What a connection makes of one frame.
private enum Outcome: Equatable {
    case action, ignored, rejected, violation

    init(_ result: Result<[Connection.Action], any Error>) {
        switch result {
        case .success(let actions):
            switch actions.first {
            case .ignored: self = .ignored
            case .rejected: self = .rejected
            default: self = .action
            }
        case .failure(let error): self = (error as? WireError)?.code == .protocolViolation ? .violation : .action
        }
    }
}

/// The state of stream 1 before the frame.
private enum Stage: CaseIterable {
    case unopened, opened, accepted, cancelled, closed, call, refused

    func pair() throws -> Pair {
        var pair = try Pair()
        switch self {
        case .unopened: break
        case .opened: try pair.generate(accept: false)
        case .accepted: try pair.generate()
        case .cancelled:
            try pair.generate()
            try pair.toServer { try $0.sendCancel(on: 1, .user, into: &$1) }
        case .closed:
            try pair.generate()
            try pair.toClient { try $0.sendFinish(on: 1, .empty, into: &$1) }
        case .call: try pair.call()
        case .refused:
            var late: [UInt8] = []
            try pair.server.sendGoAway(isFinal: true, grace: 0, reason: .draining, into: &late)
        }
        return pair
    }
}

@Suite("Stream states")
struct StateTests {
    private static let order: [Stage] = [.unopened, .opened, .accepted, .cancelled, .closed, .call, .refused]

    @Test(
        "state x frame on the server",
        arguments: [
            (.generate, [.action, .violation, .violation, .violation, .violation, .violation, .ignored]),
            (.resume, [.action, .violation, .violation, .violation, .violation, .violation, .ignored]),
            (.call, [.action, .violation, .violation, .violation, .violation, .violation, .ignored]),
            (.credit, [.violation, .action, .action, .action, .ignored, .violation, .ignored]),
            (.cancel, [.violation, .action, .action, .ignored, .ignored, .action, .ignored]),
        ] as [(FrameKind, [Outcome])])
    fileprivate func server(_ kind: FrameKind, _ expected: [Outcome]) throws {
        let payloads: [FrameKind: String] = [
            .generate: "40 00 00 00 00 00 00 00 03 00 00 00 02 00 02 00 00 00 68 69", .call: "01 00 00 00",
            .resume: "01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 03 00 00 00 40 00 00 00",
            .credit: "ff 00 00 00 00 00 00 00", .cancel: "01 00 00 00",
        ]
        for (stage, outcome) in zip(Self.order, expected) {
            var server = try stage.pair().server
            let received = frame(type: kind.rawValue, stream: 1, bytes(hex: payloads[kind] ?? ""))
            #expect(Outcome(Result { try server.receiveAll(received) }) == outcome, "\(kind) when \(stage)")
        }
    }

    @Test(
        "state x frame on the client",
        arguments: [
            (.accept, [.violation, .action, .violation, .violation, .violation, .violation, .violation]),
            (.tokens, [.violation, .violation, .action, .action, .violation, .violation, .violation]),
            (.progress, [.violation, .violation, .action, .action, .violation, .violation, .violation]),
            (.finish, [.violation, .violation, .action, .action, .violation, .violation, .violation]),
            (.error, [.violation, .action, .action, .action, .violation, .action, .violation]),
            (.reply, [.violation, .violation, .violation, .violation, .violation, .action, .violation]),
        ] as [(FrameKind, [Outcome])])
    fileprivate func client(_ kind: FrameKind, _ expected: [Outcome]) throws {
        let payloads: [FrameKind: String] = [
            .accept: "00 00 00 00", .tokens: "00 00 01 00 07 00 00 00",
            .progress: "01 00 00 00 00 00 00 00 00 00 00 00", .finish: "01 00 00 00 00 00 00 00 00 00 00 00",
            .error: "0a 00 01 00 00 00 00 00",
            .reply: "",
        ]
        for (stage, outcome) in zip(Self.order, expected) {
            var client = try stage.pair().client
            let received = frame(type: kind.rawValue, stream: 1, bytes(hex: payloads[kind] ?? ""))
            #expect(Outcome(Result { try client.receiveAll(received) }) == outcome, "\(kind) when \(stage)")
        }
    }

    @Test("a frame from the wrong end, or on the wrong stream, is a violation", arguments: FrameKind.allCases)
    func direction(_ kind: FrameKind) throws {
        let pair = try Pair()
        for role in [Role.client, .server] {
            for stream: UInt32 in [0, 1] {
                let isMisplaced = stream == 0 ? kind.scope == .stream : kind.scope == .connection
                guard isMisplaced || !kind.maySend(role, on: stream) else { continue }
                var receiver = role == .client ? pair.server : pair.client
                let error = #expect(throws: WireError.self) {
                    try receiver.receiveAll(frame(type: kind.rawValue, stream: stream))
                }
                #expect(error?.code == .protocolViolation)
            }
        }
    }

    @Test("unknown types are skipped or close the connection, by their own bit")
    func unknownTypes() throws {
        for type in UInt8.min...UInt8.max where FrameKind(rawValue: type) == nil {
            var server = try Pair().server
            let received = frame(type: type, stream: 9, [1, 2, 3]) + frame(type: 0x82, stream: 0, Array(1...8))
            if type & FrameKind.criticalBit == 0 {
                let actions = try server.receiveAll(received)
                #expect(actions.count == 2 && actions.last == .ping(0x0807_0605_0403_0201))
            } else {
                #expect(throws: WireError.self) { try server.receiveAll(received) }
            }
        }
    }

    @Test("after a violation the peer is told once, and nothing more happens")
    func closing() throws {
        var pair = try Pair()
        try pair.generate()
        let error = #expect(throws: WireError.self) { try pair.server.receiveAll(frame(type: 0xFA, stream: 0)) }
        let message = ErrorMessage(try #require(error))
        let actions = try pair.toClient { server, bytes in
            server.close(with: message, into: &bytes)
            server.close(with: message, into: &bytes)
        }.actions
        #expect(actions == [.error(0, message)])
        #expect(pair.client.isClosed && pair.client.openStreams.isEmpty && !pair.client.canOpenStream)
        #expect(try pair.server.receiveAll(frame(type: 0x82, stream: 0, Array(1...8))).isEmpty)
        var bytes: [UInt8] = []
        #expect(throws: WireError.self) { try pair.server.sendPing(1, into: &bytes) }
        pair.client.close(with: message, into: &bytes)
        #expect(bytes.isEmpty, "who ended the connection needs no answer")
    }

    @Test("GOAWAY refuses later streams, and names the ones to repeat")
    func goAway() throws {
        var pair = try Pair()
        try pair.generate()
        var late: [UInt8] = []
        _ = try pair.client.sendGenerate(.sample(), into: &late)
        _ = try pair.client.sendCall(.health, into: &late)

        var actions = try pair.toClient {
            try $0.sendGoAway(isFinal: false, grace: 5, reason: .draining, into: &$1)
        }.actions
        let warning = GoAwayMessage(lastStream: .max, grace: 5, reason: .draining)
        #expect(actions == [.goAway(warning, refused: [])])
        #expect(!pair.client.canOpenStream && pair.client.isExhausted)

        actions = try pair.toClient { try $0.sendGoAway(isFinal: true, grace: 5, reason: .draining, into: &$1) }.actions
        let final = GoAwayMessage(lastStream: 1, grace: 5, reason: .draining)
        #expect(actions == [.goAway(final, refused: [2, 3])])
        actions = try pair.server.receiveAll(late)
        #expect(actions.count == 2)
        #expect(actions.allSatisfy { if case .ignored = $0 { true } else { false } })

        actions = try pair.toClient { try $0.sendFinish(on: 1, .empty, into: &$1) }.actions
        #expect(actions == [.finish(1, .empty)], "open streams go on, no new ones are granted")
    }

    @Test("the server cannot send out of order, beyond the credit, or on a stream that is over")
    func serverMistakes() throws {
        var pair = try Pair()
        var bytes: [UInt8] = []
        let two = try TokensMessage(first: 0, [(1, "a"), (2, "b")])
        let unaccepted = try pair.generate(credit: 3, accept: false)
        #expect(throws: WireError.self) { try pair.server.sendTokens(on: unaccepted, two, into: &bytes) }
        #expect(throws: WireError.self) {
            try pair.server.sendFinish(on: unaccepted, .empty, into: &bytes)
        }
        try pair.server.sendAccept(on: unaccepted, AcceptMessage(), into: &bytes)
        try pair.server.sendTokens(on: unaccepted, two, into: &bytes)
        #expect(pair.server.credit(on: unaccepted) == 1)
        let good = bytes
        #expect(throws: WireError.self) { try pair.server.sendTokens(on: unaccepted, two, into: &bytes) }
        let next = try TokensMessage(first: 2, [(1, "a"), (2, "b")])
        #expect(throws: WireError.self) { try pair.server.sendTokens(on: unaccepted, next, into: &bytes) }
        #expect(throws: WireError.self) { try pair.server.sendReply(on: unaccepted, .models([]), into: &bytes) }
        #expect(throws: WireError.self) { try pair.server.sendTokens(on: 99, two, into: &bytes) }
        #expect(bytes == good, "nothing was appended")
    }
}
