/// One thing to do later, on the loop that made it. Belongs to that loop's thread.
package final class Timer {
    fileprivate let deadline: UInt64
    fileprivate let order: UInt64
    fileprivate var action: (() -> Void)?

    fileprivate init(deadline: UInt64, order: UInt64, action: @escaping () -> Void) {
        self.deadline = deadline
        self.order = order
        self.action = action
    }

    /// Whether it neither ran nor was cancelled.
    package var isPending: Bool { action != nil }

    /// Forgets the action; harmless after it ran.
    package func cancel() { action = nil }

    /// Runs the action, once.
    package func fire() {
        let action = self.action
        self.action = nil
        action?()
    }

    fileprivate func precedes(_ other: Timer) -> Bool {
        (deadline, order) < (other.deadline, other.order)
    }
}

/// Timers by deadline, equal deadlines in the order they were made: a binary heap.
package struct TimerQueue {
    private var heap: [Timer] = []
    private var nextOrder: UInt64 = 0
    private var purgeAt = TimerQueue.smallestPurge

    /// Cancelled timers stay in the heap until their deadline or until it has doubled since the last purge: so a
    /// cancel costs nothing and memory stays within twice what is needed.
    private static let smallestPurge = 64

    /// An empty queue.
    package init() {}

    /// Adds what is to be done at `deadline`, in nanoseconds of any clock.
    package mutating func add(at deadline: UInt64, _ action: @escaping () -> Void) -> Timer {
        if heap.count >= purgeAt { purge() }
        let timer = Timer(deadline: deadline, order: nextOrder, action: action)
        nextOrder += 1
        heap.append(timer)
        siftUp(heap.count - 1)
        return timer
    }

    /// When the next timer is due; nil when there is none.
    package mutating func nextDeadline() -> UInt64? {
        while let first = heap.first, !first.isPending { _ = removeFirst() }
        return heap.first?.deadline
    }

    /// Takes one timer that is due.
    package mutating func popDue(at now: UInt64) -> Timer? {
        guard let deadline = nextDeadline(), deadline <= now else { return nil }
        return removeFirst()
    }

    /// Forgets everything.
    package mutating func removeAll() { heap.removeAll() }

    private mutating func purge() {
        let pending = heap.filter(\.isPending)
        heap.removeAll(keepingCapacity: true)
        for timer in pending {
            heap.append(timer)
            siftUp(heap.count - 1)
        }
        purgeAt = max(Self.smallestPurge, 2 * heap.count)
    }

    private mutating func removeFirst() -> Timer {
        heap.swapAt(0, heap.count - 1)
        let first = heap.removeLast()
        siftDown(0)
        return first
    }

    private mutating func siftUp(_ start: Int) {
        var child = start
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child].precedes(heap[parent]) else { return }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    private mutating func siftDown(_ start: Int) {
        var parent = start
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
                if heap[child].precedes(heap[least]) { least = child }
            }
            guard least != parent else { return }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}

extension Duration {
    /// Whole nanoseconds, 0 for negative durations.
    package var nanoseconds: UInt64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        let (product, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? .max : product + min(UInt64(attoseconds / 1_000_000_000), .max - product)
    }
}
