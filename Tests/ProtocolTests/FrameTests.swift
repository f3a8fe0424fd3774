import LMProtocol
import Testing

@Suite("Frames")
struct FrameTests {
    @Test("is encoded to exactly these bytes", arguments: Vector.all)
    func encoding(_ vector: Vector) throws {
        var pair = try vector.pair()
        var sent: [UInt8] = []
        if vector.sender == .client {
            try vector.send(&pair.client, &sent)
        } else {
            try vector.send(&pair.server, &sent)
        }
        #expect(hex(sent) == hex(vector.bytes))
    }

    @Test("is decoded from these bytes", arguments: Vector.all)
    func decoding(_ vector: Vector) throws {
        var receiver = try vector.receiver()
        #expect(try receiver.receiveAll(vector.bytes) == [vector.action])
    }

    @Test("every kind of frame has a vector")
    func completeness() {
        let seen = Set(Vector.all.map { $0.bytes[3] })
        // HELLO and MAX_STREAMS have their own test: they are sent by the handshake.
        #expect(Set(FrameKind.allCases.map(\.rawValue)).subtracting(seen) == [0x81, 0x86])
    }

    @Test("the handshake is exactly these bytes")
    func handshake() throws {
        var hello = HelloMessage(maxPayload: Limits.clientPayload)
        hello.credential = Credential("key")
        hello.agent = "test/1"
        var client = Connection.client(hello)
        hello = HelloMessage(maxPayload: Limits.serverPayload)
        hello.agent = "lm/1"
        hello.keepAlive = 15_000
        hello.resumeGrace = 30_000
        hello.cancelBudget = .init(perSecond: 16, burst: 512)
        hello.controlBudget = .init(perSecond: 1, burst: 2)
        hello.glitchBudget = .init(perSecond: 3, burst: 4)
        var server = Connection.server(hello)

        var sent: [UInt8] = []
        try client.start(into: &sent)
        #expect(
            sent
                == bytes(
                    hex: """
                        89 4c 4d 43 0d 0a 1a 0a 25 00 00 81 00 00 00 00 01 01 00 00 00 00 41 00 00 00 00 00 00 00 00 00
                        01 00 03 00 00 00 6b 65 79 02 00 06 00 00 00 74 65 73 74 2f 31
                        """))
        #expect(try server.receiveAll(sent) == [.hello(client.hello)])
        #expect(!server.isOpen)

        sent.removeAll()
        try server.sendHello(into: &sent)
        #expect(
            sent
                == bytes(
                    hex: """
                        58 00 00 81 00 00 00 00 01 01 00 00 00 00 11 00 00 00 00 00 00 00 00 00 02 00 04 00 00 00 6c 6d
                        2f 31 03 00 04 00 00 00 98 3a 00 00 04 00 04 00 00 00 30 75 00 00 05 00 08 00 00 00 10 00 00 00
                        00 02 00 00 06 00 08 00 00 00 01 00 00 00 02 00 00 00 07 00 08 00 00 00 03 00 00 00 04 00 00 00
                        04 00 00 86 00 00 00 00 80 00 00 00
                        """))
        #expect(try client.receiveAll(sent) == [.hello(hello), .maxStreams(128)])
        #expect(client.isOpen && server.isOpen && client.canOpenStream)
        #expect(client.version == 1 && server.version == 1)
    }

    @Test("any prefix of a frame is waited for, and the rest completes it", arguments: Vector.all)
    func prefixes(_ vector: Vector) throws {
        let fresh = try vector.receiver()
        for end in vector.bytes.indices {
            var receiver = fresh
            #expect(
                try receiver.receive(pieces: [vector.bytes[..<end], vector.bytes[end...]]) == [vector.action],
                "cut at \(end)")
        }
        var receiver = fresh
        #expect(try receiver.receive(pieces: vector.bytes.indices.map { vector.bytes[$0...$0] }) == [vector.action])
    }

    @Test("a payload cut short, with a length that says so, is an error or another message", arguments: Vector.all)
    func truncation(_ vector: Vector) throws {
        let fresh = try vector.receiver()
        for count in 0..<vector.bytes.count - Limits.header {
            var receiver = fresh
            let payload = Array(vector.bytes[Limits.header..<Limits.header + count])
            let stream = UInt32(vector.bytes[4])
            let actions = try? receiver.receiveAll(frame(type: vector.bytes[3], stream: stream, payload))
            #expect(actions != [vector.action], "cut to \(count) bytes")
            if actions == nil { #expect(receiver.isClosed) }
        }
    }

    @Test(
        "an unknown ignorable field changes nothing, an unknown critical one fails the message", arguments: Vector.all)
    func unknownFields(_ vector: Vector) throws {
        let extensible: Set<FrameKind> = [
            .generate, .resume, .call, .accept, .finish, .error, .reply,
        ]
        guard let kind = FrameKind(rawValue: vector.bytes[3]), extensible.contains(kind) else { return }
        func appending(_ key: UInt16) -> [UInt8] {
            var payload = Array(vector.bytes.dropFirst(Limits.header))
            payload.append(integer: key)
            payload.append(contentsOf: [3, 0, 0, 0, 1, 2, 3])
            return frame(type: vector.bytes[3], stream: UInt32(vector.bytes[4]), payload)
        }
        var receiver = try vector.receiver()
        #expect(try receiver.receiveAll(appending(0x7FFF)) == [vector.action])

        receiver = try vector.receiver()
        if kind == .generate || kind == .resume || kind == .call {
            let actions = try receiver.receiveAll(appending(0xFFFF))
            #expect(
                actions == [
                    .rejected(1, WireError(.invalid, "field 65535 is critical and this version does not know it"))
                ])
        } else {
            #expect(throws: WireError.self) { try receiver.receiveAll(appending(0xFFFF)) }
        }
    }
}
