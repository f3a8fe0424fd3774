extension CaseList {
    /// Section 5.2, with 6.8.
    static var cancellation: CaseList {
        var cases = CaseList("5.2")
        cases.must("CANCEL in the same write as GENERATE", "FINISH cancelled, or ERROR CANCELLED before ACCEPT") {
            lab in
            let peer = try lab.greet()
            peer.send(Generate(limit: 0).frame(1), .cancel(1))
            try peer.endsByCancel(1)
        }
        cases.must("CANCEL after ACCEPT", "FINISH cancelled with no token") { lab in
            let peer = try lab.greet()
            let stream = try peer.openAccepted(Generate(limit: 0))
            peer.send(.cancel(stream))
            guard try peer.finishes(stream, Finish.Reason.cancelled).tokens == 0 else { throw Stop.failed("tokens") }
        }
        cases.must("CANCEL after the first token", "FINISH cancelled with one token") { lab in
            let peer = try lab.greet()
            let stream = try peer.openAccepted(Generate(tokens: 8, limit: 1))
            try peer.tokens(stream, 1)
            peer.send(.cancel(stream))
            guard try peer.finishes(stream, Finish.Reason.cancelled).tokens == 1 else { throw Stop.failed("tokens") }
        }
        for reason: UInt32 in [0, 1, 2, 3, 4, .max] {
            cases.must("CANCEL with reason \(reason)", "FINISH cancelled, whatever the reason") { lab in
                let peer = try lab.greet()
                let stream = try peer.openAccepted(Generate(limit: 0))
                peer.send(.cancel(stream, reason: reason))
                try peer.finishes(stream, Finish.Reason.cancelled)
            }
        }
        cases.must("CANCEL of a stream that runs", "one end: cancelled or length") { lab in
            let peer = try lab.greet()
            let stream = try peer.openAccepted(Generate(tokens: 48))
            try peer.tokens(stream, 1)
            peer.send(.cancel(stream))
            try peer.finishes(stream, Finish.Reason.cancelled, Finish.Reason.length)
            try peer.fence()
        }
        cases.must("CANCEL racing the end, 30 times", "one end each, nothing after it") { lab in
            let peer = try lab.greet()
            for round: UInt32 in 0..<30 {
                let stream = try peer.open(Generate(tokens: round / 10 + 1))
                if round % 3 == 1 { try peer.accepted(stream) }
                if round % 3 == 2 { try peer.tokens(stream, 1) }
                peer.send(.cancel(stream))
                if case .error = try peer.end(stream) { try peer.fails(stream, Code.cancelled) }
            }
            try peer.fence()
        }
        cases.must("CREDIT after CANCEL", "the stream still ends as cancelled") { lab in
            let peer = try lab.greet()
            let stream = try peer.openAccepted(Generate(limit: 0))
            peer.send(.cancel(stream), .credit(stream, .max))
            try peer.finishes(stream, Finish.Reason.cancelled)
        }
        cases.must("CANCEL of one of three streams", "the others go on") { lab in
            let peer = try lab.greet()
            let streams = try (0..<3).map { _ in try peer.openAccepted(Generate(limit: 0)) }
            peer.send(.cancel(streams[1]))
            try peer.finishes(streams[1], Finish.Reason.cancelled)
            peer.send(.credit(streams[0], 9), .credit(streams[2], 9))
            for stream in [streams[0], streams[2]] { try peer.finishes(stream, Finish.Reason.length) }
        }
        cases.must("64 streams opened and cancelled in one write", "each ends once; the next is served") { lab in
            let peer = try lab.greet()
            let count = min(64, peer.monitor.grant)
            peer.send((1...count).map { Generate(limit: 0).frame($0) } + (1...count).map { .cancel($0) })
            for stream in 1...count { try peer.endsByCancel(stream) }
            try peer.finishes(try peer.open(Generate()), Finish.Reason.length)
        }
        return cases
    }
}
