import LMEngine
import LMJSON
import TestKit
import Testing

/// What requests bring for chat templates as JSON texts.
@Suite struct ChatTextsTests {
    private func refusal(_ body: () throws -> Void) -> String {
        let error = #expect(throws: EngineError.self) { try body() }
        #expect(error?.code == .invalidRequest)
        return error?.message ?? ""
    }

    @Test func `tools and arguments are read in order`() throws {
        let options = try ChatOptions(tools: #" [{"b": 1, "a": [2]}] "#, arguments: #"{"enable_thinking": false}"#)
        #expect(options.tools.map(\.text) == [#"{"b":1,"a":[2]}"#])
        #expect(options.arguments["enable_thinking"] == .bool(false) && options.addsGenerationPrompt)
        let none = try ChatOptions(tools: nil, arguments: nil)
        #expect(none.tools.isEmpty && none.arguments.count == 0)
        #expect(try ChatOptions(tools: "[]", arguments: "{}").tools.isEmpty)
    }

    @Test(arguments: [
        ("", "tools: is no JSON: byte 0"), ("[{}, {]", "tools: is no JSON: byte 6"), ("{}", "tools: are an object"),
        ("[{}, 1]", "tools[1]: is a number"), (String(repeating: "[", count: 65), "byte 64: more than 64"),
        (#"[{"a": 1, "a": 2}]"#, "byte 10: the key"),
    ])
    func `tools that are none are refused with the place`(_ text: String, _ message: String) {
        let found = refusal { _ = try ChatOptions(tools: text, arguments: nil) }
        #expect(found.contains(message), "\(found)")
    }

    @Test(arguments: [("[]", "are an array"), ("{\"a\"}", "byte 4"), ("null", "are null")])
    func `arguments that are none are refused with the place`(_ text: String, _ message: String) {
        let found = refusal { _ = try ChatOptions(tools: nil, arguments: text) }
        #expect(found.contains("template arguments: ") && found.contains(message), "\(found)")
    }

    @Test func `members of a message are read, and content may be null where it is empty`() throws {
        let message = try ChatMessage(
            role: "assistant", content: "", members: #"{"content": null, "tool_calls": []}"#, name: "m")
        #expect(message.members.keys == ["content", "tool_calls"])
        let template = try ChatTemplate(source: "{{ messages[0].content is none }}{{ messages[0].tool_calls }}")
        #expect(try String(decoding: template.render([message]).bytes, as: UTF8.self) == "True[]")
    }

    @Test(arguments: [
        (#"{"role": "user"}"#, "'role' and 'content' are the message's own"),
        (#"{"content": "b"}"#, "'role' and 'content' are the message's own"),
        (#"{"content": null}"#, "'role' and 'content' are the message's own"),
        ("[]", "is an array; give an object"), ("{", "is no JSON: byte 1"),
    ])
    func `members that are none, or the message's own, are refused`(_ text: String, _ message: String) {
        let found = refusal { _ = try ChatMessage(role: "user", content: "a", members: text, name: "members of 3") }
        #expect(found.hasPrefix("members of 3: ") && found.contains(message), "\(found)")
    }

    @Test func `tools for a template that does not use them are refused`() throws {
        var options = ChatOptions()
        options.tools = [try JSON(parsing: "{}")]
        let message = [ChatMessage(role: "user", content: "a")]
        let found = refusal {
            _ = try ChatTemplate(source: "{% macro m() %}{{ messages }}{% endmacro %}{{ 'tools' }}").render(
                message, options)
        }
        #expect(found.contains("does not use tools"), "\(found)")
        // Read in a macro, a condition or a text for tools, they are used.
        for source in ["{% macro m() %}{{ tools }}{% endmacro %}", "{% if tools is defined %}x{% endif %}"] {
            _ = try ChatTemplate(source: source).render(message, options)
        }
        var source = ChatTemplateSource("x")
        source.textForTools = "{{ tools }}"
        _ = try ChatTemplate(source).render(message, options)
    }

    @Test func `which families use tools is known from their templates`() throws {
        let users = try [
            "chatml", "deepseek-r1", "gemma-3", "hermes-tools", "llama3.1", "llama3.2", "mistral-nemo", "mistral-v0.3",
            "qwen2", "qwen2.5", "qwen3", "smollm2",
        ].filter { name in
            var options = ChatOptions()
            options.tools = [try JSON(parsing: #"{"type": "function", "function": {"name": "f", "parameters": {}}}"#)]
            let template = try ChatTemplate(source: try Golden.text("templates/\(name).jinja"))
            do {
                _ = try template.render([ChatMessage(role: "user", content: "a")], options)
                return true
            } catch let error as EngineError {
                return !error.message.contains("does not use tools")
            }
        }
        #expect(users == ["hermes-tools", "llama3.1", "llama3.2", "mistral-nemo", "mistral-v0.3", "qwen2.5", "qwen3"])
    }
}
