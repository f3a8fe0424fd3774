import LMEngine
import Testing

/// Greedy decoding, step by step, held against other back ends.
enum Decoding {
    /// Texts of different lengths.
    static let prompts = (0..<4).map { randomTokens(3 + 4 * $0, seed: UInt64($0 + 1)) }

    /// Lets the device decode greedily, and a reference beside it that rounds and sums alike compute the same steps.
    static func expectEqual(
        _ checkpoint: any Checkpoint, division: AscendDivision = .none, dataType: DataType = .bfloat16,
        batches: BatchBuckets = .standard, texts: [[Int32]] = prompts, count: Int = 40
    ) throws {
        let backend = try Simulator.backend(checkpoint, division: division, dataType: dataType, batches: batches)
        let reference = try ReferenceBackend(
            checkpoint: HalvesCheckpoint(base: checkpoint), dataType: dataType,
            activationType: dataType == .float16 ? .f16 : .bf16, division: division)
        try reference.allocateKeyValueCache(blockCount: 64, blockSize: 16)
        let width = checkpoint.configuration.vocabularySize
        try decode(texts, count: count, by: backend) { plan, tokens in
            let logits = try backend.forward(plan)
            let expected = reference.forward(plan)
            for (sample, token) in tokens.enumerated() {
                let row = Array(expected[sample * width..<(sample + 1) * width])
                #expect(
                    logits[sample] == row,
                    "\(plan.contextLengths[sample]) tokens: apart by \(distance(logits[sample], row)) deviations")
                #expect(token == likeliest(of: row))
            }
        }
    }

    /// Lets a back end continue each text by so many tokens, all in the same steps; each step is shown with its tokens.
    static func decode(
        _ texts: [[Int32]], count: Int, by backend: AscendBackend, _ show: (StepPlan, [Int32]) throws -> Void
    ) throws {
        let planner = StepPlanner(sequenceCount: texts.count)
        var texts = texts
        var starts = texts.map { _ in 0 }
        for _ in 0..<count {
            let plan = planner.plan(texts.indices.map { ($0, texts[$0], starts[$0]..<texts[$0].count) })
            var result = StepResult()
            try backend.execute(plan, into: &result)
            #expect(result.faults.isEmpty)
            try show(plan, result.tokens)
            for index in texts.indices {
                starts[index] = texts[index].count
                texts[index].append(result.tokens[index])
            }
        }
    }
}
