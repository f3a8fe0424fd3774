/// Embeddings: sequences that end when their prompt is computed, and yield hidden states instead of a token.
extension Scheduler {
    /// Names the rows of an embedding's share whose hidden states it needs.
    ///
    /// - Parameters:
    ///   - computed: positions of the share's rows.
    ///   - sum: the embedding so far.
    mutating func requestHiddenStates(of slot: Int, _ computed: Range<Int>, for sum: EmbeddingSum) -> Share.Yield {
        let rows = sum.rows(among: computed, of: generations[slot].tokens.count)
        let first = plan.rowCount - (computed.upperBound - rows.lowerBound)
        for row in first..<first + rows.count { plan.hiddenRows.append(Int32(row)) }
        return .hiddenStates(rows: rows.count)
    }

    /// Adds hidden states to an embedding, which ends with the last token's.
    ///
    /// - Parameter rows: how many there are; the step may have computed others that do not count.
    mutating func commit(_ states: Span<Float>, rows: Int, to slot: Int, now: UInt64) {
        if rows > 0 { generations[slot].embedding?.add(states, rows: rows) }
        guard generations[slot].remaining == 0, let sum = generations[slot].embedding else { return }
        if let deadline = generations[slot].nextDeadline, failIfLate(slot, deadline, now: now) { return }
        guard let vector = sum.vector else {
            return fail(
                slot,
                EngineError(.nonFiniteLogits, "the model yielded a hidden state that is not finite; is it damaged?"))
        }
        generations[slot].noteEmbedding(now: now)
        end(slot, keeping: true) { .embedded(vector, $0) }
    }
}

extension Generation {
    /// The vector is there.
    fileprivate mutating func noteEmbedding(now: UInt64) {
        let started = startedAt ?? terms.submittedAt
        usage.queueNanoseconds = started &- terms.submittedAt
        usage.prefillNanoseconds = now &- started
    }
}
