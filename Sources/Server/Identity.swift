internal import LMTransport

/// What a client may ask for.
public enum Role: String, Sendable, CaseIterable {
    /// Generate, tokenize, and ask about health and models.
    case infer
    /// Also see the server's statistics.
    case admin
}

/// Who is at the other end of a connection, and what it may do.
struct Identity: Sendable {
    /// Whose work this is; 0 for anybody. The same in every run of every server, so that a reload moves nobody.
    let tenant: UInt64
    let role: Role
    /// Digest of the key that proved it; nil when the connection itself did.
    var keyDigest: [UInt8]?
    /// Seconds since 1970 at which the proof ends.
    var end: Int64 = .max

    /// On a server that asks for no proof. Such a server cannot be reached from other machines.
    static let anybody = Identity(tenant: 0, role: .admin)

    private init(tenant: UInt64, role: Role) {
        self.tenant = tenant
        self.role = role
    }

    /// The bearer of a key.
    init(key name: Substring, role: Role, digest: [UInt8], end: Int64) {
        self.init(tenant: Self.tenant("key", name), role: role)
        keyDigest = digest
        self.end = end
    }

    /// The subject of a certificate.
    init(certificate name: String) {
        self.init(tenant: Self.tenant("certificate", name), role: .infer)
    }

    /// A user of this machine. Whoever may stop the server may also see its statistics.
    init(user: UInt32, isOwner: Bool) {
        self.init(tenant: Self.tenant("user", String(user)), role: isOwner ? .admin : .infer)
    }

    /// A name proves something only about its own kind: a certificate for `alice` is not the key of `alice`.
    private static func tenant(_ kind: String, _ name: some StringProtocol) -> UInt64 {
        let digest = Digest.sha256(Array("\(kind):\(name)".utf8))
        return max(1, digest.prefix(8).reduce(0) { $0 << 8 | UInt64($1) })
    }
}
