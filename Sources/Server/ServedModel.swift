public import LMEngine
internal import LMProtocol

/// A model that is loaded and running: the engine and what turns requests into its token ids.
public struct ServedModel: Sendable {
    /// The name clients use.
    public private(set) var name: String
    /// Runs the model.
    public let engine: any GenerationEngine
    let tokenizer: any Tokenizer
    let template: ChatTemplate?
    let defaults: GenerationDefaults
    let configuration: ModelConfiguration
    let format: String
    let device: String
    /// The adapter that requests by this name are generated with, by its index in the engine; nil for none.
    private(set) var adapter: Int?

    /// Names a running engine.
    ///
    /// - Parameters:
    ///   - format: how the weights are stored, for people.
    ///   - device: what computes, for people.
    ///   - defaults: what holds where a request does not say.
    ///   - template: renders messages; nil when the model has none, then only raw prompts and token ids are served.
    public init(
        name: String, engine: any GenerationEngine, tokenizer: any Tokenizer, configuration: ModelConfiguration,
        template: ChatTemplate?, defaults: GenerationDefaults = GenerationDefaults(), format: String, device: String
    ) {
        self.name = name
        self.engine = engine
        self.tokenizer = tokenizer
        self.configuration = configuration
        self.template = template
        self.defaults = defaults
        self.format = format
        self.device = device
    }

    /// The same model with one of the engine's adapters, under a name of its own.
    ///
    /// - Parameter adapter: its index in the engine.
    public func adapted(by adapter: Int, name: String) -> ServedModel {
        var model = self
        (model.name, model.adapter) = (name, adapter)
        return model
    }

    /// The ids that the model sees for a prompt.
    ///
    /// - Parameters:
    ///   - input: what the chat template is told beside the prompt.
    ///   - isRaw: text is used as it is instead of becoming the user's message.
    ///   - limit: bytes of all texts together.
    /// - Throws: `invalidRequest` when the model has no chat template, or when that cannot write the prompt; `tooLarge`.
    func tokens(of prompt: Prompt, _ input: TemplateInput, isRaw: Bool, limit: Int) throws(EngineError) -> [Int32] {
        switch prompt {
        case .tokens(let tokens): return tokens
        case .text(let text) where isRaw:
            try checkSize(text.utf8.count, limit)
            var tokens: [Int32] = []
            if let first = tokenizer.beginningOfSequence { tokens.append(first) }
            tokenizer.encode(text.utf8.span, parseSpecial: false, into: &tokens)
            return tokens
        case .text(let text): return try tokens(of: [PromptMessage(role: "user", content: text)], input, limit)
        case .messages(let messages): return try tokens(of: messages, input, limit)
        }
    }

    /// The same for calls, which take text as raw.
    func tokens(
        of prompt: Prompt, _ input: TemplateInput = TemplateInput(), limit: Int
    ) throws(EngineError) -> [Int32] {
        let isRaw = if case .text = prompt { true } else { false }
        return try tokens(of: prompt, input, isRaw: isRaw, limit: limit)
    }

    private func tokens(
        of messages: [PromptMessage], _ input: TemplateInput, _ limit: Int
    ) throws(EngineError) -> [Int32] {
        let beside = (input.tools?.utf8.count ?? 0) + (input.arguments?.utf8.count ?? 0)
        try checkSize(messages.reduce(beside) { $0 + $1.content.utf8.count + ($1.members?.utf8.count ?? 0) }, limit)
        guard let template else {
            throw EngineError(
                .invalidRequest,
                "model '\(name)' has no chat template, or one that cannot be executed, as the server said at its start; "
                    + "send a raw prompt or token ids, or start the server with --chat-template NAME|FILE")
        }
        var conversation: [ChatMessage] = []
        conversation.reserveCapacity(messages.count)
        for (index, message) in messages.enumerated() {
            conversation.append(try ChatMessage(message, at: index))
        }
        var tokens: [Int32] = []
        let options = try ChatOptions(tools: input.tools, arguments: input.arguments)
        try template.encode(conversation, options, with: tokenizer, into: &tokens)
        return tokens
    }

    private func checkSize(_ bytes: Int, _ limit: Int) throws(EngineError) {
        guard bytes <= limit else {
            throw EngineError(.tooLarge, "the prompt has \(bytes) bytes, limit \(limit); send a shorter one")
        }
    }

    var reply: ModelReply {
        var reply = ModelReply(name: name)
        reply.architecture = configuration.family.rawValue
        reply.format = format
        reply.device = device
        reply.contextLength = UInt32(clamping: engine.capacity.maxModelLength)
        reply.vocabularySize = UInt32(clamping: configuration.vocabularySize)
        reply.parameters = UInt64(clamping: configuration.parameterCount)
        reply.cacheTokens = UInt64(clamping: engine.capacity.keyValueTokens)
        return reply
    }
}

extension ChatMessage {
    /// Templates write a role into the prompt as it is, between their control tokens; hence no others.
    private static let roles = ["system", "user", "assistant", "tool"]

    fileprivate init(_ message: PromptMessage, at index: Int) throws(EngineError) {
        guard Self.roles.contains(message.role) else {
            throw EngineError(
                .invalidRequest,
                "message \(index) is from '\(message.role)'; roles are \(Self.roles.joined(separator: ", "))")
        }
        guard let members = message.members else {
            self.init(role: message.role, content: message.content)
            return
        }
        try self.init(
            role: message.role, content: message.content, members: members, name: "members of message \(index)")
    }
}
