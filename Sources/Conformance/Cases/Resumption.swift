extension CaseList {
    /// Section 5.7.
    static var resumption: CaseList {
        var cases = CaseList("5.7")
        cases.must("ACCEPT of a resumable stream", "a resume token of 16 bytes") { lab in
            _ = try Broken(lab, tokens: 8, read: 2)
        }
        cases.must("ACCEPT of a stream that is not resumable", "no resume token") { lab in
            let peer = try lab.greet()
            _ = try lab.resumeGrace(peer)
            guard try peer.accepted(try peer.open(Generate())).resumeToken == nil else {
                throw Stop.failed("a token came")
            }
        }
        cases.must("two resumable streams", "two resume tokens") { lab in
            let (first, second) = (try Broken(lab, tokens: 8, read: 1), try Broken(lab, tokens: 8, read: 1))
            guard first.token != second.token else { throw Stop.failed("the same token twice") }
        }
        for (title, read, index) in [
            ("at the next token", 5, 5), ("at a token that was seen already", 5, 2), ("from the start", 5, 0),
            ("before any token", 0, 0), ("at the last token", 15, 15),
        ] as [(String, UInt32, UInt32)] {
            cases.must("RESUME \(title) after a lost connection", "the rest, and the text of an uninterrupted run") {
                lab in
                let broken = try Broken(lab, tokens: 16, read: read)
                broken.peer.cut()
                let peer = try lab.greet()
                let stream = try broken.resume(on: peer, from: index)
                guard try peer.accepted(stream).requestID == broken.requestID else {
                    throw Stop.failed("another request id than before")
                }
                try peer.finishes(stream, Finish.Reason.length)
                try broken.compare(peer[stream], from: index)
            }
        }
        cases.must("RESUME after a connection that was closed in good order", "the rest") { lab in
            let broken = try Broken(lab, tokens: 16, read: 4)
            broken.peer.send(.error())
            try broken.peer.closes()
            let peer = try lab.greet()
            try peer.finishes(try broken.resume(on: peer, from: 4), Finish.Reason.length)
        }
        cases.must("RESUME with limit 0, then CREDIT one at a time", "one token each, from the index on") { lab in
            let broken = try Broken(lab, tokens: 8, read: 4)
            broken.peer.cut()
            let peer = try lab.greet()
            let stream = try broken.resume(on: peer, from: 4, limit: 0)
            try peer.accepted(stream)
            try peer.silent()
            for count: UInt32 in 5...8 {
                peer.send(.credit(stream, count, consumed: count - 1))
                try peer.tokens(stream, count)
            }
            try peer.finishes(stream, Finish.Reason.length)
            try broken.compare(peer[stream], from: 4)
        }
        cases.must("a connection lost and resumed at every token", "the text of an uninterrupted run") { lab in
            let broken = try Broken(lab, tokens: 8, read: 1)
            broken.peer.cut()
            var prior = broken.seen
            for index: UInt32 in 1..<8 {
                let peer = try lab.greet()
                let stream = try peer.nextStream()
                peer.send(.resume(stream, broken.token, index: index, limit: index + 1), continuing: prior)
                try peer.tokens(stream, index + 1)
                if index == 7 { try peer.finishes(stream, Finish.Reason.length) }
                prior.pieces += peer[stream].pieces
                prior.next = index + 1
                guard peer[stream].tokens == [broken.whole.tokens[Int(index)]] else {
                    throw Stop.failed("another token")
                }
                peer.cut()
            }
            guard prior.text == broken.whole.text else { throw Stop.failed("another text") }
        }
        cases.addRepeated()
        cases.addEnds()
        cases.addRefusals()
        return cases
    }

    private mutating func addRepeated() {
        must("RESUME twice after two lost connections", "the rest each time") { lab in
            let broken = try Broken(lab, tokens: 16, read: 4)
            broken.peer.cut()
            let second = try lab.greet()
            try second.tokens(try broken.resume(on: second, from: 4, limit: 8), 8)
            second.cut()
            let third = try lab.greet()
            let stream = try broken.resume(on: third, from: 4)
            try third.finishes(stream, Finish.Reason.length)
            try broken.compare(third[stream], from: 4)
        }
        must("RESUME on another connection while the first is alive", "ERROR SUPERSEDED on the first; the rest here") {
            lab in
            let broken = try Broken(lab, tokens: 16, read: 4)
            let peer = try lab.greet()
            let stream = try broken.resume(on: peer, from: 4)
            try peer.finishes(stream, Finish.Reason.length)
            try broken.compare(peer[stream], from: 4)
            try broken.peer.fails(broken.stream, Code.superseded)
            try broken.peer.fence()
        }
        must("RESUME on the same connection", "ERROR SUPERSEDED on the first stream; the rest on the second") { lab in
            let broken = try Broken(lab, tokens: 16, read: 4)
            let stream = try broken.resume(on: broken.peer, from: 4)
            try broken.peer.fails(broken.stream, Code.superseded)
            try broken.peer.finishes(stream, Finish.Reason.length)
            try broken.compare(broken.peer[stream], from: 4)
        }
        must("CANCEL on the stream of a RESUME", "FINISH cancelled; it cannot run on") { lab in
            let broken = try Broken(lab, tokens: 16, read: 4)
            broken.peer.cut()
            let peer = try lab.greet()
            let stream = try broken.resume(on: peer, from: 4, limit: 4)
            try peer.accepted(stream)
            peer.send(.cancel(stream))
            try peer.finishes(stream, Finish.Reason.cancelled)
        }
        must("RESUME while another stream runs", "both end") { lab in
            let broken = try Broken(lab, tokens: 16, read: 4)
            broken.peer.cut()
            let peer = try lab.greet()
            let other = try peer.openAccepted(Generate(limit: 0))
            try peer.finishes(try broken.resume(on: peer, from: 4), Finish.Reason.length)
            peer.send(.credit(other, .max))
            try peer.finishes(other, Finish.Reason.length)
        }
    }

    private mutating func addEnds() {
        must("RESUME after FINISH was received and the connection lost", "the last tokens and FINISH again") { lab in
            let broken = try Broken(lab, tokens: 8, read: 8)
            try broken.peer.finishes(broken.stream, Finish.Reason.length)
            broken.peer.cut()
            let peer = try lab.greet()
            let stream = try broken.resume(on: peer, from: 6)
            try peer.finishes(stream, Finish.Reason.length)
            try broken.compare(peer[stream], from: 6)
        }
        must("RESUME after FINISH at the index after the last token", "FINISH and no token") { lab in
            let broken = try Broken(lab, tokens: 8, read: 8)
            try broken.peer.finishes(broken.stream, Finish.Reason.length)
            broken.peer.cut()
            let peer = try lab.greet()
            let stream = try broken.resume(on: peer, from: 8)
            guard try peer.finishes(stream, Finish.Reason.length).tokens == 8 else { throw Stop.failed("not 8 tokens") }
        }
        must("a generation that goes on while nobody is connected", "RESUME delivers what was generated") { lab in
            let broken = try Broken(lab, tokens: 16, read: 2, limit: 16)
            broken.peer.cut()
            pause(microseconds: 200_000)
            let peer = try lab.greet()
            let stream = try broken.resume(on: peer, from: 2)
            try peer.finishes(stream, Finish.Reason.length)
            try broken.compare(peer[stream], from: 2)
        }
    }

    private mutating func addRefusals() {
        must("RESUME with a token that was never given", "ERROR NOT_FOUND on the stream") { lab in
            let peer = try lab.greet()
            let stream = try peer.nextStream()
            peer.send(.resume(stream, (0..<16).map { _ in .random(in: 0...255) }, index: 0))
            try peer.fails(stream, Code.notFound)
            try peer.fence()
        }
        must("RESUME with one bit of the token wrong", "ERROR NOT_FOUND; the right one still works") { lab in
            let broken = try Broken(lab, tokens: 8, read: 2)
            broken.peer.cut()
            let peer = try lab.greet()
            let stream = try peer.nextStream()
            var wrong = broken.token
            wrong[15] ^= 1
            peer.send(.resume(stream, wrong, index: 2))
            try peer.fails(stream, Code.notFound)
            try peer.finishes(try broken.resume(on: peer, from: 2), Finish.Reason.length)
        }
        must("RESUME at an index above what was generated", "ERROR INVALID on the stream") { lab in
            let broken = try Broken(lab, tokens: 8, read: 2)
            broken.peer.cut()
            let peer = try lab.greet()
            let stream = try broken.resume(on: peer, from: 9)
            try peer.fails(stream, Code.invalid)
        }
        must("RESUME at 2^32 - 1", "ERROR INVALID on the stream") { lab in
            let broken = try Broken(lab, tokens: 8, read: 2)
            broken.peer.cut()
            let peer = try lab.greet()
            try peer.fails(try broken.resume(on: peer, from: .max), Code.invalid)
        }
        must("RESUME below what was consumed", "ERROR NOT_FOUND: it need not be kept; or the tokens") { lab in
            let broken = try Broken(lab, tokens: 16, read: 8)
            broken.peer.send(.credit(broken.stream, 8, consumed: 8))
            try broken.peer.fence()
            broken.peer.cut()
            let peer = try lab.greet()
            let stream = try broken.resume(on: peer, from: 1)
            guard case .error = try peer.end(stream) else { return try broken.compare(peer[stream], from: 1) }
            try peer.fails(stream, Code.notFound)
        }
        must("RESUME of a stream that is not resumable", "its connection's end cancelled it: it gave no token") { lab in
            let peer = try lab.greet()
            _ = try lab.resumeGrace(peer)
            guard try peer.accepted(try peer.open(Generate(limit: 0))).resumeToken == nil else {
                throw Stop.failed("a token came")
            }
        }
        must("RESUME by another identity", "ERROR NOT_FOUND; the owner still can") { lab in
            guard let other = lab.target.otherKey else { throw Stop.skipped("needs --other-key-file") }
            let broken = try Broken(lab, tokens: 8, read: 2)
            broken.peer.cut()
            let thief = try lab.greet(Hello(key: other))
            try thief.fails(try broken.resume(on: thief, from: 2), Code.notFound)
            let owner = try lab.greet()
            try owner.finishes(try broken.resume(on: owner, from: 2), Finish.Reason.length)
        }
        for (title, key, code) in [
            ("an unknown critical field", 0x8777, Code.invalid), ("an unknown field", 0x0777, Code.notFound),
        ] as [(String, UInt16, UInt16)] {
            must("RESUME of nothing with \(title)", "ERROR \(Code.name(code)) on the stream") { lab in
                let peer = try lab.greet()
                let stream = try peer.nextStream()
                peer.send(.resume(stream, Array(repeating: 7, count: 16), index: 0, fields: field(key, [1])))
                try peer.fails(stream, code)
                try peer.fence()
            }
        }
    }
}

/// A resumable stream of which a part was read, and the same request run without interruption.
private struct Broken {
    let peer: Peer
    let stream: UInt32
    let token: [UInt8]
    let requestID: String?
    /// What an uninterrupted run gives.
    let whole: Monitor.Stream

    /// What was read.
    var seen: Monitor.Stream { peer[stream] }

    /// - Parameters:
    ///   - read: tokens to wait for.
    ///   - limit: credit of the stream; nil for as many as are read.
    init(_ lab: Lab, tokens: UInt32, read: UInt32, limit: UInt32? = nil) throws {
        let reference = try lab.greet()
        _ = try lab.resumeGrace(reference)
        let uninterrupted = try reference.open(Generate(tokens: tokens))
        try reference.finishes(uninterrupted, Finish.Reason.length)
        whole = reference[uninterrupted]

        peer = try lab.greet()
        stream = try peer.open(Generate(tokens: tokens, limit: limit ?? read).resumable)
        let accept = try peer.accepted(stream)
        guard let token = accept.resumeToken else { throw Stop.failed("ACCEPT without a resume token") }
        self.token = token
        requestID = accept.requestID
        try peer.tokens(stream, read)
    }

    /// Sends RESUME; returns its stream.
    func resume(on peer: Peer, from index: UInt32, limit: UInt32 = .max) throws -> UInt32 {
        let stream = try peer.nextStream()
        peer.send(.resume(stream, token, index: index, limit: limit), continuing: seen)
        return stream
    }

    /// Compares what a RESUME brought with the uninterrupted run.
    func compare(_ rest: Monitor.Stream, from index: UInt32) throws {
        guard rest.accept?.resumeToken == token else {
            throw Stop.failed("ACCEPT after RESUME has another resume token")
        }
        guard rest.tokens == Array(whole.tokens[Int(index)...]) else {
            throw Stop.failed("other tokens than without a break")
        }
        let text = seen.pieces[..<min(Int(index), seen.pieces.count)].flatMap { $0 } + rest.text
        guard text == whole.text else { throw Stop.failed("another text than without a break") }
    }
}
