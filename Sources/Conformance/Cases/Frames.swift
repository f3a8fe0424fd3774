extension CaseList {
    /// Section 4, with 6.2.
    static var frames: CaseList {
        var cases = CaseList("4")
        cases.must("PING", "PONG with its 8 bytes") { lab in
            let peer = try lab.greet()
            for value: UInt64 in [0, .max, 0x0102_0304_0506_0708] {
                peer.send(.ping(value))
                try peer.wait(for: "PONG \(value)") { $0.pongs.last == u64(value) }
            }
        }
        cases.must("1,000 PINGs in one write", "1,000 PONGs in their order") { lab in
            let peer = try lab.greet()
            let values = (0..<1_000).map { UInt64($0) << 20 }
            peer.send(values.map(Frame.ping))
            try peer.wait(for: "1,000 PONGs") { $0.pongs.count >= values.count }
            guard peer.monitor.pongs == values.map(u64) else { throw Stop.failed("the order or the bytes differ") }
        }
        cases.must("every kind of frame in one write", "each is answered") { lab in
            let peer = try lab.greet()
            peer.send(
                .ping(1), Generate(limit: 1).frame(1), .credit(1, .max), Frame(0x70, 9, [1]), .call(2),
                Generate(limit: 0).frame(3), .cancel(3), Frame(FrameType.pong, 0, u64(5)), .ping(2))
            try peer.finishes(1, Finish.Reason.length)
            _ = try peer.reply(2)
            _ = try peer.end(3)
            try peer.wait(for: "PONGs") { $0.pongs == [u64(1), u64(2)] }
        }
        cases.addSkipped()
        cases.addLengths()
        cases.addPlaces()
        cases.addSplits()
        cases.must("ERROR on stream 0 from a client", "close") { lab in
            let peer = try lab.greet()
            _ = try peer.openAccepted(Generate(limit: 0))
            peer.send(.error(0, 1, fields: field(1, text("enough"))))
            try peer.closes()
        }
        cases.must("frames after our ERROR on stream 0", "they are ignored; close") { lab in
            let peer = try lab.greet()
            peer.send(.error(), .ping(1), .call(1))
            try peer.closesSilently()
        }
        cases.must("frames after a violation", "ERROR PROTOCOL alone, close") { lab in
            let peer = try lab.greet()
            peer.send(.cancel(9), .ping(1), .call(1))
            try peer.violation()
        }
        return cases
    }

    private mutating func addSkipped() {
        for type: UInt8 in [0x00, 0x01, 0x10, 0x21, 0x23, 0x6F, 0x70, 0x7A, 0x7F] {
            ignored("unknown type 0x\(hex(type))") { _ in [Frame(type, 0, [1, 2, 3])] }
        }
        ignored("unknown types 0x70 to 0x7F on streams of all kinds") { _ in
            (UInt8(0x70)...0x7F).flatMap { type in [0, 1, 0x7FFF_FFFF, .max].map { Frame(type, $0, []) } }
        }
        ignored("an unknown type on a stream that is open") { peer in
            let stream = try peer.openAccepted(Generate(limit: 0))
            return [Frame(0x75, stream, [0])]
        }
        ignored("an unknown type with the longest payload") { peer in
            [Frame(0x7A, 0, Array(repeating: 0xEE, count: Int(peer.monitor.hello?.maxPayload ?? 0)))]
        }
        for type: UInt8 in [0x80, 0x85, 0x87, 0x8F, 0x95, 0x9F, 0xA5, 0xF0, 0xFA, 0xFF] {
            violation("unknown critical type 0x\(hex(type))") { _ in [Frame(type)] }
        }
        violation("an unknown critical type on a stream that is open") { peer in
            let stream = try peer.openAccepted(Generate(limit: 0))
            return [Frame(0xF5, stream, [0])]
        }
    }

    private mutating func addLengths() {
        let sizes: [(String, UInt8, UInt32, [Int])] = [
            ("PING", FrameType.ping, 0, [0, 7, 9]), ("PONG", FrameType.pong, 0, [0, 7, 9]),
            ("CREDIT", FrameType.credit, 1, [0, 7, 9]), ("CANCEL", FrameType.cancel, 1, [0, 3, 5]),
            ("RESUME", FrameType.resume, 2, [0, 15, 23]), ("GENERATE", FrameType.generate, 2, [0, 11]),
            ("CALL", FrameType.call, 2, [0, 3]),
        ]
        for (name, type, stream, counts) in sizes {
            for count in counts {
                violation("\(name) of \(count) bytes") { peer in
                    _ = try peer.openAccepted(Generate(limit: 0))
                    return [Frame(type, stream, Array(repeating: 0, count: count))]
                }
            }
        }
        for (title, type) in [("a known", FrameType.generate), ("an unknown", 0x7A), ("an unknown critical", 0xFA)] {
            must("a payload longer than announced of \(title) type, header only", "ERROR FRAME_TOO_LARGE, close") {
                lab in
                let peer = try lab.greet()
                let length = Int(peer.monitor.hello?.maxPayload ?? 0) + 1
                guard length <= 0xFF_FFFF else { throw Stop.skipped("the server takes any payload") }
                peer.send(raw: Frame.header(length, type, 1))
                try peer.violation(Code.frameTooLarge)
            }
        }
        must("a header that promises 2^24 - 1 bytes", "ERROR FRAME_TOO_LARGE, close") { lab in
            let peer = try lab.greet()
            guard peer.monitor.hello?.maxPayload != 0xFF_FFFF else {
                throw Stop.skipped("the server takes any payload")
            }
            peer.send(raw: Frame.header(0xFF_FFFF, FrameType.call, 1))
            try peer.violation(Code.frameTooLarge)
        }
    }

    private mutating func addPlaces() {
        let onConnection: [(String, Frame)] = [
            ("GENERATE", Generate().frame(0)), ("CALL", .call(0)), ("CREDIT", .credit(0, 1)), ("CANCEL", .cancel(0)),
            ("RESUME", .resume(0, Array(repeating: 7, count: 16), index: 0)),
        ]
        for (name, frame) in onConnection { violation("\(name) on stream 0") { _ in [frame] } }
        violation("PING on stream 1") { _ in [Frame(FrameType.ping, 1, u64(1))] }
        violation("PONG on stream 1") { _ in [Frame(FrameType.pong, 1, u64(1))] }
        violation("ERROR on stream 1 from a client") { peer in
            [.error(try peer.openAccepted(Generate(limit: 0)), 6)]
        }
        let fromServer: [(String, Frame)] = [
            ("GOAWAY", Frame(FrameType.goAway, 0, u32(.max) + u32(0) + u32(0))),
            ("MAX_STREAMS", Frame(FrameType.maxStreams, 0, u32(1_000))),
            ("ACCEPT", Frame(FrameType.accept, 1, u32(0))),
            ("TOKENS", Frame(FrameType.tokens, 1, u16(0) + [1, 0] + u32(5) + text("a"))),
            ("PROGRESS", Frame(FrameType.progress, 1, u32(1) + u32(0) + u32(0))),
            ("FINISH", Frame(FrameType.finish, 1, u32(1) + u32(0) + u32(0))),
            ("REPLY", Frame(FrameType.reply, 1)),
        ]
        for (name, frame) in fromServer {
            violation("\(name) from a client") { peer in
                _ = try peer.openAccepted(Generate(limit: 0))
                return [frame]
            }
        }
    }

    private mutating func addSplits() {
        split("PING") { _, _ in .ping(7) }
        split("an unknown frame") { _, _ in Frame(0x7A, 3, [1, 2, 3, 4]) }
        split("PONG") { _, _ in Frame(FrameType.pong, 0, u64(9)) }
        split("CALL", streams: true) { _, stream in .call(stream, Method.tokenize, field(2, text("Hi"))) }
        split("GENERATE", streams: true) { _, stream in Generate(tokens: 1).frame(stream) }
        split("RESUME", streams: true) { _, stream in .resume(stream, Array(repeating: 7, count: 16), index: 0) }
        must("CREDIT cut in two at each byte", "it grants each time") { lab in
            let peer = try lab.greet()
            let stream = try peer.openAccepted(Generate(tokens: 32, limit: 0))
            for offset in 1..<16 {
                peer.send(.credit(stream, UInt32(offset)), splitAt: offset)
                try peer.tokens(stream, UInt32(offset))
            }
        }
        must("CANCEL cut in two at each byte", "the stream ends each time") { lab in
            let peer = try lab.greet()
            for offset in 1..<12 {
                let stream = try peer.openAccepted(Generate(limit: 0))
                peer.send(.cancel(stream), splitAt: offset)
                try peer.finishes(stream, Finish.Reason.cancelled)
            }
        }
        must("ERROR cut in two at each byte", "close each time") { lab in
            for offset in 1..<16 {
                let peer = try lab.greet()
                peer.send(.error(), splitAt: offset)
                try peer.closes()
            }
        }
    }

    private mutating func split(
        _ name: String, streams: Bool = false, _ frame: @escaping @Sendable (Peer, UInt32) -> Frame
    ) {
        must("\(name) cut in two at each byte", "the same as in one piece") { lab in
            let peer = try lab.greet()
            for offset in 1..<frame(peer, 1).bytes.count {
                let stream = streams ? try peer.nextStream() : 0
                peer.send(frame(peer, stream), splitAt: offset)
                if streams { _ = try peer.end(stream) }
                try peer.fence()
            }
        }
    }
}
