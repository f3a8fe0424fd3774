import LMProtocol

extension FuzzTarget {
    /// Whatever a server sends and whenever the owner sends: each stream is told its tokens in order, within its credit,
    /// and one end.
    func checkClient(_ input: [UInt8]) throws(Broken) {
        var script = Script(input)
        var client = OpenPair(concurrentStreams: 6).client
        var inbox = Inbox()
        var ledger = ClientLedger()
        for _ in 0..<256 where !script.isAtEnd {
            let choice = script.byte() % 16
            let stream = script.number() % 12
            var sent: [UInt8] = []
            let wasClosed = client.isClosed
            if choice < 8 {
                try? Self.send(choice, stream, &script, from: &client, into: &sent, &ledger)
            } else {
                inbox.append(Self.serverBytes(choice, stream, &script))
                while let action = inbox.next(of: &client) { try ledger.received(action) }
            }
            if wasClosed, inbox.error == nil { try hold(sent.isEmpty, "it sends after it was closed") }
            if !client.isClosed {
                try hold(Set(client.openStreams) == ledger.open, "its streams are not those it opened")
            }
        }
    }

    private static func send(
        _ choice: UInt8, _ stream: UInt32, _ script: inout Script, from client: inout Connection,
        into sent: inout [UInt8], _ ledger: inout ClientLedger
    ) throws(WireError) {
        switch choice {
        case 0, 1:
            let credit = script.number()
            let request = GenerateMessage(prompt: .text("x"), creditLimit: credit)
            ledger.opened(try client.sendGenerate(request, into: &sent), at: 0, credit: credit)
        case 2: ledger.opened(try client.sendCall(.health, into: &sent), at: 0, credit: 0)
        case 3:
            let message = ResumeMessage(
                token: Opaque128(1, 2), nextIndex: script.number(), creditLimit: script.number())
            let number = try client.sendResume(message, checksum: nil, into: &sent)
            ledger.opened(number, at: message.nextIndex, credit: message.creditLimit)
        case 4:
            let credit = CreditMessage(limit: script.number(), consumed: script.number())
            try client.sendCredit(on: stream, credit, into: &sent)
            if !sent.isEmpty { ledger.granted(stream, credit.limit) }
        case 5: try client.sendCancel(on: stream, .user, into: &sent)
        case 6: try client.sendPing(1, into: &sent)
        default: client.close(with: ErrorMessage(.internal, "it gave up"), into: &sent)
        }
    }

    private static func serverBytes(_ choice: UInt8, _ stream: UInt32, _ script: inout Script) -> [UInt8] {
        switch choice {
        case 8: return frame(0xA0, stream, integers(script.number()))
        case 9:
            let (index, count) = (script.byte(), script.byte() % 4)
            let ids = [UInt8](repeating: 0, count: 4 * Int(count))
            return frame(
                0xA1, stream, [index, 0, count, 0] + ids + [UInt8](repeating: 0, count: max(0, Int(count) - 1)))
        case 10: return frame(0xA2, stream, integers(script.number() & 3, script.number(), script.number()))
        case 11: return frame(0xA3, script.byte() % 16 == 0 ? 0 : stream, integers(script.number(), 0))
        case 12: return frame(0xA4, stream, [])
        case 13:
            let last = script.byte()
            return frame(0x84, 0, integers(last == 255 ? .max : UInt32(last), 1, 15))
        case 14:
            let type = script.byte()
            return frame(type, stream, script.bytes(Int(script.byte())))
        default: return script.bytes(Int(script.byte()))
        }
    }
}

/// A second, slower account of a client's streams.
private struct ClientLedger {
    private struct Stream {
        var isAccepted = false
        var next: UInt32
        var credit: UInt32
    }

    private var streams: [UInt32: Stream] = [:]
    private var isOver = false

    var open: Set<UInt32> { Set(streams.keys) }

    mutating func opened(_ number: UInt32, at next: UInt32, credit: UInt32) {
        streams[number] = Stream(next: next, credit: credit)
    }

    mutating func granted(_ number: UInt32, _ limit: UInt32) {
        streams[number]?.credit.raise(to: limit)
    }

    mutating func received(_ action: Connection.Action) throws(Broken) {
        try hold(!isOver, "it acts on what comes after the end")
        switch action {
        case .accept(let number, let message):
            try change(number) { (stream) throws(Broken) in
                try hold(!stream.isAccepted && message.startIndex == stream.next, "a wrong ACCEPT is delivered")
                stream.isAccepted = true
            }
        case .tokens(let number, let message):
            try change(number) { (stream) throws(Broken) in
                try hold(stream.isAccepted && message.firstIndex == stream.next, "tokens out of order")
                stream.next += UInt32(message.count)
                try hold(stream.next <= stream.credit, "tokens beyond the credit")
            }
        case .progress(let number, _):
            try change(number) { (stream) throws(Broken) in try hold(stream.isAccepted, "progress before ACCEPT") }
        case .finish(let number, let message):
            try change(number) { (stream) throws(Broken) in
                try hold(stream.isAccepted && message.tokens == stream.next, "an end with tokens missing")
            }
            streams[number] = nil
        case .reply(let number, _): try end(number)
        case .error(0, _): isOver = true
        case .error(let number, _): try end(number)
        case .goAway(_, let refused): for number in refused { try end(number) }
        case .maxStreams, .ping, .pong, .ignored: break
        default: throw Broken(property: "a client's connection yields \(action)")
        }
    }

    private mutating func end(_ number: UInt32) throws(Broken) {
        try hold(streams.removeValue(forKey: number) != nil, "a stream that is not open ends")
    }

    private mutating func change(
        _ number: UInt32, _ body: (inout Stream) throws(Broken) -> Void
    ) throws(Broken) {
        guard var stream = streams[number] else {
            throw Broken(property: "a stream that is not open is told something")
        }
        try body(&stream)
        streams[number] = stream
    }
}

extension UInt32 {
    fileprivate mutating func raise(to other: UInt32) { self = Swift.max(self, other) }
}
