internal import Synchronization

/// What the ranks of a model know of each other.
final class AscendPeers: Sendable {
    private let first = Atomic(-1)
    private let isTold = Atomic(false)

    /// The rank that failed first; nil while all are well.
    var failed: Int? {
        let rank = first.load(ordering: .acquiring)
        return rank < 0 ? nil : rank
    }

    /// A rank has failed, and with it what the others wait for.
    func fail(_ rank: Int) {
        _ = first.compareExchange(expected: -1, desired: rank, ordering: .acquiringAndReleasing)
    }

    /// Whether this is the first that is to be told; the ranks tell much the same.
    func mayTell() -> Bool { !isTold.exchange(true, ordering: .relaxed) }
}
