extension CaseList {
    /// Section 3.3, with 6.1.
    static var handshake: CaseList {
        var cases = CaseList("3.3")
        cases.must("HELLO", "HELLO as the first frame, then MAX_STREAMS above 0") { lab in _ = try lab.greet() }
        cases.must("HELLO for version 1", "version 1 in both places") { lab in
            guard try lab.greet().monitor.hello?.highest == 1 else { throw Stop.failed("another version was chosen") }
        }
        cases.greets("HELLO for versions 1 to 255") { $0.highest = 255 }
        cases.greets("HELLO with a longest payload of 65,536") { $0.maxPayload = 65_536 }
        cases.greets("HELLO with a longest payload of 16,777,215") { $0.maxPayload = 16_777_215 }
        cases.greets("HELLO with reserved bytes") { $0.reserved = 0xFFFF }
        cases.greets("HELLO with every capability") { $0.capabilities = .max }
        cases.greets("HELLO without an agent") { hello in
            hello.fields = Array(hello.fields.dropLast(field(Hello.Key.agent, text("conformance")).count))
        }
        cases.greets("HELLO with an unknown field") { $0.fields += field(0x0777, [1, 2, 3]) }
        cases.greets("HELLO with an unknown repeatable field twice") {
            $0.fields += field(0x4777, []) + field(0x4777, [1])
        }
        cases.greets("HELLO with an agent of 256 bytes") { $0.replaceAgent(Array(repeating: 0x61, count: 256)) }
        cases.must("HELLO of 4,096 bytes", "HELLO") { lab in
            var hello = Hello(key: lab.target.key)
            hello.fields += field(0x0777, Array(repeating: 0, count: 4_096 - hello.payload.count - 6))
            _ = try lab.greet(hello)
        }
        cases.must("capabilities of the server", "none: version 1 defines none") { lab in
            guard try lab.greet().monitor.hello?.capabilities == 0 else { throw Stop.failed("bits are set") }
        }
        cases.must("HELLO cut in two at each byte", "HELLO each time") { lab in
            let bytes = prefaceBytes + Hello(key: lab.target.key).frame.bytes
            for offset in prefaceBytes.count + 1..<bytes.count {
                let peer = try lab.connect()
                peer.sendSplit(bytes, at: offset)
                try peer.wait(for: "HELLO") { $0.hello != nil }
            }
        }
        cases.addVersions()
        cases.addWrongHellos()
        cases.addWrongOrder()
        cases.addCredentials()
        cases.should("no HELLO within 5 seconds", "close without a word") { lab in
            let peer = try lab.connect()
            peer.send(raw: prefaceBytes)
            try peer.closesSilently()
        }
        cases.must("the hello of section 10", "HELLO, or ERROR UNAUTHENTICATED where a key is asked for") { lab in
            let peer = try lab.connect()
            peer.send(raw: prefaceBytes)
            peer.send(raw: [
                0x1F, 0x00, 0x00, 0x81, 0x00, 0x00, 0x00, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x41, 0x00, 0x00,
                0x00,
                0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x09, 0x00, 0x00, 0x00, 0x65, 0x78, 0x61, 0x6D, 0x70,
                0x6C,
                0x65, 0x2F, 0x31,
            ])
            guard lab.target.key == nil else { return try peer.violation(Code.unauthenticated) }
            try peer.wait(for: "HELLO") { $0.hello != nil }
        }
        return cases
    }

    private mutating func greets(_ title: String, _ change: @escaping @Sendable (inout Hello) -> Void) {
        must(title, "HELLO, and version 1") { lab in
            var hello = Hello(key: lab.target.key)
            change(&hello)
            let peer = try lab.greet(hello)
            guard peer.monitor.hello?.highest == 1 else { throw Stop.failed("another version was chosen") }
            try peer.fence()
        }
    }

    /// A handshake that ends the connection.
    private mutating func breaks(
        _ title: String, _ codes: UInt16..., change: @escaping @Sendable (inout Hello) -> Void
    ) {
        let codes = codes.isEmpty ? [Code.protocolViolation] : codes
        must(title, "ERROR \(codes.map(Code.name).joined(separator: " or ")) on stream 0, close") { lab in
            var hello = Hello(key: lab.target.key)
            change(&hello)
            let peer = try lab.connect()
            peer.send(raw: prefaceBytes)
            peer.send(hello.frame)
            try peer.violation(codes)
        }
    }

    private mutating func addVersions() {
        breaks("HELLO for versions 2 to 3", Code.version) { ($0.lowest, $0.highest) = (2, 3) }
        breaks("HELLO for version 255", Code.version) { ($0.lowest, $0.highest) = (255, 255) }
        breaks("HELLO for versions 0 to 1", Code.protocolViolation, Code.version) { $0.lowest = 0 }
        breaks("HELLO for versions 2 to 1", Code.protocolViolation, Code.version) { $0.lowest = 2 }
    }

    private mutating func addWrongHellos() {
        breaks("HELLO with a longest payload of 65,535") { $0.maxPayload = 65_535 }
        breaks("HELLO with a longest payload of 0") { $0.maxPayload = 0 }
        breaks("HELLO with a longest payload of 16,777,216") { $0.maxPayload = 16_777_216 }
        breaks("HELLO with an unknown critical field") { $0.fields += field(0x8777, []) }
        breaks("HELLO with a credential of 1,025 bytes") {
            $0.fields = field(Hello.Key.credential, Array(repeating: 0x61, count: 1_025))
        }
        breaks("HELLO with an agent of 257 bytes") { $0.replaceAgent(Array(repeating: 0x61, count: 257)) }
        breaks("HELLO with an agent that is not UTF-8") { $0.replaceAgent([0x61, 0xFF]) }
        breaks("HELLO with a credential that is not UTF-8") { $0.fields = field(Hello.Key.credential, [0xC3, 0x28]) }
        breaks("HELLO with two agents") { $0.fields += field(Hello.Key.agent, text("again")) }
        breaks("HELLO with fields out of order") {
            $0.fields = field(Hello.Key.agent, []) + field(Hello.Key.credential, [])
        }
        breaks("HELLO with a field longer than the frame") { $0.fields += field(0x0777, [1], length: 2) }
        breaks("HELLO with a field of 4 GiB") { $0.fields += field(0x0777, [], length: .max) }
        for count in 1...5 {
            breaks("HELLO with \(count) bytes of a field's head") { hello in
                hello.fields += field(0x0777, []).prefix(count)
            }
        }
        for count in [0, 1, 15] {
            must("HELLO of \(count) bytes", "ERROR PROTOCOL on stream 0, close") { lab in
                let peer = try lab.connect()
                peer.send(raw: prefaceBytes)
                let payload = Hello(key: lab.target.key).payload
                peer.send(Frame(FrameType.hello, 0, Array(payload.prefix(count))))
                try peer.violation()
            }
        }
        must("HELLO of 4,097 bytes, header only", "ERROR FRAME_TOO_LARGE on stream 0, close") { lab in
            let peer = try lab.connect()
            peer.send(raw: prefaceBytes + Frame.header(4_097, FrameType.hello, 0))
            try peer.violation(Code.frameTooLarge)
        }
        must("HELLO of 16 MiB, header only", "ERROR FRAME_TOO_LARGE on stream 0, close") { lab in
            let peer = try lab.connect()
            peer.send(raw: prefaceBytes + Frame.header(0xFF_FFFF, FrameType.hello, 0))
            try peer.violation(Code.frameTooLarge)
        }
        must("HELLO on stream 1", "ERROR PROTOCOL on stream 0, close") { lab in
            let peer = try lab.connect()
            peer.send(raw: prefaceBytes)
            peer.send(Frame(FrameType.hello, 1, Hello(key: lab.target.key).payload))
            try peer.violation()
        }
    }

    private mutating func addWrongOrder() {
        let frames: [(String, Frame)] = [
            ("PING", .ping(1)), ("PONG", Frame(FrameType.pong, 0, u64(1))), ("GENERATE", Generate().frame(1)),
            ("CALL", .call(1)), ("CREDIT", .credit(1, 1)), ("CANCEL", .cancel(1)),
            ("RESUME", .resume(1, Array(repeating: 7, count: 16), index: 0)),
            ("GOAWAY", Frame(FrameType.goAway, 0, u32(0) + u32(0) + u32(0))), ("type 0xFA", Frame(0xFA)),
        ]
        for (name, frame) in frames {
            must("\(name) before HELLO", "ERROR PROTOCOL on stream 0, close") { lab in
                let peer = try lab.connect()
                peer.send(raw: prefaceBytes + frame.bytes)
                try peer.violation()
            }
        }
        must("ERROR before HELLO", "close") { lab in
            let peer = try lab.connect()
            peer.send(raw: prefaceBytes + Frame.error().bytes)
            try peer.closes()
        }
        violation("a second HELLO") { [Hello(key: $0.lab.target.key).frame] }
        violation("a second HELLO while a stream is open") { peer in
            _ = try peer.openAccepted(Generate(limit: 0))
            return [Hello(key: peer.lab.target.key).frame]
        }
    }

    private mutating func addCredentials() {
        let wrong: [(String, @Sendable (String) -> [UInt8])] = [
            ("no credential", { _ in [] }),
            ("an empty credential", { _ in field(Hello.Key.credential, []) }),
            ("a wrong credential", { _ in field(Hello.Key.credential, text("conformance-is-not-a-key")) }),
            ("the credential less its last byte", { field(Hello.Key.credential, Array($0.utf8.dropLast())) }),
            ("the credential and one byte more", { field(Hello.Key.credential, Array($0.utf8) + [0x30]) }),
        ]
        for (title, fields) in wrong {
            must(title, "ERROR UNAUTHENTICATED on stream 0, close") { lab in
                guard let key = lab.target.key else { throw Stop.skipped("no key was given") }
                var hello = Hello(key: nil)
                hello.fields = fields(key)
                let peer = try lab.connect()
                peer.send(raw: prefaceBytes)
                peer.send(hello.frame)
                try peer.violation(Code.unauthenticated)
            }
        }
        must("a credential of 1,024 bytes", "read: HELLO, or ERROR UNAUTHENTICATED where a key is asked for") { lab in
            var hello = Hello(key: nil)
            hello.fields = field(Hello.Key.credential, Array(repeating: 0x61, count: 1_024))
            let peer = try lab.connect()
            peer.send(raw: prefaceBytes)
            peer.send(hello.frame)
            guard lab.target.key == nil else { return try peer.violation(Code.unauthenticated) }
            try peer.wait(for: "HELLO") { $0.hello != nil }
        }
    }
}

extension Hello {
    fileprivate mutating func replaceAgent(_ agent: [UInt8]) {
        let old = field(Key.agent, text("conformance")).count
        fields = Array(fields.dropLast(old)) + field(Key.agent, agent)
    }
}
