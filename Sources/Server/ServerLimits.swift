/// Every maximum of the server that is not the protocol's or the engine's, with its reason.
public struct ServerLimits: Sendable {
    /// Connections per server: at 64 KiB each for buffers and TLS they stay under 1 GiB.
    public var connections = 10_000
    /// Milliseconds from accept to a complete HELLO: a round trip to anywhere and back fits ten times.
    public var helloDeadline: UInt64 = 5_000
    /// Milliseconds from a frame's first byte to its last: a megabyte over a slow line, not a trickle that keeps its
    /// memory.
    public var frameDeadline: UInt64 = 30_000
    /// Milliseconds without any frame after which a connection without streams is asked to go.
    public var idleTimeout: UInt64 = 10 * 60_000
    /// Milliseconds of silence after which the server sends PING on a connection with streams.
    public var pingInterval: UInt64 = 15_000
    /// Milliseconds of silence after which a peer that owes a PONG is given up.
    public var deadPeerTimeout: UInt64 = 45_000
    /// Milliseconds a request may take when it does not say so itself, and the most it may ask for.
    public var requestTimeout: UInt64 = 600_000
    /// Bytes of a text or messages prompt, checked before it is tokenized.
    public var promptBytes = 1_048_576
    /// Tokens generated when the request does not say how many.
    public var defaultMaxTokens = 1_024
    /// Tokens that the engine may produce beyond those an I/O loop has taken, whatever the client's credit: bounds what
    /// a mailbox holds for a stream.
    public var aheadTokens: UInt32 = 256
    /// Unsent bytes of a connection at which its sequences get no further credit: the reader is slow.
    public var outboundSoftBytes = 262_144
    /// Unsent bytes of a connection at which it is closed; reached only by replies that are never read.
    public var outboundHardBytes = 8 * 1_048_576
    /// GENERATE and CALL per second and burst, each counted as one and another one for every KiB: tokenizing is done on
    /// the loop that serves all connections. The burst is above the longest frame.
    public var openRate = Rate(perSecond: 1_000, burst: 2_048)
    /// Cancels per second and burst: a prefill costs a thousand times what a CANCEL costs its sender.
    public var cancelRate = Rate(perSecond: 16, burst: 512)
    /// PING, CREDIT and ignorable frames per second and burst; each open stream adds one CREDIT per token in the worst
    /// case, so the rate is scaled by the streams a connection may have.
    public var controlRate = Rate(perSecond: 12_800, burst: 25_600)
    /// Milliseconds that running streams get when the server is asked to stop.
    public var drainTimeout: UInt64 = 30_000

    /// The defaults.
    public init() {}

    /// A token bucket's size.
    public struct Rate: Sendable {
        /// Steady rate.
        public var perSecond: Double
        /// Most that can come at once.
        public var burst: Double

        /// Creates a rate; both positive.
        public init(perSecond: Double, burst: Double) {
            self.perSecond = perSecond
            self.burst = burst
        }
    }
}
