internal import CKernels

/// What the processors can do at most, measured with the instructions that the kernels use.
package final class CPUCeilings {
    /// Bytes that all threads together read from memory in a second, in 2 MiB pages.
    package let bytesPerSecond: Double
    private let team: ThreadTeam
    private var peaks: [UInt32: Double] = [:]

    /// What is read to measure. Less says nothing, and more than 1 GiB is more than caches hold.
    private static let readByteCounts = 64 << 20...1 << 30
    /// Best of so many: other work on the machine only ever slows.
    private static let attempts = 7

    /// Measures the memory; takes a second at most, and as much memory as it reads.
    ///
    /// - Parameters:
    ///   - threads: at least 1.
    ///   - byteCount: of the weights. As many are read, of large models 1 GiB: processors of servers have caches of hundreds of
    ///     megabytes, so that small models are read faster than memory is.
    /// - Throws: `EngineError.insufficientMemory` or `backend`.
    package init(threads: Int, reading byteCount: Int) throws(EngineError) {
        team = try ThreadTeam(threads: threads)
        let size = min(max(byteCount, Self.readByteCounts.lowerBound), Self.readByteCounts.upperBound)
        let memory = try HugePages(byteCount: size, purpose: "measuring memory")
        team.run(MemoryJob(memory, byteCount: size, writes: true))
        let reading = MemoryJob(memory, byteCount: size, writes: false)
        bytesPerSecond = Double(reading.readByteCount) / Self.least(of: reading, on: team)
    }

    /// Operations per second of products with weights of that format, a product and its sum being two.
    func operationsPerSecond(_ format: ck_format) -> Double {
        if let peak = peaks[format.rawValue] { return peak }
        // Some milliseconds: longer than it takes to wake the threads, shorter than the scheduler's turns.
        var rounds = 1 << 14
        while Self.seconds(of: ProductJob(format, rounds: rounds), on: team) < 0.004 { rounds *= 2 }
        let job = ProductJob(format, rounds: rounds)
        let seconds = Self.least(of: job, on: team)
        let peak = Double(job.operationsPerPart * team.count) / seconds
        peaks[format.rawValue] = peak
        return peak
    }

    private static func least(of job: some TeamJob, on team: ThreadTeam) -> Double {
        (0..<attempts).map { _ in seconds(of: job, on: team) }.min() ?? .infinity
    }

    private static func seconds(of job: some TeamJob, on team: ThreadTeam) -> Double {
        let start = MonotonicClock.system.now()
        team.run(job)
        return Double(MonotonicClock.system.now() - start) * 1e-9
    }
}

/// Writes or reads memory, shared out among the threads.
private final class MemoryJob: TeamJob {
    private let memory: HugePages
    private let byteCount: Int
    private let writes: Bool
    private static let partByteCount = 2 << 20

    /// Whole parts only.
    var readByteCount: Int { byteCount / Self.partByteCount * Self.partByteCount }

    init(_ memory: HugePages, byteCount: Int, writes: Bool) {
        (self.memory, self.byteCount, self.writes) = (memory, byteCount, writes)
    }

    func run(as member: TeamMember) {
        member.share(byteCount / Self.partByteCount) { part in
            let start = memory.base + part * Self.partByteCount
            if writes {
                start.initializeMemory(as: UInt8.self, repeating: 1, count: Self.partByteCount)
            } else {
                _ = ck_read(start, Self.partByteCount)
            }
        }
    }
}

/// The same products on every thread.
private final class ProductJob: TeamJob {
    private let format: ck_format
    private let rounds: Int
    let operationsPerPart: Int

    init(_ format: ck_format, rounds: Int) {
        (self.format, self.rounds) = (format, rounds)
        operationsPerPart = ck_exercise(format, 1) * rounds
    }

    func run(as member: TeamMember) {
        member.share(member.teamCount) { _ in _ = ck_exercise(format, rounds) }
    }
}
