import LMEngine

/// Drives a back end by hand with one sequence: the plans a scheduler would make, greedy, without a scheduler.
struct Greedy {
    let backend: any Backend
    let blockSize = 16
    let blockCount: Int
    let adapter: Int

    /// Allocates a KV cache for `tokens` tokens.
    ///
    /// - Parameter adapter: -1 for the model as it is.
    init(_ backend: any Backend, tokens: Int, adapter: Int = -1) throws {
        self.backend = backend
        self.adapter = adapter
        blockCount = (tokens + blockSize - 1) / blockSize
        try backend.allocateKeyValueCache(blockCount: blockCount, blockSize: blockSize)
    }

    /// Generates `count` tokens after `prompt`, the prompt in chunks of `chunk` rows.
    func generate(_ prompt: [Int32], count: Int, chunk: Int = .max) throws -> [Int32] {
        var history = prompt
        var computed = 0
        var result = StepResult()
        while history.count < prompt.count + count {
            let end = min(history.count, computed + min(chunk, history.count))
            try backend.execute(plan(history, computed..<end, samples: end == history.count), into: &result)
            computed = end
            history += result.tokens
        }
        return Array(history[prompt.count...])
    }

    /// A plan that computes `rows` of `history`; blocks are used in descending order so that tables are not trivial.
    func plan(_ history: [Int32], _ rows: Range<Int>, samples: Bool, logprobs: Int? = nil) -> StepPlan {
        var plan = StepPlan()
        for position in rows {
            let block = blockCount - 1 - position / blockSize
            plan.tokens.append(history[position])
            plan.positions.append(Int32(position))
            plan.slots.append(Int32(block * blockSize + position % blockSize))
        }
        plan.rowStart.append(Int32(rows.count))
        plan.contextLengths = [Int32(rows.upperBound)]
        plan.blockTables = (0..<Int32(blockCount)).reversed()
        plan.blockTableStride = blockCount
        if adapter >= 0 { plan.adapters = [Int32(adapter)] }
        guard samples else { return plan }
        var parameters = SamplingParameters()
        parameters.temperature = 0
        parameters.seed = 0
        parameters.logprobs = logprobs
        plan.samples = [
            SampleTask(
                row: Int32(rows.count - 1), parameters: parameters, history: history, promptLength: history.count,
                bannedTokens: [])
        ]
        return plan
    }
}
