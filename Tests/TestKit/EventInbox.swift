import Glibc
package import LMEngine
import Synchronization

/// A mailbox with a thread that can wait for it.
package final class EventInbox: Sendable {
    /// Where the engine leaves events.
    package let mailbox: EventMailbox
    private let arrivals: Arrivals

    package init() {
        let arrivals = Arrivals()
        self.arrivals = arrivals
        mailbox = EventMailbox { arrivals.signal() }
    }

    /// Waits for events and swaps them into `batch`.
    ///
    /// - Returns: false after `seconds` without any.
    package func wait(into batch: inout EventBatch, seconds: Int = 30) -> Bool {
        while true {
            mailbox.drain(into: &batch)
            if !batch.events.isEmpty { return true }
            if !arrivals.wait(seconds: seconds) { return false }
        }
    }
}

/// A counting semaphore of the C library.
package final class Arrivals: @unchecked Sendable {  // a semaphore may be used from any thread
    private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    package init() { sem_init(semaphore, 0, 0) }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    /// Lets one `wait` go on.
    package func signal() { sem_post(semaphore) }

    /// Returns false when nobody signals for so long.
    package func wait(seconds: Int = 30) -> Bool {
        var deadline = timespec()
        clock_gettime(CLOCK_REALTIME, &deadline)
        deadline.tv_sec += seconds
        while sem_timedwait(semaphore, &deadline) != 0 {
            if errno != EINTR { return false }
        }
        return true
    }
}
