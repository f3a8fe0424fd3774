internal import Synchronization

/// Keeps all repetitions of a client below a share of its requests.
final class RetryBudget: Sendable {
    private let share: Double
    private let level = Mutex(RetryBudget.capacity)

    /// Repetitions that are free: what a client that has just started may need.
    private static let capacity = 10.0

    init(share: Double) { self.share = share }

    /// A request is made.
    func deposit() {
        level.withLock { $0 = min(Self.capacity, $0 + share) }
    }

    /// Whether a repetition may be made; then it is paid for.
    func withdraw() -> Bool {
        level.withLock { level in
            guard level >= 1 else { return false }
            level -= 1
            return true
        }
    }
}
