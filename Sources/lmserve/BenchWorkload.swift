import LMEngine

/// The steps of a measurement: sequences of equal length that are read together or extended token by token, with
/// nothing of a scheduler in between.
struct BenchWorkload {
    let batch: Int
    /// Tokens of every sequence that are in the cache before what is measured.
    let depth: Int
    let promptLength: Int
    let generateLength: Int
    let blockSize: Int
    let vocabularySize: Int

    private var blocksPerSequence: Int { (depth + max(promptLength, generateLength) + blockSize - 1) / blockSize }
    var blockCount: Int { batch * blocksPerSequence }

    /// Puts what lies before into the cache, in steps of at most `limit` tokens.
    func fillPlans(limit: Int) -> [StepPlan] { plans(reading: 0..<depth, limit: limit) }

    /// Reads all prompts, in steps of at most `limit` tokens; the last step of a prompt yields its first token.
    func prefillPlans(limit: Int) -> [StepPlan] { plans(reading: depth..<depth + promptLength, limit: limit) }

    /// Extends every sequence by one token, again and again.
    func decodePlans() -> [StepPlan] {
        (depth..<depth + generateLength).map { position in
            var plan = StepPlan()
            for sequence in 0..<batch { append(sequence, rows: position..<position + 1, isSampled: true, to: &plan) }
            return plan
        }
    }

    private func plans(reading positions: Range<Int>, limit: Int) -> [StepPlan] {
        var plans: [StepPlan] = []
        var plan = StepPlan()
        for sequence in 0..<batch {
            var start = positions.lowerBound
            while start < positions.upperBound {
                let count = min(positions.upperBound - start, limit - plan.rowCount)
                append(
                    sequence, rows: start..<start + count, isSampled: start + count == positions.upperBound, to: &plan)
                start += count
                if plan.rowCount == limit {
                    plans.append(plan)
                    plan.removeAll()
                }
            }
        }
        if plan.rowCount > 0 { plans.append(plan) }
        return plans
    }

    private func append(_ sequence: Int, rows: Range<Int>, isSampled: Bool, to plan: inout StepPlan) {
        let firstBlock = sequence * blocksPerSequence
        for position in rows {
            plan.tokens.append(token(sequence: sequence, position: position))
            plan.positions.append(Int32(position))
            plan.slots.append(Int32(firstBlock * blockSize + position))
        }
        plan.rowStart.append(Int32(plan.tokens.count))
        plan.contextLengths.append(Int32(rows.upperBound))
        plan.blockTableStride = blocksPerSequence
        plan.blockTables += (firstBlock..<firstBlock + blocksPerSequence).map(Int32.init)
        guard isSampled else { return }
        var parameters = SamplingParameters()
        parameters.temperature = 0
        parameters.seed = 0
        plan.samples.append(
            SampleTask(
                row: Int32(plan.rowCount - 1), parameters: parameters, history: [], promptLength: 0,
                bannedTokens: []))
    }

    /// Any ids do: the time does not depend on them. A multiplicative hash keeps rows apart.
    private func token(sequence: Int, position: Int) -> Int32 {
        let mixed = UInt32(truncatingIfNeeded: sequence &* 8191 &+ position) &* 2_654_435_761
        return Int32(mixed % UInt32(clamping: vocabularySize))
    }
}
