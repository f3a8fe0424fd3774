// What cases expect, in the page's words.
extension Peer {
    /// Says preface and HELLO and waits for the server's HELLO and MAX_STREAMS.
    func greet(_ hello: Hello? = nil) throws {
        send(raw: prefaceBytes)
        send((hello ?? Hello(key: lab.target.key)).frame)
        try wait(for: "HELLO and MAX_STREAMS") { $0.hello != nil && $0.grant > 0 }
    }

    /// The next stream number, as soon as the server grants it.
    func nextStream() throws -> UInt32 {
        let stream = monitor.highest + 1
        try wait(for: "MAX_STREAMS \(stream)") { $0.grant >= stream }
        return stream
    }

    /// Sends GENERATE; returns its stream.
    func open(_ request: Generate) throws -> UInt32 {
        let stream = try nextStream()
        send(request.frame(stream))
        return stream
    }

    /// Sends CALL; returns its stream.
    func call(_ method: UInt16, _ fields: [UInt8] = []) throws -> UInt32 {
        let stream = try nextStream()
        send(.call(stream, method, fields))
        return stream
    }

    /// Sends GENERATE and waits for ACCEPT; returns its stream.
    func openAccepted(_ request: Generate) throws -> UInt32 {
        let stream = try open(request)
        try accepted(stream)
        return stream
    }

    /// Waits for ACCEPT.
    @discardableResult
    func accepted(_ stream: UInt32) throws -> Accept {
        try wait(for: "ACCEPT on stream \(stream)") {
            if case .error(let failure)? = $0.streams[stream]?.end {
                throw Stop.failed("\(failure.name) instead of ACCEPT")
            }
            return $0.streams[stream]?.accept != nil
        }
        guard let accept = self[stream].accept else { throw Stop.failed("no ACCEPT") }
        return accept
    }

    /// What is known of a stream that was opened.
    subscript(stream: UInt32) -> Monitor.Stream {
        monitor.streams[stream] ?? Monitor.Stream(opening: 0, next: 0, limit: 0, checksum: nil)
    }

    /// Waits until so many tokens are there.
    func tokens(_ stream: UInt32, _ count: UInt32) throws {
        try wait(for: "token \(count) of stream \(stream)") {
            if $0.streams[stream]?.end != nil { throw Stop.failed("stream \(stream) ended before token \(count)") }
            return $0.streams[stream]?.next ?? 0 >= count
        }
    }

    /// Waits for the stream's end.
    @discardableResult
    func end(_ stream: UInt32) throws -> End {
        try wait(for: "the end of stream \(stream)") { $0.streams[stream]?.end != nil }
        guard let end = self[stream].end else { throw Stop.failed("no end") }
        return end
    }

    /// Waits for FINISH with one of the reasons.
    @discardableResult
    func finishes(_ stream: UInt32, _ reasons: UInt8...) throws -> Finish {
        guard case .finish(let finish) = try end(stream) else {
            throw Stop.failed("\(self[stream].endName) instead of FINISH")
        }
        guard reasons.isEmpty || reasons.contains(finish.reason) else {
            let wanted = reasons.map(Finish.Reason.name).joined(separator: " or ")
            throw Stop.failed("FINISH \(Finish.Reason.name(finish.reason)) instead of \(wanted)")
        }
        return finish
    }

    /// Waits for ERROR on the stream with one of the codes.
    @discardableResult
    func fails(_ stream: UInt32, _ codes: UInt16...) throws -> Failure { try fails(stream, codes) }

    /// Waits for ERROR on the stream with one of the codes.
    @discardableResult
    func fails(_ stream: UInt32, _ codes: [UInt16]) throws -> Failure {
        let wanted = codes.map(Code.name).joined(separator: " or ")
        guard case .error(let failure) = try end(stream) else {
            throw Stop.failed("\(self[stream].endName) instead of ERROR \(wanted)")
        }
        guard codes.contains(failure.code) else { throw Stop.failed("\(failure.name) instead of \(wanted)") }
        return failure
    }

    /// Waits for REPLY.
    func reply(_ stream: UInt32) throws -> Fields {
        guard case .reply(let fields) = try end(stream) else {
            throw Stop.failed("\(self[stream].endName) instead of REPLY")
        }
        return fields
    }

    /// Sends frames that must have no effect.
    func ignores(_ frames: Frame...) throws { try ignores(frames) }

    /// Sends frames that must have no effect.
    func ignores(_ frames: [Frame]) throws {
        let before = monitor.answers
        send(frames)
        try fence()
        guard monitor.answers == before + 1 else { throw Stop.failed("an answer to what must be ignored") }
    }

    /// Listens for a while in which nothing may come but what comes at any time.
    func silent(milliseconds: Int = 150) throws {
        let before = monitor.answers
        try listen(milliseconds: milliseconds)
        guard monitor.answers == before else { throw Stop.failed("an answer where there must be none") }
        if let fatal = monitor.fatal { throw Stop.failed("\(fatal.name) on stream 0") }
    }

    /// Waits for ERROR on stream 0 with one of the codes and for the end of the connection.
    func violation(_ codes: UInt16...) throws { try violation(codes.isEmpty ? [Code.protocolViolation] : codes) }

    /// Waits for ERROR on stream 0 with one of the codes and for the end of the connection.
    func violation(_ codes: [UInt16]) throws {
        let wanted = codes.map(Code.name).joined(separator: " or ")
        try wait(for: "ERROR \(wanted) on stream 0") { $0.fatal != nil }
        guard let fatal = monitor.fatal, codes.contains(fatal.code) else {
            throw Stop.failed("\(monitor.fatal?.name ?? "nothing") on stream 0 instead of ERROR \(wanted)")
        }
        try closes()
    }

    /// Waits for the end of the connection, before which nothing may be sent.
    func closesSilently() throws {
        let before = monitor.answers
        try closes()
        if let fatal = monitor.fatal { throw Stop.failed("\(fatal.name) where the server must say nothing") }
        guard monitor.answers == before else { throw Stop.failed("an answer where the server must say nothing") }
    }
}

extension Monitor.Stream {
    /// How it ended, for messages.
    var endName: String {
        switch end {
        case .finish(let finish): "FINISH \(Finish.Reason.name(finish.reason))"
        case .error(let failure): failure.name
        case .reply: "REPLY"
        case nil: "nothing"
        }
    }
}
