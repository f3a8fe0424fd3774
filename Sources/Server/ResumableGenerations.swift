internal import LMProtocol

/// The generations of a loop that outlive their connection, by the two names a client may have for them: the resume token
/// that ACCEPT gave, and the idempotency key that the client chose.
struct ResumableGenerations {
    /// Keys are the client's choice, so that two tenants may choose the same.
    private struct Key: Hashable {
        var tenant: UInt64
        var key: Opaque128
    }

    private var byToken: [Opaque128: Generation] = [:]
    private var byKey: [Key: Generation] = [:]
    /// Tokens of those that have ended, the oldest first; some may be gone already.
    private var ended: [Opaque128] = []
    /// Memory that the ended ones keep.
    private var endedBytes = 0

    /// The generation of a resume token, if it is this tenant's.
    func generation(of token: Opaque128, tenant: UInt64) -> Generation? {
        byToken[token].flatMap { $0.tenant == tenant ? $0 : nil }
    }

    /// The generation of a tenant's idempotency key.
    func generation(ofKey key: Opaque128, tenant: UInt64) -> Generation? {
        byKey[Key(tenant: tenant, key: key)]
    }

    /// All of them, in no order.
    var all: [Generation] { Array(byToken.values) }

    mutating func insert(_ generation: Generation) {
        guard let names = generation.resumption else { return }
        byToken[names.token] = generation
        if let key = names.key { byKey[Key(tenant: generation.tenant, key: key)] = generation }
    }

    mutating func remove(_ generation: Generation) {
        guard let names = generation.resumption, byToken.removeValue(forKey: names.token) != nil else { return }
        if let key = names.key { byKey[Key(tenant: generation.tenant, key: key)] = nil }
        if generation.hasEnded { endedBytes -= generation.byteCount }
    }

    /// Takes note of an end.
    ///
    /// - Parameter limit: bytes that all ended ones may keep.
    /// - Returns: those to be forgotten for that, the oldest first.
    mutating func noteEnd(of generation: Generation, limit: Int) -> [Generation] {
        guard let names = generation.resumption else { return [] }
        ended.append(names.token)
        endedBytes += generation.byteCount
        var excess: [Generation] = []
        var freed = 0
        while endedBytes - freed > limit, let oldest = ended.first {
            ended.removeFirst()
            guard let generation = byToken[oldest] else { continue }
            excess.append(generation)
            freed += generation.byteCount
        }
        return excess
    }
}
