import LMEngine

/// The steps of a measurement: sequences of equal length that are read together and then extended token by token, with
/// nothing of a scheduler in between.
struct BenchWorkload {
    let batch: Int
    let promptLength: Int
    let generateLength: Int
    let blockSize: Int
    let vocabularySize: Int

    var blocksPerSequence: Int { (promptLength + generateLength + blockSize - 1) / blockSize }
    var blockCount: Int { batch * blocksPerSequence }

    /// Reads all prompts, in steps of at most `limit` tokens; the last step of a prompt yields its first token.
    func prefillPlans(limit: Int) -> [StepPlan] {
        var plans: [StepPlan] = []
        var plan = StepPlan()
        for sequence in 0..<batch {
            var start = 0
            while start < promptLength {
                let count = min(promptLength - start, limit - plan.rowCount)
                append(sequence, rows: start..<start + count, to: &plan)
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

    /// Extends every sequence by one token.
    ///
    /// - Parameter position: of the token that is put in.
    func decodePlan(position: Int) -> StepPlan {
        var plan = StepPlan()
        for sequence in 0..<batch { append(sequence, rows: position..<position + 1, to: &plan) }
        return plan
    }

    private func append(_ sequence: Int, rows: Range<Int>, to plan: inout StepPlan) {
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
        guard rows.upperBound >= promptLength else { return }
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
