import TestKit

/// What can go wrong in a world.
package enum Fault: String, CaseIterable, Sendable {
    /// Bytes take milliseconds instead of microseconds.
    case delay
    /// Reads and writes move a few bytes at a time.
    case split
    /// Bytes arrive in lumps.
    case merge
    /// A direction stands still for seconds.
    case stall
    /// A connection is reset at some byte.
    case reset
    /// One direction ends in good order at some byte, the rest is reset later.
    case halfClose
    /// A connection loses everything without a word.
    case blackhole
    /// Socket buffers hold a few hundred bytes.
    case smallBuffers
    /// Connections are refused.
    case refuse
    /// Connection attempts go unanswered for a while, or for ever.
    case lostConnect
    /// Calls are interrupted or would block without need, the poller reports half of what is ready.
    case interrupt
    /// Accepting fails.
    case accept
    /// A program stands still for seconds, as if stopped, while its machine goes on.
    case freeze
    /// The back end fails a step.
    case step
    /// The back end yields rows that are not finite.
    case nonFinite
    /// Steps take up to fifty times as long.
    case slowSteps
    /// Tasks are cancelled at some moment.
    case cancelTask
    /// Loops over a stream are left early, or the stream is asked to end.
    case leave
    /// Readers sleep between tokens.
    case slowReader
    /// Requests carry short deadlines.
    case deadline
    /// The engine takes a few requests at a time.
    case fewRequests
    /// Silent connections are ended after seconds.
    case impatience
    /// A client is shut down in mid-stream and replaced.
    case shutdown
    /// The server is asked to stop.
    case drain
}

/// Which faults a world has, drawn from its seed: mostly a random half, so that rare combinations meet, and every fault is
/// also absent often enough not to mask another.
package final class FaultSwarm: @unchecked Sendable {  // one thread: that of the world
    /// How much a world is entitled to go wrong.
    package enum Kind: Sendable {
        /// No faults: what fails here is no fault's fault.
        case calm
        /// Faults that the two ends must hide from everybody.
        case harmless
        /// Those, and connections that are killed at some byte: every answer must arrive whole nevertheless.
        case cuts
        /// A random half of all faults.
        case swarm
    }

    package let kind: Kind
    private let enabled: Set<Fault>
    private var random: TestRandom
    /// Whether network, machine and back end still misbehave.
    package private(set) var isChaos = true
    /// How often each fault struck.
    package private(set) var strikes: [Fault: Int] = [:]

    /// - Parameter kind: nil to draw it too.
    package init(seed: UInt64, kind: Kind? = nil) {
        random = TestRandom(seed: seed)
        let harmless: [Fault] = [.delay, .split, .merge, .smallBuffers, .interrupt, .slowSteps, .slowReader]
        let kinds: [Kind] = [.calm, .harmless, .cuts, .cuts, .swarm, .swarm, .swarm, .swarm]
        let drawn = kinds[random.below(kinds.count)]
        self.kind = kind ?? drawn
        let candidates: [Fault] =
            switch self.kind {
            case .calm: []
            case .harmless: harmless + [.cancelTask, .leave, .deadline, .drain]
            case .cuts: harmless
            case .swarm: Fault.allCases
            }
        var enabled: Set<Fault> = []
        for fault in candidates where random.below(2) == 0 { enabled.insert(fault) }
        if self.kind == .cuts {
            enabled.insert(.reset)
            if random.below(2) == 0 { enabled.insert(.halfClose) }
        }
        self.enabled = enabled
    }

    /// Whether this world has the fault at all.
    package func has(_ fault: Fault) -> Bool { enabled.contains(fault) }

    /// Whether the fault strikes here: one time in `odds`, while there is chaos.
    package func strikes(_ fault: Fault, oneIn odds: Int) -> Bool {
        guard isChaos, enabled.contains(fault), random.below(odds) == 0 else { return false }
        strikes[fault, default: 0] += 1
        return true
    }

    /// Whether this world has the fault, which then shapes all of it.
    package func shapes(_ fault: Fault) -> Bool {
        if has(fault) { strikes[fault, default: 0] += 1 }
        return has(fault)
    }

    /// A random number in `range`.
    package func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }

    /// A random duration below `bound`, in nanoseconds.
    package func duration(below bound: UInt64) -> UInt64 { UInt64.random(in: 0..<bound, using: &random) }

    /// Puts the events into a random order.
    package func shuffle<Element>(_ elements: inout [Element]) { elements.shuffle(using: &random) }

    /// Ends all misbehaviour.
    package func heal() { isChaos = false }

    /// For people: the faults that are on.
    package var description: String {
        "\(kind): " + enabled.map(\.rawValue).sorted().joined(separator: " ")
    }
}
