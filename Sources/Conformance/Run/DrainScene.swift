internal import Glibc

/// Connections that were made before the server was told to drain, one for each case about it: a server drains once.
final class DrainScene {
    private let lab: Lab
    /// No stream is open on it.
    let idle: Peer
    /// A stream waits for credit on each, with 4 tokens to come.
    let waiting, cancelling, abandoned: (peer: Peer, stream: UInt32)
    /// To be used after the final GOAWAY; a stream keeps it open.
    let tooLate: (peer: Peer, stream: UInt32)

    /// Milliseconds to wait for what a case expects.
    var timeout: Int { lab.target.timeout }

    /// The scene of this run; the first call makes the server drain.
    static func of(_ lab: Lab) throws -> DrainScene {
        if let scene = lab.shared.drain { return scene }
        guard let command = lab.target.drainCommand else {
            throw Stop.skipped("needs --drain-command, which makes the server drain")
        }
        let scene = try DrainScene(Lab(lab.target, lab.shared))
        guard system(command) == 0 else { throw Stop.failed("the drain command failed: \(command)") }
        lab.shared.drain = scene
        return scene
    }

    private init(_ lab: Lab) throws {
        self.lab = lab
        func withStream() throws -> (Peer, UInt32) {
            let peer = try lab.greet()
            return (peer, try peer.openAccepted(Generate(limit: 0)))
        }
        idle = try lab.greet()
        waiting = try withStream()
        cancelling = try withStream()
        abandoned = try withStream()
        tooLate = try withStream()
    }

    /// Waits for the GOAWAY that refuses streams.
    func finalGoAway(_ peer: Peer) throws -> GoAway {
        try peer.wait(for: "the final GOAWAY") { $0.goAways.contains { !$0.isWarning } }
        guard let message = peer.monitor.goAways.last else { throw Stop.failed("no GOAWAY") }
        return message
    }
}
