extension CaseList {
    /// Section 3.1.
    static var transport: CaseList {
        var cases = CaseList("3.1")
        cases.must("end of our sending half while a stream runs", "the stream goes on to its end, then close") { lab in
            let peer = try lab.greet()
            let stream = try peer.open(Generate(tokens: 100))
            peer.endOutput()
            try peer.finishes(stream, Finish.Reason.length)
            try peer.closes()
        }
        cases.must("end of our sending half while three streams run", "each ends once, then close") { lab in
            let peer = try lab.greet()
            let streams = try (0..<3).map { _ in try peer.open(Generate(tokens: 8)) }
            peer.endOutput()
            for stream in streams { try peer.finishes(stream, Finish.Reason.length) }
            try peer.closes()
        }
        cases.must("end of our sending half right after a CALL", "REPLY, then close") { lab in
            let peer = try lab.greet()
            let stream = try peer.call(Method.health)
            peer.endOutput()
            _ = try peer.reply(stream)
            try peer.closes()
        }
        cases.must("end of our sending half without a stream", "close") { lab in
            let peer = try lab.greet()
            peer.endOutput()
            try peer.closes()
        }
        cases.must("end of our sending half before the preface", "close without a word") { lab in
            let peer = try lab.connect()
            peer.endOutput()
            try peer.closesSilently()
        }
        cases.must("end of our sending half within the preface", "close without a word") { lab in
            let peer = try lab.connect()
            peer.send(raw: Array(prefaceBytes.prefix(5)))
            peer.endOutput()
            try peer.closesSilently()
        }
        cases.must("end of our sending half within HELLO", "close") { lab in
            let peer = try lab.connect()
            peer.send(raw: prefaceBytes + Hello(key: lab.target.key).frame.bytes.dropLast())
            peer.endOutput()
            try peer.closes()
        }
        cases.must("end of our sending half within a frame", "close") { lab in
            let peer = try lab.greet()
            peer.send(raw: Array(Frame.ping(1).bytes.dropLast()))
            peer.endOutput()
            try peer.closes()
        }
        cases.must("a connection cut while a stream runs", "other connections go on") { lab in
            let other = try lab.greet()
            let peer = try lab.greet()
            _ = try peer.openAccepted(Generate(tokens: 16, limit: 1))
            peer.cut()
            try other.finishes(try other.open(Generate()), Finish.Reason.length)
        }
        cases.must("a connection cut before HELLO", "the next one is served") { lab in
            try lab.connect().cut()
            try lab.greet().fence()
        }
        cases.addTLS()
        return cases
    }

    private static func tls(_ lab: Lab) throws {
        guard lab.target.tls != nil else { throw Stop.skipped("the connection is plain") }
    }

    private mutating func addTLS() {
        must("TLS with ALPN lmcall/1", "the server chooses it") { lab in
            try Self.tls(lab)
            let peer = try lab.greet()
            guard peer.tls?.applicationProtocol == "lmcall/1" else {
                throw Stop.failed("the server chose '\(peer.tls?.applicationProtocol ?? "")'")
            }
        }
        must("TLS with ALPN h2, lmcall/1", "the server chooses lmcall/1") { lab in
            try Self.tls(lab)
            let peer = try lab.connect { $0.tls?.applicationProtocols = ["h2", "lmcall/1"] }
            try peer.greet()
            guard peer.tls?.applicationProtocol == "lmcall/1" else {
                throw Stop.failed("the server chose '\(peer.tls?.applicationProtocol ?? "")'")
            }
        }
        for (title, names) in [
            ("TLS with ALPN h2", ["h2"]), ("TLS with ALPN lmcall/", ["lmcall/"]),
            ("TLS with ALPN lmcall/1x", ["lmcall/1x"]),
            ("TLS without ALPN", nil),
        ] {
            must(title, "no connection") { lab in
                try Self.tls(lab)
                guard let peer = try? lab.connect({ $0.tls?.applicationProtocols = names }) else { return }
                peer.send(raw: prefaceBytes)
                peer.send(Hello(key: lab.target.key).frame)
                try peer.closesSilently()
            }
        }
        must("TLS 1.1", "no connection") { lab in
            try Self.tls(lab)
            if (try? lab.connect { $0.tls?.newest = .v1_1 }) != nil { throw Stop.failed("the handshake succeeded") }
        }
        must("a preface without TLS where TLS is spoken", "no frame") { lab in
            try Self.tls(lab)
            let peer = try lab.connect { $0.tls = nil }
            peer.send(raw: prefaceBytes)
            peer.send(Hello(key: nil).frame)
            peer.endOutput()
            // A TLS alert may come; what counts is that it is no answer in our protocol.
            if (try? peer.wait(for: "HELLO", until: { $0.hello != nil })) != nil { throw Stop.failed("HELLO came") }
        }
        must("a change of keys within TLS 1.3", "the connection goes on") { lab in
            try Self.tls(lab)
            let peer = try lab.greet()
            guard peer.tls?.version == "TLSv1.3" else { throw Stop.skipped("TLS 1.3 is not in use") }
            guard peer.tls?.updateKey() == true else { throw Stop.failed("no change of keys") }
            try peer.finishes(try peer.open(Generate()), Finish.Reason.length)
        }
    }
}
