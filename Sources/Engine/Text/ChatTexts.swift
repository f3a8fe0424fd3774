internal import LMJSON

// What requests bring for chat templates as JSON texts.

extension ChatMessage {
    /// Reads a message whose further members are JSON.
    ///
    /// - Parameters:
    ///   - members: an object without `role` and `content`; `"content": null` alone may be there beside an empty content,
    ///     because some templates tell no content from an empty one.
    ///   - name: what the members are called in messages.
    /// - Throws: `invalidRequest` with the offset or the key of what is wrong.
    public init(role: String, content: String, members: String, name: String) throws(EngineError) {
        let value = try JSON(requested: members, as: name)
        guard let object = value.object else {
            throw EngineError(.invalidRequest, "\(name): is \(value.kind); give an object")
        }
        if object["role"] != nil || object["content"] != nil && (object["content"]?.isNull != true || !content.isEmpty)
        {
            throw EngineError(
                .invalidRequest,
                "\(name): 'role' and 'content' are the message's own; leave them out ('content' may be null beside an "
                    + "empty content)")
        }
        self.init(role: role, content: content, members: object)
    }
}

extension ChatOptions {
    /// Reads options from JSON.
    ///
    /// - Parameters:
    ///   - tools: an array of objects; nil for no tools.
    ///   - arguments: an object; nil for none.
    /// - Throws: `invalidRequest` with the offset or the position of what is wrong.
    public init(tools: String?, arguments: String?) throws(EngineError) {
        self.init()
        if let tools { self.tools = try Self.tools(tools) }
        if let arguments {
            let value = try JSON(requested: arguments, as: "template arguments")
            guard let object = value.object else {
                throw EngineError(
                    .invalidRequest, "template arguments: are \(value.kind); give an object of names and values")
            }
            self.arguments = object
        }
    }

    private static func tools(_ text: String) throws(EngineError) -> [JSON] {
        let value = try JSON(requested: text, as: "tools")
        guard let tools = value.array else {
            throw EngineError(.invalidRequest, "tools: are \(value.kind); give an array of functions")
        }
        for (index, tool) in tools.enumerated() where tool.object == nil {
            throw EngineError(.invalidRequest, "tools[\(index)]: is \(tool.kind); each tool is an object")
        }
        return tools
    }
}

extension JSON {
    fileprivate init(requested text: String, as name: String) throws(EngineError) {
        do throws(JSONError) {
            try self.init(parsing: text)
        } catch {
            throw EngineError(.invalidRequest, "\(name): is no JSON: byte \(error.offset): \(error.message)")
        }
    }
}
