extension CaseList {
    /// Section 6.6, the method `embed`; skipped by a server that does not offer it.
    mutating func addEmbeddings() {
        must("embed with each pooling", "finite vectors of one length, and the number of tokens") { lab in
            let peer = try lab.greet()
            let prompt = ids([1, 2, 3])
            var lengths: Set<Int> = []
            for pooling in [[], field(Embed.pooling, u8(1)), field(Embed.pooling, u8(2))] {
                let reply = try peer.embed(field(3, prompt) + pooling)
                lengths.insert(try reply.vector().count)
                guard try reply.integer(16, UInt32.self) == 3 else { throw Stop.failed("not 3 prompt tokens") }
            }
            guard lengths.count == 1 else { throw Stop.failed("vectors of \(lengths.sorted()) numbers") }
        }
        must("embed without pooling", "the last token's vector") { lab in
            let peer = try lab.greet()
            let prompt = field(3, ids([1, 2, 3]))
            let absent = try peer.embed(prompt).vector()
            guard try peer.embed(prompt + field(Embed.pooling, u8(1))).vector() == absent else {
                throw Stop.failed("another vector")
            }
        }
        must("embed of one token", "the same vector with each pooling") { lab in
            let peer = try lab.greet()
            let vectors = try (1...2).map {
                try peer.embed(field(3, ids([1])) + field(Embed.pooling, u8(UInt8($0)))).vector()
            }
            let distance = zip(vectors[0], vectors[1]).reduce(0) { max($0, abs($1.0 - $1.1)) }
            guard distance <= 1e-4 * (vectors[0].map(abs).max() ?? 0) else { throw Stop.failed("\(distance) apart") }
        }
        must("embed with normalize", "a vector of length 1 in the same direction") { lab in
            let peer = try lab.greet()
            let prompt = field(3, ids([1, 2, 3])) + field(Embed.pooling, u8(2))
            let plain = try peer.embed(prompt + field(Embed.normalize, u8(0))).vector()
            let scaled = try peer.embed(prompt + field(Embed.normalize, u8(1))).vector()
            let length = plain.reduce(0) { $0 + $1 * $1 }.squareRoot()
            let isScaled = zip(plain, scaled).allSatisfy { abs($0 - $1 * length) <= 1e-4 * length }
            guard isScaled, abs(scaled.reduce(0) { $0 + $1 * $1 } - 1) < 1e-4 else {
                throw Stop.failed("another vector")
            }
        }
        must("embed of a text", "the vector of the ids that tokenize gives for it") { lab in
            let peer = try lab.greet()
            let vector = try peer.embed(field(2, text("Hi"))).vector()
            let tokens = try peer.reply(try peer.call(Method.tokenize, field(2, text("Hi")))).bytes(3) ?? []
            guard try peer.embed(field(3, tokens)).vector() == vector else { throw Stop.failed("another vector") }
        }
        must("CANCEL in the same write as embed", "one end: REPLY or ERROR CANCELLED") { lab in
            let peer = try lab.greet()
            _ = try peer.embed(field(3, ids([1])))
            let stream = try peer.nextStream()
            peer.send(.call(stream, Method.embed, field(3, ids([1, 2, 3]))), .cancel(stream))
            if case .error = try peer.end(stream) { try peer.fails(stream, Code.cancelled) }
            try peer.fence()
        }
        must("32 calls of embed in one write", "32 times the same vector") { lab in
            let peer = try lab.greet()
            let prompt = field(3, ids([1, 2, 3]))
            let vector = try peer.embed(prompt).vector()
            let first = try peer.nextStream()
            let streams = Array(first...min(first + 31, peer.monitor.grant))
            peer.send(streams.map { .call($0, Method.embed, prompt) })
            for stream in streams where try peer.reply(stream).vector() != vector {
                throw Stop.failed("another vector")
            }
        }
        addRefusedEmbeddings()
    }

    private mutating func addRefusedEmbeddings() {
        let prompt = field(3, ids([1]))
        let wrong: [(String, UInt16, @Sendable (Lab) throws -> [UInt8])] = [
            ("without a prompt", Code.invalid, { _ in field(Embed.pooling, u8(1)) }),
            ("of no token", Code.invalid, { _ in field(3, []) }),
            ("of two prompts", Code.invalid, { _ in field(2, text("a")) + prompt }),
            ("with pooling 0", Code.invalid, { _ in prompt + field(Embed.pooling, u8(0)) }),
            ("with pooling 3", Code.invalid, { _ in prompt + field(Embed.pooling, u8(3)) }),
            ("with normalize 2", Code.invalid, { _ in prompt + field(Embed.normalize, u8(2)) }),
            ("with a timeout beyond the server's", Code.invalid, { _ in prompt + field(Embed.timeout, u32(.max)) }),
            ("of a negative id", Code.invalid, { _ in field(3, ids([-1])) }),
            ("for a model that is not there", Code.notFound, { _ in field(1, text("x")) + prompt }),
            (
                "of more tokens than the context has", Code.tooLarge,
                { lab in
                    let context = try lab.model().contextLength
                    guard context <= 65_536 else { throw Stop.skipped("the context has \(context) tokens") }
                    return field(3, ids([Int32](repeating: 1, count: Int(context) + 1)))
                }
            ),
        ]
        for (title, code, fields) in wrong {
            must("embed \(title)", "ERROR \(Code.name(code)) on the stream") { lab in
                let peer = try lab.greet()
                _ = try peer.embed(prompt)
                try peer.fails(try peer.call(Method.embed, try fields(lab)), code)
                try peer.fence()
            }
        }
        must("embed with a pooling of 2 bytes", "ERROR PROTOCOL on stream 0, close") { lab in
            let peer = try lab.greet()
            _ = try peer.embed(prompt)
            _ = try peer.call(Method.embed, prompt + field(Embed.pooling, u16(1)))
            try peer.violation()
        }
    }
}

/// Keys of the call `embed`, and of its answer.
private enum Embed {
    static let pooling: UInt16 = 16
    static let normalize: UInt16 = 17
    static let timeout: UInt16 = 18
    static let vector: UInt16 = 7
}

extension Peer {
    /// Asks for an embedding; skips the case when the server knows no such method.
    fileprivate func embed(_ fields: [UInt8]) throws -> Fields {
        let stream = try call(Method.embed, fields)
        if case .error(let failure) = try end(stream), failure.code == Code.notFound {
            throw Stop.skipped("the server does not offer embeddings")
        }
        return try reply(stream)
    }
}

extension Fields {
    /// The numbers of an embedding, all finite.
    fileprivate func vector() throws -> [Float] {
        let bytes = bytes(Embed.vector) ?? []
        var cursor = Cursor(bytes, of: "REPLY's vector")
        var vector: [Float] = []
        while cursor.remaining > 0 { vector.append(Float(bitPattern: try cursor.integer())) }
        guard !vector.isEmpty, vector.allSatisfy(\.isFinite) else { throw Stop.failed("a vector of \(vector)") }
        return vector
    }
}
