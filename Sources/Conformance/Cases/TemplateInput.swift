extension CaseList {
    /// Of section 6.5, what goes to the chat template beside the prompt: tools, arguments, members of messages.
    mutating func addTemplateInput() {
        accepts("a conversation with tools") { lab in try lab.toolsChat().with(Generate.Key.tools, text(oneTool)) }
        accepts("tools beside a text that is not raw") { lab in
            _ = try lab.toolsChat()
            return Generate().flags(Generate.Flag.ignoreEnd).with(Generate.Key.tools, text(oneTool))
        }
        accepts("no tool in the list") { lab in try lab.hi().with(Generate.Key.tools, text(" [] ")) }
        accepts("template arguments of all kinds") { lab in
            try lab.hi().with(
                Generate.Key.templateArguments, text(#"{"x_1": [1, -2.5e3, true, null], "x_2": {"é": "\u00e9"}}"#))
        }
        accepts("members of a message, and none of the next") { lab in
            try lab.chat(message("user", "Hi"), message("assistant", ""), message("tool", "1"))
                .with(
                    Generate.Key.members, members(1, #"{"tool_calls": [{"id": "1"}]}"#),
                    members(0, #"{"name": "a"}"#))
        }
        must("tools for tokenize", "other ids than without") { lab in
            let request = try lab.toolsChat()
            let peer = try lab.greet()
            let conversation = request.fields(Generate.Key.message)
            let plain = try peer.reply(try peer.call(Method.tokenize, conversation)).bytes(3)
            let tools = conversation + field(Generate.Key.tools, text(oneTool))
            guard try peer.reply(try peer.call(Method.tokenize, tools)).bytes(3) != plain else {
                throw Stop.failed("the same ids")
            }
        }
        must("the text of a special token in tools", "more than one token: it is none") { lab in
            _ = try lab.toolsChat()
            let peer = try lab.greet()
            let counts = try ["", "<|im_end|>"].map { word in
                let tool = #"[{"type": "function", "function": {"name": "a", "description": "\#(word)"}}]"#
                let fields =
                    field(Generate.Key.message, message("user", "Hi")) + field(Generate.Key.tools, text(tool))
                return try peer.reply(try peer.call(Method.tokenize, fields)).bytes(3)?.count ?? 0
            }
            guard counts[1] > counts[0] + 4 else { throw Stop.failed("one token stands for it") }
        }
        addRefusedTemplateInput()
    }

    private mutating func addRefusedTemplateInput() {
        let wrong: [(name: String, key: UInt16, texts: [String])] = [
            ("tools", Generate.Key.tools, ["", "[", "{}", "[1]", "[] []", "[{\"a\": 01}]"]),
            (
                "template arguments", Generate.Key.templateArguments,
                ["", "{", "[]", #"{"a"}"#, #"{"messages": []}"#, #"{"add_generation_prompt": false}"#]
            ),
        ]
        for (name, key, texts) in wrong {
            for json in texts {
                refuses("\(name) that are '\(json)'") { lab in try lab.hi().with(key, text(json)) }
            }
            refuses("\(name) beside a raw text") { _ in Generate().with(key, text(key == wrong[0].key ? "[]" : "{}")) }
            refuses("\(name) beside token ids") { _ in
                Generate().with(Generate.Key.prompt).with(Generate.Key.promptIDs, ids([1]))
                    .with(key, text(key == wrong[0].key ? "[]" : "{}"))
            }
            must("\(name) for health", "ERROR INVALID: a critical field that the method does not know") { lab in
                let peer = try lab.greet()
                try peer.fails(try peer.call(Method.health, field(key, text("[]"))), Code.invalid)
                try peer.fence()
            }
        }
        refuses("tools of 262,145 bytes") { lab in
            try lab.hi().with(Generate.Key.tools, text("[" + String(repeating: " ", count: 262_143) + "]"))
        }
        refuses("template arguments of 16,385 bytes") { lab in
            try lab.hi().with(Generate.Key.templateArguments, text("{" + String(repeating: " ", count: 16_383) + "}"))
        }
        for json in ["", "[]", "{", #"{"role": "user"}"#, #"{"content": "a"}"#] {
            refuses("members that are '\(json)'") { lab in try lab.hi().with(Generate.Key.members, members(0, json)) }
        }
        refuses("members for a message that is not there") { lab in
            try lab.hi().with(Generate.Key.members, members(1, "{}"))
        }
        refuses("members twice for a message") { lab in
            try lab.hi().with(Generate.Key.members, members(0, "{}"), members(0, "{}"))
        }
        refuses("members beside a text") { _ in
            Generate().flags(Generate.Flag.ignoreEnd).with(Generate.Key.members, members(0, "{}"))
        }
        must("members of one byte", "ERROR PROTOCOL on stream 0, close") { lab in
            let peer = try lab.greet()
            peer.send(try lab.hi().with(Generate.Key.members, [0]).frame(1))
            try peer.violation()
        }
    }
}

private let oneTool = #"[{"type": "function", "function": {"name": "ping"}}]"#

/// Further members of the message with that index.
private func members(_ index: UInt16, _ json: String) -> [UInt8] { u16(index) + text(json) }

extension Lab {
    fileprivate func hi() throws -> Generate { try chat(message("user", "Hi")) }

    /// A request with a conversation; skips the case when the model's template does not use tools.
    fileprivate func toolsChat() throws -> Generate {
        let request = try hi()
        let peer = try greet()
        let fields = request.fields(Generate.Key.message) + field(Generate.Key.tools, text(oneTool))
        guard case .reply = try peer.end(try peer.call(Method.tokenize, fields)) else {
            throw Stop.skipped("the model's chat template does not use tools")
        }
        return request
    }
}

extension Generate {
    /// The values of one key as fields.
    fileprivate func fields(_ key: UInt16) -> [UInt8] { (fields[key] ?? []).flatMap { field(key, $0) } }
}
