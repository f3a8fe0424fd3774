public import LMJSON

/// One turn of a conversation.
public struct ChatMessage: Sendable, Equatable {
    /// Who speaks: "system", "user", "assistant" or "tool"; templates refuse those they do not know.
    public var role: String
    /// What is said.
    public var content: String
    /// What else the template may read of it, such as `tool_calls` and `tool_call_id`; a `content` among them goes
    /// before the text, as some templates ask for null beside tool calls.
    public var members: JSONObject

    /// Pairs a role with its text.
    public init(role: String, content: String, members: JSONObject = JSONObject()) {
        self.role = role
        self.content = content
        self.members = members
    }
}

/// What a chat template is told beside the messages.
public struct ChatOptions: Sendable {
    /// Functions that the model may call, each a JSON schema as transformers takes it.
    public var tools: [JSON] = []
    /// Whether the opening of the assistant's answer is written at the end.
    public var addsGenerationPrompt = true
    /// Further values by name, such as `enable_thinking`.
    public var arguments = JSONObject()
    /// What `strftime_now` tells, in seconds since 1970; nil for the machine's clock.
    public var time: Int64?

    /// Without tools and arguments, up to the opening of the answer.
    public init() {}
}
