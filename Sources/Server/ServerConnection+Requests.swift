internal import LMEngine
internal import LMProtocol
internal import LMTransport

// Requests: from a frame to the engine, and calls to their answers.
extension ServerConnection {
    func generate(on stream: UInt32, _ message: GenerateMessage) throws(WireError) {
        do throws(EngineError) {
            let model = try loop.shared.model(named: message.model)
            var request = try model.request(
                message, limits: loop.limits, now: loop.now, seed: loop.eventLoop.system.random())
            request.cacheScope = tenant
            let tag = UInt64(number) << 32 | UInt64(stream)
            let id = try model.engine.submit(request, tag: tag, to: loop.mailbox)
            generations[stream] = Generation(
                stream: stream, request: id, seed: request.sampling.seed, clientLimit: message.creditLimit,
                granted: request.creditLimit)
            var accept = AcceptMessage()
            accept.requestID = "\(loop.shared.instance)-\(id)"
            accept.model = model.name
            accept.seed = request.sampling.seed
            try? send { (wire, bytes) throws(WireError) in try wire.sendAccept(on: stream, accept, into: &bytes) }
        } catch {
            try refuse(stream, ErrorMessage(error))
        }
    }

    func answer(_ call: CallMessage, on stream: UInt32) throws(WireError) {
        let reply: ReplyMessage
        do throws(EngineError) {
            reply = try self.reply(to: call)
        } catch {
            return try refuse(stream, ErrorMessage(error))
        }
        do throws(WireError) {
            try send { (wire, bytes) throws(WireError) in try wire.sendReply(on: stream, reply, into: &bytes) }
        } catch {
            guard error.code == .tooLarge else { throw error }
            try refuse(stream, ErrorMessage(error))
        }
    }

    private func reply(to call: CallMessage) throws(EngineError) -> ReplyMessage {
        let shared = loop.shared
        switch call {
        case .health:
            var health = HealthReply(status: loop.isDraining ? .draining : .ready)
            health.version = shared.agent
            health.uptime = (loop.now &- shared.started) / 1_000_000
            return .health(health)
        case .models: return .models([shared.model.reply])
        case .tokenize(let prompt, let name):
            let isRaw = if case .text = prompt { true } else { false }
            let model = try shared.model(named: name)
            return .tokenize(try model.tokens(of: prompt, isRaw: isRaw, limit: loop.limits.promptBytes))
        case .detokenize(let tokens, let name): return .detokenize(try shared.model(named: name).text(of: tokens))
        case .statistics: return .statistics(shared.model.engine.statistics().reply)
        }
    }
}

extension ServedModel {
    fileprivate func text(of tokens: [Int32]) throws(EngineError) -> String {
        var bytes: [UInt8] = []
        for (index, token) in tokens.enumerated() {
            guard token >= 0, token < configuration.vocabularySize else {
                throw EngineError(
                    .invalidRequest,
                    "token \(token) at position \(index) is not in 0..<\(configuration.vocabularySize)")
            }
            tokenizer.appendBytes(of: token, to: &bytes)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
