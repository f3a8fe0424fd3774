internal import LMProtocol
internal import LMTransport

// Who the client is, and what that allows.
extension ServerConnection {
    /// Whose work this connection brings; 0 is everybody's. Tenants never share cached prefixes: how fast an answer comes
    /// would tell one what another asked.
    var tenant: UInt64 { identity?.tenant ?? 0 }

    /// Lets the client in, or ends the connection.
    func greet(_ hello: HelloMessage) throws(WireError) {
        let shared = loop.shared
        let found = shared.access.identity(
            credential: hello.credential?.secret, user: channel?.peerUser,
            certificateName: channel?.peerCertificateName)
        guard let found else { return turnAway() }
        if let refusal = shared.admission.admit(found.tenant, from: source) { return fail(refusal) }
        identity = found
        try send { (wire, bytes) throws(WireError) in try wire.sendHello(into: &bytes) }
        if loop.isDraining { leave(.draining, grace: loop.limits.drainTimeout) }
    }

    /// Says that the key is wrong; to an address that keeps guessing, after a while.
    private func turnAway() {
        let message = ErrorMessage(
            .unauthenticated, "the server asks for a key that it knows; give one with --key-file or LMCALL_KEY")
        guard loop.shared.admission.isGuessing(source, now: loop.now) else { return fail(message) }
        channel?.pauseReading()
        loop.eventLoop.schedule(after: Self.guessingDelay) { [weak self] in self?.fail(message) }
    }

    private static let guessingDelay = Duration.seconds(1)

    /// Ends the connection when its key is not accepted any more.
    func renewIdentity() {
        guard let identity else { return }
        guard let renewed = loop.shared.access.renewed(identity) else {
            // Nobody may come back for them.
            for generation in generations.values { generation.abandon() }
            return fail(ErrorMessage(.unauthenticated, "the key was revoked or is over; use a new one"))
        }
        self.identity = renewed
    }

    /// Why the client may not ask this; nil when it may.
    func refusal(of call: CallMessage) -> ErrorMessage? {
        switch call {
        case .statistics where identity?.role != .admin:
            ErrorMessage(.forbidden, "statistics are for the role admin, this key or certificate has infer")
        case .health, .models, .tokenize, .detokenize, .statistics, .embed: nil
        }
    }
}
