/// Everything one step of the model does: the only thing that crosses from the scheduler to a back end.
///
/// Flat arrays of 32-bit integers on purpose: a device copies them in one transfer. Tokens of all sequences of the step
/// stand one after the other ("TND" layout): sequence `s` owns rows `rowStart[s] ..< rowStart[s + 1]`.
public struct StepPlan: Sendable {
    /// (rows) input token of each row.
    public var tokens: [Int32] = []
    /// (rows) absolute position of each row in its sequence.
    public var positions: [Int32] = []
    /// (rows) where the row's key and value are written: block * blockSize + offset.
    public var slots: [Int32] = []
    /// (sequences + 1) cumulative row counts, starting at 0.
    public var rowStart: [Int32] = [0]
    /// (sequences) tokens in the KV cache once this step has written its rows: the attention length of the last row.
    public var contextLengths: [Int32] = []
    /// (sequences * blockTableStride) KV blocks of each sequence in order; unused entries are -1.
    public var blockTables: [Int32] = []
    /// Entries of one row of `blockTables`.
    public var blockTableStride = 0
    /// (sequences) the adapter of each by its index in the back end, -1 for the model as it is; empty when that is all.
    /// Sequences that decode stand side by side if they have the same.
    public var adapters: [Int32] = []
    /// Rows that yield a token, with how to choose it.
    public var samples: [SampleTask] = []
    /// Ascending rows whose hidden states behind the final norm are wanted as they are; most steps want none.
    public var hiddenRows: [Int32] = []

    /// Number of sequences in the step.
    public var sequenceCount: Int { contextLengths.count }
    /// Number of rows in the step.
    public var rowCount: Int { tokens.count }

    /// The adapter of a sequence; -1 for none.
    package func adapter(of sequence: Int) -> Int { adapters.isEmpty ? -1 : Int(adapters[sequence]) }

    /// An empty plan.
    public init() {}

    /// Empties the plan and keeps its memory.
    public mutating func removeAll() {
        tokens.removeAll(keepingCapacity: true)
        positions.removeAll(keepingCapacity: true)
        slots.removeAll(keepingCapacity: true)
        rowStart.removeAll(keepingCapacity: true)
        rowStart.append(0)
        contextLengths.removeAll(keepingCapacity: true)
        blockTables.removeAll(keepingCapacity: true)
        adapters.removeAll(keepingCapacity: true)
        samples.removeAll(keepingCapacity: true)
        hiddenRows.removeAll(keepingCapacity: true)
    }
}

/// Choose one token from the logits of a row.
public struct SampleTask: Sendable {
    /// Index of the row in the plan: the last one of its sequence when a token is generated.
    public var row: Int32
    /// How to choose; `seed` is always set by the scheduler.
    public var parameters: SamplingParameters
    /// Prompt and output so far, for penalties.
    public var history: [Int32]
    /// Leading tokens of `history` that are prompt.
    public var promptLength: Int
    /// Tokens that must not be chosen now: the end tokens, while fewer than `minTokens` were produced.
    public var bannedTokens: [Int32]
    /// The token to take whatever the logits say, when its log-probability is what is asked for.
    public var expected: Int32?

    /// Tokens produced so far: the position that random numbers are keyed by.
    public var outputPosition: Int { history.count - promptLength }

    /// Creates a task.
    public init(
        row: Int32, parameters: SamplingParameters, history: [Int32], promptLength: Int, bannedTokens: [Int32],
        expected: Int32? = nil
    ) {
        self.row = row
        self.parameters = parameters
        self.history = history
        self.promptLength = promptLength
        self.bannedTokens = bannedTokens
        self.expected = expected
    }
}

/// What a step yields: one entry per `StepPlan.samples`, in the same order, and the hidden states that were asked for.
public struct StepResult: Sendable {
    /// Chosen tokens; `StepResult.nonFinite` where the row's logits held NaN or no finite value.
    public var tokens: [Int32] = []
    /// Log-probabilities of all samples that asked for them, one after the other, the chosen token first.
    public var logprobs: [TokenLogprob] = []
    /// (samples) entries of `logprobs` that belong to each sample.
    public var logprobCounts: [Int32] = []
    /// (`StepPlan.hiddenRows`, embedding) their hidden states behind the final norm.
    public var hiddenStates: [Float] = []

    /// Rows that must not be trusted, and so their sequences.
    public var faults: [Fault] = []

    /// A row whose keys or values are not finite as the cache holds them: the sequence fails, sampled or not.
    public struct Fault: Sendable {
        /// Index of the row in the plan.
        public let row: Int32
        /// Where, and what to do about it.
        public let message: String

        /// Creates a fault.
        public init(row: Int32, _ message: String) {
            self.row = row
            self.message = message
        }
    }

    /// Marks a row whose logits were not finite: only that request fails.
    public static let nonFinite: Int32 = -1

    /// An empty result.
    public init() {}

    /// Empties the result and keeps its memory.
    public mutating func removeAll() {
        tokens.removeAll(keepingCapacity: true)
        logprobs.removeAll(keepingCapacity: true)
        logprobCounts.removeAll(keepingCapacity: true)
        hiddenStates.removeAll(keepingCapacity: true)
        faults.removeAll(keepingCapacity: true)
    }
}
