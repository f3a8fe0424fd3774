internal import LMEngine
internal import LMProtocol
internal import LMTransport

// Requests: from a frame to the engine, and calls to their answers.
extension ServerConnection {
    func generate(on stream: UInt32, _ message: GenerateMessage) throws(WireError) {
        if let key = message.idempotencyKey, let known = loop.resumable.generation(ofKey: key, tenant: tenant) {
            return try repeated(message, of: known, on: stream)
        }
        do throws(EngineError) {
            let model = try loop.shared.model(named: message.model)
            var request = try model.request(
                message, limits: loop.limits, now: loop.now, seed: loop.eventLoop.system.random())
            request.cacheScope = tenant
            let generation = try loop.submit(
                request, tenant: tenant, clientLimit: message.creditLimit, isCall: false,
                resumption: resumption(for: message))
            var acceptance = AcceptMessage()
            acceptance.requestID = loop.newRequestID()
            acceptance.model = model.name
            acceptance.seed = request.sampling.seed
            acceptance.resumeToken = generation.resumption?.token
            generation.resumption?.acceptance = acceptance
            try? carry(generation, on: stream, acceptance, limit: message.creditLimit)
        } catch {
            try refuse(stream, ErrorMessage(error))
        }
    }

    func resume(on stream: UInt32, _ message: ResumeMessage) throws(WireError) {
        guard let generation = loop.resumable.generation(of: message.token, tenant: tenant) else {
            let what = "there is no such generation here (any more); ask again with GENERATE"
            return try refuse(stream, ErrorMessage(.notFound, what))
        }
        try carryIfKept(generation, on: stream, from: message.nextIndex, limit: message.creditLimit)
    }

    private func repeated(
        _ message: GenerateMessage, of generation: Generation, on stream: UInt32
    ) throws(WireError) {
        guard generation.resumption?.fingerprint == message.fingerprint else {
            let what = "the idempotency key belongs to a request that is not the same; use a new key"
            return try refuse(stream, ErrorMessage(.invalid, what))
        }
        try carryIfKept(generation, on: stream, from: 0, limit: message.creditLimit)
    }

    private func carryIfKept(
        _ generation: Generation, on stream: UInt32, from index: UInt32, limit: UInt32
    ) throws(WireError) {
        do throws(WireError) {
            try generation.checkKept(from: index)
        } catch {
            return try refuse(stream, ErrorMessage(error))
        }
        // What can be found again is greeted again.
        var acceptance = generation.resumption?.acceptance ?? AcceptMessage()
        acceptance.startIndex = index
        try carry(generation, on: stream, acceptance, limit: limit)
    }

    /// Accepts a stream as the one that carries a generation.
    private func carry(
        _ generation: Generation, on stream: UInt32, _ acceptance: AcceptMessage, limit: UInt32
    ) throws(WireError) {
        generations[stream] = generation
        generation.attach(to: self, stream, from: acceptance.startIndex, limit: limit)
        try send { (wire, bytes) throws(WireError) in try wire.sendAccept(on: stream, acceptance, into: &bytes) }
        generation.flush()
    }

    private func resumption(for message: GenerateMessage) -> Generation.Resumption? {
        guard message.isResumable || message.idempotencyKey != nil, loop.limits.resumeGrace > 0 else { return nil }
        let system = loop.eventLoop.system
        return Generation.Resumption(
            token: Opaque128(system.random(), system.random()), key: message.idempotencyKey,
            fingerprint: message.fingerprint)
    }

    func answer(_ call: CallMessage, on stream: UInt32) throws(WireError) {
        if let refusal = refusal(of: call) { return try refuse(stream, refusal) }
        if case .embed(let message) = call { return try embed(message, on: stream) }
        let reply: ReplyMessage
        do throws(EngineError) {
            reply = try self.reply(to: call)
        } catch {
            return try refuse(stream, ErrorMessage(error))
        }
        try send(reply, on: stream)
    }

    /// Ends a call with its answer, or with the news that the client does not take one as long.
    func send(_ reply: ReplyMessage, on stream: UInt32) throws(WireError) {
        do throws(WireError) {
            try send { (wire, bytes) throws(WireError) in try wire.sendReply(on: stream, reply, into: &bytes) }
        } catch {
            guard error.code == .tooLarge else { throw error }
            try refuse(stream, ErrorMessage(error))
        }
    }

    private var status: HealthReply.Status {
        if loop.isDraining { return .draining }
        return loop.model.engine.statistics().isHung ? .failed : .ready
    }

    /// The answers that are known at once.
    private func reply(to call: CallMessage) throws(EngineError) -> ReplyMessage {
        let shared = loop.shared
        switch call {
        case .health:
            var health = HealthReply(status: status)
            health.version = shared.agent
            health.uptime = (loop.now &- shared.started) / 1_000_000
            return .health(health)
        case .models: return .models(shared.models.map(\.reply))
        case .tokenize(let prompt, let template, let name):
            let model = try shared.model(named: name)
            return .tokenize(try model.tokens(of: prompt, template, limit: loop.limits.promptBytes))
        case .detokenize(let tokens, let name): return .detokenize(try shared.model(named: name).text(of: tokens))
        case .statistics: return .statistics(shared.statistics)
        case .embed: preconditionFailure("an embedding is not known at once")
        }
    }
}

extension GenerateMessage {
    /// The same for two frames that differ in nothing but the credit they start with.
    fileprivate var fingerprint: Int {
        var message = self
        message.creditLimit = 0
        return message.hashValue
    }
}

extension ServedModel {
    fileprivate func text(of tokens: [Int32]) throws(EngineError) -> String {
        for (index, token) in tokens.enumerated() where token < 0 || token >= configuration.vocabularySize {
            throw EngineError(
                .invalidRequest,
                "token \(token) at position \(index) is not in 0..<\(configuration.vocabularySize)")
        }
        return String(decoding: tokenizer.decode(tokens), as: UTF8.self)
    }
}
