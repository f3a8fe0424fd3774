/// Chooses tokens from the largest logits of a row, as long as these alone tell what `Sampler` chooses from the whole row.
///
/// No other logit of the row is above the smallest one given, which bounds what a token that is not among them can weigh.
/// Where min-p or top-k drop every token of that weight, or it is nothing, the row is as good as whole: weights are integers,
/// so that a sum of fewer terms has the same bits, and tokens stand in the order of their ids.
package struct CandidateSampler {
    private let vocabularySize: Int
    private var weights: TokenWeights
    private var penalties: Penalties
    private var candidates: [(token: Int32, logit: Float)] = []
    /// Of the candidates in ascending order, and the logits of each.
    private var tokens: [Int32] = []
    private var logits: [Float] = []

    /// - Parameters:
    ///   - count: candidates of a row; at least 1.
    ///   - vocabularySize: the number of logits of a row.
    package init(count: Int, vocabularySize: Int) {
        self.vocabularySize = vocabularySize
        weights = TokenWeights(vocabularySize: count)
        penalties = Penalties(vocabularySize: vocabularySize)
        candidates = Array(repeating: (0, 0), count: count)
        tokens.reserveCapacity(count)
        logits.reserveCapacity(count)
    }

    /// Chooses a token, for a task whose source are candidates.
    ///
    /// - Parameter candidate: each of the row's largest logits and its token, in any order; of several that are as small
    ///   as the last any may be missing.
    /// - Returns: the token; nil where other tokens might have a say, or where the candidates are none.
    package mutating func choose(
        _ task: borrowing SampleTask, _ candidate: (Int) -> (token: Int32, logit: Float)
    ) -> Int32? {
        guard let smallest = load(candidate) else { return nil }
        penalties.apply(to: &logits, of: tokens, task)
        guard let maximum = logits.max(), maximum.isFinite else { return nil }
        let parameters = task.parameters
        if parameters.isGreedy {
            guard maximum > smallest else { return nil }
            return logits.firstIndex(of: maximum).map { tokens[$0] }
        }
        guard maximum >= smallest else { return nil }
        let others = TokenWeights.most(atLogit: smallest, maximum: maximum, temperature: parameters.temperature)
        logits.withUnsafeBufferPointer {
            weights.fill($0, maximum: maximum, temperature: parameters.temperature)
        }
        guard others < weights.filter(by: parameters) else { return nil }
        return tokens[Int(weights.draw(task.randomBits))]
    }

    /// Puts candidates in the order of their tokens. Returns the smallest logit; nil where something is no candidate.
    private mutating func load(_ candidate: (Int) -> (token: Int32, logit: Float)) -> Float? {
        var smallest = Float.infinity
        for index in candidates.indices {
            candidates[index] = candidate(index)
            guard candidates[index].logit < .infinity else { return nil }  // NaN as well
            smallest = min(smallest, candidates[index].logit)
        }
        candidates.sort { $0.token < $1.token }
        tokens.removeAll(keepingCapacity: true)
        logits.removeAll(keepingCapacity: true)
        var next: Int32 = 0
        for (token, logit) in candidates {
            guard token >= next && token < vocabularySize else { return nil }
            next = token + 1
            tokens.append(token)
            logits.append(logit)
        }
        return smallest
    }
}
