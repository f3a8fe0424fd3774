import Synchronization

/// Which of several engines of one model an engine is.
public struct ReplicaPlace: Sendable, Equatable {
    /// 0..<count.
    public let index: Int
    /// All of them.
    public let count: Int

    /// The only one.
    public static let alone = ReplicaPlace(index: 0, of: 1)

    /// One of `count`.
    public init(index: Int, of count: Int) {
        precondition((0..<count).contains(index), "a replica is one of all")
        (self.index, self.count) = (index, count)
    }
}

/// Several engines of one model behind one door, each with devices of its own. A request goes to the engine that has the
/// fewest tokens before it, and stays there.
public final class ReplicatedEngine: GenerationEngine {
    private let replicas: [InferenceEngine]
    private let clock: MonotonicClock
    /// Held from the choice of a replica until the request is counted there.
    private let choice = Mutex(())

    /// What each replica can hold; a request runs on one of them.
    public var capacity: EngineCapacity { replicas[0].capacity }

    /// - Parameter replicas: engines of equal capacity, made with their `ReplicaPlace` in this array.
    public convenience init(_ replicas: [InferenceEngine]) { self.init(replicas, clock: .system) }

    package init(_ replicas: [InferenceEngine], clock: MonotonicClock) {
        precondition(!replicas.isEmpty, "somebody has to do the work")
        (self.replicas, self.clock) = (replicas, clock)
    }

    /// Validates a request and queues it where there is least to do.
    ///
    /// - Throws: as `GenerationEngine` says; what the last of them says when no replica takes it.
    public func submit(
        _ request: GenerationRequest, tag: UInt64, to mailbox: EventMailbox
    ) throws(EngineError) -> RequestID {
        try choice.withLock { _ throws(EngineError) in
            var refusal = EngineError(.overloaded, "no replica takes the request; try again later")
            for replica in replicasByLoad() {
                do throws(EngineError) {
                    return try replica.submit(request, tag: tag, to: mailbox)
                } catch {
                    guard error.code == .overloaded || error.code == .deviceLost else { throw error }
                    refusal = error
                }
            }
            throw refusal
        }
    }

    /// A replica that fails everything at once has little to do, and must not draw all requests to itself; but only with
    /// one does it see whether its device is back.
    private func replicasByLoad() -> [InferenceEngine] {
        let now = clock.now()
        func key(_ replica: InferenceEngine) -> (Int, Int) {
            let isAiling = replica.deviceLostAt.map { now &- $0 < Self.rest } ?? false
            return (isAiling ? 1 : 0, replica.outstandingTokens)
        }
        return replicas.map { ($0, key($0)) }.sorted { $0.1 < $1.1 }.map(\.0)
    }

    /// Nanoseconds for which a replica that has lost its device is the last choice.
    private static let rest: UInt64 = 5_000_000_000

    /// Ends a request with `finished(.cancelled)`; nothing happens if it has ended.
    public func cancel(_ id: RequestID) { owner(of: id).cancel(id) }

    /// Lets a request produce up to `creditLimit` tokens in all; a limit below an earlier one changes nothing.
    public func grant(_ id: RequestID, creditLimit: UInt32) { owner(of: id).grant(id, creditLimit: creditLimit) }

    private func owner(of id: RequestID) -> InferenceEngine {
        replicas[Int((id.rawValue - 1) % UInt64(replicas.count))]
    }

    /// Sums over all replicas; of times of the last step the longest.
    public func statistics() -> EngineStatistics {
        replicas.dropFirst().reduce(replicas[0].statistics()) { $0.joined(with: $1.statistics()) }
    }

    /// Refuses new requests as `draining`. Those in the engines finish; `statistics` tells when none is left.
    public func drain() { for replica in replicas { replica.drain() } }
}

extension EngineStatistics {
    /// Those of two engines as one.
    func joined(with other: EngineStatistics) -> EngineStatistics {
        var sum = self
        let counts: [WritableKeyPath<EngineStatistics, Int>] = [
            \.running, \.waiting, \.parked, \.blocksFree, \.blocksCached, \.blocksOwned, \.blocksTotal, \.steps,
            \.failedSteps, \.tokensPrefilled, \.tokensGenerated, \.preemptions, \.cancels, \.failures, \.engines,
            \.enginesHung,
        ]
        for count in counts { sum[keyPath: count] += other[keyPath: count] }
        sum.lastStepNanoseconds = max(lastStepNanoseconds, other.lastStepNanoseconds)
        sum.totalBackendNanoseconds += other.totalBackendNanoseconds
        sum.totalStepNanoseconds += other.totalStepNanoseconds
        sum.devices += other.devices
        sum.deviceLostAt = [deviceLostAt, other.deviceLostAt].compactMap(\.self).max()
        return sum
    }
}
