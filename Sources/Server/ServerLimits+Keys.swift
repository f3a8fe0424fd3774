// The limits by name, as who operates a server sets them.
extension ServerLimits {
    /// One limit that can be set.
    public struct Key: Sendable {
        /// Its name on the command line.
        public let name: String
        /// What its number counts.
        public let unit: String
        /// The values it takes, for people.
        public let range: String
        let read: @Sendable (ServerLimits) -> String
        /// False for a text that is no value.
        let write: @Sendable (inout ServerLimits, String) -> Bool

        /// Its value in `limits`.
        public func value(in limits: ServerLimits) -> String { read(limits) }

        static func number<T: FixedWidthInteger & Sendable>(
            _ name: String, _ unit: String, _ path: any WritableKeyPath<ServerLimits, T> & Sendable,
            in range: ClosedRange<T>
        ) -> Key {
            Key(name: name, unit: unit, range: "\(range.lowerBound) to \(range.upperBound)") {
                String($0[keyPath: path])
            } write: { limits, text in
                guard let value = T(text), range.contains(value) else { return false }
                limits[keyPath: path] = value
                return true
            }
        }

        static func milliseconds(
            _ name: String, _ path: any WritableKeyPath<ServerLimits, UInt64> & Sendable, from least: UInt64 = 1
        ) -> Key {
            // A year, so that sums of times cannot overflow.
            number(name, "ms", path, in: least...31_536_000_000)
        }

        static func rate(_ name: String, _ path: any WritableKeyPath<ServerLimits, Rate> & Sendable) -> Key {
            Key(name: name, unit: "a second / at once", range: "two numbers above 0, at most 4294967295") {
                "\($0[keyPath: path].perSecond)/\($0[keyPath: path].burst)"
            } write: { limits, text in
                let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { Double($0) ?? -1 }
                guard parts.count == 2, parts.allSatisfy({ $0 > 0 && $0 <= Double(UInt32.max) }) else { return false }
                limits[keyPath: path] = Rate(perSecond: parts[0], burst: parts[1])
                return true
            }
        }
    }

    /// Every limit, in the order of their declarations.
    public static let keys: [Key] = [
        .number("connections", "connections", \.connections, in: 1...1_000_000),
        .number("strangers", "connections", \.strangers, in: 1...1_000_000),
        .number("connections-per-source", "connections", \.connectionsPerSource, in: 1...1_000_000),
        .number("strangers-per-source", "connections", \.strangersPerSource, in: 1...1_000_000),
        .number("connections-per-tenant", "connections", \.connectionsPerTenant, in: 1...1_000_000),
        .rate("failure-rate", \.failureRate),
        .number("streams-per-connection", "streams", \.streamsPerConnection, in: 1...1_000_000),
        .milliseconds("hello-deadline", \.helloDeadline),
        .milliseconds("frame-deadline", \.frameDeadline),
        .milliseconds("idle-timeout", \.idleTimeout),
        .milliseconds("ping-interval", \.pingInterval),
        .milliseconds("dead-peer-timeout", \.deadPeerTimeout),
        .milliseconds("request-timeout", \.requestTimeout),
        .number("prompt-bytes", "bytes", \.promptBytes, in: 1...1_048_576),
        .number("default-max-tokens", "tokens", \.defaultMaxTokens, in: 1...16_777_216),
        .number("ahead-tokens", "tokens", \.aheadTokens, in: 1...1_048_576),
        .number("outbound-soft-bytes", "bytes", \.outboundSoftBytes, in: 4_096...1_073_741_824),
        .number("outbound-hard-bytes", "bytes", \.outboundHardBytes, in: 65_536...1_073_741_824),
        .rate("open-rate", \.openRate),
        .rate("cancel-rate", \.cancelRate),
        .rate("control-rate", \.controlRate),
        .rate("glitch-rate", \.glitchRate),
        .milliseconds("resume-grace", \.resumeGrace, from: 0),
        .number("replay-tokens", "tokens", \.replayTokens, in: 256...1_048_576),
        .number("ended-bytes", "bytes", \.endedBytes, in: 0...1_099_511_627_776),
        .milliseconds("stall-timeout", \.stallTimeout),
        .milliseconds("connection-age", \.connectionAge),
        .number("connection-requests", "requests", \.connectionRequests, in: 1...1_000_000_000),
        .milliseconds("goaway-delay", \.goAwayDelay, from: 0),
        .milliseconds("drain-timeout", \.drainTimeout, from: 0),
    ]

    /// Sets one limit from `KEY=VALUE`.
    ///
    /// - Throws: what is wrong with it, and which values the key takes.
    public mutating func set(_ assignment: String) throws(ServerError) {
        let parts = assignment.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 else {
            throw ServerError("a limit is set by KEY=VALUE, not by '\(assignment)'; 'lmserve limits' lists the keys")
        }
        guard let key = Self.keys.first(where: { $0.name == parts[0] }) else {
            throw ServerError("there is no limit '\(parts[0])'; 'lmserve limits' lists those there are")
        }
        guard key.write(&self, String(parts[1])) else {
            throw ServerError("limit '\(key.name)' takes \(key.range) (\(key.unit)), not '\(parts[1])'")
        }
    }
}
