/// Decides what each step computes: continuous batching with chunked prefill over a paged KV cache.
///
/// A value without threads or clock. Its owner applies commands (`add`, `cancel`, `grant`), then alternates
/// `schedule` and `commit` (or `stepFailed`), and delivers what is in `outboxes`. Between a `schedule` and its `commit`
/// nothing else may be called.
///
/// There is one order, priority and then age: requests are admitted, get seats in steps and get memory from its front,
/// and lose memory from its end. So the first admitted sequence that can run always advances, and among equal priorities
/// every sequence becomes the first in time. An urgent newcomer takes the next seat and memory that come free; it does not
/// stop a sequence that runs.
package struct Scheduler {
    /// Bounds of a step.
    package struct Limits: Sendable {
        /// Most sequences in a step.
        package var maxNumSeqs: Int
        /// Most rows in a step; at least `maxNumSeqs`, so that prefill cannot crowd out decoding.
        package var maxNumBatchedTokens: Int
        /// Number of token ids.
        package var vocabularySize: Int

        package init(maxNumSeqs: Int, maxNumBatchedTokens: Int, vocabularySize: Int) {
            self.maxNumSeqs = maxNumSeqs
            self.maxNumBatchedTokens = maxNumBatchedTokens
            self.vocabularySize = vocabularySize
        }
    }

    /// A sequence's share of the step that is being executed.
    struct Share {
        var slot: Int
        var rows: Int
        var yield: Yield

        /// What the back end's result holds for it.
        enum Yield {
            case nothing
            case token
            /// None in the chunks of a prompt of which only the last token counts.
            case hiddenStates(rows: Int)
        }
    }

    let limits: Limits
    let tokenizer: any Tokenizer
    package internal(set) var pool: BlockPool
    var generations = GenerationSlots()
    /// Slots of sequences that may own blocks, in order.
    var admitted: [Int] = []
    /// Slots of sequences that own none, in order.
    var waiting: [Int] = []
    /// The step being executed, in the order of the plan.
    var shares: [Share] = []
    /// No deadline is earlier; may lie behind the truth after a removal.
    var earliestDeadline: UInt64?
    package internal(set) var counters = SchedulerCounters()
    /// Bytes of one token, and the text it lets out; kept for their memory.
    var pieceBytes: [UInt8] = []
    var pieceText: [UInt8] = []
    private var batch: [Int] = []
    private var decoding: [Int] = []
    /// Most rows in the step that is being planned.
    private var rowLimit = 0
    private var pace = PromptPace()
    var ceiling = StepCeiling()
    private var stepStart: UInt64 = 0

    /// What the next step computes; valid from `schedule` to `commit`.
    package internal(set) var plan = StepPlan()
    /// Events for each receiver, until its owner has delivered and emptied them.
    package var outboxes: [EventBatch] = []

    package init(limits: Limits, pool: BlockPool, tokenizer: any Tokenizer) {
        precondition(limits.maxNumSeqs > 0 && limits.maxNumBatchedTokens >= limits.maxNumSeqs)
        self.limits = limits
        self.pool = pool
        self.tokenizer = tokenizer
    }

    /// Plans the next step.
    ///
    /// - Parameter now: monotonic nanoseconds.
    /// - Returns: false when there is nothing to compute until another command arrives or a deadline passes.
    package mutating func schedule(now: UInt64) -> Bool {
        precondition(shares.isEmpty, "the last step was not committed")
        plan.removeAll()
        stepStart = now
        rowLimit = min(limits.maxNumBatchedTokens, ceiling.rows ?? .max)
        expire(now: now)
        selectBatch()
        let hadRunnable = !batch.isEmpty || waiting.contains { generations[$0].isRunnable }
        decoding.removeAll(keepingCapacity: true)
        for slot in batch where generations[slot].isAdmitted && generations[slot].remaining == 1 {
            if secureBlocks(for: slot) { decoding.append(slot) }
        }
        sortByAdapter()
        for slot in decoding { appendShare(of: slot) }
        if !decoding.isEmpty, let rows = pace.promptRows(beside: decoding.count) {
            rowLimit = min(rowLimit, plan.rowCount + rows)
        }
        for slot in batch where generations[slot].isAdmitted && generations[slot].remaining > 1 && rowsLeft > 0 {
            appendShare(of: slot)
        }
        admit(now: now)
        precondition(!hadRunnable || plan.rowCount > 0, "sequences could run, yet none was chosen")
        writeBlockTables()
        return plan.rowCount > 0
    }

    /// The first admitted sequences that can run. Parked ones hold no seat: a stream that nobody reads costs memory
    /// until someone needs it, never the place of another.
    private mutating func selectBatch() {
        batch.removeAll(keepingCapacity: true)
        for slot in admitted where generations[slot].isRunnable {
            guard batch.count < seatLimit else { break }
            batch.append(slot)
        }
    }

    /// Puts decoding sequences of one adapter side by side: a back end then reads its weights once for all of them.
    private mutating func sortByAdapter() {
        guard decoding.contains(where: { generations[$0].adapter >= 0 }) else { return }
        decoding.sort {
            let (first, second) = (generations[$0].adapter, generations[$1].adapter)
            return first == second ? generations[$0].order < generations[$1].order : first < second
        }
    }

    private var rowsLeft: Int { rowLimit - plan.rowCount }

    /// Most sequences in a step: each has a row at least.
    private var seatLimit: Int { min(limits.maxNumSeqs, ceiling.rows ?? .max) }

    /// Tells the pace how long the step took that is being committed.
    mutating func learnPace(now: UInt64) {
        pace.learn(
            nanoseconds: now - min(stepStart, now), decodeRows: decoding.count,
            promptRows: plan.rowCount - decoding.count)
    }

    // MARK: Memory

    /// Makes sure that a decoding sequence's next token has a place, at the expense of parked and then of later ones.
    ///
    /// - Returns: false when earlier sequences own all blocks; the sequence then waits with what it has.
    private mutating func secureBlocks(for slot: Int) -> Bool {
        while !pool.extend(&generations[slot].table, toHold: generations[slot].tokens.count) {
            guard let victim = lastParked() ?? lastAdmitted(after: slot) else { return false }
            preempt(victim)
        }
        return true
    }

    private func lastParked() -> Int? {
        admitted.last { !generations[$0].isRunnable }
    }

    private func lastAdmitted(after slot: Int) -> Int? {
        guard let last = admitted.last, generations[last].order > generations[slot].order else { return nil }
        return last
    }

    /// Takes a sequence's blocks. It keeps its tokens and its place in the order, and computes its keys and values again
    /// when it is admitted again; those still cached by then it gets back.
    mutating func preempt(_ slot: Int, keeping: Bool = true) {
        pool.release(&generations[slot].table, keeping: keeping)
        generations[slot].computed = 0
        generations[slot].embedding?.removeAll()
        generations[slot].isAdmitted = false
        generations[slot].usage.preemptions += 1
        counters.preemptions += 1
        admitted.removeAll { $0 == slot }
        generations.insert(slot, inOrderInto: &waiting)
    }

    // MARK: Admission

    /// Admits waiting sequences in order while seats, rows and memory last. The first that does not fit ends it:
    /// a small request never overtakes a large one for ever.
    private mutating func admit(now: UInt64) {
        var seats = seatLimit - batch.count { generations[$0].isAdmitted }
        var index = 0
        while index < waiting.count, seats > 0, rowsLeft > 0 {
            let slot = waiting[index]
            guard generations[slot].isRunnable else {
                index += 1
                continue
            }
            guard allocate(slot) else { return }
            waiting.removeAll { $0 == slot }
            generations.insert(slot, inOrderInto: &admitted)
            generations[slot].isAdmitted = true
            if generations[slot].startedAt == nil { generations[slot].startedAt = now }
            appendShare(of: slot)
            seats -= 1
            index = 0
        }
    }

    /// Gives a sequence blocks for all its tokens at once, so that a prefill once begun is not stopped by want of
    /// memory. One block for each sequence of the step is left over: a newcomer that would be preempted as soon as an
    /// earlier one grows had better wait.
    private mutating func allocate(_ slot: Int) -> Bool {
        let tokenCount = generations[slot].tokens.count
        let cached =
            generations[slot].usesPrefixCache
            ? pool.adoptPrefix(
                of: generations[slot].tokens, scope: generations[slot].terms.cacheScope, into: &generations[slot].table)
            : 0
        let missing = pool.blocks(forTokens: tokenCount) - generations[slot].table.blocks.count + shares.count
        let parkedBlocks = admitted.reduce(0) { sum, other in
            generations[other].isRunnable ? sum : sum + generations[other].table.blocks.count
        }
        if missing <= pool.availableCount + parkedBlocks {
            while missing > pool.availableCount, let victim = lastParked() { preempt(victim) }
            if missing <= pool.availableCount, pool.extend(&generations[slot].table, toHold: tokenCount) {
                generations[slot].computed = cached
                if generations[slot].startedAt == nil { generations[slot].usage.cachedTokens = cached }
                return true
            }
        }
        pool.release(&generations[slot].table)
        return false
    }

    // MARK: The plan

    /// Adds a sequence to the step with as many rows as it needs and the step has left.
    private mutating func appendShare(of slot: Int) {
        let rows = min(generations[slot].remaining, rowsLeft)
        let start = generations[slot].computed
        let end = start + rows
        plan.tokens.append(contentsOf: generations[slot].tokens[start..<end])
        for position in start..<end {
            let block = Int(generations[slot].table.blocks[position / pool.blockSize])
            plan.positions.append(Int32(position))
            plan.slots.append(Int32(block * pool.blockSize + position % pool.blockSize))
        }
        plan.rowStart.append(Int32(plan.tokens.count))
        plan.contextLengths.append(Int32(end))
        plan.adapters.append(Int32(generations[slot].adapter))
        var yield = Share.Yield.nothing
        if let sum = generations[slot].embedding {
            yield = requestHiddenStates(of: slot, start..<end, for: sum)
        } else if end == generations[slot].tokens.count {
            yield = .token
            if rows == 1 && start >= generations[slot].terms.promptLength { counters.decodeRows += 1 }
            plan.samples.append(generations[slot].sampleTask(row: Int32(plan.rowCount - 1)))
        }
        shares.append(Share(slot: slot, rows: rows, yield: yield))
    }

    private mutating func writeBlockTables() {
        let longest = plan.contextLengths.max() ?? 0
        plan.blockTableStride = pool.blocks(forTokens: Int(longest))
        for (share, context) in zip(shares, plan.contextLengths) {
            let used = pool.blocks(forTokens: Int(context))
            plan.blockTables.append(contentsOf: generations[share.slot].table.blocks[..<used])
            plan.blockTables.append(contentsOf: repeatElement(-1, count: plan.blockTableStride - used))
        }
    }
}
