internal import LMEngine
internal import LMProtocol
internal import LMTransport

/// A request of a connection that is in the engine. A class, so that a token costs one look-up and no copy.
final class Generation {
    let stream: UInt32
    let request: RequestID
    let seed: UInt64?
    /// Tokens with an index below this may be sent: what the client says.
    var clientLimit: UInt32
    /// Tokens with an index below this may be produced: what the engine was told.
    var granted: UInt32
    /// Tokens taken from the engine.
    var taken: UInt32 = 0
    /// Of the text of the tokens sent.
    var checksum = CRC32C()
    /// Tokens that wait for the end of the turn; its arrays keep their memory from turn to turn.
    var pending = TokensMessage(firstIndex: 0)

    init(stream: UInt32, request: RequestID, seed: UInt64?, clientLimit: UInt32, granted: UInt32) {
        self.stream = stream
        self.request = request
        self.seed = seed
        self.clientLimit = clientLimit
        self.granted = granted
    }
}

// Answers: from the engine's events to frames, and the credit that lets the engine go on.
extension ServerConnection {
    /// True for the first event of a turn: `flushEvents` is owed from then on.
    func isFirstOfTurn() -> Bool {
        defer { isTaking = true }
        return !isTaking
    }

    /// Takes one event of this connection's; `flushEvents` sends what was taken.
    ///
    /// - Parameters:
    ///   - text: of a token event.
    ///   - logprobs: of a token event, the chosen token's first.
    func take(_ event: GenerationEvent, text: Span<UInt8>, logprobs: ArraySlice<TokenLogprob>) {
        guard let generation = generations[UInt32(truncatingIfNeeded: event.tag)] else { return }
        do throws(WireError) {
            switch event.kind {
            case .token(let id, let index, _): try append(id, index, text, logprobs, to: generation)
            case .finished(let reason, let usage):
                try flush(generation)
                var message = FinishMessage(
                    reason: .init(reason), tokens: generation.taken, checksum: generation.checksum.value)
                message.usage = UsageReport(usage)
                message.seed = generation.seed
                generations[generation.stream] = nil
                try send { (wire, bytes) throws(WireError) in
                    try wire.sendFinish(on: generation.stream, message, into: &bytes)
                }
                leaveIfDone()
            case .failed(let error, let usage):
                try flush(generation)
                var message = ErrorMessage(error)
                message.usage = UsageReport(usage)
                generations[generation.stream] = nil
                try refuse(generation.stream, message)
                leaveIfDone()
            }
        } catch {
            fail(ErrorMessage(error))
        }
    }

    private func append(
        _ id: Int32, _ index: UInt32, _ text: Span<UInt8>, _ logprobs: ArraySlice<TokenLogprob>,
        to generation: Generation
    ) throws(WireError) {
        if !generation.pending.hasRoom(forText: text.count) { try flush(generation) }
        if generation.pending.count == 0 {
            generation.pending.removeAll(firstIndex: index)
            touched.append(generation)
        }
        generation.taken = index + 1
        try generation.pending.append(id: id, text: text)
        for logprob in logprobs {
            try generation.pending.append(.init(token: logprob.token, value: logprob.logprob))
        }
    }

    private func flush(_ generation: Generation) throws(WireError) {
        guard generation.pending.count > 0 else { return }
        generation.checksum.update(generation.pending.text.span.bytes)
        try send { (wire, bytes) throws(WireError) in
            try wire.sendTokens(on: generation.stream, generation.pending, into: &bytes)
        }
        generation.pending.removeAll(firstIndex: 0)
    }

    /// Sends the tokens taken in this turn: those of one stream in one frame.
    func flushEvents() {
        isTaking = false
        do throws(WireError) {
            for generation in touched {
                try flush(generation)
                grant(generation)
            }
        } catch {
            fail(ErrorMessage(error))
        }
        touched.removeAll(keepingCapacity: true)
    }

    /// Lets the engine produce what the client allows, but never more than a window beyond what was taken, and nothing
    /// new while the socket is congested: a reader that does not drain it stops its own sequences, and nobody else's.
    func grant(_ generation: Generation) {
        guard channel?.isCongested == false else { return }
        let window = loop.limits.aheadTokens
        let (end, overflow) = generation.taken.addingReportingOverflow(window)
        let limit = min(generation.clientLimit, overflow ? .max : end)
        // In steps of half a window: a command for each token would be waste.
        guard limit > generation.granted, limit == generation.clientLimit || limit - generation.granted >= window / 2
        else { return }
        generation.granted = limit
        loop.model.engine.grant(generation.request, creditLimit: limit)
    }
}
