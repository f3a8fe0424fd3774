import Glibc
import Synchronization

/// Runs one model for many requests at once, on a thread of its own.
///
/// Calls about one request take effect before the next step begins: a cancelled request is in no step that starts after
/// `cancel` returned.
public final class InferenceEngine: GenerationEngine {
    /// What the engine can hold.
    public let capacity: EngineCapacity
    private let validator: RequestValidator
    private let loop: EngineLoop
    /// Nil for an engine whose owner gives it its turns.
    private let thread = Mutex<pthread_t?>(nil)
    /// Looks whether the device's driver comes back; nil where none can hang.
    private let watch = Mutex<RepeatedWork?>(nil)

    /// Reserves the KV pool and starts the engine thread.
    ///
    /// - Parameters:
    ///   - backend: used by this engine alone.
    ///   - tokenizer: the model's; gives tokens their text and says which end an answer.
    ///   - model: the shape of the model that `backend` runs.
    ///   - place: which of the engines of a `ReplicatedEngine` this is.
    /// - Throws: `EngineError.invalidRequest` for options out of range, `insufficientMemory` if the pool has no room or
    ///   the system refuses a thread.
    public convenience init(
        backend: any Backend, tokenizer: any Tokenizer, model: ModelConfiguration, options: EngineOptions,
        place: ReplicaPlace = .alone
    ) throws(EngineError) {
        let vigil = backend.vigil
        let start = try vigil.map { (vigil) throws(EngineError) in
            try StartWatch(vigil, "reserving the device's memory", options.hangs)
        }
        var random = SystemRandomNumberGenerator()
        try self.init(
            backend: backend, tokenizer: tokenizer, model: model, options: options, place: place, clock: .system,
            seed: random.next())
        start?.end()
        let thread = try Self.start(loop)
        self.thread.withLock { $0 = thread }
        guard let vigil else { return }
        let watch = try EngineWatch(loop, vigil, options.hangs).start()
        self.watch.withLock { $0 = watch }
    }

    /// Reserves the KV pool of an engine without a thread: its owner calls `turn`.
    ///
    /// - Parameter seed: from which requests without a seed get theirs.
    /// - Throws: as the public initializer.
    package init(
        backend: any Backend, tokenizer: any Tokenizer, model: ModelConfiguration, options: EngineOptions,
        place: ReplicaPlace = .alone, clock: MonotonicClock, seed: UInt64
    ) throws(EngineError) {
        capacity = try EngineCapacity(
            options: options, contextLength: model.contextLength, bytesPerToken: backend.keyValueBytesPerToken,
            keyValueMemory: backend.keyValueMemory)
        try backend.allocateKeyValueCache(blockCount: capacity.blockCount, blockSize: capacity.blockSize)
        validator = RequestValidator(
            vocabularySize: model.vocabularySize, capacity: capacity, adapterCount: backend.adapterCount)
        let scheduler = Scheduler(
            limits: Scheduler.Limits(
                maxNumSeqs: options.maxNumSeqs, maxNumBatchedTokens: options.maxNumBatchedTokens,
                vocabularySize: model.vocabularySize),
            pool: BlockPool(
                blockCount: capacity.blockCount, blockSize: capacity.blockSize, prefixCaching: options.prefixCaching),
            tokenizer: tokenizer)
        loop = EngineLoop(
            backend: backend, scheduler: scheduler,
            queue: CommandQueue(maxNumRequests: options.maxNumRequests, place: place),
            clock: clock, seed: seed, hangs: options.hangs)
    }

    deinit { shutdown() }

    /// Validates a request and queues it.
    ///
    /// - Throws: as `GenerationEngine` says.
    public func submit(
        _ request: GenerationRequest, tag: UInt64, to mailbox: EventMailbox
    ) throws(EngineError) -> RequestID {
        try validator.check(request)
        return try loop.queue.submit(request, tag: tag, mailbox: mailbox, now: loop.clock.now())
    }

    /// Ends a request with `finished(.cancelled)`; nothing happens if it has ended.
    public func cancel(_ id: RequestID) { loop.queue.send(.cancel(id)) }

    /// Lets a request produce up to `creditLimit` tokens in all; a limit below an earlier one changes nothing.
    public func grant(_ id: RequestID, creditLimit: UInt32) { loop.queue.send(.grant(id, creditLimit: creditLimit)) }

    /// Tokens of prompts and answers that requests which have not ended could come to: how much there is to do.
    package var outstandingTokens: Int { loop.queue.outstandingTokens }

    /// When the device was last lost, if it has not answered since.
    package var deviceLostAt: UInt64? { loop.published.withLock(\.deviceLostAt) }

    /// Whether the device's driver does not come back from a call, so that all requests are refused.
    public var isHung: Bool { loop.queue.isRefusing }

    /// The state after the last step, and of the devices now.
    public func statistics() -> EngineStatistics {
        var statistics = loop.published.withLock(\.self)
        statistics.devices = loop.backend.deviceReadings
        return statistics
    }

    /// Refuses new requests as `draining`. Those in the engine finish; `statistics` tells when none is left.
    public func drain() { loop.queue.close() }

    /// Cancels all requests and waits for the engine thread to end; from that thread itself, and for a driver that does not
    /// come back, it does not wait.
    public func shutdown() {
        guard loop.queue.shutDown() else { return }
        guard let thread = thread.withLock(\.self) else { return loop.turn() }
        if pthread_equal(pthread_self(), thread) != 0 || !join(thread) { pthread_detach(thread) }
        watch.withLock { $0 = nil }
    }

    /// Waits for a thread's end. Returns whether it came; false as soon as the device's driver is known to hang.
    private func join(_ thread: pthread_t) -> Bool {
        while !loop.isOver {
            if isHung { return false }
            usleep(1_000)
        }
        pthread_join(thread, nil)
        return true
    }

    /// One turn of an engine without a thread: obeys commands, executes at most one step and tells its events.
    ///
    /// - Returns: monotonic nanoseconds at which the next turn is due even without a command; nil for never.
    package func turn() -> UInt64? {
        loop.turn(canWait: false)
        switch loop.patience {
        case .none: return loop.clock.now()
        case .until(let deadline): return deadline
        case .forever: return nil
        }
    }

    private static func start(_ loop: EngineLoop) throws(EngineError) -> pthread_t {
        var thread = pthread_t()
        let context = Unmanaged.passRetained(loop)
        let status = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<EngineLoop>.fromOpaque(context).takeRetainedValue().run()
                return nil
            }, context.toOpaque())
        guard status == 0 else {
            context.release()
            let reason = String(cString: strerror(status))
            throw EngineError(.insufficientMemory, "no thread for the engine: \(reason); raise the limit of threads")
        }
        return thread
    }
}
