/// CALL: opens a stream that asks one question and is answered by one REPLY or ERROR.
package enum CallMessage: Sendable, Equatable {
    /// Is the server fit to answer?
    case health
    /// Which models are there?
    case models
    /// The ids that GENERATE would give the model for this prompt (text as if raw).
    case tokenize(Prompt, template: TemplateInput = TemplateInput(), model: String?)
    /// The text of these ids.
    case detokenize([Int32], model: String?)
    /// Counters and gauges.
    case statistics
    /// The embedding of a prompt.
    case embed(EmbedMessage)

    /// What a call asks for.
    package enum Method: UInt16, Sendable, CaseIterable {
        /// See `CallMessage.health`.
        case health = 1
        /// See `CallMessage.models`.
        case models = 2
        /// See `CallMessage.tokenize`.
        case tokenize = 3
        /// See `CallMessage.detokenize`.
        case detokenize = 4
        /// See `CallMessage.statistics`.
        case statistics = 5
        /// See `CallMessage.embed`.
        case embed = 6
    }

    /// What is asked for.
    package var method: Method {
        switch self {
        case .health: .health
        case .models: .models
        case .tokenize: .tokenize
        case .detokenize: .detokenize
        case .statistics: .statistics
        case .embed: .embed
        }
    }

    private enum Key {
        static let model: UInt16 = 1
    }

    init(_ reader: consuming ByteReader) throws(WireError) {
        let number: UInt16 = try reader.integer()
        let method = Method(rawValue: number)
        _ = try reader.integer(UInt16.self)
        var fields = try FieldReader(reader)
        var model: String?
        var prompt = PromptFields(takesTemplate: method == .tokenize)
        // The prompt is known when all fields are read.
        var embed = EmbedMessage(.tokens([]))
        while let key = try fields.next() {
            if try prompt.read(key, &fields) { continue }
            if method == .embed, try embed.read(key, &fields) { continue }
            switch key {
            case Key.model: model = try fields.text("model", limit: Limits.name)
            default: try fields.skip()
            }
        }
        switch method {
        case .health: self = .health
        case .models: self = .models
        case .statistics: self = .statistics
        case .tokenize: self = .tokenize(try prompt.finish(), template: prompt.template, model: model)
        case .detokenize:
            guard case .tokens(let tokens) = try prompt.finish() else {
                throw WireError(.invalid, "detokenize takes token ids")
            }
            self = .detokenize(tokens, model: model)
        case .embed:
            embed.prompt = try prompt.finish()
            embed.model = model
            self = .embed(embed)
        case nil: throw WireError(.notFound, "there is no method \(number)")
        }
    }

    func encode(into bytes: inout [UInt8]) {
        bytes.append(integer: method.rawValue)
        bytes.append(integer: UInt16(0))
        switch self {
        case .health, .models, .statistics: break
        case .tokenize(let prompt, let template, let model):
            bytes.appendField(Key.model, text: model)
            prompt.encode(into: &bytes, .scalar)
            prompt.encode(into: &bytes, .repeated)
            template.encode(into: &bytes)
            prompt.encode(into: &bytes, .critical)
        case .detokenize(let tokens, let model):
            bytes.appendField(Key.model, text: model)
            bytes.appendField(Prompt.Key.tokens, integers: tokens)
        case .embed(let message):
            bytes.appendField(Key.model, text: message.model)
            message.encode(into: &bytes)
        }
    }
}
