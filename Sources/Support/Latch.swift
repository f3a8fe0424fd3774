import Glibc

/// Lets threads wait until another one says that something has happened.
package final class Latch: @unchecked Sendable {  // the semaphore is made to be shared; the pointer is immutable
    private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    /// Creates a latch on which `wait` blocks.
    package init() { sem_init(semaphore, 0, 0) }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    /// Says that it has happened.
    package func open() { sem_post(semaphore) }

    /// Returns once `open` was called; at once if it was called before.
    package func wait() {
        while sem_wait(semaphore) != 0 {}
        sem_post(semaphore)
    }
}
