extension CaseList {
    /// Sections 6.1 and 8: budgets, and limits that no other section's cases reach.
    static var limits: CaseList {
        var cases = CaseList("8")
        cases.must("the longest payload that is announced", "read: an answer on the stream") { lab in
            let peer = try lab.greet()
            let size = Int(peer.monitor.hello?.maxPayload ?? 0)
            var request = Generate()
            request = request.with(0x0777, Array(repeating: 0, count: size - request.payload.count - 6))
            try peer.finishes(try peer.open(request), Finish.Reason.length)
        }
        cases.must("a server's longest payload", "65,536 or more") { lab in
            // The monitor checks the range; the reference server's value is a default.
            guard try lab.greet().monitor.hello?.maxPayload ?? 0 >= 65_536 else { throw Stop.failed("less") }
        }
        cases.must("all control frames of the budget at once", "each is answered, nobody is disconnected") { lab in
            let peer = try lab.greet()
            let budget = try peer.budget(\.controlBudget, "control frames")
            for start in stride(from: 0, to: budget.burst, by: 1_000) {
                peer.send((start..<min(start + 1_000, budget.burst)).map { .ping(UInt64($0)) })
            }
            try peer.wait(for: "\(budget.burst) PONGs") { $0.pongs.count >= budget.burst }
            pause(microseconds: 100_000)
            try peer.fence()
        }
        cases.floods("control frames", \.controlBudget) { peer, _ in .ping(1) }
        cases.must("all frames without effect of the budget at once", "nobody is disconnected") { lab in
            let peer = try lab.greet()
            let budget = try peer.budget(\.glitchBudget, "frames without effect")
            for start in stride(from: 0, to: budget.burst, by: 1_000) {
                peer.send(Array(repeating: Frame(0x7A), count: Int(min(1_000, budget.burst - start))))
            }
            try peer.fence()
        }
        cases.floods("frames without effect", \.glitchBudget) { _, _ in Frame(0x7A) }
        cases.must("all cancels of the budget, after the first token", "each stream ends, nobody is disconnected") {
            lab in
            let peer = try lab.greet()
            let budget = try peer.budget(\.cancelBudget, "cancels")
            for _ in 0..<min(budget.burst, 600) {
                let stream = try peer.open(Generate(tokens: 8, limit: 1))
                try peer.tokens(stream, 1)
                peer.send(.cancel(stream))
                try peer.finishes(stream, Finish.Reason.cancelled)
            }
            try peer.fence()
        }
        cases.must("streams opened and cancelled beyond the budget", "ERROR RATE_LIMITED, close") { lab in
            let peer = try lab.greet()
            let budget = try peer.budget(\.cancelBudget, "cancels")
            // One before the first token counts four times.
            let count = budget.burst / 4 + budget.perSecond * 2 + 64
            var sent: UInt32 = 0
            while sent < count {
                let stream = peer.monitor.highest + 1
                try peer.wait(for: "MAX_STREAMS \(stream) or ERROR") { $0.grant >= stream || $0.fatal != nil }
                if peer.monitor.fatal != nil { break }
                peer.send(Generate(limit: 0).frame(stream), .cancel(stream))
                sent += 1
            }
            try peer.violation(Code.rateLimited)
        }
        cases.must("requests faster than allowed", "ERROR RATE_LIMITED on the stream at worst; no disconnection") {
            lab in
            let peer = try lab.greet()
            for _ in 0..<32 {
                let first = peer.monitor.highest + 1
                let last = peer.monitor.grant
                guard first <= last else { break }
                peer.send((first...last).map { .call($0) })
                for stream in first...last {
                    if case .error = try peer.end(stream) { try peer.fails(stream, Code.rateLimited, Code.overloaded) }
                }
            }
            try peer.fence()
        }
        return cases
    }

    /// More frames than the budget allows, whatever comes back meanwhile.
    private mutating func floods(
        _ name: String, _ path: @escaping @Sendable (ServerHello) -> ServerHello.Budget?,
        _ frame: @escaping @Sendable (Peer, UInt32) -> Frame
    ) {
        must("\(name) beyond the budget", "ERROR RATE_LIMITED on stream 0, close") { lab in
            let peer = try lab.greet()
            let budget = try peer.budget(path, name)
            let (start, deadline) = (ContinuousClock.now, lab.deadline())
            // The budget fills up again while we send.
            var (sent, allowed) = (0.0, Double(budget.burst))
            func refill() { allowed = Double(budget.burst) + Double(budget.perSecond) * ((.now - start) / .seconds(1)) }
            while peer.monitor.fatal == nil, ContinuousClock.now < deadline, sent < 2 * allowed {
                peer.send((0..<1_000).map { frame(peer, $0) })
                sent += 1_000
                refill()
                try peer.listen(milliseconds: 0)
            }
            // And while the server reads what we sent.
            peer.send(.ping(.max))
            try peer.wait(for: "ERROR or PONG") { $0.fatal != nil || $0.pongs.last == u64(.max) }
            refill()
            guard peer.monitor.fatal != nil || sent > allowed + 1_000 else {
                throw Stop.skipped("line and server are too slow to exceed the budget")
            }
            try peer.violation(Code.rateLimited)
        }
    }

    /// Section 9.
    static var extensions: CaseList {
        var cases = CaseList("9")
        cases.must("capability bits that only we set", "they are not in use: the server behaves as without") { lab in
            var hello = Hello(key: lab.target.key)
            hello.capabilities = .max
            let peer = try lab.greet(hello)
            try peer.finishes(try peer.open(Generate()), Finish.Reason.length)
        }
        cases.must("ERROR with an unknown code on stream 0", "close") { lab in
            let peer = try lab.greet()
            peer.send(.error(0, 0xFFFF))
            try peer.closes()
        }
        cases.must("frames of unknown types between all others", "they change nothing") { lab in
            let peer = try lab.greet()
            let stream = try peer.nextStream()
            peer.send(
                Frame(0x70), Generate(tokens: 8, limit: 0).frame(stream), Frame(0x71, stream, [1]),
                .credit(stream, 4), Frame(0x7F, 0, [2]), .credit(stream, 8), Frame(0x11, 99))
            try peer.finishes(stream, Finish.Reason.length)
        }
        return cases
    }
}

extension Peer {
    /// A budget of the server's HELLO; skips the case when there is none.
    fileprivate func budget(
        _ path: (ServerHello) -> ServerHello.Budget?, _ name: String
    ) throws -> ServerHello.Budget {
        guard let budget = monitor.hello.flatMap(path) else { throw Stop.skipped("no budget for \(name) is announced") }
        guard budget.burst <= 200_000 else { throw Stop.skipped("the budget for \(name) is \(budget.burst)") }
        return budget
    }
}
