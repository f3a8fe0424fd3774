import Synchronization

/// The engine thread's work in turns: commands, a plan, a step, its events. Sleeps when nothing can run.
final class EngineLoop: @unchecked Sendable {  // engine thread only, but for the immutable and the locked fields below
    // Any thread.
    let queue: CommandQueue
    let clock: MonotonicClock
    let published: Mutex<EngineStatistics>
    /// Executes on the engine thread; what it says of itself it says on any.
    let backend: any Backend

    // Engine thread only.
    private let seed: UInt64
    private var scheduler: Scheduler
    private var mailboxes = MailboxTable()
    private var result = StepResult()
    private var statistics = EngineStatistics()
    private var commands: [CommandQueue.Command] = []
    private var retiredCount = 0
    private var retiredTokens = 0
    private var hasWork = false
    private var isShutDown = false

    /// - Parameter seed: from which requests without a seed get theirs.
    init(backend: any Backend, scheduler: Scheduler, queue: CommandQueue, clock: MonotonicClock, seed: UInt64) {
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
    }

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
        do throws(EngineError) {
            let planned = clock.now()
            try backend.execute(scheduler.plan, into: &result)
            let computed = clock.now()
            statistics.totalBackendNanoseconds += computed - planned
            statistics.deviceLostAt = nil
            scheduler.commit(result, now: computed)
        } catch {
            if error.code == .deviceLost { statistics.deviceLostAt = clock.now() }
            scheduler.stepFailed(error)
        }
        statistics.lastStepNanoseconds = clock.now() - start
        statistics.totalStepNanoseconds += statistics.lastStepNanoseconds
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
}
