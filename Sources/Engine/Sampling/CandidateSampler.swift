/// Chooses tokens from the largest logits of a row, as long as these alone tell what `Sampler` chooses from the whole row.
///
/// No other logit of the row is above the smallest one given, which bounds what a token that is not among them can weigh.
/// Where min-p or top-k drop every token of that weight, or it is nothing, the row is as good as whole: weights are integers,
/// so that a sum of fewer terms has the same bits, and tokens stand in the order of their ids. What top-p keeps depends on the
/// sum over the whole row too, of which a device's own leaves an interval: where both of its ends have top-p end at the same
/// token, heavier than any other can be, that is the one.
package struct CandidateSampler {
    /// A token, with the log-probabilities that were asked for, its own first.
    package struct Choice: Sendable {
        package var token: Int32
        package var logprobs: [TokenLogprob] = []
    }

    private let vocabularySize: Int
    private var weights: TokenWeights
    private var penalties: Penalties
    /// In ascending order of their tokens.
    private var candidates: [(token: Int32, logit: Float)] = []
    private var smallest: Float = 0
    /// Of the candidates, and the logits of each behind penalties.
    private var tokens: [Int32] = []
    private var logits: [Float] = []
    private var likeliest = LikeliestTokens()

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
    /// - Parameters:
    ///   - sums: over all logits of the row, for a task whose source are these too; nil for others.
    ///   - candidate: each of the row's largest logits and its token, in any order; of several that are as small as the last
    ///     any may be missing.
    /// - Returns: nil where other tokens might have a say, or where the candidates, or the sums, are none.
    package mutating func choose(
        _ task: borrowing SampleTask, _ sums: LogSums?, _ candidate: (Int) -> (token: Int32, logit: Float)
    ) -> Choice? {
        guard load(candidate), let token = chooseToken(task, sums) else { return nil }
        guard let count = task.parameters.logprobs else { return Choice(token: token) }
        guard let sums, let logprobs = logprobs(of: token, alternatives: count, logSum: sums.plain) else { return nil }
        return Choice(token: token, logprobs: logprobs)
    }

    private mutating func chooseToken(_ task: borrowing SampleTask, _ sums: LogSums?) -> Int32? {
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
        if others < weights.keepHeavy(by: parameters) {
            if parameters.topP < 1 { weights.keep(nucleus: parameters.topP) }
        } else {
            guard parameters.topP < 1, let sums,
                let totals = totals(task, sums.tempered, maximum: maximum, others: others),
                weights.keep(nucleus: parameters.topP, of: totals, above: others)
            else { return nil }
        }
        return tokens[Int(weights.draw(task.randomBits))]
    }

    /// What all tokens that min-p and top-k leave may weigh together.
    ///
    /// The sum is that of the row before penalties, by which no token has become heavier. Weights are of float32 and rounded
    /// down: 2^-16 allows for the first, as in `TokenWeights.most`, and 1 for the second.
    private func totals(
        _ task: borrowing SampleTask, _ logSum: Float, maximum: Float, others: UInt64
    ) -> ClosedRange<UInt64>? {
        let parameters = task.parameters
        let count = vocabularySize - candidates.count
        guard
            let rest = RestOfRow(
                logSum: logSum, candidates: candidates, smallest: smallest, others: count, maximum: maximum,
                temperature: parameters.temperature)
        else { return nil }
        let one = Double(TokenWeights.one)
        let most = rest.most * one * (1 + 0x1p-16)
        guard most < 0x1p62 else { return nil }
        let upper = weights.total + UInt64(most.rounded(.up))
        // Which of the light tokens these drop is not known.
        if parameters.minP > 0 || parameters.topK > 0 { return weights.total(above: others)...upper }
        let lowered = task.bannedTokens.count + (parameters.hasPenalties ? task.history.count : 0)
        let least = rest.least * one * (1 - 0x1p-16) - Double(count) - Double(min(lowered, count)) * Double(others + 1)
        return weights.total + UInt64(max(0, least))...upper
    }

    /// Those of the token and of the likeliest ones; nil where another may be among these.
    private mutating func logprobs(of token: Int32, alternatives count: Int, logSum: Float) -> [TokenLogprob]? {
        let others = vocabularySize - candidates.count
        likeliest.find(count, of: candidates)
        if others > 0, let last = likeliest.entries.last {
            guard likeliest.entries.count == count, last.logprob > smallest else { return nil }
        }
        guard let own = candidates.first(where: { $0.token == token }), let largest = candidates.map(\.logit).max(),
            RestOfRow(
                logSum: logSum, candidates: candidates, smallest: smallest, others: others, maximum: largest,
                temperature: 1) != nil
        else { return nil }
        func logprob(_ token: Int32, _ logit: Float) -> TokenLogprob {
            TokenLogprob(token: token, logprob: Float(Double(logit) - Double(logSum)))
        }
        return [logprob(token, own.logit)] + likeliest.entries.map { logprob($0.token, $0.logprob) }
    }

    /// Puts candidates in the order of their tokens. Returns whether all are candidates.
    private mutating func load(_ candidate: (Int) -> (token: Int32, logit: Float)) -> Bool {
        smallest = .infinity
        for index in candidates.indices {
            candidates[index] = candidate(index)
            guard candidates[index].logit < .infinity else { return false }  // NaN as well
            smallest = min(smallest, candidates[index].logit)
        }
        candidates.sort { $0.token < $1.token }
        tokens.removeAll(keepingCapacity: true)
        logits.removeAll(keepingCapacity: true)
        var next: Int32 = 0
        for (token, logit) in candidates {
            guard token >= next && token < vocabularySize else { return false }
            next = token + 1
            tokens.append(token)
            logits.append(logit)
        }
        return true
    }
}
