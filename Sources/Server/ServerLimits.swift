internal import LMProtocol

/// Every maximum of the server that is not the protocol's or the engine's, with its reason.
public struct ServerLimits: Sendable {
    /// Connections per server that have said HELLO: at 64 KiB each for buffers and TLS they stay under 1 GiB.
    public var connections = 10_000
    /// Connections that have not yet said HELLO: at `helloDeadline` each, 200 new ones a second come and go.
    public var strangers = 1_024
    /// Connections per IPv4 address or IPv6 /64 network of another machine: a gateway needs a few, an office behind one
    /// address some hundreds.
    public var connectionsPerSource = 256
    /// Those of them that have not yet said HELLO: one address cannot take all places of strangers.
    public var strangersPerSource = 32
    /// Connections per tenant: one tenant cannot take all places. Each carries a hundred streams.
    public var connectionsPerTenant = 512
    /// Failed authentications per second and address, and burst: ten a minute forgive a restarting service with an old
    /// key; who fails more often waits a second for each answer.
    public var failureRate = Rate(perSecond: 10.0 / 60, burst: 10)
    /// Streams that a connection may have open at once: enough for a gateway's tenant, and one connection cannot fill the
    /// engine's queue.
    public var streamsPerConnection: UInt32 = 128
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
    /// Unsent bytes of a connection at which its tokens wait in larger frames and its sequences get no further credit: the
    /// reader is slow.
    public var outboundSoftBytes = 65_536
    /// Unsent bytes of a connection at which it is closed; reached only by replies that are never read.
    public var outboundHardBytes = 8 * 1_048_576
    /// GENERATE and CALL per second and burst, each counted as one and another one for every KiB: tokenizing is done on
    /// the loop that serves all connections. The burst is above the longest frame.
    public var openRate = Rate(perSecond: 1_000, burst: 2_048)
    /// Cancels per second and burst, those before the first token counted four times: a prefill costs a thousand times what
    /// a CANCEL costs its sender.
    public var cancelRate = Rate(perSecond: 16, burst: 512)
    /// PING, PONG and CREDIT per second and burst; each open stream adds one CREDIT per token in the worst
    /// case, so the rate is scaled by the streams a connection may have.
    public var controlRate = Rate(perSecond: 12_800, burst: 25_600)
    /// Frames without effect, and requests refused unread, per second and burst: good clients send a few when frames cross
    /// on the wire.
    public var glitchRate = Rate(perSecond: 330, burst: 10_000)
    /// Milliseconds for which a resumable generation is kept when its connection is lost, and its end when it has ended: a
    /// client that moves to another network is back by then. 0 for no resumption.
    public var resumeGrace: UInt64 = 30_000
    /// Tokens of a resumable generation that are kept for its client, and so the most it may be computed ahead of what the
    /// client reported as consumed. At least 256, as the protocol promises.
    public var replayTokens: UInt32 = 1_024
    /// Bytes that all ended generations together keep on one loop; the oldest go first.
    public var endedBytes = 67_108_864
    /// Milliseconds for which a stream may wait for its reader: its sequence holds memory that others could use.
    public var stallTimeout: UInt64 = 30_000
    /// Milliseconds after which a connection is asked to go, give or take a tenth: clients find new servers, and
    /// certificates are checked again.
    public var connectionAge: UInt64 = 24 * 3_600_000
    /// Requests after which a connection is asked to go.
    public var connectionRequests = 10_000
    /// Milliseconds from the first GOAWAY to the final one: a round trip to anywhere.
    public var goAwayDelay: UInt64 = 1_000
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

extension ServerLimits {
    /// `connectionAge`, give or take a tenth, so that connections made together do not go together.
    func connectionAge(spread: UInt64) -> UInt64 {
        connectionAge - connectionAge / 10 + spread % max(1, connectionAge / 5)
    }
}

extension ServerLimits.Rate {
    /// What HELLO says of it.
    var budget: HelloMessage.Budget {
        HelloMessage.Budget(perSecond: UInt32(perSecond), burst: UInt32(burst))
    }
}
