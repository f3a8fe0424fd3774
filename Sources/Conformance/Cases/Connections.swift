extension CaseList {
    /// Section 5.3.
    static var streamGrants: CaseList {
        var cases = CaseList("5.3")
        let ends: [(String, @Sendable (Peer) throws -> Void)] = [
            ("FINISH", { try $0.finishes(try $0.open(Generate())) }),
            ("REPLY", { _ = try $0.reply(try $0.call(Method.health)) }),
            ("a refusal", { try $0.fails(try $0.open(Generate().with(Generate.Key.topP, f32(2))), Code.invalid) }),
            (
                "CANCEL",
                { peer in
                    let stream = try peer.openAccepted(Generate(limit: 0))
                    peer.send(.cancel(stream))
                    try peer.finishes(stream)
                }
            ),
            (
                "a failed RESUME",
                { peer in
                    let stream = try peer.nextStream()
                    peer.send(.resume(stream, Array(repeating: 9, count: 16), index: 0))
                    try peer.fails(stream, Code.notFound)
                }
            ),
        ]
        for (name, end) in ends {
            cases.must("a stream ended by \(name)", "MAX_STREAMS one higher than before") { lab in
                let peer = try lab.greet()
                let before = peer.monitor.grant
                try end(peer)
                try peer.wait(for: "MAX_STREAMS \(before + 1)") { $0.grant == before + 1 }
            }
        }
        cases.must("twice as many calls as streams are granted", "all are answered") { lab in
            let peer = try lab.greet()
            for _ in 0..<min(600, 2 * peer.monitor.grant) { _ = try peer.reply(try peer.call(Method.health)) }
        }
        cases.must("as many streams at once as are granted", "all are accepted, or refused as OVERLOADED") { lab in
            let peer = try lab.greet()
            let count = peer.monitor.grant
            guard count <= 512 else { throw Stop.skipped("\(count) streams are granted") }
            peer.send((1...count).map { Generate(tokens: 1, limit: 0).frame($0) })
            try peer.wait(for: "an answer to each") { monitor in
                (1...count).allSatisfy { monitor.streams[$0]?.accept != nil || monitor.streams[$0]?.end != nil }
            }
            for stream in 1...count where peer[stream].accept == nil { try peer.fails(stream, Code.overloaded) }
        }
        cases.violation("one stream more than are granted, while all are open") { peer in
            let count = peer.monitor.grant
            guard count <= 512 else { throw Stop.skipped("\(count) streams are granted") }
            return (1...count + 1).map { Generate(tokens: 1, limit: 0).frame($0) }
        }
        return cases
    }

    /// Section 5.4.
    static var goingAway: CaseList {
        var cases = CaseList("5.4")
        cases.drained("a connection without streams", "the final GOAWAY, then close") { scene in
            _ = try scene.finalGoAway(scene.idle)
            try scene.idle.closes()
        }
        cases.drained("GOAWAY", "a warning first, the final one at least a second after it was told to go") { scene in
            let peer = scene.waiting.peer
            _ = try scene.finalGoAway(peer)
            guard peer.monitor.goAways.first?.isWarning == true else { throw Stop.notStrict("no warning came first") }
        }
        cases.drained("the last stream of the final GOAWAY", "not below a stream that was accepted") { scene in
            let message = try scene.finalGoAway(scene.waiting.peer)
            guard message.lastStream >= scene.waiting.stream else {
                throw Stop.failed("last stream \(message.lastStream), accepted was \(scene.waiting.stream)")
            }
        }
        cases.drained("GENERATE, CALL and RESUME above the last stream", "no answer") { scene in
            let last = try scene.finalGoAway(scene.tooLate.peer).lastStream
            try scene.tooLate.peer.ignores(
                Generate().frame(last + 1), .call(last + 2), .resume(last + 3, Array(repeating: 7, count: 16), index: 0)
            )
        }
        cases.drained("CREDIT and CANCEL above the last stream", "no answer") { scene in
            let last = try scene.finalGoAway(scene.tooLate.peer).lastStream
            try scene.tooLate.peer.ignores(.credit(last + 1, 9), .cancel(last + 1), .cancel(last + 1))
        }
        cases.drained("CREDIT for a stream that was accepted", "it runs to its end, then close") { scene in
            scene.waiting.peer.send(.credit(scene.waiting.stream, 9))
            try scene.waiting.peer.finishes(scene.waiting.stream, Finish.Reason.length)
            try scene.waiting.peer.closes()
        }
        cases.drained("CANCEL of a stream that was accepted", "FINISH cancelled, then close") { scene in
            scene.cancelling.peer.send(.cancel(scene.cancelling.stream))
            try scene.cancelling.peer.finishes(scene.cancelling.stream, Finish.Reason.cancelled)
            try scene.cancelling.peer.closes()
        }
        cases.drained("a stream that does not end within the grace", "ERROR DRAINING, retryable, then close") { scene in
            let grace = try scene.finalGoAway(scene.abandoned.peer).grace
            guard grace < scene.timeout else { throw Stop.skipped("the grace is \(grace) ms, longer than --timeout") }
            let failure = try scene.abandoned.peer.endDrained(scene.abandoned.stream)
            guard failure.isRetryable else { throw Stop.failed("ERROR DRAINING is not retryable") }
        }
        return cases
    }

    /// Section 5.5.
    static var keepingAlive: CaseList {
        var cases = CaseList("5.5")
        cases.must("PING while a stream waits for credit", "PONG") { lab in
            let peer = try lab.greet()
            _ = try peer.openAccepted(Generate(limit: 0))
            try peer.fence()
        }
        cases.must("PING while a stream runs", "PONG before its end or after; the tokens are whole") { lab in
            let peer = try lab.greet()
            let stream = try peer.open(Generate(tokens: 48))
            for _ in 0..<8 { try peer.fence() }
            try peer.finishes(stream, Finish.Reason.length)
        }
        cases.must("PING of 8 zeros, twice", "two PONGs") { lab in
            let peer = try lab.greet()
            peer.send(.ping(0), .ping(0))
            try peer.wait(for: "two PONGs") { $0.pongs == [u64(0), u64(0)] }
        }
        cases.ignored("PONG that nobody asked for") { _ in [Frame(FrameType.pong, 0, u64(.max))] }
        cases.should("the keep-alive of HELLO", "announced, 1 second or more") { lab in
            guard let keepAlive = try lab.greet().monitor.hello?.keepAlive else { throw Stop.failed("not announced") }
            guard keepAlive >= 1_000 else { throw Stop.failed("\(keepAlive) ms") }
        }
        return cases
    }

    /// Section 5.6.
    static var deadlines: CaseList {
        var cases = CaseList("5.6")
        cases.must("a timeout that passes while the stream waits for credit", "ERROR DEADLINE") { lab in
            let peer = try lab.greet()
            var request = Generate(limit: 0)
            request.timeout = 200
            try peer.fails(try peer.openAccepted(request), Code.deadline)
        }
        cases.must("a timeout that passes after some tokens", "the tokens, then ERROR DEADLINE") { lab in
            let peer = try lab.greet()
            var request = Generate(tokens: 8, limit: 3)
            request.timeout = 300
            let stream = try peer.openAccepted(request)
            try peer.tokens(stream, 3)
            try peer.fails(stream, Code.deadline)
        }
        cases.must("a timeout of 1 ms on a stream without credit", "ERROR DEADLINE") { lab in
            let peer = try lab.greet()
            var request = Generate(limit: 0)
            request.timeout = 1
            try peer.fails(try peer.open(request), Code.deadline)
        }
        cases.must("a timeout that is long enough", "FINISH") { lab in
            let peer = try lab.greet()
            var request = Generate()
            request.timeout = 60_000
            try peer.finishes(try peer.open(request), Finish.Reason.length)
        }
        cases.must("a first-token time that passes while the stream waits for credit", "ERROR DEADLINE") { lab in
            let peer = try lab.greet()
            let request = Generate(limit: 0).with(Generate.Key.firstTokenTimeout, u32(200))
            try peer.fails(try peer.openAccepted(request), Code.deadline)
        }
        cases.must("a first-token time that is kept", "the stream outlives it") { lab in
            let peer = try lab.greet()
            let request = Generate(tokens: 8, limit: 1).with(Generate.Key.firstTokenTimeout, u32(3_000))
            let stream = try peer.openAccepted(request)
            try peer.tokens(stream, 1)
            try peer.silent(milliseconds: 3_500)
            peer.send(.credit(stream, .max))
            try peer.finishes(stream, Finish.Reason.length)
        }
        cases.must("a gap longer than allowed, but without credit", "the stream goes on") { lab in
            let peer = try lab.greet()
            let request = Generate(tokens: 8, limit: 1).with(Generate.Key.gapTimeout, u32(1_000))
            let stream = try peer.openAccepted(request)
            try peer.tokens(stream, 1)
            try peer.silent(milliseconds: 1_500)
            peer.send(.credit(stream, .max))
            try peer.finishes(stream, Finish.Reason.length)
        }
        cases.must("ERROR DEADLINE", "not retryable, and the stream number counts as used") { lab in
            let peer = try lab.greet()
            var request = Generate(limit: 0)
            request.timeout = 50
            let stream = try peer.open(request)
            guard try peer.fails(stream, Code.deadline).isRetryable == false else { throw Stop.failed("retryable") }
            try peer.ignores(.credit(stream, 9), .cancel(stream))
        }
        return cases
    }
}

extension Peer {
    /// Waits for ERROR DRAINING on the stream or on the connection, and for the end of the connection.
    fileprivate func endDrained(_ stream: UInt32) throws -> Failure {
        try wait(for: "ERROR DRAINING") { $0.fatal != nil || $0.streams[stream]?.end != nil }
        let failure = try monitor.fatal ?? fails(stream, Code.draining)
        guard failure.code == Code.draining else { throw Stop.failed("\(failure.name) instead of ERROR DRAINING") }
        try closes()
        return failure
    }
}
