/// What happens to sequences between steps. Each command takes effect before the next plan.
extension Scheduler {
    /// Adds a request that has been validated. Requests are added in order of their ids.
    ///
    /// - Parameters:
    ///   - receiver: which of `outboxes` gets its events.
    ///   - seed: used when the request has none.
    ///   - now: monotonic nanoseconds at which it was submitted.
    package mutating func add(
        _ request: GenerationRequest, id: RequestID, tag: UInt64, receiver: Int, seed: UInt64, now: UInt64
    ) {
        let vocabulary = 0..<Int32(limits.vocabularySize)
        let slot = generations.insert(
            Generation(
                request, id: id, tag: tag, receiver: receiver, seed: seed,
                modelEndTokens: tokenizer.endTokens.filter(vocabulary.contains), now: now))
        while outboxes.count <= receiver { outboxes.append(EventBatch()) }
        generations.insert(slot, inOrderInto: &waiting)
        noteDeadline(of: slot)
    }

    /// Ends a request at once, whether it waits, prefills or decodes; one that has ended already is none to end.
    package mutating func cancel(_ id: RequestID) {
        guard let slot = generations.slot(of: id) else { return }
        counters.cancels += 1
        finish(slot, .cancelled)
    }

    /// Ends all requests.
    package mutating func cancelAll() {
        for slot in generations.slots {
            counters.cancels += 1
            finish(slot, .cancelled)
        }
    }

    /// Raises the number of tokens that a request may have produced; credit never falls.
    ///
    /// - Parameter now: monotonic nanoseconds.
    package mutating func grant(_ id: RequestID, creditLimit: UInt32, now: UInt64) {
        guard let slot = generations.slot(of: id), creditLimit > generations[slot].creditLimit else { return }
        let wasParked = !generations[slot].isRunnable
        generations[slot].creditLimit = creditLimit
        guard wasParked, generations[slot].firstTokenAt != nil else { return }
        generations[slot].waitingSince = now
        noteDeadline(of: slot)
    }

    /// Makes sure that `expire` looks at a sequence in time.
    mutating func noteDeadline(of slot: Int) {
        guard let deadline = generations[slot].nextDeadline else { return }
        earliestDeadline = min(deadline.time, earliestDeadline ?? .max)
    }

    /// When `schedule` must be called again although nothing can run: a deadline may pass then. nil for never.
    package var nextDeadline: UInt64? { earliestDeadline }

    /// Fails all requests whose deadline has come.
    mutating func expire(now: UInt64) {
        guard let earliest = earliestDeadline, earliest <= now else { return }
        earliestDeadline = nil
        for slot in generations.slots {
            guard let deadline = generations[slot].nextDeadline else { continue }
            if !failIfLate(slot, deadline, now: now) { noteDeadline(of: slot) }
        }
    }

    /// Whether the deadline had passed; the request has failed then.
    mutating func failIfLate(_ slot: Int, _ deadline: (time: UInt64, what: String), now: UInt64) -> Bool {
        guard deadline.time <= now else { return false }
        fail(slot, EngineError(.deadlineExceeded, "the \(deadline.what) passed after \(generations[slot].progress)"))
        return true
    }

    /// Ends a step that the back end could not execute. What it wrote is dropped and computed again; a sequence that
    /// fails a second time before it yields a token fails for good. A lost device takes the keys and values of all
    /// sequences with it, and every cached prefix. After one that the device has no memory for, steps have half its rows;
    /// if the next has no room either, its youngest sequence fails for good, and no other.
    package mutating func stepFailed(_ error: EngineError) {
        if error.code == .deviceMemory { ceiling.stepDidNotFit(rows: plan.rowCount) }
        plan.removeAll()
        let youngest = shares.max { generations[$0.slot].order < generations[$1.slot].order }?.slot
        let isFinal = shares.contains { generations[$0.slot].isRetrying }
        for share in shares {
            let fails =
                error.code == .deviceMemory
                ? isFinal && share.slot == youngest : generations[share.slot].isRetrying
            if fails {
                fail(share.slot, error)
            } else {
                generations[share.slot].isRetrying = true
                preempt(share.slot, keeping: false)
            }
        }
        shares.removeAll()
        if error.code == .deviceLost { forgetKeyValues() }
        counters.failedSteps += 1
        checkLedger()
    }

    /// The device has nothing any more that was computed: all sequences begin anew, with the tokens that they have.
    mutating func forgetKeyValues() {
        for slot in admitted { preempt(slot, keeping: false) }
        pool.forgetPrefixes()
    }

    /// What everybody is told if all requests fail now, by receiver, behind the events that are not delivered yet.
    func failures(_ error: EngineError) -> [EventBatch] {
        var batches = outboxes
        for slot in generations.slots {
            let generation = generations[slot]
            batches[generation.terms.receiver].appendEnd(
                .failed(error, generation.usage), of: generation.terms.id, tag: generation.terms.tag)
        }
        return batches
    }

    /// Ends a step whose result nobody wants any more.
    mutating func dropStep() {
        plan.removeAll()
        shares.removeAll()
        counters.failedSteps += 1
    }

    /// Fails all requests, with all that the device holds.
    mutating func failAll(_ error: EngineError) {
        for slot in generations.slots { fail(slot, error) }
        pool.forgetPrefixes()
        checkLedger()
    }

    /// Gives a request's memory back and reports how it ended.
    mutating func finish(_ slot: Int, _ reason: FinishReason) {
        end(slot, keeping: true) { .finished(reason, $0) }
    }

    /// Gives a failed request's memory back, with contents that are not to be trusted, and reports the error.
    mutating func fail(_ slot: Int, _ error: EngineError) {
        counters.failures += 1
        if error.code == .nonFiniteLogits { counters.nonFinite += 1 }
        end(slot, keeping: error.code == .deadlineExceeded) { .failed(error, $0) }
    }

    mutating func end(_ slot: Int, keeping: Bool, _ outcome: (Usage) -> GenerationEnd) {
        pool.release(&generations[slot].table, keeping: keeping)
        admitted.removeAll { $0 == slot }
        waiting.removeAll { $0 == slot }
        let terms = generations[slot].terms
        outboxes[terms.receiver].appendEnd(outcome(generations[slot].usage), of: terms.id, tag: terms.tag)
        generations.remove(slot)
        counters.ended += 1
        counters.endedTokens += terms.largestTokenCount
    }
}

extension Generation {
    /// How far it has come, in words.
    fileprivate var progress: String {
        embedding == nil
            ? "\(produced) of \(terms.maxTokens) tokens" : "\(computed) of the prompt's \(terms.promptLength) tokens"
    }
}
