internal import Glibc

/// Measures a back end directly, without scheduler or server: how fast prompts are read and tokens are generated.
///
/// Tokens are random, which does not change the work; every sequence has its own, so nothing is shared. Generation
/// starts behind the prompt, so attention is part of it.
public final class EngineBenchmark {
    /// What one run yielded.
    public struct Measurement: Sendable {
        /// Sequences that ran side by side.
        public var batch: Int
        /// Tokens of each sequence's prompt.
        public var promptTokens: Int
        /// Tokens generated for each sequence.
        public var generatedTokens: Int
        /// Seconds to read all prompts.
        public var promptSeconds: Double
        /// Seconds to generate all tokens.
        public var generationSeconds: Double

        /// Prompt tokens of all sequences per second.
        public var promptTokensPerSecond: Double { Double(batch * promptTokens) / promptSeconds }
        /// Generated tokens of all sequences per second.
        public var generatedTokensPerSecond: Double { Double(batch * generatedTokens) / generationSeconds }
    }

    private let backend: any Backend
    private let vocabularySize: Int
    private let promptTokens: Int
    private let generatedTokens: Int
    private let mostSequences: Int
    private let blocksPerSequence: Int
    private var random = CounterSequence()

    private static let blockSize = 16
    /// Rows of a step while prompts are read.
    private static let rowsPerStep = 512

    /// Takes a back end whose KV cache is not allocated yet.
    ///
    /// - Parameters:
    ///   - promptTokens: at least 1.
    ///   - generatedTokens: at least 1.
    ///   - mostSequences: the largest batch that `run` will be asked for.
    /// - Throws: `EngineError.tooLarge` when prompt and output exceed the model's context; what the back end throws.
    public init(
        backend: any Backend, model: ModelConfiguration, promptTokens: Int, generatedTokens: Int, mostSequences: Int
    ) throws(EngineError) {
        guard promptTokens > 0, generatedTokens > 0, mostSequences > 0 else {
            throw EngineError(.invalidRequest, "a benchmark needs at least one prompt token, one output token, batch 1")
        }
        guard promptTokens <= model.contextLength, generatedTokens <= model.contextLength - promptTokens else {
            throw EngineError(
                .tooLarge,
                "\(promptTokens) prompt tokens and \(generatedTokens) generated ones exceed the context of "
                    + "\(model.contextLength)")
        }
        self.backend = backend
        vocabularySize = model.vocabularySize
        self.promptTokens = promptTokens
        self.generatedTokens = generatedTokens
        self.mostSequences = mostSequences
        blocksPerSequence = (promptTokens + generatedTokens + Self.blockSize - 1) / Self.blockSize
        try backend.allocateKeyValueCache(
            blockCount: blocksPerSequence * mostSequences, blockSize: Self.blockSize)
    }

    /// Reads `batch` prompts, then generates for all of them together.
    ///
    /// - Parameter batch: 1...mostSequences.
    /// - Throws: what the back end throws.
    public func run(batch: Int) throws(EngineError) -> Measurement {
        guard (1...mostSequences).contains(batch) else {
            throw EngineError(.invalidRequest, "batch \(batch): the benchmark was prepared for 1...\(mostSequences)")
        }
        var plan = StepPlan()
        var result = StepResult()
        let start = seconds()
        for sequence in 0..<batch {
            var position = 0
            while position < promptTokens {
                let end = min(promptTokens, position + Self.rowsPerStep)
                plan.removeAll()
                append(position..<end, of: sequence, samples: end == promptTokens, to: &plan)
                try backend.execute(plan, into: &result)
                position = end
            }
        }
        let middle = seconds()
        for step in 0..<generatedTokens {
            plan.removeAll()
            for sequence in 0..<batch {
                append(promptTokens + step..<promptTokens + step + 1, of: sequence, samples: true, to: &plan)
            }
            try backend.execute(plan, into: &result)
        }
        return Measurement(
            batch: batch, promptTokens: promptTokens, generatedTokens: generatedTokens,
            promptSeconds: middle - start, generationSeconds: seconds() - middle)
    }

    /// Adds rows at these positions; blocks of a sequence lie one after the other.
    private func append(_ positions: Range<Int>, of sequence: Int, samples: Bool, to plan: inout StepPlan) {
        let firstBlock = sequence * blocksPerSequence
        for position in positions {
            plan.tokens.append(random.next(below: vocabularySize))
            plan.positions.append(Int32(position))
            plan.slots.append(Int32(firstBlock * Self.blockSize + position))
        }
        let index = plan.sequenceCount
        plan.rowStart.append(Int32(plan.rowCount))
        plan.contextLengths.append(Int32(positions.upperBound))
        plan.blockTableStride = blocksPerSequence
        for block in 0..<blocksPerSequence { plan.blockTables.append(Int32(firstBlock + block)) }
        guard samples else { return }
        var greedy = SamplingParameters()
        greedy.temperature = 0
        plan.samples.append(
            SampleTask(sequence: Int32(index), parameters: greedy, history: [], promptLength: 0, bannedTokens: []))
    }

    private func seconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}

/// Token ids that look random and are the same in every run (Knuth's multiplicative hashing of a counter).
private struct CounterSequence {
    private var counter: UInt32 = 0

    mutating func next(below limit: Int) -> Int32 {
        counter &+= 1
        return Int32(UInt64(counter &* 2_654_435_761) * UInt64(limit) >> 32)
    }
}
