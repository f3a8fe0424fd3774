/// GENERATE: opens a stream and asks for tokens. An absent value leaves the choice to the server.
package struct GenerateMessage: Sendable, Hashable {
    /// What the model continues.
    package var prompt: Prompt
    /// Name of the model; nil for the server's only or first one.
    package var model: String?
    /// A text prompt is used as it is instead of becoming the user's message in the chat template.
    package var isRaw = false
    /// What the chat template is told beside the prompt.
    package var template = TemplateInput()
    /// The server may send this many tokens before the first CREDIT.
    package var creditLimit: UInt32
    /// Milliseconds from receipt after which the request fails with `deadline`; 0 for the server's own limit.
    package var timeout: UInt32 = 0
    /// Milliseconds from receipt to the first token; nil for no such limit.
    package var firstTokenTimeout: UInt32?
    /// Milliseconds from one token to the next while there is credit; nil for no such limit.
    package var idleTimeout: UInt32?
    /// The generation outlives its connection for the server's resume grace.
    package var isResumable = false
    /// A second request with the same key continues the first one's generation. Makes the request resumable.
    package var idempotencyKey: Opaque128?
    /// 0 (most urgent) to 7.
    package var priority: UInt8 = GenerateMessage.defaultPriority
    /// How tokens are chosen.
    package var sampling = Sampling()
    /// When the stream ends.
    package var stop = Stop()

    /// The middle of the range, as RFC 9218's.
    package static let defaultPriority: UInt8 = 3

    /// Asks for the continuation of `prompt`.
    package init(prompt: Prompt, creditLimit: UInt32) {
        self.prompt = prompt
        self.creditLimit = creditLimit
    }

    /// How tokens are chosen; ranges are the engine's and checked there.
    package struct Sampling: Sendable, Hashable {
        /// 0 is greedy.
        package var temperature: Float?
        /// Smallest set of tokens whose probability reaches this.
        package var topP: Float?
        /// Number of likeliest tokens kept; 0 keeps all.
        package var topK: UInt32?
        /// Tokens below this share of the likeliest one's probability are dropped.
        package var minP: Float?
        /// Divides or multiplies logits of tokens already seen.
        package var repetitionPenalty: Float?
        /// Subtracted once from tokens already in the output.
        package var presencePenalty: Float?
        /// Subtracted per occurrence in the output.
        package var frequencyPenalty: Float?
        /// Makes the random numbers repeatable.
        package var seed: UInt64?
        /// Likeliest alternatives reported per token, besides the chosen token; nil reports no log-probabilities at all.
        package var logprobs: UInt8?

        /// Leaves everything to the server.
        package init() {}
    }

    /// When the stream ends.
    package struct Stop: Sendable, Hashable {
        /// Most tokens generated.
        package var maxTokens: UInt32?
        /// No stop token or stop string ends the output before this many tokens.
        package var minTokens: UInt32?
        /// Texts that end the output.
        package var strings: [String] = []
        /// Token ids that end the output, besides the model's own.
        package var tokens: [Int32] = []
        /// Keep generating through the model's end tokens.
        package var ignoresEndOfSequence = false

        /// Leaves everything to the server.
        package init() {}
    }
}

// The layout: u32 credit limit, u32 timeout, u8 priority, u8 flags, u16 reserved, fields.
extension GenerateMessage {
    private enum Flag {
        static let raw: UInt8 = 1
        static let ignoreEndOfSequence: UInt8 = 2
        static let resumable: UInt8 = 4
    }

    private enum Key {
        static let model: UInt16 = 1
        static let temperature: UInt16 = 16
        static let topP: UInt16 = 17
        static let topK: UInt16 = 18
        static let minP: UInt16 = 19
        static let repetitionPenalty: UInt16 = 20
        static let presencePenalty: UInt16 = 21
        static let frequencyPenalty: UInt16 = 22
        static let seed: UInt16 = 23
        static let logprobs: UInt16 = 24
        static let maxTokens: UInt16 = 32
        static let minTokens: UInt16 = 33
        static let stopTokens: UInt16 = 34
        static let firstTokenTimeout: UInt16 = 36
        static let idleTimeout: UInt16 = 37
        static let idempotencyKey: UInt16 = 40
        static let stopString: UInt16 = 35 | FieldKey.repeatableBit
    }

    init(_ reader: consuming ByteReader) throws(WireError) {
        let creditLimit: UInt32 = try reader.integer()
        let timeout: UInt32 = try reader.integer()
        let priority: UInt8 = try reader.integer()
        let flags: UInt8 = try reader.integer()
        _ = try reader.integer(UInt16.self)
        var fields = try FieldReader(reader)
        var prompt = PromptFields(takesTemplate: true)
        // The prompt is known when all fields are read.
        self.init(prompt: .tokens([]), creditLimit: creditLimit)
        while let key = try fields.next() {
            if try prompt.read(key, &fields) { continue }
            if try sampling.read(key, &fields) { continue }
            if try stop.read(key, &fields) { continue }
            switch key {
            case Key.model: model = try fields.text("model", limit: Limits.name)
            case Key.firstTokenTimeout: firstTokenTimeout = try fields.integer()
            case Key.idleTimeout: idleTimeout = try fields.integer()
            case Key.idempotencyKey: idempotencyKey = try fields.opaque()
            default: try fields.skip()
            }
        }
        guard priority <= 7 else { throw WireError(.invalid, "priority \(priority) is not in 0...7") }
        isRaw = flags & Flag.raw != 0
        self.prompt = try prompt.finish(textIsRaw: isRaw)
        template = prompt.template
        self.timeout = timeout
        self.priority = priority
        stop.ignoresEndOfSequence = flags & Flag.ignoreEndOfSequence != 0
        isResumable = flags & Flag.resumable != 0
    }

    func encode(into bytes: inout [UInt8]) {
        bytes.append(integer: creditLimit)
        bytes.append(integer: timeout)
        bytes.append(priority)
        bytes.append(
            (isRaw ? Flag.raw : 0) | (stop.ignoresEndOfSequence ? Flag.ignoreEndOfSequence : 0)
                | (isResumable ? Flag.resumable : 0))
        bytes.append(integer: UInt16(0))
        bytes.appendField(Key.model, text: model)
        prompt.encode(into: &bytes, .scalar)
        sampling.encode(into: &bytes)
        bytes.appendField(Key.maxTokens, integer: stop.maxTokens)
        bytes.appendField(Key.minTokens, integer: stop.minTokens)
        if !stop.tokens.isEmpty { bytes.appendField(Key.stopTokens, integers: stop.tokens) }
        bytes.appendField(Key.firstTokenTimeout, integer: firstTokenTimeout)
        bytes.appendField(Key.idleTimeout, integer: idleTimeout)
        bytes.appendField(Key.idempotencyKey, opaque: idempotencyKey)
        prompt.encode(into: &bytes, .repeated)
        for string in stop.strings { bytes.appendField(Key.stopString, text: string) }
        template.encode(into: &bytes)
        prompt.encode(into: &bytes, .critical)
    }
}

extension GenerateMessage.Sampling {
    fileprivate mutating func read(_ key: UInt16, _ fields: inout FieldReader) throws(WireError) -> Bool {
        switch key {
        case GenerateMessage.Key.temperature: temperature = try fields.float()
        case GenerateMessage.Key.topP: topP = try fields.float()
        case GenerateMessage.Key.topK: topK = try fields.integer()
        case GenerateMessage.Key.minP: minP = try fields.float()
        case GenerateMessage.Key.repetitionPenalty: repetitionPenalty = try fields.float()
        case GenerateMessage.Key.presencePenalty: presencePenalty = try fields.float()
        case GenerateMessage.Key.frequencyPenalty: frequencyPenalty = try fields.float()
        case GenerateMessage.Key.seed: seed = try fields.integer()
        case GenerateMessage.Key.logprobs: logprobs = try fields.integer()
        default: return false
        }
        return true
    }

    fileprivate func encode(into bytes: inout [UInt8]) {
        bytes.appendField(GenerateMessage.Key.temperature, float: temperature)
        bytes.appendField(GenerateMessage.Key.topP, float: topP)
        bytes.appendField(GenerateMessage.Key.topK, integer: topK)
        bytes.appendField(GenerateMessage.Key.minP, float: minP)
        bytes.appendField(GenerateMessage.Key.repetitionPenalty, float: repetitionPenalty)
        bytes.appendField(GenerateMessage.Key.presencePenalty, float: presencePenalty)
        bytes.appendField(GenerateMessage.Key.frequencyPenalty, float: frequencyPenalty)
        bytes.appendField(GenerateMessage.Key.seed, integer: seed)
        bytes.appendField(GenerateMessage.Key.logprobs, integer: logprobs)
    }
}

extension GenerateMessage.Stop {
    fileprivate mutating func read(_ key: UInt16, _ fields: inout FieldReader) throws(WireError) -> Bool {
        switch key {
        case GenerateMessage.Key.maxTokens: maxTokens = try fields.integer()
        case GenerateMessage.Key.minTokens: minTokens = try fields.integer()
        case GenerateMessage.Key.stopTokens:
            tokens = try fields.integers()
            guard tokens.count <= Limits.stopTokens else {
                throw WireError(.invalid, "\(tokens.count) stop tokens, limit \(Limits.stopTokens)")
            }
        case GenerateMessage.Key.stopString:
            guard strings.count < Limits.stopStrings else {
                throw WireError(.invalid, "more than \(Limits.stopStrings) stop strings")
            }
            strings.append(try fields.text("stop string", limit: Limits.stopString))
        default: return false
        }
        return true
    }
}
