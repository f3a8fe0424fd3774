extension CaseList {
    /// Section 5: numbers, and every cell of its first table.
    static var streams: CaseList {
        var cases = CaseList("5")
        cases.must("the first stream has number 1", "ACCEPT") { lab in
            let peer = try lab.greet()
            peer.send(Generate().frame(1))
            try peer.finishes(1, Finish.Reason.length)
        }
        cases.must("streams 2, 5 and the highest granted", "all are served: gaps are allowed") { lab in
            let peer = try lab.greet()
            let highest = peer.monitor.grant
            for stream in [2, 5, highest] { peer.send(Generate().frame(stream)) }
            for stream in [2, 5, highest] { try peer.finishes(stream, Finish.Reason.length) }
        }
        for (name, frame) in openings {
            cases.violation("\(name) on a number below the highest") { peer in
                peer.send(.call(5))
                _ = try peer.reply(5)
                return [frame(3)]
            }
            cases.violation("\(name) above MAX_STREAMS") { peer in [frame(peer.monitor.grant + 1)] }
            cases.violation("\(name) on stream 2^31") { _ in [frame(1 << 31)] }
        }
        cases.violation("GENERATE on stream 2^32 - 1") { _ in [Generate().frame(.max)] }
        for situation in Situation.all { cases.addCells(situation) }
        cases.addCallCells()
        return cases
    }

    private typealias Opening = (name: String, frame: @Sendable (UInt32) -> Frame)

    private static let openings: [Opening] = [
        ("GENERATE", { Generate().frame($0) }), ("CALL", { .call($0) }),
        ("RESUME", { .resume($0, Array(repeating: 7, count: 16), index: 0) }),
    ]

    /// Brings a stream into a state of the table.
    private struct Situation: Sendable {
        let name: String
        /// Whether CREDIT and CANCEL are ignored there rather than obeyed.
        let isClosed: Bool
        let bring: @Sendable (Peer) throws -> UInt32

        static let all: [Situation] = [
            Situation("opened, with GENERATE in the same write", isClosed: false) { peer in
                let stream = try peer.nextStream()
                peer.send(Generate(limit: 0).frame(stream))
                return stream
            },
            Situation("accepted", isClosed: false) { try $0.openAccepted(Generate(limit: 0)) },
            Situation("accepted and with tokens sent", isClosed: false) { peer in
                let stream = try peer.openAccepted(Generate(limit: 2))
                try peer.tokens(stream, 2)
                return stream
            },
            Situation("closed by FINISH", isClosed: true) { peer in
                let stream = try peer.openAccepted(Generate())
                try peer.finishes(stream)
                return stream
            },
            Situation("closed by ERROR", isClosed: true) { peer in
                let stream = try peer.open(Generate().with(Generate.Key.temperature, f32(-1)))
                try peer.fails(stream, Code.invalid)
                return stream
            },
            Situation("closed by CANCEL", isClosed: true) { peer in
                let stream = try peer.openAccepted(Generate(limit: 0))
                peer.send(.cancel(stream))
                try peer.finishes(stream, Finish.Reason.cancelled)
                return stream
            },
            Situation("closed by REPLY", isClosed: true) { peer in
                let stream = try peer.call(Method.health)
                _ = try peer.reply(stream)
                return stream
            },
        ]

        init(_ name: String, isClosed: Bool, bring: @escaping @Sendable (Peer) throws -> UInt32) {
            self.name = name
            self.isClosed = isClosed
            self.bring = bring
        }
    }

    private mutating func addCells(_ situation: Situation) {
        for (name, frame) in Self.openings {
            violation("\(name) on a stream that is \(situation.name)") { [frame(try situation.bring($0))] }
        }
        guard !situation.isClosed else {
            ignored("CREDIT on a stream that is \(situation.name)") { [.credit(try situation.bring($0), 9)] }
            ignored("CANCEL on a stream that is \(situation.name)") { [.cancel(try situation.bring($0))] }
            return
        }
        must("CREDIT on a stream that is \(situation.name)", "it grants: the stream ends by length") { lab in
            let peer = try lab.greet()
            let stream = try situation.bring(peer)
            peer.send(.credit(stream, 64))
            try peer.finishes(stream, Finish.Reason.length)
        }
        must("CANCEL on a stream that is \(situation.name)", "the stream ends") { lab in
            let peer = try lab.greet()
            let stream = try situation.bring(peer)
            peer.send(.cancel(stream))
            try peer.endsByCancel(stream)
        }
        must("CANCEL twice on a stream that is \(situation.name)", "one end; the second is ignored") { lab in
            let peer = try lab.greet()
            let stream = try situation.bring(peer)
            peer.send(.cancel(stream), .cancel(stream))
            try peer.endsByCancel(stream)
            try peer.fence()
        }
    }

    private mutating func addCallCells() {
        violation("CREDIT on a stream that was never opened") { _ in [.credit(1, 1)] }
        violation("CANCEL on a stream that was never opened") { _ in [.cancel(1)] }
        violation("CREDIT above the highest opened stream") { peer in
            [.credit(try peer.openAccepted(Generate(limit: 0)) + 1, 1)]
        }
        violation("CANCEL above the highest opened stream") { peer in
            [.cancel(try peer.openAccepted(Generate(limit: 0)) + 1)]
        }
        for (name, frame) in Self.openings {
            violation("\(name) in the same write as a CALL on its stream") { [.call(try $0.nextStream()), frame(1)] }
        }
        must("CREDIT in the same write as a CALL", "a violation; ignored if the REPLY was first") { lab in
            let peer = try lab.greet()
            peer.send(.call(1), .credit(1, 1), .ping(3))
            try peer.wait(for: "REPLY, or ERROR PROTOCOL") { $0.fatal != nil || !$0.pongs.isEmpty }
            guard let fatal = peer.monitor.fatal else { return _ = try peer.reply(1) }
            guard fatal.code == Code.protocolViolation else { throw Stop.failed("\(fatal.name) on stream 0") }
            try peer.closes()
        }
        must("CANCEL in the same write as a CALL", "REPLY or ERROR CANCELLED, once") { lab in
            let peer = try lab.greet()
            peer.send(.call(1), .cancel(1), .cancel(1))
            if case .error = try peer.end(1) { try peer.fails(1, Code.cancelled) }
            try peer.fence()
        }
    }
}

extension Peer {
    /// Waits for the end that a CANCEL asks for, or one that was on its way.
    func endsByCancel(_ stream: UInt32) throws {
        switch try end(stream) {
        case .finish(let finish) where finish.reason == Finish.Reason.cancelled: break
        case .error(let failure) where failure.code == Code.cancelled && self[stream].accept == nil: break
        default: throw Stop.failed("\(self[stream].endName) instead of FINISH cancelled")
        }
    }
}
