internal import LMProtocol

/// What to generate. Absent values leave the choice to the server.
public struct GenerateRequest: Sendable, Equatable {
    /// What the model continues.
    public var prompt: Prompt
    /// Name of the model; nil for the server's choice.
    public var model: String?
    /// A text prompt is used as it is instead of becoming the user's message in the model's chat template.
    public var isRaw = false
    /// Functions that the model may call, as the chat template reads them: a JSON array of objects, usually
    /// `{"type": "function", "function": {"name": …, "description": …, "parameters": JSON schema}}`; at most 256 KiB. The
    /// server refuses tools beside raw text or token ids, and those that the model's template does not use.
    public var tools: String?
    /// Further variables of the chat template: a JSON object such as `{"enable_thinking": false}`; at most 16 KiB.
    public var templateArguments: String?
    /// How tokens are chosen.
    public var sampling = Sampling()
    /// When the generation ends.
    public var stop = Stop()
    /// Time from the server's receipt to failure with `deadline`; nil for the server's own.
    public var timeout: Duration?
    /// Time from the server's receipt to the first token; nil for no such limit.
    public var firstTokenTimeout: Duration?
    /// Time from one token to the next, not counting what the application takes; nil for no such limit.
    public var idleTimeout: Duration?
    /// 0 (most urgent) to 7.
    public var priority = 3
    /// Tokens that the server may be ahead of the application; nil for the client's `window`.
    public var window: Int?

    /// Asks for the continuation of `prompt`.
    public init(_ prompt: Prompt) { self.prompt = prompt }

    /// Asks for the answer to `text`.
    public init(_ text: String) { self.init(.text(text)) }

    /// Asks for the next message of a conversation.
    public init(_ messages: [Message]) { self.init(.messages(messages)) }

    /// What the model continues.
    public enum Prompt: Sendable, Equatable {
        /// Text.
        case text(String)
        /// Token ids, used as they are.
        case tokens([Int32])
        /// A conversation, rendered with the model's chat template.
        case messages([Message])
    }

    /// One message of a conversation.
    public struct Message: Sendable, Equatable {
        /// Who speaks, as the chat template names it.
        public var role: String
        /// What was said.
        public var content: String
        /// What else the chat template may read of the message, as a JSON object: `tool_calls` of the assistant,
        /// `tool_call_id` and `name` of a tool's answer, `reasoning_content`. It holds no `role`, and as `content` only
        /// null beside an empty content, for templates that ask for it.
        public var members: String?

        /// Creates a message.
        public init(role: String, content: String, members: String? = nil) {
            self.role = role
            self.content = content
            self.members = members
        }

        /// Instructions for the whole conversation.
        public static func system(_ content: String) -> Message { Message(role: "system", content: content) }
        /// What the person says.
        public static func user(_ content: String) -> Message { Message(role: "user", content: content) }
        /// What the model said.
        public static func assistant(_ content: String) -> Message { Message(role: "assistant", content: content) }
    }

    /// How tokens are chosen: penalties, then temperature, then min-p, top-k, top-p.
    public struct Sampling: Sendable, Equatable {
        /// 0 is greedy; 0...2.
        public var temperature: Float?
        /// Smallest set of tokens whose probability reaches this; (0, 1].
        public var topP: Float?
        /// Number of likeliest tokens kept; 0 keeps all.
        public var topK: Int?
        /// Tokens below this share of the likeliest one's probability are dropped; 0...1.
        public var minP: Float?
        /// Divides or multiplies logits of tokens already seen; above 0, at most 2.
        public var repetitionPenalty: Float?
        /// Subtracted once from tokens already in the output; -2...2.
        public var presencePenalty: Float?
        /// Subtracted per occurrence in the output; -2...2.
        public var frequencyPenalty: Float?
        /// The same request with the same seed repeats the same tokens.
        public var seed: UInt64?
        /// Likeliest alternatives reported per token besides the chosen one; 0...20, nil for no log-probabilities.
        public var logprobs: Int?

        /// Leaves everything to the server.
        public init() {}
    }

    /// When the generation ends.
    public struct Stop: Sendable, Equatable {
        /// Most tokens generated.
        public var maxTokens: Int?
        /// No stop token or stop string ends the output before this many tokens.
        public var minTokens: Int?
        /// Texts that end the output and are not part of it; at most 16 of at most 256 bytes.
        public var strings: [String] = []
        /// Token ids that end the output, besides the model's own; at most 64.
        public var tokens: [Int32] = []
        /// Keep generating through the model's end tokens.
        public var ignoresEndOfSequence = false

        /// Leaves everything to the server.
        public init() {}
    }
}

extension GenerateRequest {
    /// The request on the wire.
    ///
    /// - Throws: `invalid` for numbers that the wire cannot carry; other ranges are the server's to check.
    func message(window: UInt32) throws(LMError) -> GenerateMessage {
        var message = GenerateMessage(prompt: prompt.wire, creditLimit: window)
        message.model = model
        message.isRaw = isRaw
        message.template = TemplateInput(tools: tools, arguments: templateArguments)
        message.timeout = try Self.milliseconds(timeout) ?? 0
        message.firstTokenTimeout = try Self.milliseconds(firstTokenTimeout)
        message.idleTimeout = try Self.milliseconds(idleTimeout)
        message.priority = try Self.integer(priority, "priority") ?? 0
        message.sampling.temperature = sampling.temperature
        message.sampling.topP = sampling.topP
        message.sampling.topK = try Self.integer(sampling.topK, "top-k")
        message.sampling.minP = sampling.minP
        message.sampling.repetitionPenalty = sampling.repetitionPenalty
        message.sampling.presencePenalty = sampling.presencePenalty
        message.sampling.frequencyPenalty = sampling.frequencyPenalty
        message.sampling.seed = sampling.seed
        message.sampling.logprobs = try Self.integer(sampling.logprobs, "logprobs")
        message.stop.maxTokens = try Self.integer(stop.maxTokens, "max tokens")
        message.stop.minTokens = try Self.integer(stop.minTokens, "min tokens")
        message.stop.strings = stop.strings
        message.stop.tokens = stop.tokens
        message.stop.ignoresEndOfSequence = stop.ignoresEndOfSequence
        return message
    }

    /// Credit in tokens, 1 or more.
    static func window(_ value: Int) throws(LMError) -> UInt32 {
        guard value >= 1 else {
            throw LMError(.invalid, "a window of \(value) tokens lets nothing arrive; use 1 or more")
        }
        return UInt32(clamping: value)
    }

    private static func integer<T: FixedWidthInteger>(_ value: Int?, _ name: String) throws(LMError) -> T? {
        guard let value else { return nil }
        guard let result = T(exactly: value) else {
            throw LMError(.invalid, "\(name) is \(value), but must be in \(T.min)...\(T.max)")
        }
        return result
    }

    /// A limit in time as the wire has it.
    static func milliseconds(_ timeout: Duration?) throws(LMError) -> UInt32? {
        guard let timeout else { return nil }
        let milliseconds = timeout / .milliseconds(1)
        guard milliseconds >= 1, milliseconds <= Double(UInt32.max) else {
            throw LMError(.invalid, "a timeout of \(timeout) is not between 1 ms and 49 days")
        }
        return UInt32(milliseconds)
    }
}

extension GenerateRequest.Prompt {
    var wire: Prompt {
        switch self {
        case .text(let text): .text(text)
        case .tokens(let tokens): .tokens(tokens)
        case .messages(let messages):
            .messages(messages.map { PromptMessage(role: $0.role, content: $0.content, members: $0.members) })
        }
    }
}
