import LMClient
import LMEngine
import LMServer
import TestKit

/// The shape of a world, drawn from its seed: sizes, limits and what is asked of it.
struct Scenario {
    var clients: Int
    /// Users of a client ask at the same time.
    var usersPerClient: Int
    var requestsPerUser: Int
    var ioLoops: Int
    var options = EngineOptions()
    var contextLength: Int
    var server = ServerConfiguration()
    var client = ClientConfiguration(endpoint: "127.0.0.1:7433")
    /// Virtual nanoseconds of a step, at most.
    var stepTime: UInt64
    /// When the server is asked to stop; nil for never.
    var drainAt: UInt64?
    /// When network and machine behave from then on.
    var healAt: UInt64

    init(seed: UInt64, faults: FaultSwarm) {
        var random = TestRandom(seed: seed)
        func pick<Value>(_ values: [Value]) -> Value { values[random.below(values.count)] }

        clients = random.below(8) + 1
        usersPerClient = random.below(4) + 1
        requestsPerUser = random.below(4) + 1
        // A server of several loops resumes nothing.
        ioLoops = faults.kind == .cuts ? 1 : random.below(2) + 1
        server.ioThreads = ioLoops

        let blockSize = pick([1, 4, 16])
        let blocks = random.below(57) + 8
        options.blockSize = blockSize
        options.keyValueCacheBytes = blocks * blockSize * FakeBackend.bytesPerToken
        options.maxNumSeqs = random.below(8) + 1
        options.maxNumBatchedTokens = options.maxNumSeqs + random.below(64)
        options.prefixCaching = random.below(2) == 0
        if faults.shapes(.fewRequests) { options.maxNumRequests = random.below(6) + 1 }
        contextLength = 512

        server.listen = ["127.0.0.1:7433"]
        server.limits.aheadTokens = pick([1, 2, 8, 64, 256])
        server.limits.outboundSoftBytes = pick([64, 512, 4_096, 65_536])
        server.limits.drainTimeout = pick([500, 2_000, 10_000])
        server.limits.resumeGrace = faults.kind == .cuts ? 30_000 : ioLoops > 1 ? 0 : pick([0, 2_000, 30_000])
        server.limits.goAwayDelay = pick([1, 10, 1_000])
        if random.below(4) == 0 { server.limits.connectionRequests = random.below(8) + 1 }
        if faults.shapes(.impatience) {
            server.limits.connectionAge = pick([3_000, 20_000])
            server.limits.stallTimeout = pick([3_000, 10_000])
            server.limits.idleTimeout = pick([2_000, 10_000])
            server.limits.pingInterval = pick([1_000, 3_000])
            server.limits.deadPeerTimeout = 3 * server.limits.pingInterval
        }

        client.window = pick([1, 2, 16, 256])
        // The client reports what it consumed at half a window, which must come before the server keeps no more.
        server.limits.replayTokens = client.window <= 16 ? pick([16, 64, 1_024]) : 1_024
        client.connections = random.below(4) + 1
        client.connectTimeout = .seconds(random.below(10) + 3)
        client.resumesStreams = faults.kind == .cuts || random.below(3) > 0
        client.retry.limit = random.below(4)
        if faults.kind == .cuts {
            client.retry.limit = 20
            client.retry.budget = 10
        }

        stepTime = pick([100 * microsecond, millisecond, 10 * millisecond])
        if faults.shapes(.drain) { drainAt = UInt64(random.below(20_000)) * millisecond }
        healAt = UInt64(random.below(60) + 1) * second
    }

    /// Whether the server asks clients to connect anew after a few requests.
    var connectionsAreShort: Bool { server.limits.connectionRequests < 10 }

    /// Tokens of prompt and output together that the engine takes.
    var longestSequence: Int {
        min(contextLength, (options.keyValueCacheBytes ?? 0) / FakeBackend.bytesPerToken)
    }
}
