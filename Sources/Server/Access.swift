internal import Glibc
internal import LMProtocol
internal import LMTransport
internal import Synchronization

/// Who may use the server, and with which certificate it proves itself: what a reload replaces while connections live
/// on. Any thread.
final class Access: Sendable {
    private struct State: Sendable {
        var keys: APIKeys?
        var tls: TLSContext?
    }

    private let state: Mutex<State>
    private let files: ServerConfiguration.TLSFiles?
    private let reloads = Atomic(0)
    private let failedReloads = Atomic(0)
    private let refusals = Atomic(0)

    /// Reads the certificate files.
    init(_ configuration: ServerConfiguration) throws(TransportError) {
        files = configuration.tls
        state = Mutex(State(keys: configuration.keys, tls: try files?.context()))
    }

    /// For the connections accepted from now on; a connection keeps what it began with.
    var tls: TLSContext? { state.withLock { $0.tls } }

    /// Seconds since 1970.
    static var now: Int64 { Int64(time(nil)) }

    /// Who the client is; nil when it proved nothing that this server asks for.
    ///
    /// A key speaks first: behind one connection of a gateway there may be several tenants. Without one, the kernel
    /// vouches for a user of this machine, and TLS for the subject of a certificate.
    func identity(credential: String?, user: UInt32?, certificateName: String?) -> Identity? {
        let keys = state.withLock { $0.keys }
        let bearer = keys?.identity(of: credential, now: Self.now)
        if keys != nil, bearer != nil || credential != nil { return counted(bearer) }
        if let user {
            let isOwner = user == geteuid() || user == 0
            if isOwner || keys == nil { return Identity(user: user, isOwner: isOwner) }
        }
        if let certificateName { return Identity(certificate: certificateName) }
        return counted(keys == nil && files?.clientAuthority == nil ? .anybody : nil)
    }

    private func counted(_ identity: Identity?) -> Identity? {
        if identity == nil { refusals.add(1, ordering: .relaxed) }
        return identity
    }

    /// What an identity is worth now: nil when its key was revoked or is over.
    func renewed(_ identity: Identity) -> Identity? {
        guard identity.keyDigest != nil else { return identity }
        guard let fresh = state.withLock({ $0.keys?.renewed(identity) }), Self.now < fresh.end else { return nil }
        return fresh
    }

    /// Reads keys and certificates again: all of them take effect, or nothing changes.
    func reload() throws(ServerError) {
        do throws(ServerError) {
            let keys = try state.withLock { $0.keys?.path }.map { (path) throws(ServerError) in try APIKeys(file: path)
            }
            let tls: TLSContext?
            do throws(TransportError) { tls = try files?.context() } catch { throw ServerError(error.description) }
            state.withLock { $0 = State(keys: keys, tls: tls) }
            reloads.add(1, ordering: .relaxed)
        } catch {
            failedReloads.add(1, ordering: .relaxed)
            throw error
        }
    }

    var statistics: [(String, Int)] {
        var values = [
            ("authentication_failures_total", refusals.load(ordering: .relaxed)),
            ("reloads_total", reloads.load(ordering: .relaxed)),
            ("reload_failures_total", failedReloads.load(ordering: .relaxed)),
        ]
        if let days = tls?.certificateDaysLeft { values.append(("tls_certificate_days_left", days)) }
        return values
    }
}

extension ServerConfiguration.TLSFiles {
    fileprivate func context() throws(TransportError) -> TLSContext {
        try TLSContext.server(
            .init(certificateFile: certificate, keyFile: privateKey), clientAuthorityFile: clientAuthority,
            requiresTLS13: minimumVersion == .v1_3, applicationProtocol: Connection.alpn)
    }
}
