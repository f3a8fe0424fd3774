package import LMProtocol
package import LMTransport
internal import Synchronization

/// Who may still connect: counts connections by where they come from and whose they are. Any thread.
///
/// A connection is a stranger until its HELLO was accepted. Strangers have few places and are turned away without a
/// word, since a word costs a TLS handshake. Whoever has said HELLO is told why there is no room.
package final class Admission: Sendable {
    private struct State: Sendable {
        var total = 0
        var strangers = 0
        var sources: [Source: Count] = [:]
        var tenants: [UInt64: Int] = [:]
        var failures: [Source: TokenBucket] = [:]
        var turnedAway = 0
    }

    private struct Count: Sendable {
        var total = 0
        var strangers = 0
    }

    private let limits: ServerLimits
    private let state = Mutex(State())

    /// Addresses whose failures are remembered; beyond it those that have behaved are forgotten, then all.
    private static let rememberedSources = 4_096

    /// Nobody is there yet.
    package init(_ limits: ServerLimits) { self.limits = limits }

    /// Connections now, strangers included.
    package var total: Int { state.withLock { $0.total } }

    /// A socket was accepted. False when it is to be closed; then it is not counted.
    package func enter(from source: Source) -> Bool {
        state.withLock { state in
            let count = state.sources[source, default: Count()]
            let isCrowded =
                !source.isThisMachine
                && (count.total >= limits.connectionsPerSource || count.strangers >= limits.strangersPerSource)
            guard state.strangers < limits.strangers, !isCrowded else {
                state.turnedAway += 1
                return false
            }
            state.total += 1
            state.strangers += 1
            state.sources[source] = Count(total: count.total + 1, strangers: count.strangers + 1)
            return true
        }
    }

    /// A stranger has proved who it is. Nil when there is room; then it is a stranger no more.
    package func admit(_ tenant: UInt64, from source: Source) -> ErrorMessage? {
        state.withLock { state in
            guard state.total - state.strangers < limits.connections else {
                state.turnedAway += 1
                return ErrorMessage(
                    .overloaded, "the server has \(limits.connections) connections and takes no more", retryAfter: 1_000
                )
            }
            // Tenant 0 is everybody on a server without keys.
            if tenant != 0 {
                let count = state.tenants[tenant, default: 0]
                guard count < limits.connectionsPerTenant else {
                    state.turnedAway += 1
                    return ErrorMessage(
                        .rateLimited,
                        "this tenant has \(count) connections, the limit; put more streams on each of them",
                        retryAfter: 1_000)
                }
                state.tenants[tenant] = count + 1
            }
            state.strangers -= 1
            state.sources[source]?.strangers -= 1
            return nil
        }
    }

    /// A connection was closed.
    ///
    /// - Parameter tenant: nil when it was a stranger to the end.
    package func leave(_ tenant: UInt64?, from source: Source) {
        state.withLock { state in
            state.total -= 1
            if var count = state.sources[source] {
                count.total -= 1
                if tenant == nil { count.strangers -= 1 }
                state.sources[source] = count.total == 0 ? nil : count
            }
            guard let tenant else { return state.strangers -= 1 }
            if let count = state.tenants[tenant] { state.tenants[tenant] = count > 1 ? count - 1 : nil }
        }
    }

    /// A stranger proved nothing. True when its address has failed so often that the answer is to be delayed.
    package func isGuessing(_ source: Source, now: UInt64) -> Bool {
        state.withLock { state in
            if state.failures.count >= Self.rememberedSources, state.failures[source] == nil {
                state.failures = state.failures.filter { !$0.value.isFull(now: now) }
                if state.failures.count >= Self.rememberedSources { state.failures.removeAll() }
            }
            return !state.failures[source, default: TokenBucket(limits.failureRate, now: now)].take(1, now: now)
        }
    }

    var statistics: [(String, Int)] {
        state.withLock { state in
            [
                ("connections", state.total), ("connections_unauthenticated", state.strangers),
                ("connections_turned_away_total", state.turnedAway),
            ]
        }
    }
}

/// Where a connection comes from, as far as limits tell peers apart: an IPv4 address, or an IPv6 network of 64 bits,
/// which is what one customer gets.
package struct Source: Sendable, Hashable {
    /// Its programs share one address, and a proxy on it speaks for many peers: limits by address mean nothing.
    package let isThisMachine: Bool
    private let network: UInt64
    private let isIPv4: Bool

    /// Where the peer with this address comes from.
    package init(_ address: SocketAddress) {
        isThisMachine = address.isLoopback
        switch address {
        case .ipv4(let host, _): (network, isIPv4) = (UInt64(host), true)
        case .ipv6(0, let low, _, _) where low >> 32 == 0xFFFF: (network, isIPv4) = (low & 0xFFFF_FFFF, true)
        case .ipv6(let high, _, _, _): (network, isIPv4) = (high, false)
        case .unix: (network, isIPv4) = (0, false)
        }
    }
}
