/// Chooses tokens from logits on the host, with vLLM's meaning and order of the parameters:
///
/// 1. log-probabilities are taken from the raw logits;
/// 2. banned tokens are removed;
/// 3. repetition penalty over prompt and output, then frequency and presence penalties over the output;
/// 4. temperature 0: the largest logit, the lowest id of equals. Otherwise temperature, min-p, top-k, top-p, each
///    relative to what the one before left, and one draw keyed by (seed, output position).
///
/// Holds scratch memory of about 32 bytes per token of the vocabulary and allocates no more once its results' arrays
/// have grown. A value of its own for each thread.
package struct Sampler {
    private var weights: TokenWeights
    private var penalties: Penalties
    private var raw: [Float]
    private var likeliest = LikeliestTokens()

    /// - Parameter vocabularySize: the number of logits of a row; at least 1.
    package init(vocabularySize: Int) {
        weights = TokenWeights(vocabularySize: vocabularySize)
        penalties = Penalties(vocabularySize: vocabularySize)
        raw = [Float](repeating: 0, count: vocabularySize)
    }

    /// Chooses one token, if none is expected, and appends it, with its log-probabilities, to `result`.
    ///
    /// Appends `StepResult.nonFinite` when a logit is NaN or +infinity, or when none is finite or all that are were
    /// banned.
    ///
    /// - Parameter logits: one row, `vocabularySize` long; overwritten.
    package mutating func sample(
        _ logits: UnsafeMutableBufferPointer<Float>, _ task: borrowing SampleTask, into result: inout StepResult
    ) {
        precondition(logits.count == raw.count, "a row of logits must be as long as the vocabulary")
        let row = UnsafeBufferPointer(logits)
        guard let rawMaximum = finiteMaximum(of: row) else { return result.appendNonFinite() }
        let wantsLogprobs = task.parameters.logprobs != nil
        if wantsLogprobs { keepRaw(row) }

        var maximum = rawMaximum
        if penalties.apply(to: logits, task) {
            guard let adjusted = finiteMaximum(of: row) else { return result.appendNonFinite() }
            maximum = adjusted
        }
        let token =
            task.expected
            ?? (task.parameters.isGreedy ? firstIndex(of: maximum, in: row) : draw(from: row, maximum: maximum, task))

        result.append(token)
        guard let count = task.parameters.logprobs else { return }
        appendLogprobs(of: token, alternatives: count, maximum: rawMaximum, to: &result)
    }

    private mutating func draw(
        from row: UnsafeBufferPointer<Float>, maximum: Float, _ task: borrowing SampleTask
    ) -> Int32 {
        weights.fill(row, maximum: maximum, temperature: task.parameters.temperature)
        weights.filter(by: task.parameters)
        return weights.draw(task.randomBits)
    }

    private mutating func keepRaw(_ row: UnsafeBufferPointer<Float>) {
        raw.withUnsafeMutableBufferPointer { raw in
            for index in row.indices { raw[index] = row[index] }
        }
    }

    /// Log-softmax of the raw row: the chosen token, then the likeliest ones, which may name it again.
    private mutating func appendLogprobs(
        of token: Int32, alternatives count: Int, maximum: Float, to result: inout StepResult
    ) {
        raw.withUnsafeBufferPointer { raw in
            weights.fill(raw, maximum: maximum, temperature: 1)
            likeliest.find(count, of: raw.enumerated().lazy.map { (Int32(truncatingIfNeeded: $0), $1) })
        }
        let logarithmOfSum = weights.logarithmOfSum
        func append(_ token: Int32, _ logit: Float) {
            let logprob = Float(Double(logit) - Double(maximum) - logarithmOfSum)
            result.append(TokenLogprob(token: token, logprob: logprob))
        }
        append(token, raw[Int(token)])
        for entry in likeliest.entries { append(entry.token, entry.logprob) }
    }
}

/// The largest value; nil when a value is NaN or +infinity or none is finite.
private func finiteMaximum(of row: UnsafeBufferPointer<Float>) -> Float? {
    var largest = SIMD8<Float>(repeating: -.infinity)
    var allBelowInfinity = SIMDMask<SIMD8<Int32>>(repeating: true)
    row.forEachGroup { x, _ in
        allBelowInfinity = allBelowInfinity .& (x .< .infinity)  // false for NaN as well
        largest.replace(with: x, where: x .> largest)
    }
    let maximum = largest.max()
    return all(allBelowInfinity) && maximum > -.infinity ? maximum : nil
}

private func firstIndex(of maximum: Float, in row: UnsafeBufferPointer<Float>) -> Int32 {
    for index in row.indices where row[index] == maximum { return Int32(index) }
    preconditionFailure("the maximum is not in its row")
}

extension SampleTask {
    /// The random number of its one draw.
    var randomBits: UInt64 {
        guard let seed = parameters.seed else { preconditionFailure("the scheduler sets the seed of every sample") }
        return CounterRandom.bits(seed: seed, position: outputPosition)
    }
}

extension StepResult {
    mutating func appendNonFinite() { append(Self.nonFinite) }

    /// A token, without log-probabilities so far.
    mutating func append(_ token: Int32) {
        tokens.append(token)
        logprobCounts.append(0)
    }

    /// A token with what was asked for.
    mutating func append(_ choice: CandidateSampler.Choice) {
        append(choice.token)
        for logprob in choice.logprobs { append(logprob) }
    }

    /// One more log-probability of the last token.
    fileprivate mutating func append(_ logprob: TokenLogprob) {
        logprobs.append(logprob)
        logprobCounts[logprobCounts.count - 1] += 1
    }
}
