extension CaseList {
    /// Section 5.8.
    static var idempotency: CaseList {
        var cases = CaseList("5.8")
        cases.must("GENERATE with an idempotency key", "ACCEPT with a resume token") { lab in
            let peer = try lab.greet()
            _ = try lab.resumeGrace(peer)
            guard try peer.accepted(try peer.open(.keyed())).resumeToken != nil else { throw Stop.failed("no token") }
        }
        cases.must("the same GENERATE on a new connection after the first was lost", "the first run from index 0") {
            lab in
            let request = Generate.keyed()
            let (first, accept) = try lab.keep(request, read: 0)
            first.cut()
            try lab.joins(request, accept)
        }
        cases.must("the same GENERATE while the first runs", "the first run; SUPERSEDED on its stream") { lab in
            let request = Generate.keyed()
            let (first, accept) = try lab.keep(request, read: 0)
            try lab.joins(request, accept)
            try first.fails(1, Code.superseded)
        }
        cases.must("the same GENERATE after the first ended", "the first run again, from index 0") { lab in
            var request = Generate.keyed()
            request.limit = .max
            let (first, accept) = try lab.keep(request, read: 8)
            try first.finishes(1, Finish.Reason.length)
            first.cut()
            try lab.joins(request, accept)
        }
        cases.must("the same GENERATE with another credit limit", "the first run: the limit is not compared") { lab in
            var request = Generate.keyed()
            let (first, accept) = try lab.keep(request, read: 0)
            first.cut()
            request.limit = 5
            let peer = try lab.greet()
            let stream = try peer.open(request)
            guard try peer.accepted(stream).requestID == accept.requestID else {
                throw Stop.failed("another request id")
            }
            try peer.tokens(stream, 5)
            try peer.silent()
        }
        cases.differs("another prompt") { $0.with(Generate.Key.prompt, text("Twice")) }
        cases.differs("another number of tokens") { $0.with(Generate.Key.maxTokens, u32(9)) }
        cases.differs("a seed that was not there") { $0.with(Generate.Key.seed, u64(1)) }
        cases.differs("another timeout") { request in
            var other = request
            other.timeout = 59_999
            return other
        }
        cases.must("two GENERATEs that differ in their key alone", "two runs") { lab in
            let (_, first) = try lab.keep(.keyed(), read: 0)
            let (_, second) = try lab.keep(.keyed(), read: 0)
            guard first.resumeToken != second.resumeToken, first.requestID != second.requestID || first.requestID == nil
            else { throw Stop.failed("the second joined the first") }
        }
        cases.must("the key of another identity", "a run of its own") { lab in
            guard let other = lab.target.otherKey else { throw Stop.skipped("needs --other-key-file") }
            let request = Generate.keyed()
            let (_, accept) = try lab.keep(request, read: 0)
            let peer = try lab.greet(Hello(key: other))
            guard try peer.accepted(try peer.open(request)).resumeToken != accept.resumeToken else {
                throw Stop.failed("it joined the run of another identity")
            }
        }
        for count in [0, 15, 17] {
            cases.violation("an idempotency key of \(count) bytes") { _ in
                [Generate().with(Generate.Key.idempotencyKey, Array(repeating: 1, count: count)).frame(1)]
            }
        }
        return cases
    }

    /// A repetition that is not the same request.
    private mutating func differs(_ title: String, change: @escaping @Sendable (Generate) -> Generate) {
        must("the key again with \(title)", "ERROR INVALID on the stream; the first run is not touched") { lab in
            let request = Generate.keyed()
            let (first, _) = try lab.keep(request, read: 0)
            let peer = try lab.greet()
            try peer.fails(try peer.open(change(request)), Code.invalid)
            first.send(.credit(1, .max))
            try first.finishes(1, Finish.Reason.length)
        }
    }
}

extension Generate {
    /// A request with a random idempotency key that waits for credit.
    fileprivate static func keyed() -> Generate {
        Generate(tokens: 8, limit: 0).with(Key.idempotencyKey, (0..<16).map { _ in .random(in: 0...255) })
    }
}

extension Lab {
    /// Starts the request on stream 1 of a connection of its own; returns both once so many tokens were read.
    fileprivate func keep(_ request: Generate, read: UInt32) throws -> (Peer, Accept) {
        let peer = try greet()
        _ = try resumeGrace(peer)
        let stream = try peer.open(request)
        let accept = try peer.accepted(stream)
        try peer.tokens(stream, read)
        return (peer, accept)
    }

    /// Sends the request again and waits for the end of the run that `accept` began.
    fileprivate func joins(_ request: Generate, _ accept: Accept) throws {
        let peer = try greet()
        let stream = try peer.open(request)
        let again = try peer.accepted(stream)
        guard again.resumeToken == accept.resumeToken, again.requestID == accept.requestID else {
            throw Stop.failed("another run was started")
        }
        peer.send(.credit(stream, .max))
        guard try peer.finishes(stream, Finish.Reason.length).tokens == 8 else { throw Stop.failed("not 8 tokens") }
    }
}
