internal import Glibc

/// Work that runs on device memory.
struct Kernel {
    let name: String
    var cost = Cost()
    /// Checks and finds the memory concerned, with the lock held; what it returns computes, without it.
    let bind: (World) throws(Failure) -> () throws(Failure) -> Void
}

/// One entry of a stream.
struct Task {
    enum Work {
        case kernel(Kernel)
        case record(Event)
        /// Waits until the event was reached so many times, or is set.
        case wait(Event, Int)
        case reset(Event)
        case host(@Sendable () -> Void)
        case replay(Graph)
        case update(TaskGroup, [Kernel])
        case collective(Collective)
    }
    let work: Work
    /// Simulated time of the host at the call.
    let clock: Double
}

/// A queue of tasks and the thread that runs them in order.
///
/// Protected by the world's lock; kernels run without it, on memory that they found while they held it.
final class Stream: @unchecked Sendable {
    let device: Device
    weak var context: Context?
    private var queue: [Task] = []
    private var head = 0
    private(set) var enqueued = 0
    private(set) var completed = 0
    private(set) var isEnded = false
    var failure: Failure?
    var capture: Capture?
    var group: TaskGroup?
    var update: (group: TaskGroup, kernels: [Kernel])?
    /// Simulated time at which it has done what it did.
    var clock = 0.0
    /// The thread that `aclrtSubscribeReport` named, 0 for none.
    var reportThread: UInt64 = 0

    init(_ device: Device) {
        self.device = device
        device.streams.append(self)
        startThread { [self] in run() }
    }

    var isIdle: Bool { completed == enqueued }

    /// Ends the thread; what is queued is dropped.
    func end() {
        isEnded = true
        world.lock.wakeAll()
    }

    // MARK: Putting work in

    func enqueue(_ work: Task.Work, at clock: Double) throws(Failure) {
        if var update {
            guard case .kernel(let kernel) = work, kernel.name.hasPrefix("aclnn") else {
                throw Failure(507009, "only operators can be in a task group")
            }
            update.kernels.append(kernel)
            self.update = update
        } else if let capture {
            try capture.add(work, on: self)
        } else {
            if enqueued - completed > 100_000 { throw Failure(507002, "the stream is full") }
            queue.append(Task(work: work, clock: clock))
            enqueued += 1
            world.lock.wakeAll()
        }
    }

    // MARK: Running

    private func run() {
        world.lock.lock()
        defer { world.lock.unlock() }
        while true {
            while head == queue.count && !isEnded { world.lock.wait() }
            if isEnded { break }
            let task = queue[head]
            head += 1
            if head == queue.count {
                queue.removeAll(keepingCapacity: true)
                head = 0
            }
            pause()
            do {
                try perform(task)
            } catch {
                fail(error)
            }
            completed += 1
            world.lock.wakeAll()
        }
        completed = enqueued
        world.lock.wakeAll()
    }

    private func pause() {
        let delay = device.delay(limit: world.settings.delay)
        guard delay > 0 else { return }
        world.lock.unlock()
        usleep(delay)
        world.lock.lock()
    }

    private func fail(_ error: Failure) {
        // A device that was reset in the meantime has nothing to do with it.
        guard !isEnded else { return }
        if failure == nil { failure = error }
        if Device.stays(error.code) { device.fail(error) }
        report("stream failed: \(error.code) \(error.message)")
    }

    private func perform(_ task: Task) throws(Failure) {
        clock = max(clock, task.clock)
        try perform(task.work, gap: Cost.start)
    }

    private func perform(_ work: Task.Work, gap: Double) throws(Failure) {
        switch work {
        case .kernel(let kernel): try run(kernel, gap: gap)
        case .record(let event):
            event.reached += 1
            event.isSet = true
            event.clock = clock
            world.lock.wakeAll()
        case .wait(let event, let count):
            try wait(120_000, "event that is never recorded") {
                event.isRerecorded ? event.reached >= count : event.isSet
            }
            clock = max(clock, event.clock)
        case .reset(let event): event.isSet = false
        case .host(let function):
            world.lock.unlock()
            function()
            world.lock.lock()
        case .replay(let graph):
            defer { graph.running -= 1 }
            for node in graph.nodes {
                if isEnded { return }
                // Looked at only now: an update may have replaced it after the replay began.
                try perform(node.work, gap: Cost.step)
            }
        case .update(let group, let kernels):
            for (node, kernel) in zip(group.nodes, kernels) { node.work = .kernel(kernel) }
        case .collective(let collective): try collective.perform(on: self)
        }
    }

    /// Waits as part of a task; the time-out keeps a wrong program from waiting for ever.
    func wait(_ milliseconds: Int, _ what: String, until isDone: () -> Bool) throws(Failure) {
        let done = world.lock.wait(milliseconds: milliseconds) { isDone() || isEnded || device.failure != nil }
        if !done { throw Failure(107019, "a stream waited \(milliseconds) ms for an \(what)") }
    }

    private func run(_ kernel: Kernel, gap: Double) throws(Failure) {
        if device.failure != nil || failure != nil { return }
        device.tasks += 1
        let isLost = world.faults.firstIndex { fault in
            if case .lost(let tasks) = fault.kind { device.tasks > tasks } else { false }
        }
        if let isLost {
            // Once: a device that was reset works again.
            world.faults.remove(at: isLost)
            throw Failure(507010, "the device is lost")
        }
        world.rot(device)
        if let milliseconds = world.stall(of: kernel.name) {
            _ = world.lock.wait(milliseconds: milliseconds) { isEnded }
            if isEnded { return }
        }
        let compute = try kernel.bind(world)
        let (time, bound) = kernel.cost.time(on: world.settings.profile)
        let begin = clock
        clock += gap + time
        if world.trace.isOn {
            world.trace.write("task", "\(kernel.name) at \(Int(begin)) us, \(tenths(time)) us, bound by \(bound)")
        }
        world.memory.beginComputing()
        world.lock.unlock()
        defer {
            world.lock.lock()
            world.memory.endComputing()
        }
        try compute()
    }
}

/// A number with one digit behind the point.
func tenths(_ value: Double) -> String {
    let scaled = Int((value * 10).rounded())
    return "\(scaled / 10).\(scaled % 10)"
}
