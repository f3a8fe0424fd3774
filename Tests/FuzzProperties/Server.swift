import LMProtocol

extension FuzzTarget {
    /// Whatever a client sends and whenever the owner sends: what leaves the server obeys the protocol.
    func checkServer(_ input: [UInt8]) throws(Broken) {
        let streams: UInt32 = 4
        var script = Script(input)
        var server = OpenPair(concurrentStreams: streams).server
        var inbox = Inbox()
        var ledger = ServerLedger(grant: streams)
        for _ in 0..<256 where !script.isAtEnd {
            let choice = script.byte() % 16
            let stream = script.number() % 12
            var sent: [UInt8] = []
            let wasClosed = server.isClosed
            if choice < 8 {
                inbox.append(Self.clientBytes(choice, stream, &script))
                while let action = inbox.next(of: &server) { try ledger.received(action, limit: streams) }
            } else {
                // A refusal to send is an answer like any other: what counts is what leaves.
                try? Self.send(choice, stream, &script, from: &server, into: &sent)
            }
            if wasClosed, inbox.error == nil { try hold(sent.isEmpty, "it sends after it was closed") }
            try ledger.sent(sent)
            try hold(server.openStreamCount <= Int(streams), "more streams are open than were granted")
            if !server.isClosed {
                try hold(Set(server.openStreams) == ledger.open, "its streams are not those it opened")
            }
        }
    }

    private static func clientBytes(_ choice: UInt8, _ stream: UInt32, _ script: inout Script) -> [UInt8] {
        switch choice {
        case 0:
            let field: [UInt8] = [2, 0, 1, 0, 0, 0, 0x78]
            return frame(0x90, stream, integers(script.number(), 0, 3) + field)
        case 1: return frame(0x91, stream, [script.byte() % 7, 0, 0, 0])
        case 2: return frame(0x92, stream, integers(script.number(), script.number()))
        case 3: return frame(0x93, stream, integers(1))
        case 4:
            return frame(0x94, stream, [UInt8](repeating: 7, count: 16) + integers(script.number(), script.number()))
        case 5: return frame(0x82, 0, integers(1, 2))
        case 6:
            let type = script.byte()
            return frame(type, stream, script.bytes(Int(script.byte())))
        default: return script.bytes(Int(script.byte()))
        }
    }

    private static func send(
        _ choice: UInt8, _ stream: UInt32, _ script: inout Script, from server: inout Connection,
        into sent: inout [UInt8]
    ) throws(WireError) {
        switch choice {
        case 8:
            var accept = AcceptMessage()
            accept.startIndex = script.number()
            try server.sendAccept(on: stream, accept, into: &sent)
        case 9:
            var tokens = TokensMessage(firstIndex: script.number())
            for _ in 0..<script.byte() % 4 { try tokens.append(id: 1, text: [0x61].span) }
            try server.sendTokens(on: stream, tokens, into: &sent)
        case 10:
            let message = FinishMessage(reason: .stop, tokens: script.number(), checksum: 0)
            try server.sendFinish(on: stream, message, into: &sent)
        case 11: try server.sendError(on: stream, ErrorMessage(.engine, "it broke"), into: &sent)
        case 12: try server.sendReply(on: stream, .tokenize([1]), into: &sent)
        case 13:
            let isFinal = script.byte() % 2 == 1
            try server.sendGoAway(isFinal: isFinal, grace: 1, reason: .draining, into: &sent)
        case 14: server.close(with: ErrorMessage(.internal, "it gave up"), into: &sent)
        default:
            let progress = ProgressMessage(phase: .queued, done: 0, total: 1)
            try server.sendProgress(on: stream, progress, into: &sent)
        }
    }
}

/// A second, slower account of what a server received and sent.
private struct ServerLedger {
    private struct Stream {
        var isCall = false
        var isAccepted = false
        var isCancelled = false
        var next: UInt32 = 0
        var credit: UInt32 = 0
    }

    private var streams: [UInt32: Stream] = [:]
    private var highest: UInt32 = 0
    private var grant: UInt32
    private var isOver = false

    init(grant: UInt32) { self.grant = grant }

    var open: Set<UInt32> { Set(streams.keys) }

    mutating func received(_ action: Connection.Action, limit: UInt32) throws(Broken) {
        try hold(!isOver, "it acts on what comes after the end")
        switch action {
        case .generate(let number, let message): try opened(number, Stream(credit: message.creditLimit))
        case .resume(let number, let message):
            try opened(number, Stream(next: message.nextIndex, credit: message.creditLimit))
        case .call(let number, _): try opened(number, Stream(isCall: true))
        case .rejected(let number, _): try opened(number, Stream())
        case .credit(let number, let message):
            guard var stream = streams[number] else { throw Broken(property: "credit for a stream that is not open") }
            try hold(message.limit >= stream.credit, "credit shrinks")
            try hold(message.consumed <= stream.next, "tokens are consumed before they are sent")
            stream.credit = message.limit
            streams[number] = stream
        case .cancel(let number, _):
            guard let stream = streams[number] else { throw Broken(property: "cancels a stream that is not open") }
            try hold(!stream.isCancelled, "cancels a stream twice")
            streams[number]?.isCancelled = true
        case .error(let number, _):
            try hold(number == 0, "a client's error on a stream")
            isOver = true
        case .ping, .pong, .ignored: break
        default: throw Broken(property: "a server's connection yields \(action)")
        }
    }

    private mutating func opened(_ number: UInt32, _ stream: Stream) throws(Broken) {
        try hold(number > highest, "a stream number is used twice")
        try hold(number <= grant, "a stream is opened beyond the grant")
        highest = number
        streams[number] = stream
    }

    /// Reads what was appended to the outbound bytes by one call.
    mutating func sent(_ bytes: [UInt8]) throws(Broken) {
        var rest = bytes[...]
        while !rest.isEmpty {
            try hold(rest.count >= Limits.header, "half a header leaves")
            let header = FrameHeader(word: rest.prefix(Limits.header).reversed().reduce(0) { $0 << 8 | UInt64($1) })
            rest = rest.dropFirst(Limits.header)
            try hold(rest.count >= header.length, "half a frame leaves")
            try sent(header, Array(rest.prefix(header.length)))
            rest = rest.dropFirst(header.length)
        }
    }

    private mutating func sent(_ header: FrameHeader, _ payload: [UInt8]) throws(Broken) {
        try hold(!isOver, "a frame leaves after the last")
        guard header.stream > 0 else {
            if header.kind == .error { isOver = true }
            if header.kind == .maxStreams {
                let value = payload.reversed().reduce(0) { $0 << 8 | UInt32($1) }
                try hold(value > grant, "a grant does not grow")
                grant = value
            }
            return
        }
        guard var stream = streams[header.stream] else {
            throw Broken(property: "\(header) leaves for a stream that is not open")
        }
        switch header.kind {
        case .accept:
            try hold(!stream.isCall && !stream.isAccepted, "a stream is accepted twice")
            stream.isAccepted = true
        case .tokens:
            try hold(stream.isAccepted, "tokens before ACCEPT")
            try hold(UInt16(payload[0]) | UInt16(payload[1]) << 8 == UInt16(truncatingIfNeeded: stream.next), "a gap")
            stream.next += UInt32(payload[2])
            try hold(stream.next <= stream.credit, "tokens beyond the credit")
        case .progress: try hold(stream.isAccepted, "progress before ACCEPT")
        case .finish:
            try hold(stream.isAccepted, "FINISH before ACCEPT")
            return streams[header.stream] = nil
        case .reply:
            try hold(stream.isCall, "a generation is answered by REPLY")
            return streams[header.stream] = nil
        case .error: return streams[header.stream] = nil
        default: throw Broken(property: "a server sends \(header)")
        }
        streams[header.stream] = stream
    }
}
