import LMEngine
import ProgramKit
import TestKit
import Testing

/// The simulated device is one for the process, and so the suites that use it run one test after the other.
enum Simulator {
    /// A back end on the simulated device, with a KV pool.
    static func backend(
        _ checkpoint: any Checkpoint, division: AscendDivision = .none, dataType: DataType = .auto,
        batches: BatchBuckets = .none, tiling: AscendTiling = .int8,
        blockCount: Int = 64, blockSize: Int = 16,
        notice: @escaping @Sendable (String) -> Void = { Issue.record("\($0)") }
    ) throws -> AscendBackend {
        try AscendSimulator.announce()
        #expect(AscendBackend.missing == nil)
        let backend = try AscendBackend(
            checkpoint: checkpoint, division: division, dataType: dataType, batches: batches, tiling: tiling,
            threads: 3,
            notice: notice)
        try backend.allocateKeyValueCache(blockCount: blockCount, blockSize: blockSize)
        return backend
    }
}

/// Plans for sequences whose blocks lie apart.
struct StepPlanner {
    var blockSize = 16
    /// Blocks of each sequence; theirs are interleaved.
    var blocksPerSequence = 4
    var sequenceCount: Int

    /// A plan that computes some positions of some sequences, with the last row of each sampled.
    func plan(
        _ shares: [(sequence: Int, tokens: [Int32], positions: Range<Int>)],
        sampling: SamplingParameters = StepPlanner.greedy
    ) -> StepPlan {
        var plan = StepPlan()
        plan.blockTableStride = blocksPerSequence
        for share in shares {
            let blocks = (0..<blocksPerSequence).map { Int32($0 * sequenceCount + share.sequence) }
            for position in share.positions {
                plan.tokens.append(share.tokens[position])
                plan.positions.append(Int32(position))
                plan.slots.append(blocks[position / blockSize] * Int32(blockSize) + Int32(position % blockSize))
            }
            plan.rowStart.append(Int32(plan.rowCount))
            plan.contextLengths.append(Int32(share.positions.upperBound))
            plan.blockTables += blocks
            plan.samples.append(
                SampleTask(
                    row: Int32(plan.rowCount - 1), parameters: sampling,
                    history: Array(share.tokens[..<share.positions.upperBound]),
                    promptLength: share.positions.upperBound, bannedTokens: []))
        }
        return plan
    }

    /// The largest logit wins.
    static let greedy: SamplingParameters = {
        var parameters = SamplingParameters()
        (parameters.temperature, parameters.seed) = (0, 1)
        return parameters
    }()
}

/// Tokens without an order.
func randomTokens(_ count: Int, seed: UInt64, below limit: Int = 320) -> [Int32] {
    var random = TestRandom(seed: seed)
    return (0..<count).map { _ in Int32(random.below(limit)) }
}

/// How far two rows of logits are apart, relative to the spread of the second.
func distance(_ a: [Float], _ b: [Float]) -> Float {
    let difference = zip(a, b).map { ($0 - $1).magnitude }.max() ?? 0
    let mean = b.reduce(0, +) / Float(b.count)
    let spread = (b.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Float(b.count)).squareRoot()
    return difference / spread
}

/// The token of a row's largest logit; of equal ones the first.
func likeliest(of row: [Float]) -> Int32 { Int32(row.indices.max { row[$0] < row[$1] } ?? 0) }

/// How many values of bfloat16 lie from a token's logit up to the largest of a row: 0 where it is as large, 1 for its neighbour.
func roundings(of token: Int32, in row: [Float]) -> Int {
    func place(_ logit: Float) -> Int {
        let magnitude = Int(logit.magnitude.bitPattern >> 16)
        return logit < 0 ? -magnitude : magnitude
    }
    return place(row.max() ?? 0) - place(row[Int(token)])
}
