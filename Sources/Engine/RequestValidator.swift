/// Checks a request before it enters the engine, so that nothing in it can fail later or harm another.
struct RequestValidator {
    private static let maximumStopStrings = 16
    private static let maximumStopStringBytes = 256
    private static let maximumStopTokens = 64
    private static let priorities = 0...7

    let vocabularySize: Int
    let capacity: EngineCapacity
    let adapterCount: Int

    /// - Throws: `EngineError.invalidRequest` naming the field, its value and its range, or `tooLarge` naming the flag
    ///   that would make room.
    func check(_ request: GenerationRequest) throws(EngineError) {
        try checkPrompt(request.prompt)
        try Self.check(request.sampling)
        try check(request.stop)
        try checkPriority(request.priority)
        try checkAdapter(request.adapter)
        try checkSize(request)
    }

    private func checkPrompt(_ prompt: [Int32]) throws(EngineError) {
        if prompt.isEmpty { throw Self.invalid("the prompt is empty; it needs at least one token") }
        try checkTokens(prompt, "prompt")
    }

    private func checkTokens(_ tokens: [Int32], _ name: String) throws(EngineError) {
        let vocabulary = 0..<Int32(vocabularySize)
        guard let index = tokens.firstIndex(where: { !vocabulary.contains($0) }) else { return }
        throw Self.invalid(
            "\(name)[\(index)] is \(tokens[index]); token ids of this model are 0...\(vocabularySize - 1)")
    }

    /// Checks the ranges of sampling parameters.
    ///
    /// - Throws: `invalidRequest` naming the parameter, its value and its range.
    static func check(_ sampling: SamplingParameters) throws(EngineError) {
        try check(sampling.temperature, "temperature", 0...2)
        try check(sampling.topP, "top_p", Float.leastNonzeroMagnitude...1, "(0, 1]")
        try check(sampling.minP, "min_p", 0...1)
        try check(sampling.repetitionPenalty, "repetition_penalty", Float.leastNormalMagnitude...2, "(0, 2]")
        try check(sampling.presencePenalty, "presence_penalty", -2...2)
        try check(sampling.frequencyPenalty, "frequency_penalty", -2...2)
        if sampling.topK < 0 { throw invalid("top_k is \(sampling.topK); it must be 0 (off) or more") }
        if let count = sampling.logprobs, !(0...SamplingParameters.maximumLogprobs).contains(count) {
            throw invalid("logprobs is \(count); it must lie in 0...\(SamplingParameters.maximumLogprobs)")
        }
    }

    /// NaN lies in no range.
    private static func check(
        _ value: Float, _ name: String, _ range: ClosedRange<Float>, _ text: String? = nil
    ) throws(EngineError) {
        guard !range.contains(value) else { return }
        throw invalid("\(name) is \(value); it must lie in \(text ?? "\(range.lowerBound)...\(range.upperBound)")")
    }

    private func check(_ stop: StopConditions) throws(EngineError) {
        if stop.maxTokens < 1 { throw Self.invalid("max_tokens is \(stop.maxTokens); it must be at least 1") }
        if !(0...stop.maxTokens).contains(stop.minTokens) {
            throw Self.invalid(
                "min_tokens is \(stop.minTokens); it must lie in 0...max_tokens, which is \(stop.maxTokens)")
        }
        if stop.stopStrings.count > Self.maximumStopStrings {
            throw Self.invalid("\(stop.stopStrings.count) stop strings; at most \(Self.maximumStopStrings) are allowed")
        }
        for (index, string) in stop.stopStrings.enumerated()
        where !(1...Self.maximumStopStringBytes).contains(string.utf8.count) {
            throw Self.invalid(
                "stop[\(index)] has \(string.utf8.count) bytes; it must have 1...\(Self.maximumStopStringBytes)")
        }
        if stop.stopTokenIDs.count > Self.maximumStopTokens {
            throw Self.invalid(
                "\(stop.stopTokenIDs.count) stop token ids; at most \(Self.maximumStopTokens) are allowed")
        }
        try checkTokens(stop.stopTokenIDs, "stop_token_ids")
    }

    private func checkPriority(_ priority: Int) throws(EngineError) {
        guard !Self.priorities.contains(priority) else { return }
        let (first, last) = (Self.priorities.lowerBound, Self.priorities.upperBound)
        throw Self.invalid("priority is \(priority); it must lie in \(first)...\(last), where \(first) is most urgent")
    }

    private func checkAdapter(_ adapter: Int?) throws(EngineError) {
        guard let adapter, !(0..<adapterCount).contains(adapter) else { return }
        throw Self.invalid("adapter is \(adapter); this engine has \(adapterCount), counted from 0")
    }

    private func checkSize(_ request: GenerationRequest) throws(EngineError) {
        let prompt = request.prompt.count
        if request.embedding != nil {
            let limit = min(capacity.maxModelLength, capacity.keyValueTokens)
            guard prompt > limit else { return }
            throw EngineError(
                .tooLarge,
                "a prompt of \(prompt) tokens exceeds the \(limit) tokens of the context and the KV cache (--max-model-len, "
                    + "--kv-cache-memory); shorten it")
        }
        let maxTokens = request.stop.maxTokens
        let (total, overflow) = prompt.addingReportingOverflow(maxTokens)
        guard !overflow, total <= capacity.maxModelLength else {
            throw EngineError(
                .tooLarge,
                "a prompt of \(prompt) tokens and max_tokens \(maxTokens) exceed the context of "
                    + "\(capacity.maxModelLength) tokens (--max-model-len); shorten the prompt or lower max_tokens")
        }
        // The last token's keys and values are never needed.
        guard total - 1 <= capacity.keyValueTokens else {
            throw EngineError(
                .tooLarge,
                "a prompt of \(prompt) tokens and max_tokens \(maxTokens) exceed the \(capacity.keyValueTokens) tokens "
                    + "of the KV cache; lower max_tokens, or start the server with more --kv-cache-memory")
        }
    }

    private static func invalid(_ message: String) -> EngineError { EngineError(.invalidRequest, message) }
}
