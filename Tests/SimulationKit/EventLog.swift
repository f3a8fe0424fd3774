/// What happened in a world: a hash over everything, and the last lines for whoever has to understand a failure.
package final class EventLog: @unchecked Sendable {  // one thread: that of the world
    private struct Line {
        var time: UInt64
        var what: StaticString
        var values: (UInt64, UInt64, UInt64)
    }

    private let time: VirtualTime
    private var lines: [Line] = []
    private var next = 0
    /// Equal for equal histories.
    package private(set) var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    /// Events so far.
    package private(set) var count = 0

    private static let kept = 4_000

    package init(time: VirtualTime) { self.time = time }

    /// Notes an event.
    package func note(_ what: StaticString, _ first: UInt64 = 0, _ second: UInt64 = 0, _ third: UInt64 = 0) {
        count += 1
        what.withUTF8Buffer { for byte in $0 { mix(UInt64(byte)) } }
        for value in [time.now, first, second, third] { mix(value) }
        let line = Line(time: time.now, what: what, values: (first, second, third))
        if lines.count < Self.kept {
            lines.append(line)
        } else {
            lines[next] = line
            next = (next + 1) % Self.kept
        }
    }

    /// Mixes bytes into the hash alone.
    package func mix(_ bytes: some Sequence<UInt8>) {
        for byte in bytes { mix(UInt64(byte)) }
    }

    private func mix(_ value: UInt64) {
        hash = (hash ^ value) &* 0x0000_0100_0000_01B3
        hash ^= hash >> 29
    }

    /// The last events, oldest first.
    package var tail: [String] {
        (lines[next...] + lines[..<next]).map {
            "\($0.time / 1_000) us  \($0.what) \($0.values.0) \($0.values.1) \($0.values.2)"
        }
    }
}
