/// Bans and penalties, applied to a row of logits in place and exact to vLLM's `apply_penalties`.
///
/// Costs the length of the history, not that of the vocabulary.
struct Penalties {
    /// (vocabulary) occurrences of each token in the output; all 0 between calls.
    private var occurrences: [UInt32]
    /// Set in `occurrences` for tokens of the history until they got their penalties, so that repeats do not count twice.
    private static let isDue: UInt32 = 1 << 31

    init(vocabularySize: Int) {
        occurrences = [UInt32](repeating: 0, count: vocabularySize)
    }

    /// Returns whether any logit may have changed.
    mutating func apply(to logits: UnsafeMutableBufferPointer<Float>, _ task: borrowing SampleTask) -> Bool {
        for token in task.bannedTokens {
            precondition(logits.indices.contains(Int(token)), "a banned token is outside the vocabulary")
            logits[Int(token)] = -.infinity
        }
        guard task.parameters.hasPenalties else { return !task.bannedTokens.isEmpty }
        tally(task)
        for token in task.history {
            let index = Int(token)
            logits[index] = penalized(logits[index], token, task.parameters)
            occurrences[index] = 0
        }
        return true
    }

    /// The same for the logits of some tokens, the only ones that are looked at.
    mutating func apply(to logits: inout [Float], of tokens: [Int32], _ task: borrowing SampleTask) {
        for (index, token) in tokens.enumerated() where task.bannedTokens.contains(token) {
            logits[index] = -.infinity
        }
        guard task.parameters.hasPenalties else { return }
        tally(task)
        for (index, token) in tokens.enumerated() {
            logits[index] = penalized(logits[index], token, task.parameters)
        }
        for token in task.history { occurrences[Int(token)] = 0 }
    }

    private mutating func tally(_ task: borrowing SampleTask) {
        for token in task.history[task.promptLength...] { occurrences[Int(token)] += 1 }
        for token in task.history { occurrences[Int(token)] |= Self.isDue }
    }

    private func penalized(_ logit: Float, _ token: Int32, _ parameters: SamplingParameters) -> Float {
        guard occurrences[Int(token)] & Self.isDue != 0 else { return logit }
        let count = occurrences[Int(token)] & ~Self.isDue
        var result = logit > 0 ? logit / parameters.repetitionPenalty : logit * parameters.repetitionPenalty
        result -= parameters.frequencyPenalty * Float(count)
        if count > 0 { result -= parameters.presencePenalty }
        return result
    }
}

extension SamplingParameters {
    /// Whether tokens seen before get other logits.
    var hasPenalties: Bool { repetitionPenalty != 1 || presencePenalty != 0 || frequencyPenalty != 0 }

    /// Whether these logits may be higher than before.
    var penaltiesRaise: Bool { repetitionPenalty < 1 || presencePenalty < 0 || frequencyPenalty < 0 }
}
