internal import CKernels
internal import Glibc
internal import Synchronization

/// Work that all threads of a team do together: each calls `run`, shares out the parts of a stage by
/// `ThreadTeam.nextChunk` and meets the others at `ThreadTeam.barrier` between stages.
protocol TeamJob: AnyObject, Sendable {
    /// - Parameter member: 0..<team.count, 0 being the thread that called `ThreadTeam.run`.
    func run(_ member: Int, of team: ThreadTeam)
}

/// Persistent threads that run one job after the other with the calling thread as member 0.
///
/// One program runs on all threads, instead of one task per loop, because a step has hundreds of stages of a few
/// microseconds: a stage then costs one barrier and neither closures nor allocations.
final class ThreadTeam: @unchecked Sendable {  // `job`, `stopping`: written before a barrier, read behind it
    /// Threads, the caller included; at least 1. Constant once `init` has returned.
    private(set) var count: Int

    private let generation = Atomic(0)
    private let arrived = Atomic(0)
    private let chunk = Atomic(0)
    private let parked = Atomic(0)
    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let released = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var job: (any TeamJob)?
    private var stopping = false
    private var threads: [pthread_t] = []

    /// About 50 microseconds: longer than the pauses between stages, short enough to leave a shared core to others.
    private static let spinLimit = 2000

    /// - Throws: `EngineError.backend` when the system refuses a thread.
    init(threads wanted: Int) throws(EngineError) {
        count = max(1, wanted)
        pthread_mutex_init(lock, nil)
        pthread_cond_init(released, nil)
        for member in 1..<max(1, wanted) {
            let start = Unmanaged.passRetained(ThreadStart(team: self, member: member))
            var thread = pthread_t()
            let code = pthread_create(&thread, nil, teamThread, start.toOpaque())
            guard code == 0 else {
                start.release()
                count = member
                stop()
                throw EngineError(
                    .backend, "thread \(member + 1) of \(wanted) cannot be started (error \(code)); ask for fewer")
            }
            threads.append(thread)
        }
    }

    /// Ends the threads. Call once, while no job runs.
    func stop() {
        stopping = true
        barrier()
        for thread in threads { pthread_join(thread, nil) }
        threads.removeAll()
    }

    deinit {
        pthread_mutex_destroy(lock)
        pthread_cond_destroy(released)
        lock.deallocate()
        released.deallocate()
    }

    /// Runs a job on all threads and returns when all have finished.
    func run(_ job: any TeamJob) {
        self.job = job
        barrier()
        job.run(0, of: self)
        barrier()
        self.job = nil
    }

    /// The next part of the current stage that nobody has taken; nil when all are.
    func nextChunk(of count: Int) -> Int? {
        let next = chunk.wrappingAdd(1, ordering: .relaxed).oldValue
        return next < count ? next : nil
    }

    /// Waits until all threads are here, and begins a new stage. What any thread wrote before is visible to all after.
    func barrier() {
        let stage = generation.load(ordering: .relaxed)
        guard arrived.wrappingAdd(1, ordering: .acquiringAndReleasing).newValue == count else {
            return wait(whileStageIs: stage)
        }
        arrived.store(0, ordering: .relaxed)
        chunk.store(0, ordering: .relaxed)
        // Sequentially consistent with `parked` and the load in `wait`: either we see the sleeper or it sees the stage.
        generation.store(stage &+ 1, ordering: .sequentiallyConsistent)
        if parked.load(ordering: .sequentiallyConsistent) > 0 {
            pthread_mutex_lock(lock)
            pthread_cond_broadcast(released)
            pthread_mutex_unlock(lock)
        }
    }

    private func wait(whileStageIs stage: Int) {
        for _ in 0..<Self.spinLimit {
            if generation.load(ordering: .acquiring) != stage { return }
            ck_pause()
        }
        parked.wrappingAdd(1, ordering: .sequentiallyConsistent)
        pthread_mutex_lock(lock)
        while generation.load(ordering: .sequentiallyConsistent) == stage { pthread_cond_wait(released, lock) }
        pthread_mutex_unlock(lock)
        parked.wrappingSubtract(1, ordering: .relaxed)
    }

    fileprivate func work(as member: Int) {
        while true {
            barrier()
            if stopping { return }
            job?.run(member, of: self)
            barrier()
        }
    }
}

private final class ThreadStart {
    let team: ThreadTeam
    let member: Int

    init(team: ThreadTeam, member: Int) {
        self.team = team
        self.member = member
    }
}

private func teamThread(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let argument else { return nil }
    let start = Unmanaged<ThreadStart>.fromOpaque(argument).takeRetainedValue()
    start.team.work(as: start.member)
    return nil
}
