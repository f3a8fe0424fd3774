extension CaseList {
    /// Section 5.1.
    static var credit: CaseList {
        var cases = CaseList("5.1")
        cases.must("GENERATE with limit 0", "ACCEPT and no token") { lab in
            let peer = try lab.greet()
            _ = try peer.openAccepted(Generate(limit: 0))
            try peer.silent()
        }
        cases.must("limit 0, then CREDIT of 1", "one token and no more") { lab in
            let peer = try lab.greet()
            let stream = try peer.openAccepted(Generate(limit: 0))
            peer.send(.credit(stream, 1))
            try peer.tokens(stream, 1)
            try peer.silent()
        }
        cases.must("GENERATE with limit 3 of 8", "three tokens and no more") { lab in
            let peer = try lab.greet()
            let stream = try peer.openAccepted(Generate(tokens: 8, limit: 3))
            try peer.tokens(stream, 3)
            try peer.silent()
        }
        cases.must("CREDIT one at a time", "one token each, FINISH after the last") { lab in
            let peer = try lab.greet()
            let stream = try peer.openAccepted(Generate(tokens: 12, limit: 0))
            for count: UInt32 in 1...12 {
                peer.send(.credit(stream, count, consumed: count - 1))
                try peer.tokens(stream, count)
            }
            try peer.finishes(stream, Finish.Reason.length)
        }
        cases.must("a limit of exactly the tokens there will be", "all of them and FINISH") { lab in
            let peer = try lab.greet()
            try peer.finishes(try peer.openAccepted(Generate(tokens: 8, limit: 8)), Finish.Reason.length)
        }
        cases.must("a limit of one token less than there will be", "no FINISH until the last has credit") { lab in
            let peer = try lab.greet()
            let stream = try peer.openAccepted(Generate(tokens: 8, limit: 7))
            try peer.tokens(stream, 7)
            try peer.silent()
            peer.send(.credit(stream, 8))
            try peer.finishes(stream, Finish.Reason.length)
        }
        cases.must("a limit of 2^32 - 1", "all tokens") { lab in
            let peer = try lab.greet()
            let stream = try peer.openAccepted(Generate(tokens: 8, limit: .max))
            guard try peer.finishes(stream).tokens == 8 else { throw Stop.failed("not 8 tokens") }
        }
        cases.must("CREDIT of 2^32 - 1", "all tokens") { lab in
            let peer = try lab.greet()
            let stream = try peer.openAccepted(Generate(tokens: 8, limit: 1))
            peer.send(.credit(stream, .max))
            guard try peer.finishes(stream).tokens == 8 else { throw Stop.failed("not 8 tokens") }
        }
        cases.must("CREDIT of 2^32 - 1, then of 1", "a smaller limit changes nothing: all tokens") { lab in
            let peer = try lab.greet()
            let stream = try peer.openAccepted(Generate(tokens: 8, limit: 0))
            peer.send(.credit(stream, .max), .credit(stream, 1))
            try peer.finishes(stream, Finish.Reason.length)
        }
        cases.must("CREDIT of 4, of 2, of 4 and of 0", "four tokens and no more") { lab in
            let peer = try lab.greet()
            let stream = try peer.openAccepted(Generate(tokens: 8, limit: 0))
            peer.send(.credit(stream, 4), .credit(stream, 2), .credit(stream, 4), .credit(stream, 0))
            try peer.tokens(stream, 4)
            try peer.silent()
        }
        cases.must("CREDIT below the limit of GENERATE", "as many tokens as GENERATE allowed, no more") { lab in
            let peer = try lab.greet()
            let stream = try peer.openAccepted(Generate(tokens: 8, limit: 4))
            peer.send(.credit(stream, 2))
            try peer.tokens(stream, 4)
            try peer.silent()
        }
        cases.addConsumed()
        cases.addOthers()
        return cases
    }

    private mutating func addConsumed() {
        must("consumed equal to what was sent", "tokens go on") { lab in
            let peer = try lab.greet()
            let stream = try peer.openAccepted(Generate(tokens: 8, limit: 3))
            try peer.tokens(stream, 3)
            peer.send(.credit(stream, 8, consumed: 3))
            try peer.finishes(stream, Finish.Reason.length)
        }
        must("consumed smaller than before", "tokens go on") { lab in
            let peer = try lab.greet()
            let stream = try peer.openAccepted(Generate(tokens: 8, limit: 3))
            try peer.tokens(stream, 3)
            peer.send(.credit(stream, 4, consumed: 3), .credit(stream, 8, consumed: 1))
            try peer.finishes(stream, Finish.Reason.length)
        }
        violation("consumed one more than was sent") { peer in
            let stream = try peer.openAccepted(Generate(tokens: 8, limit: 3))
            try peer.tokens(stream, 3)
            return [.credit(stream, 8, consumed: 4)]
        }
        violation("consumed 1 before any token") { peer in
            [.credit(try peer.openAccepted(Generate(limit: 0)), 8, consumed: 1)]
        }
        violation("consumed 2^32 - 1") { peer in
            let stream = try peer.openAccepted(Generate(tokens: 8, limit: 3))
            try peer.tokens(stream, 3)
            return [.credit(stream, 3, consumed: .max)]
        }
    }

    private mutating func addOthers() {
        must("a stream without credit beside one with", "the other runs to its end") { lab in
            let peer = try lab.greet()
            let starved = try peer.openAccepted(Generate(tokens: 8, limit: 1))
            try peer.finishes(try peer.open(Generate(tokens: 24)), Finish.Reason.length)
            peer.send(.credit(starved, .max))
            try peer.finishes(starved, Finish.Reason.length)
        }
        must("eight streams with credit one at a time in turn", "each gets its own") { lab in
            let peer = try lab.greet()
            let streams = try (0..<8).map { _ in try peer.openAccepted(Generate(tokens: 6, limit: 0)) }
            for count: UInt32 in 1...6 {
                peer.send(streams.map { .credit($0, count) })
                for stream in streams { try peer.tokens(stream, count) }
            }
            for stream in streams { try peer.finishes(stream, Finish.Reason.length) }
        }
        must("the same request with and without waits for credit", "the same tokens and text") { lab in
            let peer = try lab.greet()
            let whole = try peer.open(Generate(tokens: 16))
            try peer.finishes(whole)
            let pieces = try peer.openAccepted(Generate(tokens: 16, limit: 0))
            for count in stride(from: UInt32(3), through: 18, by: 3) {
                peer.send(.credit(pieces, count))
                try peer.tokens(pieces, min(count, 16))
            }
            try peer.finishes(pieces)
            guard peer[whole].tokens == peer[pieces].tokens, peer[whole].text == peer[pieces].text else {
                throw Stop.failed("the tokens differ")
            }
        }
    }
}
