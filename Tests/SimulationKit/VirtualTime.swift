package import LMTransport

/// The one clock of a simulated world, and what is to happen at which moment. Everything in a world belongs to the one
/// thread that runs it.
package final class VirtualTime: @unchecked Sendable {  // one thread, see above
    /// Nanoseconds.
    package private(set) var now: UInt64
    private var agenda = TimerQueue()

    package init(start: UInt64) { now = start }

    /// Runs `action` when that moment has come.
    @discardableResult
    package func schedule(at moment: UInt64, _ action: @escaping () -> Void) -> Timer {
        agenda.add(at: moment, action)
    }

    /// Runs `action` after so many nanoseconds.
    @discardableResult
    package func schedule(after delay: UInt64, _ action: @escaping () -> Void) -> Timer {
        schedule(at: now + delay, action)
    }

    /// The next moment at which something is to happen.
    package func nextMoment() -> UInt64? { agenda.nextDeadline() }

    /// Moves on and does what is due by then.
    package func advance(to moment: UInt64) {
        now = max(now, moment)
        while let timer = agenda.popDue(at: now) { timer.fire() }
    }

    /// Waits on the world's own clock.
    package func sleep(_ nanoseconds: UInt64) async {
        await withUnsafeContinuation { continuation in
            schedule(after: nanoseconds) { continuation.resume() }
        }
    }

    /// Forgets what was to happen.
    package func removeAll() { agenda.removeAll() }
}

package let microsecond: UInt64 = 1_000
package let millisecond: UInt64 = 1_000_000
package let second: UInt64 = 1_000_000_000
