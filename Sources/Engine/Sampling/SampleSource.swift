/// What of a row's logits its token is chosen from.
package enum SampleSource: Sendable {
    /// The token of the largest.
    case likeliest
    /// The largest ones and their tokens, unless it turns out that they do not suffice.
    case candidates
    /// The same, and the sums over all.
    case candidatesAndSums
    /// All.
    case logits
}

extension SampleTask {
    /// The least that its token can be chosen from, as far as its parameters tell.
    ///
    /// Bans and penalties that lower logits leave no other token above the candidates. Log-probabilities, and what top-p
    /// keeps of a whole row, need the sum over all tokens.
    ///
    /// - Parameter candidateCount: how many of the largest logits there may be.
    package func source(candidateCount: Int) -> SampleSource {
        guard expected == nil, !parameters.penaltiesRaise else { return .logits }
        let some = parameters.logprobs == nil ? SampleSource.candidates : .candidatesAndSums
        if parameters.isGreedy {
            return parameters.logprobs == nil && bannedTokens.isEmpty && !parameters.hasPenalties ? .likeliest : some
        }
        // Of a min-p that is lower than one in as many, candidates seldom reach the end.
        let isCut =
            parameters.topK > 0 && parameters.topK < candidateCount
            || parameters.minP * Float(candidateCount) >= 1
        if isCut { return some }
        return parameters.topP < 1 ? .candidatesAndSums : .logits
    }
}
