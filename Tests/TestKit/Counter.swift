import Synchronization

/// Counts from 0, from any thread.
package final class Counter: Sendable {
    private let count = Atomic(0)

    package init() {}

    /// The number of earlier calls.
    package func next() -> Int { count.wrappingAdd(1, ordering: .relaxed).oldValue }
}
