import LMProtocol

extension FuzzTarget {
    /// The first byte chooses the kind of frame, the next four the position of a resumed stream; the rest is its payload.
    func checkMessage(_ input: [UInt8]) throws(Broken) {
        var script = Script(input)
        let kind = Self.kinds[Int(script.byte()) % Self.kinds.count]
        let next = script.bytes(4).reversed().reduce(0) { $0 << 8 | UInt32($1) }
        let exchange = Exchange(kind, at: next)
        guard let first = exchange.receive(frame(kind.rawValue, 1, script.bytes(.max))) else { return }
        try checkBounds(first)
        guard let encoded = try exchange.encode(first) else { return }
        guard let second = exchange.receive(encoded) else {
            throw Broken(property: "\(kind) cannot read its own bytes")
        }
        // An ERROR's sentence is cut by its sender.
        let isCut = if case .error = first { true } else { false }
        // A NaN differs from itself; its description does not.
        let isSame = isCut || first == second || "\(first)" == "\(second)"
        try hold(isSame, "\(kind) reads something else in its own bytes")
        try hold(try exchange.encode(second) == encoded, "\(kind) writes other bytes for the same message")
    }

    private static let kinds: [FrameKind] = [
        .generate, .call, .resume, .credit, .accept, .tokens, .progress, .finish, .error, .reply,
    ]

    private func checkBounds(_ action: Connection.Action) throws(Broken) {
        switch action {
        case .generate(_, let message):
            try checkText(message.model, Limits.name)
            try hold(message.priority <= 7, "a priority beyond the limit")
            try hold(message.stop.strings.count <= Limits.stopStrings, "too many stop strings")
            for string in message.stop.strings { try checkText(string, Limits.stopString) }
            try hold(message.stop.tokens.count <= Limits.stopTokens, "too many stop tokens")
            try checkPrompt(message.prompt, message.template, textIsRaw: message.isRaw)
        case .call(_, .tokenize(let prompt, let template, let model)):
            try checkText(model, Limits.name)
            try checkPrompt(prompt, template, textIsRaw: true)
        case .call(_, .embed(let message)):
            try checkText(message.model, Limits.name)
            try checkPrompt(message.prompt, TemplateInput(), textIsRaw: true)
        case .accept(_, let message):
            try checkText(message.requestID, Limits.name)
            try checkText(message.model, Limits.name)
        case .tokens(_, let message): try checkTokens(message)
        case .reply(_, .models(let models)): for model in models { try checkText(model.name, Limits.name) }
        case .reply(_, .statistics(let all)): for statistic in all { try checkText(statistic.name, Limits.name) }
        default: break
        }
    }

    private func checkText(_ text: String?, _ limit: Int) throws(Broken) {
        if let text { try hold(text.utf8.count <= limit, "a text of \(text.utf8.count) bytes, limit \(limit)") }
    }

    private func checkPrompt(_ prompt: Prompt, _ template: TemplateInput, textIsRaw: Bool) throws(Broken) {
        try checkText(template.tools, Limits.tools)
        try checkText(template.arguments, Limits.templateArguments)
        guard case .messages(let messages) = prompt else {
            let isText = if case .text = prompt { true } else { false }
            try hold(template == TemplateInput() || isText && !textIsRaw, "template input where there is no template")
            return
        }
        try hold((1...Limits.messages).contains(messages.count), "\(messages.count) messages")
        for message in messages { try checkText(message.role, Limits.role) }
    }

    private func checkTokens(_ message: TokensMessage) throws(Broken) {
        try hold((1...Limits.tokensPerFrame).contains(message.count), "\(message.count) tokens in a frame")
        try hold(message.text.count <= Limits.tokensText, "too much text in a frame")
        var (text, entries) = (0, 0)
        for position in 0..<message.count {
            let range = message.textRange(position)
            try hold(range.lowerBound == text, "the texts of two tokens do not meet")
            try hold(range.count <= Limits.tokenText, "too much text for a token")
            text = range.upperBound
            let logprobs = message.logprobRange(position)
            try hold(logprobs.lowerBound == entries, "the log-probabilities of two tokens do not meet")
            try hold(logprobs.count <= 1 + Limits.alternatives, "too many log-probabilities for a token")
            entries = logprobs.upperBound
        }
        try hold(text == message.text.count && entries == message.logprobs.count, "something belongs to no token")
    }
}

/// Two ends before a frame of this kind on stream 1.
private struct Exchange {
    private let client: Connection
    private let server: Connection
    private let kind: FrameKind

    init(_ kind: FrameKind, at next: UInt32) {
        var pair = OpenPair()
        let answers: Set<FrameKind> = [.accept, .tokens, .progress, .finish, .error]
        sound {
            var bytes: [UInt8] = []
            if answers.contains(kind) || kind == .credit {
                let message = ResumeMessage(token: Opaque128(1, 2), nextIndex: next, creditLimit: .max)
                _ = try pair.client.sendResume(message, checksum: nil, into: &bytes)
            } else if kind == .reply {
                let methods: [CallMessage] = [
                    .health, .models, .tokenize(.text("x"), model: nil), .detokenize([1], model: nil), .statistics,
                    .embed(EmbedMessage(.text("x"))),
                ]
                _ = try pair.client.sendCall(methods[Int(next) % methods.count], into: &bytes)
            }
            deliver(bytes, to: &pair.server)
            if answers.contains(kind), kind != .accept {
                bytes = []
                var accept = AcceptMessage()
                accept.startIndex = next
                try pair.server.sendAccept(on: 1, accept, into: &bytes)
                deliver(bytes, to: &pair.client)
            }
        }
        (client, server) = (pair.client, pair.server)
        self.kind = kind
    }

    /// What the receiver makes of a frame; nil when it refuses it.
    func receive(_ bytes: [UInt8]) -> Connection.Action? {
        var receiver = kind.maySend(.client, on: 1) ? server : client
        let action = deliver(bytes, to: &receiver).first
        if case .rejected = action { return nil }
        if case .ignored = action { return nil }
        return action
    }

    /// The frame that the sender would have sent; nil for those that it has no say in.
    func encode(_ action: Connection.Action) throws(Broken) -> [UInt8]? {
        var (client, server) = (client, server)
        var bytes: [UInt8] = []
        do throws(WireError) {
            switch action {
            case .generate(_, let message): _ = try client.sendGenerate(message, into: &bytes)
            case .call(_, let message): _ = try client.sendCall(message, into: &bytes)
            case .resume(_, let message): _ = try client.sendResume(message, checksum: nil, into: &bytes)
            case .credit: return nil
            case .accept(_, let message): try server.sendAccept(on: 1, message, into: &bytes)
            case .tokens(_, let message): try server.sendTokens(on: 1, message, into: &bytes)
            case .progress(_, let message): try server.sendProgress(on: 1, message, into: &bytes)
            case .finish(_, let message): try server.sendFinish(on: 1, message, into: &bytes)
            case .error(_, let message): try server.sendError(on: 1, message, into: &bytes)
            case .reply(_, let message): try server.sendReply(on: 1, message, into: &bytes)
            default: return nil
            }
        } catch {
            // A request of the longest payload that is spelled out in full may not fit one.
            if error.code == .tooLarge { return nil }
            throw Broken(property: "\(kind) that was received cannot be sent: \(error)")
        }
        // What follows the end of a stream is MAX_STREAMS.
        let length = Int(bytes[0]) | Int(bytes[1]) << 8 | Int(bytes[2]) << 16
        return Array(bytes.prefix(Limits.header + length))
    }
}
