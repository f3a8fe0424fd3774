/// The largest logits of a row and their tokens, the largest first; of equal ones the lower token's.
struct LikeliestTokens {
    /// With logits in place of their log-probabilities.
    private(set) var entries: [TokenLogprob] = []

    init() { entries.reserveCapacity(SamplingParameters.maximumLogprobs) }

    /// Finds `count` of them, or all if there are fewer.
    ///
    /// - Parameter logits: in the order of their tokens.
    @inline(__always)
    mutating func find(_ count: Int, of logits: some Sequence<(token: Int32, logit: Float)>) {
        entries.removeAll(keepingCapacity: true)
        guard count > 0 else { return }
        var floor = -Float.infinity
        for (token, logit) in logits where entries.count < count || logit > floor {
            if entries.count == count { entries.removeLast() }
            let place = entries.firstIndex { logit > $0.logprob } ?? entries.endIndex
            entries.insert(TokenLogprob(token: token, logprob: logit), at: place)
            floor = entries[entries.count - 1].logprob
        }
    }
}
