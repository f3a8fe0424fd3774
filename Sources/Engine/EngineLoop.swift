import Synchronization

/// The engine thread's work in turns: commands, a plan, a step, its events. Sleeps when nothing can run.
///
/// While the engine thread is in the back end, another may look at what is its own, and declare the step abandoned: so says
/// `passage`, which the engine thread takes on its way in and out.
final class EngineLoop: @unchecked Sendable {  // engine thread only, but for the immutable and the locked fields below
    /// Where the engine thread is.
    private enum Passage {
        /// Not in the back end: what is the engine thread's is nobody else's business.
        case outside
        /// In the back end.
        case inside
        /// There still, and all requests have been told that they failed so.
        case abandoned(EngineError)
    }

    // Any thread.
    let queue: CommandQueue
    let clock: MonotonicClock
    let published: Mutex<EngineStatistics>
    /// Executes on the engine thread; what it says of itself it says on any.
    let backend: any Backend
    private let passage = Mutex(Passage.outside)
    private let hangs: DeviceHang.Watch
    private let hasEnded = Atomic(false)

    // Engine thread only.
    private let seed: UInt64
    private var scheduler: Scheduler
    private var mailboxes = MailboxTable()
    private var result = StepResult()
    private var statistics = EngineStatistics()
    private var suspicion = DeviceSuspicion()
    private var commands: [CommandQueue.Command] = []
    private var retiredCount = 0
    private var retiredTokens = 0
    private var hasWork = false
    private var isShutDown = false

    /// - Parameters:
    ///   - seed: from which requests without a seed get theirs.
    ///   - hangs: who is told when a device that did not answer is there again.
    init(
        backend: any Backend, scheduler: Scheduler, queue: CommandQueue, clock: MonotonicClock, seed: UInt64,
        hangs: DeviceHang.Watch
    ) {
        self.hangs = hangs
        self.backend = backend
        self.scheduler = scheduler
        self.queue = queue
        self.clock = clock
        self.seed = seed
        statistics.blocksTotal = scheduler.pool.blockCount
        statistics.blocksFree = scheduler.pool.freeCount
        published = Mutex(statistics)
    }

    /// Runs until the shutdown; the thread's whole life.
    func run() {
        while !isShutDown { turn() }
        hasEnded.store(true, ordering: .releasing)
    }

    /// Whether `run` has returned, or is about to.
    var isOver: Bool { hasEnded.load(ordering: .acquiring) }

    /// One turn.
    ///
    /// - Parameter canWait: false not to sleep when nothing can run.
    func turn(canWait: Bool = true) {
        queue.take(into: &commands, patience: canWait ? patience : .none)
        obeyCommands()
        let start = clock.now()
        hasWork = scheduler.schedule(now: start)
        if hasWork { step(since: start) }
        publish()
    }

    /// How long the next turn may wait for a command.
    var patience: CommandQueue.Patience {
        if hasWork { return .none }
        return scheduler.nextDeadline.map { .until($0) } ?? .forever
    }

    private func step(since start: UInt64) {
        let planned = clock.now()
        let outcome = inBackend { () throws(EngineError) in try backend.execute(scheduler.plan, into: &result) }
        let computed = clock.now()
        switch outcome {
        case .done:
            statistics.totalBackendNanoseconds += computed - planned
            statistics.deviceLostAt = nil
            scheduler.commit(result, now: computed)
            if suspicion.isRaised(by: scheduler.counters.nonFinite, now: computed) { examine() }
        case .failed(let error):
            if error.code == .deviceLost { statistics.deviceLostAt = computed }
            scheduler.stepFailed(error)
        case .abandoned(let error):
            scheduler.dropStep()
            comeBack(error)
        }
        statistics.lastStepNanoseconds = clock.now() - start
        statistics.totalStepNanoseconds += statistics.lastStepNanoseconds
    }

    /// Lets the back end look at a device that is suspected. One at fault takes with it what it has of all sequences.
    private func examine() {
        switch inBackend({ () throws(EngineError) in try backend.examine() }) {
        case .done: break
        case .failed:
            statistics.deviceLostAt = clock.now()
            scheduler.forgetKeyValues()
        case .abandoned(let error): comeBack(error)
        }
    }

    /// What came of a visit to the back end.
    private enum Outcome {
        case done
        case failed(EngineError)
        /// Another thread has told all requests that they failed so.
        case abandoned(EngineError)
    }

    /// Runs what may never come back from the back end.
    private func inBackend(_ body: () throws(EngineError) -> Void) -> Outcome {
        passage.withLock { $0 = .inside }
        var failure: EngineError?
        do throws(EngineError) { try body() } catch { failure = error }
        let last = passage.withLock { passage in
            defer { passage = .outside }
            return passage
        }
        if case .abandoned(let error) = last { return .abandoned(error) }
        return failure.map(Outcome.failed) ?? .done
    }

    private func obeyCommands() {
        for command in commands {
            switch command {
            case .submit(let request, let id, let tag, let mailbox, let submittedAt):
                scheduler.add(
                    request, id: id, tag: tag, receiver: mailboxes.enter(mailbox),
                    seed: CounterRandom.bits(seed: seed, position: Int(truncatingIfNeeded: id.rawValue)),
                    now: submittedAt)
            case .cancel(let id): scheduler.cancel(id)
            case .grant(let id, let creditLimit):
                scheduler.grant(id, creditLimit: creditLimit, now: clock.now())
            case .shutDown:
                scheduler.cancelAll()
                isShutDown = true
            }
        }
        commands.removeAll(keepingCapacity: true)
    }

    /// Counts first: who learns of an end finds it counted, and room for the next request.
    private func publish() {
        let census = scheduler.census
        statistics.running = census.running
        statistics.waiting = census.waiting
        statistics.parked = census.parked
        statistics.blocksFree = scheduler.pool.freeCount
        statistics.blocksCached = scheduler.pool.cachedCount
        statistics.blocksOwned = scheduler.pool.ownedCount
        let counters = scheduler.counters
        statistics.steps = counters.steps
        statistics.failedSteps = counters.failedSteps
        statistics.tokensPrefilled = counters.rows - counters.decodeRows
        statistics.tokensGenerated = counters.tokensGenerated
        statistics.preemptions = counters.preemptions
        statistics.cancels = counters.cancels
        statistics.failures = counters.failures
        published.withLock { $0 = statistics }
        queue.retire(counters.ended - retiredCount, tokens: counters.endedTokens - retiredTokens)
        (retiredCount, retiredTokens) = (counters.ended, counters.endedTokens)
        mailboxes.deliver(&scheduler.outboxes)
    }

    // MARK: - A device that does not answer

    /// Fails all requests, refuses new ones and tells people, if the engine thread is in the back end and this is the first time;
    /// called on another. Until all is told the engine thread stays there, so that what it tells comes after.
    func abandon(_ error: EngineError, telling sentence: String) {
        passage.withLock { passage in
            guard case .inside = passage else { return }
            passage = .abandoned(error)
            let unseen = queue.refuse(with: error)
            let batches = scheduler.failures(error)
            var letters = batches.indices.compactMap { place in
                mailboxes.mailbox(at: place).map { ($0, batches[place]) }
            }
            for case .submit(let request, let id, let tag, let mailbox, _) in unseen {
                var (usage, batch) = (Usage(), EventBatch())
                usage.promptTokens = request.prompt.count
                batch.appendEnd(.failed(error, usage), of: id, tag: tag)
                letters.append((mailbox, batch))
            }
            let ended = letters.reduce(0) { $0 + $1.1.ends.count }
            published.withLock { published in
                (published.running, published.waiting, published.parked) = (0, 0, 0)
                published.failures += ended
                published.enginesHung = 1
                published.deviceLostAt = clock.now()
            }
            for (mailbox, batch) in letters { mailbox.append(batch) }
            hangs.tell(.began(sentence))
        }
    }

    /// Goes on after all requests were told that they failed: the device is not to be trusted.
    private func comeBack(_ error: EngineError) {
        queue.take(into: &commands, patience: .none)
        obeyCommands()
        scheduler.failAll(error)
        mailboxes.settle(&scheduler.outboxes)
        guard !isShutDown else { return }
        var outcome = "the driver came back, and the device is set up anew: requests are taken again"
        do throws(EngineError) {
            try backend.renew()
            statistics.deviceLostAt = nil
        } catch {
            statistics.deviceLostAt = clock.now()
            outcome = "the driver came back, but the device cannot be set up, which is tried again: \(error.message)"
        }
        publish()
        queue.readmit()
        hangs.tell(.ended(outcome))
    }
}
