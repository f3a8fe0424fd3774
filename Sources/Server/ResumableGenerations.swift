internal import LMProtocol

/// The generations of a loop that outlive their connection, by the two names a client may have for them: the resume token
/// that ACCEPT gave, and the idempotency key that the client chose.
struct ResumableGenerations {
    /// Keys are the client's choice, so that two tenants may choose the same.
    private struct Key: Hashable {
        var tenant: UInt64
        var key: Opaque128
    }

    private struct Entry {
        let generation: Generation
        /// Memory it kept when it ended; 0 while it runs.
        var endedBytes = 0
    }

    private var byToken: [Opaque128: Entry] = [:]
    private var byKey: [Key: Generation] = [:]
    /// Tokens of those that have ended, the oldest first. Some may be gone already; the first is there.
    private var ended: ArraySlice<Opaque128> = []
    /// Sum of all `endedBytes`.
    private(set) var endedBytes = 0

    /// The generation of a resume token, if it is this tenant's.
    func generation(of token: Opaque128, tenant: UInt64) -> Generation? {
        byToken[token].flatMap { $0.generation.tenant == tenant ? $0.generation : nil }
    }

    /// The generation of a tenant's idempotency key.
    func generation(ofKey key: Opaque128, tenant: UInt64) -> Generation? {
        byKey[Key(tenant: tenant, key: key)]
    }

    /// All of them, in no order.
    var all: [Generation] { byToken.values.map(\.generation) }

    mutating func insert(_ generation: Generation) {
        guard let names = generation.resumption else { return }
        byToken[names.token] = Entry(generation: generation)
        if let key = names.key { byKey[Key(tenant: generation.tenant, key: key)] = generation }
    }

    mutating func remove(_ generation: Generation) {
        guard let names = generation.resumption, let entry = byToken.removeValue(forKey: names.token) else { return }
        if let key = names.key { byKey[Key(tenant: generation.tenant, key: key)] = nil }
        endedBytes -= entry.endedBytes
        while let oldest = ended.first, byToken[oldest] == nil { ended.removeFirst() }
    }

    /// Takes note of an end.
    ///
    /// - Parameter limit: bytes that all ended ones may keep.
    /// - Returns: those to be removed for that, the oldest first.
    mutating func noteEnd(of generation: Generation, limit: Int) -> [Generation] {
        guard let names = generation.resumption, byToken[names.token] != nil else { return [] }
        let bytes = generation.byteCount
        byToken[names.token]?.endedBytes = bytes
        endedBytes += bytes
        ended.append(names.token)
        var excess: [Generation] = []
        var left = endedBytes
        for token in ended where left > limit {
            guard let entry = byToken[token] else { continue }
            excess.append(entry.generation)
            left -= entry.endedBytes
        }
        return excess
    }
}
