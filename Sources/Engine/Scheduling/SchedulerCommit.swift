/// From what a step yielded to events.
extension Scheduler {
    /// Advances the sequences of the step that was planned and reports their tokens and ends.
    ///
    /// - Parameters:
    ///   - result: what the back end returned for `plan`.
    ///   - now: monotonic nanoseconds.
    package mutating func commit(_ result: borrowing StepResult, now: UInt64) {
        let samples = plan.samples.count
        precondition(
            result.tokens.count == samples && result.logprobCounts.count == samples,
            "the back end returned \(result.tokens.count) tokens for \(samples) samples")
        let hiddenWidth = plan.hiddenRows.isEmpty ? 0 : result.hiddenStates.count / plan.hiddenRows.count
        precondition(
            result.hiddenStates.count == plan.hiddenRows.count * hiddenWidth
                && (plan.hiddenRows.isEmpty || hiddenWidth > 0),
            "the back end returned \(result.hiddenStates.count) floats for \(plan.hiddenRows.count) hidden states")
        learnPace(now: now)
        ceiling.stepSucceeded()
        plan.removeAll()  // the plan must not share the sequences' tokens while these grow
        counters.steps += 1
        var sample = 0
        var logprobStart = 0
        var hiddenStart = 0
        var row: Int32 = 0
        for index in shares.indices {
            let share = shares[index]
            generations[share.slot].computed += share.rows
            counters.rows += share.rows
            let rows = row..<row + Int32(share.rows)
            row = rows.upperBound
            let fault = result.faults.first { rows.contains($0.row) }
            if let fault { fail(share.slot, EngineError(.nonFiniteLogits, fault.message)) }
            switch share.yield {
            case .nothing:
                if fault == nil { publishBlocks(of: share.slot) }
            case .token:
                let logprobs = logprobStart..<logprobStart + Int(result.logprobCounts[sample])
                if fault == nil {
                    commit(result.tokens[sample], result.logprobs.span.extracting(logprobs), to: share.slot, now: now)
                }
                logprobStart = logprobs.upperBound
                sample += 1
            case .hiddenStates(let rows):
                let states = hiddenStart..<hiddenStart + rows * hiddenWidth
                if fault == nil {
                    commit(result.hiddenStates.span.extracting(states), rows: rows, to: share.slot, now: now)
                }
                hiddenStart = states.upperBound
            }
        }
        shares.removeAll(keepingCapacity: true)
        checkLedger()
    }

    private mutating func commit(_ token: Int32, _ logprobs: Span<TokenLogprob>, to slot: Int, now: UInt64) {
        guard (0..<Int32(limits.vocabularySize)).contains(token) else {
            return fail(
                slot,
                EngineError(
                    .nonFiniteLogits,
                    "the model yielded no finite logits for token \(generations[slot].produced) of the output"))
        }
        publishBlocks(of: slot)
        if let deadline = generations[slot].nextDeadline, failIfLate(slot, deadline, now: now) { return }
        generations[slot].accept(token, now: now)
        if generations[slot].terms.idleTimeout != nil { noteDeadline(of: slot) }
        counters.tokensGenerated += 1

        pieceText.removeAll(keepingCapacity: true)
        let reason = advanceText(of: slot, by: token)
        let (terms, piece) = (generations[slot].terms, pieceText)
        outboxes[terms.receiver].appendToken(
            token, index: UInt32(generations[slot].produced - 1), of: terms.id, tag: terms.tag, text: piece.span,
            logprobs: logprobs)
        if let reason { finish(slot, reason) }
    }

    /// Sets `pieceText` to what the token lets out, and to all that is held back if it is the last one.
    ///
    /// - Returns: why the sequence ends with this token, if it does. A stop wins over the length.
    private mutating func advanceText(of slot: Int, by token: Int32) -> FinishReason? {
        let terms = generations[slot].terms
        let produced = generations[slot].produced
        if produced > terms.minTokens && terms.endTokens.contains(token) {
            generations[slot].text.finish(into: &pieceText)
            return .stop
        }
        pieceBytes.removeAll(keepingCapacity: true)
        tokenizer.appendBytes(of: token, to: &pieceBytes)
        if generations[slot].text.append(pieceBytes, matching: produced > terms.minTokens, into: &pieceText) {
            return .stop
        }
        guard produced >= terms.maxTokens else { return nil }
        generations[slot].text.finish(into: &pieceText)
        return .length
    }

    private mutating func publishBlocks(of slot: Int) {
        guard generations[slot].usesPrefixCache else { return }
        pool.publish(
            &generations[slot].table, generations[slot].tokens, scope: generations[slot].terms.cacheScope,
            computed: generations[slot].computed)
    }

    /// Every block is free, cached or owned, and every owned one stands in the table of a live sequence: a leak stops
    /// the process at the step that makes it, not hours later when memory is gone.
    func checkLedger() {
        precondition(pool.isBalanced, "KV ledger: free + cached + owned is not the total")
        let held = admitted.reduce(0) { $0 + generations[$1].table.blocks.count }
        precondition(held == pool.referenceTotal, "KV ledger: \(held) of \(pool.referenceTotal) references are held")
        if counters.steps.isMultiple(of: Self.stepsPerAudit) {
            let fault = audit()
            precondition(fault == nil, "KV ledger: \(fault ?? "")")
        }
    }

    /// A full audit walks all blocks, about a millisecond for 100,000.
    private static let stepsPerAudit = 1_000

    /// What is wrong with the pool or the lists of sequences; nil when nothing is.
    package func audit() -> String? {
        let listed = admitted + waiting
        if listed.count != generations.count || Set(listed).count != listed.count {
            return "a sequence is in no list or in two"
        }
        for list in [admitted, waiting] {
            let isInOrder = zip(list, list.dropFirst()).allSatisfy { generations[$0].order < generations[$1].order }
            if !isInOrder { return "a list is not in order" }
        }
        for slot in waiting where generations[slot].computed != 0 || !generations[slot].table.blocks.isEmpty {
            return "a waiting sequence owns blocks"
        }
        for slot in admitted where generations[slot].computed > generations[slot].table.blocks.count * pool.blockSize {
            return "a sequence has computed more tokens than its blocks hold"
        }
        return pool.audit(tables: generations.slots.lazy.map { generations[$0].table })
    }
}

extension Generation {
    /// Appends a token to the output.
    fileprivate mutating func accept(_ token: Int32, now: UInt64) {
        tokens.append(token)
        isRetrying = false
        usage.completionTokens = produced
        let started = startedAt ?? terms.submittedAt
        let first = firstTokenAt ?? now
        firstTokenAt = first
        waitingSince = now
        usage.queueNanoseconds = started &- terms.submittedAt
        usage.prefillNanoseconds = first &- started
        usage.decodeNanoseconds = now &- first
    }
}
