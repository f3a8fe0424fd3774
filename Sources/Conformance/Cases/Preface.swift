extension CaseList {
    /// Section 3.2.
    static var preface: CaseList {
        var cases = CaseList("3.2")
        cases.must("the preface and HELLO in one write", "HELLO") { lab in
            let peer = try lab.connect()
            let hello = Hello(key: lab.target.key).frame
            peer.send(raw: prefaceBytes + hello.bytes)
            try peer.wait(for: "HELLO") { $0.hello != nil }
        }
        cases.must("the preface cut in two at each byte", "HELLO each time") { lab in
            for offset in 1..<prefaceBytes.count {
                let peer = try lab.connect()
                peer.sendSplit(prefaceBytes, at: offset)
                peer.send(Hello(key: lab.target.key).frame)
                try peer.wait(for: "HELLO") { $0.hello != nil }
            }
        }
        for index in prefaceBytes.indices {
            cases.silence("a preface with another byte \(index), and HELLO") { lab in
                var bytes = prefaceBytes
                bytes[index] ^= 0x20
                return bytes + Hello(key: lab.target.key).frame.bytes
            }
        }
        cases.silence("one byte that begins no preface") { _ in [0x00] }
        cases.silence("seven bytes of the preface and a wrong one") { _ in prefaceBytes.dropLast() + [0x0B] }
        cases.silence("an HTTP request") { _ in text("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") }
        cases.silence("an HTTP/2 preface") { _ in text("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") }
        cases.silence("a TLS ClientHello's first bytes on a connection that is plain here") { _ in
            [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01]
        }
        cases.silence("HELLO without a preface") { lab in Hello(key: lab.target.key).frame.bytes }
        cases.silence("a preface whose line ends were converted") { _ in [0x89, 0x4C, 0x4D, 0x43, 0x0A, 0x1A, 0x0A] }
        cases.silence("64 KiB that are no preface") { _ in Array(repeating: 0x89, count: 65_536) }
        cases.must("the preface twice", "ERROR FRAME_TOO_LARGE on stream 0, close") { lab in
            let peer = try lab.connect()
            // Read as a header, its length is above what is allowed before HELLO.
            peer.send(raw: prefaceBytes + prefaceBytes)
            try peer.violation(Code.frameTooLarge)
        }
        return cases
    }

    private mutating func silence(_ title: String, _ bytes: @escaping @Sendable (Lab) -> [UInt8]) {
        must(title, "close without a word") { lab in
            let peer = try lab.connect()
            peer.send(raw: bytes(lab))
            try peer.closesSilently()
        }
    }
}
