import LMProtocol

/// What a test vector says about a frame. Values of 64 bits and opaque bytes are texts.
enum JSON: Decodable, Hashable, Sendable {
    case number(Double)
    case text(String)
    case list([JSON])
    case object([String: JSON])

    init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if let number = try? value.decode(Double.self) {
            self = .number(number)
        } else if let text = try? value.decode(String.self) {
            self = .text(text)
        } else if let list = try? value.decode([JSON].self) {
            self = .list(list)
        } else {
            self = .object(try value.decode([String: JSON].self))
        }
    }

    subscript(_ key: String) -> JSON? {
        if case .object(let members) = self { members[key] } else { nil }
    }

    var text: String? { if case .text(let text) = self { text } else { nil } }

    /// Without members that have their default: both ways of saying so are equal.
    var normal: JSON {
        switch self {
        case .object(let members):
            .object(members.mapValues(\.normal).filter { !$0.value.isDefault || $0.key == "priority" })
        case .list(let elements): .list(elements.map(\.normal))
        case .number, .text: self
        }
    }

    private var isDefault: Bool { self == .number(0) || self == .text("") || self == .text("0") || self == .list([]) }
}

/// What has a place in a meaning; nil has none.
private protocol Meant { var json: JSON { get } }
extension UInt8: Meant { fileprivate var json: JSON { .number(Double(self)) } }
extension UInt16: Meant { fileprivate var json: JSON { .number(Double(self)) } }
extension UInt32: Meant { fileprivate var json: JSON { .number(Double(self)) } }
extension Int32: Meant { fileprivate var json: JSON { .number(Double(self)) } }
extension Float: Meant { fileprivate var json: JSON { .number(Double(self)) } }
extension UInt64: Meant { fileprivate var json: JSON { .text(String(self)) } }
extension String: Meant { fileprivate var json: JSON { .text(self) } }
extension JSON: Meant { fileprivate var json: JSON { self } }
extension Array: Meant where Element: Meant { fileprivate var json: JSON { .list(map(\.json)) } }
extension Opaque128: Meant {
    fileprivate var json: JSON { .text(hex(withUnsafeBytes(of: self) { Array($0) }).filter { $0 != " " }) }
}
extension HelloMessage.Budget: Meant { fileprivate var json: JSON { [perSecond, burst].json } }
extension Optional: Meant where Wrapped: Meant { fileprivate var json: JSON { self?.json ?? .list([]) } }

private func meaning(_ frame: String, _ stream: UInt32, _ members: [String: any Meant]) -> JSON {
    let all = members.merging(["frame": frame, "stream": stream]) { first, _ in first }
    return JSON.object(all.mapValues(\.json).filter { $0.value != .list([]) }).normal
}

extension Connection.Action {
    /// The action in the words of the test vectors; nil for what no vector delivers.
    var meaning: JSON? {
        switch self {
        case .hello(let message): message.meaning
        case .ping(let data): ProtocolTests.meaning("PING", 0, ["data": opaque(data)])
        case .pong(let data): ProtocolTests.meaning("PONG", 0, ["data": opaque(data)])
        case .goAway(let message, _):
            ProtocolTests.meaning(
                "GOAWAY", 0,
                ["last_stream": message.lastStream, "grace": message.grace, "reason": message.reason.rawValue])
        case .maxStreams(let highest): ProtocolTests.meaning("MAX_STREAMS", 0, ["highest_stream": highest])
        case .generate(let stream, let message): ProtocolTests.meaning("GENERATE", stream, message.members)
        case .resume(let stream, let message):
            ProtocolTests.meaning(
                "RESUME", stream,
                ["resume_token": message.token, "index": message.nextIndex, "credit": message.creditLimit])
        case .call(let stream, let message): ProtocolTests.meaning("CALL", stream, message.members)
        case .credit(let stream, let message):
            ProtocolTests.meaning("CREDIT", stream, ["limit": message.limit, "consumed": message.consumed])
        case .cancel(let stream, let reason): ProtocolTests.meaning("CANCEL", stream, ["reason": reason.rawValue])
        case .accept(let stream, let message):
            ProtocolTests.meaning(
                "ACCEPT", stream,
                [
                    "index": message.startIndex, "request_id": message.requestID, "model": message.model,
                    "seed": message.seed, "resume_token": message.resumeToken,
                ])
        case .tokens(let stream, let message):
            ProtocolTests.meaning("TOKENS", stream, ["first": message.firstIndex, "tokens": message.tokens])
        case .progress(let stream, let message):
            ProtocolTests.meaning(
                "PROGRESS", stream,
                ["phase": message.phase.rawValue, "done": message.done, "total": message.total])
        case .finish(let stream, let message): ProtocolTests.meaning("FINISH", stream, message.members)
        case .error(let stream, let message): ProtocolTests.meaning("ERROR", stream, message.members)
        case .reply(let stream, let message): ProtocolTests.meaning("REPLY", stream, message.members)
        case .rejected, .ignored: nil
        }
    }

    private func opaque(_ data: UInt64) -> String {
        hex(withUnsafeBytes(of: data.littleEndian) { Array($0) }).filter { $0 != " " }
    }
}

extension HelloMessage {
    fileprivate var meaning: JSON {
        ProtocolTests.meaning(
            "HELLO", 0,
            [
                // Absent in a vector: versions 1 to 1.
                "lowest": versions.lowerBound == 1 ? 0 : versions.lowerBound,
                "highest": versions.upperBound == 1 ? 0 : versions.upperBound, "max_payload": maxPayload,
                "capabilities": capabilities, "key": credential?.secret, "agent": agent, "keep_alive": keepAlive,
                "resume_grace": resumeGrace, "cancel_budget": cancelBudget, "control_budget": controlBudget,
                "glitch_budget": glitchBudget,
            ])
    }
}

extension Prompt {
    fileprivate var members: [String: any Meant] {
        switch self {
        case .text(let text): ["prompt": text]
        case .tokens(let ids): ["prompt_ids": ids]
        case .messages(let messages):
            [
                "messages": messages.map {
                    JSON.object(
                        ["role": .text($0.role), "content": .text($0.content), "members": .text($0.members ?? "")])
                }
            ]
        }
    }
}

extension TemplateInput {
    fileprivate var members: [String: any Meant] { ["tools": tools, "template_arguments": arguments] }
}

extension GenerateMessage {
    fileprivate var members: [String: any Meant] {
        let flags: UInt8 = (isRaw ? 1 : 0) | (stop.ignoresEndOfSequence ? 2 : 0) | (isResumable ? 4 : 0)
        let members: [String: any Meant] = [
            "credit": creditLimit, "timeout": timeout, "priority": priority == 3 ? nil : priority, "flags": flags,
            "model": model, "temperature": sampling.temperature, "top_p": sampling.topP, "top_k": sampling.topK,
            "min_p": sampling.minP, "repetition_penalty": sampling.repetitionPenalty,
            "presence_penalty": sampling.presencePenalty, "frequency_penalty": sampling.frequencyPenalty,
            "seed": sampling.seed, "logprobs": sampling.logprobs, "max_tokens": stop.maxTokens,
            "min_tokens": stop.minTokens, "stop_tokens": stop.tokens, "first_token_timeout": firstTokenTimeout,
            "token_gap_timeout": idleTimeout, "idempotency_key": idempotencyKey, "stop": stop.strings,
        ]
        return members.merging(prompt.members) { first, _ in first }.merging(template.members) { first, _ in first }
    }
}

extension CallMessage {
    fileprivate var members: [String: any Meant] {
        switch self {
        case .health: ["method": "health"]
        case .models: ["method": "models"]
        case .statistics: ["method": "statistics"]
        case .tokenize(let prompt, let template, let model):
            prompt.members.merging(["method": "tokenize", "model": model]) { first, _ in first }
                .merging(template.members) { first, _ in first }
        case .detokenize(let ids, let model): ["method": "detokenize", "model": model, "ids": ids]
        case .embed(let message):
            message.prompt.members.merging([
                "method": "embed", "model": message.model, "pooling": message.pooling?.rawValue,
                "normalize": UInt8(message.isNormalized ? 1 : 0), "timeout": message.timeout,
            ]) { first, _ in first }
        }
    }
}

extension TokensMessage {
    fileprivate var tokens: [JSON] {
        (0..<count).map { position in
            let entries = logprobs.isEmpty ? [] : logprobs[logprobRange(position)]
            return .object([
                "id": ids[position].json,
                "text": .text(String(decoding: text[textRange(position)], as: UTF8.self)),
                "entries": .list(entries.map { .list([$0.token.json, $0.value.json]) }),
            ])
        }
    }
}

extension UsageReport {
    fileprivate var members: [String: any Meant] {
        [
            "prompt_tokens": promptTokens, "cached_tokens": cachedTokens, "generated_tokens": completionTokens,
            "recomputed": preemptions, "queue_time": queueTime, "prefill_time": prefillTime, "decode_time": decodeTime,
        ]
    }
}

extension FinishMessage {
    fileprivate var members: [String: any Meant] {
        usage.members.merging(
            ["reason": reason.rawValue, "tokens": tokens, "crc32c": checksum, "seed": seed]
        ) { first, _ in first }
    }
}

extension ErrorMessage {
    fileprivate var members: [String: any Meant] {
        let code: JSON = ErrorCode.known.contains(code) ? .text(code.description) : .number(Double(code.rawValue))
        return (usage?.members ?? [:]).merging(
            ["code": code, "flags": UInt8(isRetryable ? 1 : 0), "retry_after": retryAfter, "message": message]
        ) { first, _ in first }
    }
}

extension ReplyMessage {
    fileprivate var members: [String: any Meant] {
        switch self {
        case .health(let reply):
            ["method": "health", "status": reply.status.rawValue, "version": reply.version, "uptime": reply.uptime]
        case .models(let models): ["method": "models", "models": models.map(\.json)]
        case .tokenize(let ids): ["method": "tokenize", "ids": ids]
        case .detokenize(let text): ["method": "detokenize", "text": text]
        case .embed(let reply):
            ["method": "embed", "embedding": reply.vector, "prompt_tokens": reply.promptTokens]
        case .statistics(let all):
            [
                "method": "statistics",
                "statistics": all.map { JSON.object(["name": $0.name.json, "value": $0.value.json]) },
            ]
        }
    }
}

extension ModelReply: Meant {
    fileprivate var json: JSON {
        .object([
            "name": name.json, "architecture": architecture.json, "format": format.json, "device": device.json,
            "context_length": contextLength.json, "vocabulary_size": vocabularySize.json,
            "parameters": parameters.json, "cache_tokens": cacheTokens.json,
        ])
    }
}
