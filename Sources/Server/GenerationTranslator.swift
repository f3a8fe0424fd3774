internal import LMEngine
internal import LMProtocol

extension ServedModel {
    /// What the engine is asked for a GENERATE frame; absent values get the model's defaults, or else the
    /// server's.
    ///
    /// - Parameters:
    ///   - now: monotonic nanoseconds of the frame's arrival; the deadline counts from here.
    ///   - seed: for a request that brings none.
    /// - Throws: what the translation itself finds wrong; ranges are checked by `InferenceEngine.submit`.
    func request(
        _ message: GenerateMessage, limits: ServerLimits, now: UInt64, seed: UInt64
    ) throws(EngineError) -> GenerationRequest {
        let deadline = try limits.deadline(timeout: message.timeout, now: now)
        let prompt = try tokens(
            of: message.prompt, message.template, isRaw: message.isRaw, limit: limits.promptBytes)
        var request = GenerationRequest(prompt: prompt)
        request.adapter = adapter
        request.sampling = defaults.sampling
        request.sampling.take(message.sampling, seed: seed)
        request.stop = StopConditions(message.stop)
        if message.stop.maxTokens == nil {
            let room = engine.capacity.maxModelLength - prompt.count
            let most = min(defaults.maxTokens ?? .max, limits.defaultMaxTokens)
            request.stop.maxTokens = max(1, min(most, room))
        }
        request.priority = Int(message.priority)
        request.creditLimit = min(message.creditLimit, limits.aheadTokens)
        request.deadline = deadline
        for limit in [message.firstTokenTimeout, message.idleTimeout] where limit == 0 {
            throw EngineError(.invalidRequest, "a timeout of 0 ms can never be met; leave it out for none")
        }
        request.firstTokenDeadline = message.firstTokenTimeout.map { now &+ UInt64($0) * 1_000_000 }
        request.idleTimeout = message.idleTimeout.map { UInt64($0) * 1_000_000 }
        return request
    }
}

extension ServerLimits {
    /// When a request fails whose client gave it so long.
    ///
    /// - Parameters:
    ///   - timeout: milliseconds; 0 for as long as any may take.
    ///   - now: monotonic nanoseconds of its arrival.
    /// - Throws: `invalidRequest` when that is longer than any may take.
    func deadline(timeout: UInt32, now: UInt64) throws(EngineError) -> UInt64 {
        guard UInt64(timeout) <= requestTimeout else {
            throw EngineError(.invalidRequest, "timeout of \(timeout) ms, limit \(requestTimeout) ms")
        }
        return now &+ (timeout == 0 ? requestTimeout : UInt64(timeout)) * 1_000_000
    }
}

extension SamplingParameters {
    /// Takes what a request says.
    fileprivate mutating func take(_ wire: GenerateMessage.Sampling, seed: UInt64) {
        if let value = wire.temperature { temperature = value }
        if let value = wire.topP { topP = value }
        if let value = wire.topK { topK = Int(value) }
        if let value = wire.minP { minP = value }
        if let value = wire.repetitionPenalty { repetitionPenalty = value }
        if let value = wire.presencePenalty { presencePenalty = value }
        if let value = wire.frequencyPenalty { frequencyPenalty = value }
        // Drawn here rather than in the engine so that ACCEPT can name it before the first token.
        self.seed = wire.seed ?? seed
        logprobs = wire.logprobs.map(Int.init)
    }
}

extension StopConditions {
    fileprivate init(_ wire: GenerateMessage.Stop) {
        self.init()
        if let value = wire.maxTokens { maxTokens = Int(value) }
        if let value = wire.minTokens { minTokens = Int(value) }
        stopStrings = wire.strings
        stopTokenIDs = wire.tokens
        ignoreEndOfSequence = wire.ignoresEndOfSequence
    }
}
