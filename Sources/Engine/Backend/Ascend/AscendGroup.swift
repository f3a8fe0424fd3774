/// The NPUs that compute a model, one or several: a session each, and for all but the first a thread.
///
/// All compute the same plan at once, each its part. A rank that fails leaves the others waiting in the middle of a sum, so
/// that a failure of one is the end of all: they are set up anew together.
final class AscendGroup: @unchecked Sendable {  // used by one thread at a time; each session by its own thread
    private let sessions: [AscendSession]
    private let threads: RankThreads
    private let peers: AscendPeers

    /// Sets the devices up and copies each share to its own.
    ///
    /// - Parameters:
    ///   - firstDevice: the first rank's; the others' follow it.
    ///   - vigil: where the calls of each rank are noted.
    ///   - largestBatch, notice, progress: as `AscendSession` takes them.
    /// - Throws: `EngineError` of a device or of the checkpoint.
    init(
        firstDevice: Int32, _ shares: [AscendShare], _ vigil: DeviceVigil, largestBatch: Int,
        notice: @escaping @Sendable (String) -> Void, progress: @escaping @Sendable (Double) -> Void
    ) throws(EngineError) {
        let devices = shares.indices.map { firstDevice + Int32($0) }
        let peers = AscendPeers()
        let threads = try RankThreads(vigil.calls)
        let communicators =
            shares.count > 1
            ? try ascend { () throws(AscendError) in try AscendCommunicator.join(devices, peers) } : []
        let results = threads.run { (rank) throws(EngineError) in
            try AscendSession(
                deviceIndex: devices[rank], shares[rank], communicators.isEmpty ? nil : communicators[rank],
                largestBatch: largestBatch, notice: { if peers.mayTell() { notice($0) } },
                progress: rank == 0 ? progress : { _ in })
        }
        sessions = results.compactMap { try? $0.get() }
        (self.threads, self.peers) = (threads, peers)
        for case .failure(let error) in results {
            for session in sessions { session.close(isForced: error.code == .deviceLost) }
            throw error
        }
    }

    /// The first rank's device.
    var deviceName: String { sessions[0].device.chip.name }

    /// Bytes that are free on the device that has least.
    ///
    /// - Throws: what the runtime returned.
    func freeMemory() throws(AscendError) -> Int {
        let free = threads.run { [sessions] (rank) throws(AscendError) in try sessions[rank].freeMemory() }
        return try all(free).min() ?? 0
    }

    /// Reserves the KV pool on each, with nothing in it.
    ///
    /// - Throws: what the runtime returned.
    func allocate(_ cache: AscendCacheShape) throws(AscendError) {
        _ = try all(threads.run { [sessions] (rank) throws(AscendError) in try sessions[rank].allocate(cache) })
    }

    /// Computes the step of a plan; parameters as those of `AscendSession.run`.
    ///
    /// - Throws: what the first rank to fail came to.
    func run(
        _ plan: borrowing StepPlan, _ demand: AscendDemand, batch: Int?
    ) throws(AscendError) -> AscendOutputs {
        let plan = copy plan
        return try together { (session) throws(AscendError) in try session.run(plan, demand, batch: batch) }[0]
    }

    /// Copies the logits of some samples of the step that ran last to its outputs.
    ///
    /// - Throws: what the first rank to fail came to.
    func fetchLogits(of samples: RangeSet<Int>) throws(AscendError) {
        _ = try together { (session) throws(AscendError) in try session.fetchLogits(of: samples) }
    }

    /// What the ranks come to, each on its thread; one that fails tells the others.
    private func together<Value>(
        _ body: @escaping @Sendable (AscendSession) throws(AscendError) -> Value
    ) throws(AscendError) -> [Value] {
        let results = threads.run { [sessions, peers] (rank) throws(AscendError) in
            do throws(AscendError) {
                return try body(sessions[rank])
            } catch {
                peers.fail(rank)
                throw error
            }
        }
        return try all(results)
    }

    /// Runs something on the thread of each device at once.
    func onAllRanks<Value: Sendable>(
        _ body: @escaping @Sendable (AscendSession) throws(EngineError) -> Value
    ) -> [Result<Value, EngineError>] {
        threads.run { [sessions] (rank) throws(EngineError) in try body(sessions[rank]) }
    }

    /// Bounds how long a step may take from now on.
    func limit(_ limits: AscendStepWatch.Limits) {
        for session in sessions { session.watch = AscendStepWatch(limits) }
    }

    /// Milliseconds that the next step may take.
    var timeout: Int32 { sessions.map(\.watch.timeout).max() ?? 0 }

    /// What all came to, if none failed.
    private func all<Value>(_ results: [Result<Value, AscendError>]) throws(AscendError) -> [Value] {
        if let rank = peers.failed, case .failure(let error) = results[rank] {
            throw sessions.count == 1 ? error : error.on(sessions[rank].device.index)
        }
        var values: [Value] = []
        for result in results { values.append(try result.get()) }
        return values
    }

    /// Waits a little for what a failed step left on the stream. Returns whether all of it is done; of several NPUs nothing
    /// that one has left undone is ever done.
    func settle() -> Bool { sessions.count == 1 && sessions[0].settle() }

    /// Gives the devices back; forced when they do not answer any more.
    func close(isForced: Bool) {
        _ = threads.run { [sessions] (rank) in sessions[rank].close(isForced: isForced) }
    }
}
