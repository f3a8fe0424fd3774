/// A snapshot of an engine, taken after a step. Counters run from its start.
public struct EngineStatistics: Sendable, Equatable {
    /// Sequences that take part in steps.
    public var running = 0
    /// Sequences that could run but have not been admitted, or were preempted.
    public var waiting = 0
    /// Sequences without credit.
    public var parked = 0

    /// KV blocks that hold nothing.
    public var blocksFree = 0
    /// KV blocks with a prefix that no sequence uses now; free for whoever needs them.
    public var blocksCached = 0
    /// KV blocks of live sequences. The three sum up to `blocksTotal`, always.
    public var blocksOwned = 0
    /// KV blocks of the pool.
    public var blocksTotal = 0

    /// Steps executed.
    public var steps = 0
    /// Steps that the back end could not execute.
    public var failedSteps = 0
    /// Prompt tokens computed, and output tokens computed again after a preemption.
    public var tokensPrefilled = 0
    /// Tokens produced.
    public var tokensGenerated = 0
    /// Times a sequence lost its blocks to be computed again.
    public var preemptions = 0
    /// Requests that ended by `cancel` or `shutdown`.
    public var cancels = 0
    /// Requests that failed.
    public var failures = 0

    /// Monotonic nanoseconds at which the last step lost its device; nil when it was computed.
    public var deviceLostAt: UInt64?

    /// Engines behind these figures.
    public var engines = 1
    /// Those of them whose device's driver does not come back: they fail and refuse all requests.
    public var enginesHung = 0
    /// Whether no request can be taken until a driver comes back.
    public var isHung: Bool { enginesHung == engines }

    /// Nanoseconds of the last step, from its plan to its events.
    public var lastStepNanoseconds: UInt64 = 0
    /// Nanoseconds of all steps that the back end had.
    public var totalBackendNanoseconds: UInt64 = 0
    /// Nanoseconds of all steps.
    public var totalStepNanoseconds: UInt64 = 0
    /// Nanoseconds of a step on average.
    public var meanStepNanoseconds: UInt64 { steps == 0 ? 0 : totalStepNanoseconds / UInt64(steps) }

    /// What each device tells of itself, by their numbers; nothing where none is asked.
    public var devices: [DeviceReadings] = []

    /// All zero.
    public init() {}
}
