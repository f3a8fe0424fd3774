internal import Glibc

/// How well a model foretells a text.
package struct Perplexity: Sendable, Equatable {
    /// Tokens of the text that were foretold: all but the first.
    package let tokens: Int
    /// Mean of -ln p over these tokens, p being the probability the model gave the token.
    package let meanNegativeLogLikelihood: Double
    /// Standard error of the mean as if tokens were independent; 0 for one token.
    package let standardError: Double

    /// exp of the mean: the number of equally likely tokens that would surprise as much.
    package var value: Double { exp(meanNegativeLogLikelihood) }

    /// - Parameter losses: -ln p of each token; at least one.
    package init(losses: [Double]) {
        precondition(!losses.isEmpty, "a perplexity of no tokens")
        let count = Double(losses.count)
        let mean = losses.reduce(0, +) / count
        let squares = losses.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        tokens = losses.count
        meanNegativeLogLikelihood = mean
        standardError = losses.count > 1 ? (squares / (count - 1) / count).squareRoot() : 0
    }
}

/// Runs a text through a back end in windows and asks for the probability of every token.
///
/// Windows overlap by half: each token is foretold once, from at least half a window of text before it, the tokens of
/// the first window aside. Where the model wants a beginning of sequence, every window starts with it.
package struct PerplexityEvaluation {
    private let backend: any Backend
    private let text: [Int32]
    private let beginning: [Int32]
    /// Tokens of text in a window.
    private let window: Int
    private let rowsPerStep: Int

    /// Tokens of a block of the KV cache.
    private static let blockSize = 16
    /// Rows of a step: enough to read every weight seldom.
    private static let mostRows = 512
    /// Bytes of the logits of a step, which large vocabularies would let grow to hundreds of megabytes.
    private static let logitsByteLimit = 64 << 20

    /// Reserves the back end's KV cache for one window.
    ///
    /// - Parameters:
    ///   - text: token ids without a beginning of sequence; at least two, or one if there is a beginning.
    ///   - beginning: the id of the beginning of sequence, if the model wants one.
    ///   - context: tokens of a window, the beginning among them; at least 4.
    /// - Throws: `EngineError.invalidRequest` for a text or context that is too short, and what the back end throws.
    package init(
        backend: any Backend, vocabularySize: Int, text: [Int32], beginning: Int32?, context: Int
    ) throws(EngineError) {
        guard context >= 4 else {
            throw EngineError(.invalidRequest, "a context of \(context) tokens; perplexity needs at least 4")
        }
        self.backend = backend
        self.text = text
        self.beginning = beginning.map { [$0] } ?? []
        guard text.count + self.beginning.count >= 2 else {
            throw EngineError(.invalidRequest, "the text has \(text.count) tokens; there is nothing to foretell")
        }
        window = min(context - self.beginning.count, text.count)
        rowsPerStep = max(16, min(Self.mostRows, Self.logitsByteLimit / (vocabularySize * 4)))
        let blocks = (self.beginning.count + window + Self.blockSize - 1) / Self.blockSize
        try backend.allocateKeyValueCache(blockCount: blocks, blockSize: Self.blockSize)
    }

    /// Foretells the text.
    ///
    /// - Parameter progress: called after every step with the tokens foretold so far and in all.
    /// - Throws: `EngineError.nonFiniteLogits` naming the token, and what the back end throws.
    package func run(progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }) throws(EngineError) -> Perplexity {
        let total = text.count - (beginning.isEmpty ? 1 : 0)
        var losses: [Double] = []
        losses.reserveCapacity(total)
        var result = StepResult()
        var start = 0
        while losses.count < total {
            let end = min(text.count, start + window)
            let tokens = beginning + text[start..<end]
            var computed = 0
            // The last token foretells what the window does not hold.
            while computed < tokens.count - 1 {
                let rows = computed..<min(tokens.count - 1, computed + rowsPerStep)
                // Row r foretells token r + 1 of the window, which the last window may have done.
                let known = text.count - total + losses.count - start + beginning.count - 1
                let first = min(max(rows.lowerBound, known), rows.upperBound)
                let plan = plan(tokens, rows, foretelling: first..<rows.upperBound)
                try backend.execute(plan, into: &result)
                try collect(result, into: &losses)
                computed = rows.upperBound
                progress(losses.count, total)
            }
            start += max(1, window / 2)
        }
        return Perplexity(losses: losses)
    }

    private func collect(_ result: borrowing StepResult, into losses: inout [Double]) throws(EngineError) {
        if let fault = result.faults.first { throw EngineError(.nonFiniteLogits, fault.message) }
        let isComplete = result.logprobs.count == result.tokens.count
        guard isComplete, result.logprobs.allSatisfy({ $0.logprob.isFinite }) else {
            throw EngineError(
                .nonFiniteLogits,
                "the model yielded no finite probability for a token near \(losses.count) of the text; is it damaged?")
        }
        for entry in result.logprobs { losses.append(-Double(entry.logprob)) }
    }

    /// The step that computes `rows` of a window's tokens and asks for the probability of each token behind `asked`.
    private func plan(_ tokens: [Int32], _ rows: Range<Int>, foretelling asked: Range<Int>) -> StepPlan {
        var plan = StepPlan()
        plan.tokens = Array(tokens[rows])
        plan.positions = rows.map { Int32($0) }
        plan.slots = plan.positions
        plan.rowStart.append(Int32(rows.count))
        plan.contextLengths = [Int32(rows.upperBound)]
        plan.blockTableStride = (rows.upperBound + Self.blockSize - 1) / Self.blockSize
        plan.blockTables = (0..<plan.blockTableStride).map { Int32($0) }
        var parameters = SamplingParameters()
        parameters.temperature = 0
        parameters.seed = 0
        parameters.logprobs = 0
        plan.samples = asked.map { row in
            SampleTask(
                row: Int32(row - rows.lowerBound), parameters: parameters, history: [], promptLength: 0,
                bannedTokens: [], expected: tokens[row + 1])
        }
        return plan
    }
}
