internal import Glibc

/// A thread for each rank; that of the first is the caller's. What they do together they do at once, since collectives
/// wait for each other.
final class RankThreads: Sendable {
    private let count: Int
    private let shared = SharedJob()
    private let threads: [pthread_t]

    /// - Parameter calls: one for each rank, of which there is at least one: where the calls of its thread are noted, of the
    ///   first where its caller notes them.
    /// - Throws: `EngineError.insufficientMemory` when the system refuses a thread.
    init(_ calls: [DriverCall]) throws(EngineError) {
        count = calls.count
        var threads: [pthread_t] = []
        for rank in 1..<max(1, count) {
            let worker = Unmanaged.passRetained(RankWorker(rank, shared, calls[rank]))
            var thread = pthread_t()
            let code = pthread_create(&thread, nil, rankThread, worker.toOpaque())
            guard code == 0 else {
                worker.release()
                shared.end(threads)
                throw EngineError(
                    .insufficientMemory,
                    "no thread for NPU \(rank) of \(count) (error \(code)); raise the limit of threads")
            }
            threads.append(thread)
        }
        self.threads = threads
    }

    deinit { shared.end(threads) }

    /// Runs `body` for every rank at once and returns when all are done, with what each came to. Called by one thread at
    /// a time.
    func run<Value, Failure>(
        _ body: @escaping @Sendable (Int) throws(Failure) -> Value
    ) -> [Result<Value, Failure>] {
        let results = RankResults<Value, Failure>(count)
        @Sendable func compute(_ rank: Int) {
            do throws(Failure) {
                results.set(rank, .success(try body(rank)))
            } catch {
                results.set(rank, .failure(error))
            }
        }
        if count > 1 { shared.begin(count - 1, compute) }
        compute(0)
        if count > 1 { shared.wait() }
        return results.all
    }
}

/// What each rank came to.
private final class RankResults<Value, Failure: Error>: @unchecked Sendable {  // a thread writes its own place alone
    private let places: UnsafeMutableBufferPointer<Result<Value, Failure>?>

    init(_ count: Int) {
        places = .allocate(capacity: count)
        places.initialize(repeating: nil)
    }

    deinit {
        places.deinitialize()
        places.deallocate()
    }

    func set(_ rank: Int, _ result: Result<Value, Failure>) { places[rank] = result }

    /// All of them, once every rank is done.
    var all: [Result<Value, Failure>] { places.compactMap(\.self) }
}

private final class RankWorker: Sendable {
    let rank: Int
    let shared: SharedJob
    let calls: DriverCall

    init(_ rank: Int, _ shared: SharedJob, _ calls: DriverCall) {
        (self.rank, self.shared, self.calls) = (rank, shared, calls)
    }
}

private func rankThread(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let argument else { return nil }
    let worker = Unmanaged<RankWorker>.fromOpaque(argument).takeRetainedValue()
    worker.calls.follow()
    var seen = 0
    while let job = worker.shared.next(after: &seen) {
        job(worker.rank)
        worker.shared.finish()
    }
    DriverCall.unfollow()
    return nil
}

/// The job that all ranks are at.
private final class SharedJob: @unchecked Sendable {  // all mutable fields behind `mutex`
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var job: (@Sendable (Int) -> Void)?
    /// Jobs begun.
    private var number = 0
    /// Threads that are not done with the job.
    private var pending = 0
    private var isEnded = false

    init() {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(changed, nil)
    }

    deinit {
        pthread_cond_destroy(changed)
        pthread_mutex_destroy(mutex)
        changed.deallocate()
        mutex.deallocate()
    }

    private func locked<Result>(_ body: () -> Result) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }

    func begin(_ threads: Int, _ job: @escaping @Sendable (Int) -> Void) {
        locked {
            self.job = job
            number += 1
            pending = threads
            pthread_cond_broadcast(changed)
        }
    }

    /// The next job; nil when there will be none.
    func next(after seen: inout Int) -> (@Sendable (Int) -> Void)? {
        locked {
            while number == seen && !isEnded { pthread_cond_wait(changed, mutex) }
            seen = number
            return isEnded ? nil : job
        }
    }

    func finish() {
        locked {
            pending -= 1
            if pending == 0 { pthread_cond_broadcast(changed) }
        }
    }

    func wait() {
        locked {
            while pending > 0 { pthread_cond_wait(changed, mutex) }
            job = nil
        }
    }

    func end(_ threads: [pthread_t]) {
        locked {
            isEnded = true
            pthread_cond_broadcast(changed)
        }
        for thread in threads { pthread_join(thread, nil) }
    }
}
