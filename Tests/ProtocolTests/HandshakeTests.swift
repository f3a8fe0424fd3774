import LMProtocol
import Testing

@Suite("Handshake")
struct HandshakeTests {
    private func server() -> Connection { .server(HelloMessage(maxPayload: Limits.serverPayload)) }

    private func greeting(_ change: (inout HelloMessage) -> Void = { _ in }) throws -> [UInt8] {
        var hello = HelloMessage(maxPayload: Limits.clientPayload)
        change(&hello)
        var client = Connection.client(hello)
        var sent: [UInt8] = []
        try client.start(into: &sent)
        return sent
    }

    @Test(
        "other protocols get silence",
        arguments: [
            "GET / HTTP/1.1\r\n", "\u{16}\u{3}\u{1}\u{2}\u{0}", "SSH-2.0-x\r\n", "PRI * HTTP/2.0", "\0",
        ])
    func otherProtocols(_ text: String) throws {
        var server = server()
        #expect(throws: WireError.self) { try server.receiveAll(Array(text.utf8)) }
        var answer: [UInt8] = []
        server.close(with: ErrorMessage(.protocolViolation, "no"), into: &answer)
        #expect(answer.isEmpty && server.isClosed)
    }

    @Test("a wrong preface is noticed at its first wrong byte", arguments: 0..<8)
    func wrongPreface(_ position: Int) throws {
        var wrong = Connection.preface
        wrong[position] ^= 0x20
        var server = server()
        #expect(try server.receiveAll(Array(wrong[..<position])).isEmpty)
        #expect(throws: WireError.self) { try server.receiveAll(Array(wrong[...position])) }
    }

    @Test("the highest common version is chosen")
    func versions() throws {
        func agree(_ client: ClosedRange<UInt8>, _ server: ClosedRange<UInt8>) throws -> UInt8? {
            var hello = HelloMessage(maxPayload: Limits.clientPayload)
            hello.versions = client
            var one = Connection.client(hello)
            hello.versions = server
            var other = Connection.server(hello)
            var bytes: [UInt8] = []
            try one.start(into: &bytes)
            _ = try other.receiveAll(bytes)
            bytes.removeAll()
            try other.sendHello(into: &bytes)
            _ = try one.receiveAll(bytes)
            #expect(one.version == other.version)
            return one.version
        }
        #expect(try agree(1...1, 1...1) == 1)
        #expect(try agree(1...4, 2...3) == 3)
        #expect(try agree(2...3, 1...9) == 3)
        for (client, server) in [(2...3, 1...1), (1...1, 2...2)] as [(ClosedRange<UInt8>, ClosedRange<UInt8>)] {
            let error = #expect(throws: WireError.self) { _ = try agree(client, server) }
            #expect(error?.code == .version)
        }
    }

    @Test("features need both ends")
    func capabilities() throws {
        var hello = HelloMessage(maxPayload: Limits.clientPayload)
        hello.capabilities = 0b0110
        var server = Connection.server(hello)
        _ = try server.receiveAll(try greeting { $0.capabilities = 0b1100 })
        #expect(server.capabilities == 0b0100)
    }

    @Test("a server reads nothing more before it has answered HELLO")
    func pause() throws {
        var server = server()
        let start = try greeting()
        let ping = frame(type: 0x82, stream: 0, Array(1...8))
        let received = start + ping
        var consumed = 0
        _ = try server.receive(received.span.bytes, consumed: &consumed)
        #expect(try server.receive(received.span.bytes, consumed: &consumed) == nil)
        #expect(consumed == start.count)
        var answer: [UInt8] = []
        try server.sendHello(into: &answer)
        #expect(try server.receive(received.span.bytes, consumed: &consumed) == .ping(0x0807_0605_0403_0201))
    }

    @Test("a refused client learns why")
    func refusal() throws {
        var client = Connection.client(HelloMessage(maxPayload: Limits.clientPayload))
        var server = server()
        var sent: [UInt8] = []
        try client.start(into: &sent)
        _ = try server.receiveAll(sent)
        sent.removeAll()
        server.close(with: ErrorMessage(.unauthenticated, "the key is wrong"), into: &sent)
        #expect(try client.receiveAll(sent) == [.error(0, ErrorMessage(.unauthenticated, "the key is wrong"))])
        #expect(client.isClosed && server.isClosed)
        #expect(try client.receiveAll(frame(type: 0xFA, stream: 0)).isEmpty, "closed connections drop what arrives")
    }

    @Test(
        "bad HELLOs",
        arguments: [
            "00 01 00 00 00 00 01 00 00 00 00 00 00 00 00 00",  // version 0
            "02 01 00 00 00 00 01 00 00 00 00 00 00 00 00 00",  // a range that ends before it starts
            "01 01 00 00 ff ff 00 00 00 00 00 00 00 00 00 00",  // largest payload under 64 KiB
            "01 01 00 00 00 00 00 01 00 00 00 00 00 00 00 00",  // largest payload over 24 bits
            "01 01 00 00 00 00 01 00 00 00 00 00 00 00 00",  // too short
            "01 01 00 00 00 00 01 00 00 00 00 00 00 00 00 00 02 00 01 00 00 00 61 01 00 01 00 00 00 61",  // order
            "01 01 00 00 00 00 01 00 00 00 00 00 00 00 00 00 02 00 01 00 00 00 61 02 00 01 00 00 00 61",  // twice
            "01 01 00 00 00 00 01 00 00 00 00 00 00 00 00 00 02 00 ff ff ff ff 61",  // field past the end
            "01 01 00 00 00 00 01 00 00 00 00 00 00 00 00 00 03 00 02 00 00 00 61 61",  // integer of a wrong size
            "01 01 00 00 00 00 01 00 00 00 00 00 00 00 00 00 01 80 00 00 00 00",  // unknown critical field
        ])
    func badHello(_ payload: String) throws {
        var server = server()
        let received = Connection.preface + frame(type: 0x81, stream: 0, bytes(hex: payload))
        let error = #expect(throws: WireError.self) { try server.receiveAll(received) }
        #expect(error?.code == .protocolViolation && server.isClosed)
    }

    @Test("credentials do not show")
    func credential() {
        var hello = HelloMessage(maxPayload: Limits.clientPayload)
        hello.credential = Credential("s3cret")
        var dumped = ""
        dump(hello, to: &dumped)
        #expect(!"\(hello) \(String(reflecting: hello)) \(dumped)".contains("s3cret"))
    }

    @Test("credential and agent that fit no HELLO are refused at home")
    func longCredential() throws {
        let error = #expect(throws: WireError.self) {
            _ = try greeting { $0.credential = Credential(String(repeating: "k", count: 5_000)) }
        }
        #expect(error?.code == .tooLarge)
    }
}
