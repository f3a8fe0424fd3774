internal import CKernels
internal import Glibc
internal import Synchronization

/// Work that the threads of a team do together: each runs the same stages in the same order and shares out the parts of
/// a stage by `TeamMember.share`.
///
/// A thread that comes late may still walk through a job, finding no work, when its caller has returned: whatever a job
/// reads must be immutable and kept alive by the job.
package protocol TeamJob: AnyObject, Sendable {
    func run(as member: TeamMember)
}

/// One thread of a team, and how far it has come.
package final class TeamMember: @unchecked Sendable {  // used by its own thread only
    /// 0..<team.count, 0 being the thread that calls `ThreadTeam.run`.
    package let index: Int
    fileprivate let progress: TeamProgress
    fileprivate var stage: UInt64 = 0

    fileprivate init(index: Int, progress: TeamProgress) {
        self.index = index
        self.progress = progress
    }

    /// Threads of the team.
    package var teamCount: Int { progress.threadCount }

    /// One stage: runs `body` for those of `0..<count` that no other thread has taken, and returns when all are done.
    /// What any thread wrote in a stage is visible to all in the next.
    ///
    /// - Parameter count: at least 1, the same on every thread.
    @inline(__always)
    package func share(_ count: Int, _ body: (Int) -> Void) {
        var done = 0
        while let part = progress.take(stage: stage, of: count) {
            body(part)
            done += 1
        }
        if done > 0 { progress.finish(done, of: count, stage: stage) }
        progress.wait(whileStageIs: stage)
        stage = TeamProgress.stage(after: stage)
    }
}

/// Persistent threads that run one job after the other together with the calling thread.
///
/// One program runs on all threads, instead of one task per loop, because a step has hundreds of stages of a few
/// microseconds: a stage costs a few atomic operations and neither closures nor allocations. And a stage ends when its
/// parts are done, not when all threads have come by: a thread that lost its core to an I/O loop delays nobody, the
/// others do its share.
package final class ThreadTeam: Sendable {
    private let progress: TeamProgress
    private let caller: TeamMember
    private let threads: [pthread_t]

    /// Threads, the caller included; at least 1.
    package var count: Int { progress.threadCount }

    /// - Throws: `EngineError.backend` when the system refuses a thread.
    package init(threads wanted: Int) throws(EngineError) {
        let progress = TeamProgress(threadCount: max(1, wanted))
        var threads: [pthread_t] = []
        for index in 1..<progress.threadCount {
            let member = Unmanaged.passRetained(TeamMember(index: index, progress: progress))
            var thread = pthread_t()
            let code = pthread_create(&thread, nil, teamThread, member.toOpaque())
            guard code == 0 else {
                member.release()
                Self.stop(threads, progress)
                throw EngineError(
                    .backend, "thread \(index + 1) of \(wanted) cannot be started (error \(code)); ask for fewer")
            }
            threads.append(thread)
        }
        self.progress = progress
        self.threads = threads
        caller = TeamMember(index: 0, progress: progress)
    }

    deinit { Self.stop(threads, progress) }

    /// Runs a job on all threads and returns when its last stage is done. Called by one thread at a time.
    package func run(_ job: any TeamJob) {
        progress.announce(job, startingAt: caller.stage)
        job.run(as: caller)
        progress.retire()
    }

    private static func stop(_ threads: [pthread_t], _ progress: TeamProgress) {
        progress.stop()
        for thread in threads { pthread_join(thread, nil) }
    }
}

private func teamThread(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let argument else { return nil }
    let member = Unmanaged<TeamMember>.fromOpaque(argument).takeRetainedValue()
    var seen = 0
    while let (job, number, stage) = member.progress.nextJob(after: seen) {
        seen = number
        member.stage = stage
        job?.run(as: member)
    }
    return nil
}

/// What the threads of a team know of each other.
private final class TeamProgress: @unchecked Sendable {  // atomics; the rest behind `lock`
    let threadCount: Int

    /// Stage in the upper 44 bits (wrapping, years apart), next part of it in the lower 20.
    private let position = Atomic<UInt64>(0)
    private let completed = Atomic(0)
    private let newestJob = Atomic(0)
    private let parked = Atomic(0)

    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var job: (any TeamJob)?  // behind lock
    private var firstStage: UInt64 = 0  // behind lock
    private var stopping = false  // behind lock

    private static let partBits: UInt64 = 20
    /// About 50 microseconds: longer than the pauses between stages, short enough to leave a shared core to others.
    private static let spinLimit = 2000

    init(threadCount: Int) {
        self.threadCount = threadCount
        pthread_mutex_init(lock, nil)
        pthread_cond_init(changed, nil)
    }

    deinit {
        pthread_mutex_destroy(lock)
        pthread_cond_destroy(changed)
        lock.deallocate()
        changed.deallocate()
    }

    static func stage(after stage: UInt64) -> UInt64 { (stage &+ 1) & (.max >> partBits) }

    // MARK: - Stages

    /// A part of the stage that nobody has taken; nil when there is none, or when the stage is over.
    func take(stage: UInt64, of count: Int) -> Int? {
        var current = position.load(ordering: .acquiring)
        while current >> Self.partBits == stage {
            let part = Int(current & (1 << Self.partBits - 1))
            guard part < count else { return nil }
            let (exchanged, original) = position.compareExchange(
                expected: current, desired: current + 1, ordering: .acquiringAndReleasing)
            if exchanged { return part }
            current = original
        }
        return nil
    }

    /// Reports parts as done. Who reports the last one opens the next stage.
    func finish(_ done: Int, of count: Int, stage: UInt64) {
        guard completed.wrappingAdd(done, ordering: .acquiringAndReleasing).newValue == count else { return }
        completed.store(0, ordering: .relaxed)
        position.store(Self.stage(after: stage) << Self.partBits, ordering: .sequentiallyConsistent)
        wakeParked()
    }

    func wait(whileStageIs stage: UInt64) {
        wait { position.load(ordering: .sequentiallyConsistent) >> Self.partBits != stage }
    }

    // MARK: - Jobs

    func announce(_ job: any TeamJob, startingAt stage: UInt64) {
        pthread_mutex_lock(lock)
        self.job = job
        firstStage = stage
        pthread_mutex_unlock(lock)
        newestJob.wrappingAdd(1, ordering: .sequentiallyConsistent)
        wakeParked()
    }

    /// Lets go of the job, whose stages are all done.
    func retire() {
        pthread_mutex_lock(lock)
        let retired = job
        job = nil
        pthread_mutex_unlock(lock)
        _ = consume retired  // what it keeps alive is freed without the lock
    }

    func stop() {
        pthread_mutex_lock(lock)
        stopping = true
        pthread_mutex_unlock(lock)
        newestJob.wrappingAdd(1, ordering: .sequentiallyConsistent)
        wakeParked()
    }

    /// Waits for a job behind number `seen`; the job is nil when it is over already. Nil when the team stops.
    func nextJob(after seen: Int) -> (job: (any TeamJob)?, number: Int, stage: UInt64)? {
        wait { newestJob.load(ordering: .sequentiallyConsistent) != seen }
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        return stopping ? nil : (job, newestJob.load(ordering: .acquiring), firstStage)
    }

    // MARK: - Waiting

    /// Spins for a while, then sleeps. Sequential consistency of the condition, of `parked` and of whoever changes the
    /// condition before `wakeParked`: either the sleeper sees the change or the waker sees the sleeper.
    @inline(__always)
    private func wait(until isOver: () -> Bool) {
        for _ in 0..<Self.spinLimit {
            if isOver() { return }
            ck_pause()
        }
        parked.wrappingAdd(1, ordering: .sequentiallyConsistent)
        pthread_mutex_lock(lock)
        while !isOver() { pthread_cond_wait(changed, lock) }
        pthread_mutex_unlock(lock)
        parked.wrappingSubtract(1, ordering: .relaxed)
    }

    private func wakeParked() {
        guard parked.load(ordering: .sequentiallyConsistent) > 0 else { return }
        pthread_mutex_lock(lock)
        pthread_cond_broadcast(changed)
        pthread_mutex_unlock(lock)
    }
}
