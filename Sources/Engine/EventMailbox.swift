import Synchronization

/// Where the engine leaves events for one receiver (an I/O loop, or a program that embeds the engine).
///
/// The engine appends once per step and wakes the receiver if the box was empty; the receiver swaps the whole batch
/// out. Two lock holds per step, whatever the number of streams.
public final class EventMailbox: Sendable {
    private let pending = Mutex(EventBatch())
    private let wake: @Sendable () -> Void

    /// - Parameter wake: called on one of the engine's threads, without the lock, when the box stops being empty.
    public init(wake: @escaping @Sendable () -> Void) {
        self.wake = wake
    }

    /// Swaps all pending events into `batch`, whose previous contents are dropped and whose memory is reused.
    public func drain(into batch: inout EventBatch) {
        batch.removeAll()
        pending.withLock { swap(&$0, &batch) }
    }

    /// Appends one step's events.
    package func append(_ step: borrowing EventBatch) {
        guard !step.events.isEmpty else { return }
        let wasEmpty = pending.withLock { box in
            let wasEmpty = box.events.isEmpty
            box.append(step)
            return wasEmpty
        }
        if wasEmpty { wake() }
    }
}
