internal import TestKit

/// Runs the tasks of a world on the world's own thread, one piece at a time and in an order drawn from its seed.
final class SimulatedExecutor: TaskExecutor, @unchecked Sendable {  // one thread: that of the world
    private var jobs: [UnownedJob] = []
    private var random: TestRandom

    init(seed: UInt64) { random = TestRandom(seed: seed) }

    /// Whether a piece can run.
    var hasJob: Bool { !jobs.isEmpty }

    func enqueue(_ job: consuming ExecutorJob) { jobs.append(UnownedJob(job)) }

    /// Runs one piece, to where its task waits next.
    func runOne() {
        let job = jobs.remove(at: random.below(jobs.count))
        job.runSynchronously(on: asUnownedTaskExecutor())
    }
}
