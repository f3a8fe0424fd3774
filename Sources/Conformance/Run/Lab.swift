internal import Glibc

/// What a case works with: connections to the server, and what is known about it.
final class Lab {
    let target: Target
    let shared: Shared
    /// How the server ended the connection that the case watched.
    var closing: Line.Closing?
    /// Kept until the case is over, so that no connection ends while another is looked at.
    private var peers: [Peer] = []

    init(_ target: Target, _ shared: Shared) {
        self.target = target
        self.shared = shared
    }

    /// When the time for what is expected now is up.
    func deadline() -> ContinuousClock.Instant { .now + .milliseconds(target.timeout) }

    /// A connection on which nothing was sent; `change` makes it another target.
    func connect(_ change: (inout Target) -> Void = { _ in }) throws -> Peer {
        var other = target
        change(&other)
        let peer = try Peer(self, other)
        peers.append(peer)
        return peer
    }

    /// A connection after the handshake.
    func greet(_ hello: Hello? = nil) throws -> Peer {
        let peer = try connect()
        try peer.greet(hello)
        return peer
    }

    /// Looks at what comes after what the case waited for: a second end of a stream would be there.
    func settle() throws {
        for peer in peers where peer.isAlive { try peer.fence() }
    }

    /// What the server's model is, asked once.
    func model() throws -> Model {
        if let model = shared.model { return model }
        let peer = try greet()
        let model = try Model(peer)
        shared.model = model
        return model
    }

    /// Milliseconds for which the server keeps streams; skips the case when it keeps none.
    func resumeGrace(_ peer: Peer) throws -> UInt32 {
        guard let grace = peer.monitor.hello?.resumeGrace, grace > 0 else {
            throw Stop.skipped("the server announces no resume grace")
        }
        return grace
    }
}

/// What the cases of one run share.
final class Shared {
    var model: Model?
    var drain: DrainScene?
}

/// What cases need to know about the model.
struct Model {
    let name: String
    let contextLength: UInt32
    let vocabularySize: UInt32
    /// Whether it has a chat template.
    let hasTemplate: Bool

    init(_ peer: Peer) throws {
        let reply = try peer.reply(try peer.call(Method.models))
        guard let first = reply.all(0x4005).first else { throw Stop.failed("the server names no model") }
        var cursor = Cursor(first, of: "REPLY's model")
        let fields = try Fields(&cursor, of: "REPLY's model")
        name = try fields.text(1, limit: 256) ?? ""
        contextLength = try fields.integer(5) ?? 0
        vocabularySize = try fields.integer(6) ?? 0
        let chat = try peer.call(Method.tokenize, field(Generate.Key.message, message("user", "Hi")))
        hasTemplate = if case .reply = try peer.end(chat) { true } else { false }
    }
}

/// Sleeps; for what can only be found out by waiting.
func pause(microseconds: UInt32) { usleep(microseconds) }
