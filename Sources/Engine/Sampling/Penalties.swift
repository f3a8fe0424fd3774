/// Bans and penalties, applied to a row of logits in place and exact to vLLM's `apply_penalties`.
///
/// Costs the length of the history, not that of the vocabulary.
struct Penalties {
    /// (vocabulary) occurrences of each token in the output; all 0 between calls.
    private var occurrences: [UInt32]
    /// Set in `occurrences` once a token has got its penalties, so that repeats in the history do not count twice.
    private static let isDone: UInt32 = 1 << 31

    init(vocabularySize: Int) {
        occurrences = [UInt32](repeating: 0, count: vocabularySize)
    }

    /// Returns whether any logit may have changed.
    mutating func apply(to logits: UnsafeMutableBufferPointer<Float>, _ task: borrowing SampleTask) -> Bool {
        for token in task.bannedTokens {
            precondition(logits.indices.contains(Int(token)), "a banned token is outside the vocabulary")
            logits[Int(token)] = -.infinity
        }
        let parameters = task.parameters
        let penalizesOutput = parameters.presencePenalty != 0 || parameters.frequencyPenalty != 0
        guard parameters.repetitionPenalty != 1 || penalizesOutput else { return !task.bannedTokens.isEmpty }

        for token in task.history[task.promptLength...] { occurrences[Int(token)] += 1 }
        for token in task.history {
            let index = Int(token)
            let count = occurrences[index]
            guard count & Self.isDone == 0 else { continue }
            occurrences[index] |= Self.isDone
            logits[index] = penalized(logits[index], occurrences: count, parameters)
        }
        for token in task.history { occurrences[Int(token)] = 0 }
        return true
    }

    private func penalized(_ logit: Float, occurrences count: UInt32, _ parameters: SamplingParameters) -> Float {
        var result = logit > 0 ? logit / parameters.repetitionPenalty : logit * parameters.repetitionPenalty
        result -= parameters.frequencyPenalty * Float(count)
        if count > 0 { result -= parameters.presencePenalty }
        return result
    }
}
