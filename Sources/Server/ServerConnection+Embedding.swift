internal import LMEngine
internal import LMProtocol

// The call that is work for the engine, and is answered when that is done.
extension ServerConnection {
    func embed(_ message: EmbedMessage, on stream: UInt32) throws(WireError) {
        do throws(EngineError) {
            let model = try loop.shared.model(named: message.model)
            var request = try model.request(message, limits: loop.limits, now: loop.now)
            request.cacheScope = tenant
            let generation = try loop.submit(
                request, tenant: tenant, clientLimit: request.creditLimit, isCall: true, resumption: nil)
            generations[stream] = generation
            generation.attach(to: self, stream, from: 0, limit: request.creditLimit)
        } catch {
            try refuse(stream, ErrorMessage(error))
        }
    }
}

extension ServedModel {
    /// What the engine is asked for a call of `embed`.
    ///
    /// - Parameter now: monotonic nanoseconds of the frame's arrival; the deadline counts from here.
    /// - Throws: as for a GENERATE frame.
    fileprivate func request(
        _ message: EmbedMessage, limits: ServerLimits, now: UInt64
    ) throws(EngineError) -> GenerationRequest {
        var request = GenerationRequest(prompt: try tokens(of: message.prompt, limit: limits.promptBytes))
        request.adapter = adapter
        request.deadline = try limits.deadline(timeout: message.timeout, now: now)
        var options = EmbeddingOptions()
        switch message.pooling {
        case .last, nil: options.pooling = .last
        case .mean: options.pooling = .mean
        }
        options.isNormalized = message.isNormalized
        request.embedding = options
        return request
    }
}

extension EmbedReply {
    init(_ vector: [Float], _ usage: Usage) {
        self.init(vector)
        promptTokens = UInt32(clamping: usage.promptTokens)
    }
}
