/// One request on its way through the engine: its tokens, its blocks and how far it has come.
///
/// `tokens` is prompt and output in one array. `computed` of them have keys and values in `table`; what remains is the
/// sequence's work: one token when it decodes, more after admission or preemption, and the scheduler need not tell these
/// apart.
struct Generation {
    /// What does not change while the sequence runs.
    struct Terms {
        var id: RequestID
        var tag: UInt64
        /// Index of the scheduler's outbox that gets the events.
        var receiver: Int
        var sampling: SamplingParameters
        var maxTokens: Int
        var minTokens: Int
        /// Every token that ends the output.
        var endTokens: [Int32]
        var promptLength: Int
        /// Tokens of prompt and answer, if nothing ends it before.
        var largestTokenCount: Int
        var priority: Int
        var adapter: Int?
        var cacheScope: PrefixScope
        var deadline: UInt64?
        var firstTokenDeadline: UInt64?
        var idleTimeout: UInt64?
        var submittedAt: UInt64
    }

    let terms: Terms
    var tokens: [Int32]
    var computed = 0
    var table = BlockTable()
    var text: OutputText
    /// What an embedding has so far; nil for a generation.
    var embedding: EmbeddingSum?
    var creditLimit: UInt32
    /// Whether the sequence may own blocks and take part in steps, as against waiting for admission.
    var isAdmitted = false
    /// Set when a step failed, until the sequence yields a token: the second failure is final.
    var isRetrying = false
    var usage = Usage()
    var startedAt: UInt64?
    var firstTokenAt: UInt64?
    /// When it last yielded a token, or got credit for the next one.
    var waitingSince: UInt64?

    /// - Parameter seed: used when the request has none.
    init(
        _ request: GenerationRequest, id: RequestID, tag: UInt64, receiver: Int, seed: UInt64,
        modelEndTokens: [Int32], now: UInt64
    ) {
        var sampling = request.sampling
        sampling.seed = sampling.seed ?? seed
        terms = Terms(
            id: id, tag: tag, receiver: receiver, sampling: sampling, maxTokens: request.stop.maxTokens,
            minTokens: request.stop.minTokens,
            endTokens: request.stop.stopTokenIDs + (request.stop.ignoreEndOfSequence ? [] : modelEndTokens),
            promptLength: request.prompt.count, largestTokenCount: request.largestTokenCount,
            priority: request.priority, adapter: request.adapter,
            cacheScope: PrefixScope(tenant: request.cacheScope, adapter: request.adapter),
            deadline: request.deadline, firstTokenDeadline: request.firstTokenDeadline,
            idleTimeout: request.idleTimeout, submittedAt: now)
        tokens = request.prompt
        text = OutputText(stopStrings: request.stop.stopStrings)
        embedding = request.embedding.map(EmbeddingSum.init)
        creditLimit = request.creditLimit
        usage.promptTokens = request.prompt.count
    }

    /// Tokens generated so far.
    var produced: Int { tokens.count - terms.promptLength }
    /// Tokens whose keys and values are still to be computed; at least 1.
    var remaining: Int { tokens.count - computed }
    /// Whether it takes and leaves cached prefixes. A mean needs the hidden states of all tokens, and those of a cached
    /// prefix are not kept; and texts that are embedded come once, while what they would push out comes back.
    var usesPrefixCache: Bool { embedding == nil }
    /// Whether the receiver can take another token.
    var isRunnable: Bool { produced < Int(creditLimit) }
    /// When the request fails if nothing happens before; nil for never. Earlier after a token than before the first only
    /// through `idleTimeout`.
    var nextDeadline: (time: UInt64, what: String)? {
        let idle = terms.idleTimeout.flatMap { timeout in
            isRunnable ? waitingSince.map { $0 &+ timeout } : nil
        }
        let first = firstTokenAt == nil ? terms.firstTokenDeadline : nil
        var earliest = (time: terms.deadline ?? .max, what: "deadline")
        if let first, first < earliest.time { earliest = (first, "first token's deadline") }
        if let idle, idle < earliest.time { earliest = (idle, "next token's deadline") }
        return earliest.time == .max ? nil : earliest
    }

    /// The sequence's place among all: urgent ones before others, older ones before newer.
    var order: (priority: Int, number: UInt64) { (terms.priority, terms.id.rawValue) }

    /// The adapter as plans name it.
    var adapter: Int { terms.adapter ?? -1 }

    /// The sample task of the sequence's last row, which is `row` of the step.
    func sampleTask(row: Int32) -> SampleTask {
        SampleTask(
            row: row, parameters: terms.sampling, history: tokens, promptLength: terms.promptLength,
            bannedTokens: produced < terms.minTokens ? terms.endTokens : [])
    }
}
