internal import Glibc
internal import Synchronization

/// One thread that waits for sockets, timers and other threads, and serves them in turns.
///
/// A turn is: wait; sockets that are ready; timers that are due; jobs and the wake handler; then every channel that
/// was written to is flushed, once; then closings are told. Nothing in a turn suspends, so what a handler saw stays true
/// until it returns. Except `post`, `wake`, `start` and `stop`, everything belongs to the loop's thread.
package final class EventLoop: @unchecked Sendable {
    // Immutable.
    package let system: any System
    package let name: String
    /// What it waits with.
    package let poller: Int32
    private let wakeup: Int32

    // Any thread.
    private let inbox = Mutex(Inbox())
    private let isSignalled = Atomic(false)
    private let threadID = Atomic<UInt>(0)
    private let thread = Mutex<Thread?>(nil)

    // Loop thread only.
    /// Monotonic nanoseconds, read once per turn, after the wait.
    package private(set) var now: UInt64
    private var registrations: [Registration?] = []
    private var generation: UInt32 = 0
    private var events: [PollEvent] = []
    private var timers = TimerQueue()
    private var wakeHandler: (() -> Void)?
    private var dirty: [Channel] = []
    private var unfinished: [Channel] = []
    /// Channels being served from one of the two lists above; empty in between, kept for its memory.
    private var current: [Channel] = []
    private var closed: [(Channel, TransportError?)] = []
    private var handshakesLeft = 0
    private var spareBuffers: [[UInt8]] = []
    private var spareBytes = 0
    let receiveBuffer: UnsafeMutableRawBufferPointer

    private struct Inbox {
        var jobs: [@Sendable () -> Void] = []
        var isStopping = false
    }

    private struct Registration {
        var generation: UInt32
        var target: any Pollable
    }

    /// Creates a loop that does not run yet.
    ///
    /// - Parameter name: of its thread.
    /// - Throws: `system`, when descriptors ran out.
    package init(name: String, system: any System = LinuxSystem()) throws(TransportError) {
        self.system = system
        self.name = name
        poller = system.openPoller()
        guard poller >= 0 else { throw TransportError("creating the poller of \(name)", errno: -poller) }
        wakeup = system.openWakeup()
        guard wakeup >= 0 else {
            system.close(poller)
            throw TransportError("creating the wake-up of \(name)", errno: -wakeup)
        }
        now = system.monotonicNanoseconds()
        receiveBuffer = .allocate(byteCount: Self.receiveBufferBytes, alignment: 64)
        let word = Self.word(0, wakeup)
        let status = system.watch(wakeup, for: [.input, .once], word: word, isNew: true, poller: poller)
        // The descriptors are closed by `deinit`.
        guard status >= 0 else { throw TransportError("watching the wake-up of \(name)", errno: -status) }
    }

    deinit {
        system.close(wakeup)
        system.close(poller)
        receiveBuffer.deallocate()
    }

    /// One read of a socket, shared by all channels of the loop: several full TLS records.
    private static let receiveBufferBytes = 64 * 1024
    /// Handshake steps per turn. Each may sign with the private key, about a millisecond: a storm of new connections
    /// must not hold up the tokens of old ones.
    private static let handshakesPerTurn = 4
    /// Bytes of output buffers kept for reuse; a channel holds one only while it has something to write. Enough for a token
    /// on each of ten thousand connections.
    private static let mostSpareBytes = 4 * 1024 * 1024
    /// Larger buffers go back to the allocator.
    private static let largestSpareBuffer = 256 * 1024
}

// Any thread.
extension EventLoop {
    /// Starts the loop's thread. Once.
    ///
    /// - Throws: `system` when the machine has no thread left.
    package func start() throws(TransportError) {
        let thread = try Thread(name: name) { self.run() }
        self.thread.withLock {
            precondition($0 == nil, "a loop starts once")
            $0 = thread
        }
    }

    /// Closes all channels of the loop and waits until its thread has ended. Not from that thread. A loop that was never
    /// started does by the caller what its thread would have done.
    package func stop() {
        inbox.withLock { $0.isStopping = true }
        wake()
        let thread = self.thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        if let thread { return thread.join() }
        if threadID.load(ordering: .relaxed) == 0 { finish() }
    }

    /// Runs `job` on the loop in its next turn. For rare things: it costs an allocation and a lock.
    package func post(_ job: @escaping @Sendable () -> Void) {
        inbox.withLock { $0.jobs.append(job) }
        wake()
    }

    /// Runs the wake handler in the loop's next turn. Any number of calls before that turn cost one system call.
    package func wake() {
        guard !isSignalled.exchange(true, ordering: .acquiringAndReleasing) else { return }
        system.signal(wakeup)
    }

    /// Whether the caller is on the loop's thread.
    package var isCurrent: Bool {
        threadID.load(ordering: .relaxed) == UInt(pthread_self())
    }
}

// Loop thread only.
extension EventLoop {
    /// Sets what runs once in every turn that `wake` caused.
    package func onWake(_ handler: @escaping () -> Void) { wakeHandler = handler }

    /// Runs `action` once `delay` has passed, measured from this turn's `now`.
    @discardableResult
    package func schedule(after delay: Duration, _ action: @escaping () -> Void) -> Timer {
        let (deadline, overflow) = now.addingReportingOverflow(delay.nanoseconds)
        return timers.add(at: overflow ? .max : deadline, action)
    }

    /// One turn, for tests and simulations that drive the loop by hand.
    ///
    /// - Parameter canWait: false to serve only what is ready.
    package func turn(canWait: Bool = true) {
        events.removeAll(keepingCapacity: true)
        let timeout = canWait ? self.timeout() : 0
        _ = uninterrupted { system.wait(poller, timeout: timeout, into: &events) }
        now = system.monotonicNanoseconds()
        handshakesLeft = Self.handshakesPerTurn
        let wasWoken = dispatchEvents()
        resumeUnfinished()
        while let timer = timers.popDue(at: now) { timer.fire() }
        if wasWoken { runInbox() }
        flushDirty()
        tellClosed()
    }

    private func run() {
        threadID.store(UInt(pthread_self()), ordering: .relaxed)
        while !inbox.withLock({ $0.isStopping }) { turn() }
        finish()
    }

    private func finish() {
        runInbox()
        // The last words of who was told to close.
        flushDirty()
        closeAll()
    }

    private func dispatchEvents() -> Bool {
        var wasWoken = false
        for event in events {
            let descriptor = Int32(truncatingIfNeeded: event.word & 0xFFFF_FFFF)
            if descriptor == wakeup {
                wasWoken = true
                continue
            }
            // An earlier event of this turn may have closed the descriptor, and another socket may have its number.
            guard let registration = registrations[Int(descriptor)],
                registration.generation == UInt32(event.word >> 32)
            else { continue }
            registration.target.ready(event.readiness)
        }
        return wasWoken
    }

    private func runInbox() {
        system.clear(wakeup)
        // Cleared before the work is taken: what is added from here on signals again.
        isSignalled.store(false, ordering: .sequentiallyConsistent)
        let jobs = inbox.withLock { inbox in
            defer { inbox.jobs = [] }
            return inbox.jobs
        }
        for job in jobs { job() }
        wakeHandler?()
    }

    private func timeout() -> Int32 {
        if !dirty.isEmpty || !unfinished.isEmpty || !closed.isEmpty { return 0 }
        guard let deadline = timers.nextDeadline() else { return -1 }
        let time = system.monotonicNanoseconds()
        guard deadline > time else { return 0 }
        // Rounded up: waking before the deadline would only poll again.
        return Int32(clamping: (deadline - time + 999_999) / 1_000_000)
    }

    private func closeAll() {
        let error = TransportError(.stopped, "serving on \(name)", "the loop was stopped")
        for registration in registrations { registration?.target.loopStopped(error) }
        while !closed.isEmpty { tellClosed() }
        // Channels know their loop: what is kept here would keep both for ever.
        registrations.removeAll()
        timers.removeAll()
        dirty.removeAll()
        unfinished.removeAll()
        wakeHandler = nil
    }
}

// What channels and listeners ask of their loop.
extension EventLoop {
    /// Starts to watch a descriptor. What the result names is given back to `change` and `unregister`.
    func register(
        _ descriptor: Int32, _ target: any Pollable, for interest: Readiness
    ) throws(TransportError) -> UInt32 {
        generation &+= 1
        let word = Self.word(generation, descriptor)
        let status = system.watch(descriptor, for: interest, word: word, isNew: true, poller: poller)
        guard status >= 0 else { throw TransportError("watching a socket on \(name)", errno: -status) }
        let index = Int(descriptor)
        if index >= registrations.count {
            registrations.append(contentsOf: repeatElement(nil, count: index + 1 - registrations.count))
        }
        registrations[index] = Registration(generation: generation, target: target)
        return generation
    }

    /// Watches a registered descriptor for something else. When it fails, what was watched before still is.
    func change(
        _ descriptor: Int32, generation: UInt32, to interest: Readiness
    ) throws(TransportError) {
        let word = Self.word(generation, descriptor)
        let status = system.watch(descriptor, for: interest, word: word, isNew: false, poller: poller)
        guard status >= 0 else { throw TransportError("watching a socket on \(name) otherwise", errno: -status) }
    }

    func unregister(_ descriptor: Int32) {
        registrations[Int(descriptor)] = nil
        _ = system.watch(descriptor, for: nil, word: 0, isNew: false, poller: poller)
    }

    /// The channel is flushed at the end of this turn.
    func flushLater(_ channel: Channel) { dirty.append(channel) }

    /// The channel has work that no descriptor will report: it continues in the next turn.
    func continueLater(_ channel: Channel) { unfinished.append(channel) }

    /// The channel's handler hears of the closing at the end of this turn.
    func tellLater(_ channel: Channel, closedBy error: TransportError?) { closed.append((channel, error)) }

    /// False when this turn has signed enough.
    func takeHandshake() -> Bool {
        guard handshakesLeft > 0 else { return false }
        handshakesLeft -= 1
        return true
    }

    /// An empty buffer, with memory of former use when there is one.
    func takeBuffer() -> [UInt8] {
        guard let buffer = spareBuffers.popLast() else { return [] }
        spareBytes -= buffer.capacity
        return buffer
    }

    /// Keeps the memory of `buffer`, whose only owner the caller was, for `takeBuffer`.
    func give(_ buffer: consuming [UInt8]) {
        let capacity = buffer.capacity
        guard capacity > 0, capacity <= Self.largestSpareBuffer, spareBytes + capacity <= Self.mostSpareBytes else {
            return
        }
        buffer.removeAll(keepingCapacity: true)
        spareBytes += capacity
        spareBuffers.append(buffer)
    }

    private func resumeUnfinished() {
        guard !unfinished.isEmpty else { return }
        swap(&unfinished, &current)
        for channel in current { channel.continueUnfinished() }
        current.removeAll(keepingCapacity: true)
    }

    private func flushDirty() {
        guard !dirty.isEmpty else { return }
        // What flushing makes handlers write is flushed in the next turn, so that no pair of them can hold this one.
        swap(&dirty, &current)
        for channel in current { channel.flush() }
        current.removeAll(keepingCapacity: true)
    }

    private func tellClosed() {
        guard !closed.isEmpty else { return }
        let channels = closed
        closed = []
        for (channel, error) in channels { channel.tellClosed(error) }
    }

    private static func word(_ generation: UInt32, _ descriptor: Int32) -> UInt64 {
        UInt64(generation) << 32 | UInt64(UInt32(bitPattern: descriptor))
    }
}

/// What a loop watches descriptors for.
protocol Pollable: AnyObject {
    /// The descriptor is ready.
    func ready(_ readiness: Readiness)
    /// The loop ends: close the descriptor.
    func loopStopped(_ error: TransportError)
}
