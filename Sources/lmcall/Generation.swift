import LMClient
import LMSupport

/// Asks for one answer and hands it to a writer as it comes.
struct Generation {
    let client: LMClient
    let interruption: Interruption

    /// - Returns: success, or what the signal that cancelled it asks for.
    /// - Throws: what failed, after the writer was told; `WriteError.brokenPipe` after the cancel was sent.
    func run(
        _ request: GenerateRequest, showingUsage: Bool, to writer: inout some AnswerWriter
    ) async throws -> ExitCode {
        let begun = LMClient.now
        do {
            let stream = try await client.generate(request)
            interruption.begin(stream)
            try writer.began(Answer.Opening(id: stream.requestID, model: stream.model))
            let arrivals = try await write(stream, to: &writer)
            guard let finish = stream.finish else {
                throw LMError(.internal, "the answer ended without saying how; is the server's version ours?")
            }
            let ending = Answer.Ending(finish, begun: begun, arrivals: arrivals)
            try writer.ended(ending)
            if showingUsage { StandardStream.error.note(ending.summary) }
        } catch let error as LMError {
            try writer.failed(Answer.Failure(error))
            throw ProgramError(error)
        }
        return interruption.exitCode ?? .success
    }

    /// When the first and the last token arrived.
    struct Arrivals {
        var first: UInt64?
        var last: UInt64?
    }

    private func write(_ stream: TokenStream, to writer: inout some AnswerWriter) async throws -> Arrivals {
        var arrivals = Arrivals()
        do {
            for try await token in stream {
                arrivals.first = arrivals.first ?? token.arrival
                arrivals.last = token.arrival
                try writer.received(Answer.Piece(token))
            }
        } catch let error as StandardStream.WriteError {
            // Nobody reads any more. The server is told before we go, so that it does not write for nobody.
            interruption.limitWait(error == .brokenPipe ? .success : .localInputOutput)
            stream.cancel()
            await stream.waitForEnd()
            throw error
        }
        return arrivals
    }
}

extension Answer.Piece {
    init(_ token: Token) {
        let logprobs = token.logprobs.first.map { chosen in
            Answer.Logprob(
                tokenId: chosen.token, logprob: chosen.logprob,
                top: token.logprobs.dropFirst().map { .init(tokenId: $0.token, logprob: $0.logprob) })
        }
        self.init(index: token.index, text: token.text, ids: [token.id], logprobs: logprobs.map { [$0] } ?? [])
    }
}

extension Answer.Ending {
    init(_ finish: FinishInfo, begun: UInt64, arrivals: Generation.Arrivals) {
        func milliseconds(from start: UInt64, to end: UInt64) -> Double { Double(end - min(start, end)) / 1e6 }
        let usage = finish.usage
        var timing = Answer.Timing(
            queue: usage.queueTime / .milliseconds(1), prefill: usage.prefillTime / .milliseconds(1),
            decode: usage.decodeTime / .milliseconds(1), total: milliseconds(from: begun, to: finish.arrival))
        if let first = arrivals.first, let last = arrivals.last {
            timing.ttft = milliseconds(from: begun, to: first)
            if usage.completionTokens > 1 {
                timing.tpot = milliseconds(from: first, to: last) / Double(usage.completionTokens - 1)
            }
        }
        self.init(
            finishReason: finish.reason.description,
            usage: .init(
                prompt: usage.promptTokens, cached: usage.cachedTokens, completion: usage.completionTokens),
            timingMs: timing, seed: finish.seed)
    }

    /// One line for people.
    var summary: String {
        var parts = ["\(usage.prompt) + \(usage.completion) tokens", finishReason]
        if let ttft = timingMs.ttft { parts.append("ttft \(ttft.fixed(0)) ms") }
        if let tpot = timingMs.tpot, tpot > 0 { parts.append("\((1000 / tpot).fixed(1)) tok/s") }
        if usage.cached > 0 { parts.append("\(usage.cached) cached") }
        return "[" + parts.joined(separator: ", ") + "]"
    }
}
