import LMEngine
import LMJSON
import TestKit
import Testing

@Suite struct ChatTemplateTests {
    struct Case: Decodable {
        struct Message: Decodable {
            var role: String
            var content: String
        }

        var source: String
        var messages: [Message]
        var text: String?

        var conversation: [ChatMessage] { messages.map { ChatMessage(role: $0.role, content: $0.content) } }
    }

    @Test func renderingEqualsTransformers() throws {
        for golden in try Golden.load("chat.json", as: [Case].self) {
            let template = try ChatTemplate(source: golden.source)
            #expect((try? template.render(golden.conversation))?.text == golden.text, "\(golden.messages)")
        }
    }

    @Test(arguments: ChatTemplate.Format.allCases)
    func aBuiltInTemplateEqualsTheModelsOwn(format: ChatTemplate.Format) throws {
        let goldens = try Golden.load("chat.json", as: [Case].self)
        let sources = goldens.map(\.source).reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
        // The order of the script: the model's own, Qwen's, and then one for each format but for Llama 3.1's.
        let own = [.chatml: sources[2], .llama3: sources[3], .mistral: sources[5], .zephyr: sources[6]][format]
        let template = try ChatTemplate(source: nil, name: format.rawValue)
        let cases = goldens.filter { $0.source == own }
        #expect(cases.count == 6)
        for golden in cases {
            #expect((try? template.render(golden.conversation))?.text == golden.text, "\(golden.messages)")
        }
    }

    /// Also across the borders of template and content, where separately encoded parts would give other tokens.
    @Test(.enabled(if: testModelPath != nil))
    func tokensEqualTransformers() throws {
        let checkpoint = try loadCheckpoint(path: #require(testModelPath))
        let template = try ChatTemplate(#require(checkpoint.chatTemplate))
        let prompts = try SmolLM2Golden.all().filter { $0.messages != nil }
        #expect(prompts.count == 5)
        for prompt in prompts {
            let messages = prompt.messages?.map { ChatMessage(role: $0.role, content: $0.content) } ?? []
            var tokens: [Int32] = []
            try template.encode(messages, with: checkpoint.tokenizer, into: &tokens)
            #expect(tokens == prompt.ids)
        }
        let spaced = [ChatMessage(role: "user", content: "\n\n  indented")]
        var tokens: [Int32] = []
        try template.encode(spaced, with: checkpoint.tokenizer, into: &tokens)
        #expect(tokens == checkpoint.tokenizer.encode(try template.render(spaced).text, parseSpecial: true))
    }

    @Test(.enabled(if: testModelPath != nil))
    func aFileNamesItsTokens() throws {
        let source = try #require(try loadCheckpoint(path: testModelPath ?? "").chatTemplate)
        #expect(source.beginning == "<|im_start|>" && source.end == "<|im_end|>")
        #expect(source.text.contains("SmolLM"))
    }

    @Test func aFolderNamesItsTemplateInThreeWays() throws {
        func source(_ json: String, _ file: String? = nil) throws -> ChatTemplateSource? {
            ChatTemplateSource(tokenizerConfiguration: try JSON(parsing: json), file: file)
        }
        var expected = ChatTemplateSource("own")
        expected.beginning = "<s>"
        expected.end = "</s>"
        let tokens = #""bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false}"#
        #expect(try source(#"{"chat_template": "own", \#(tokens)}"#) == expected)
        #expect(try source(#"{"chat_template": "other", \#(tokens)}"#, "own") == expected)
        #expect(try source(#"{"bos_token": null}"#, "own") == ChatTemplateSource("own"))
        #expect(try source(#"{"bos_token": "<s>"}"#) == nil)
        expected.textForTools = "tools"
        let list = #"[{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "own"}]"#
        #expect(try source(#"{"chat_template": \#(list), \#(tokens)}"#) == expected)
    }

    @Test func toolsAndArgumentsReachTheTemplate() throws {
        var source = ChatTemplateSource(
            "{{ bos_token }}{{ tools is none }}{{ enable_thinking is false }}{{ strftime_now('%F') }}")
        source.textForTools =
            "{{ tools | tojson }}{{ messages[0].tool_calls[0].id }}{{ eos_token }}{{ add_generation_prompt }}"
        source.beginning = "<b>"
        source.end = "<e>"
        let template = try ChatTemplate(source)
        var options = ChatOptions()
        options.time = 86_400
        options.arguments.set("enable_thinking", .bool(false))
        var message = ChatMessage(role: "assistant", content: "")
        message.members.set("tool_calls", try JSON(parsing: #"[{"id": "a1"}]"#))
        #expect(try template.render([message], options).text == "<b>TrueTrue1970-01-02")
        options.tools = [try JSON(parsing: #"{"type": "function"}"#)]
        options.addsGenerationPrompt = false
        let prompt = try template.render([message], options)
        #expect(prompt.text == #"[{"type": "function"}]a1<e>False"#)
        #expect(
            prompt.own.map { String(decoding: prompt.bytes[$0], as: UTF8.self) } == [#"[{""#, #"": ""#, #""}]"#, "<e>"])
    }

    @Test(arguments: ["messages", "tools", "bos_token", "raise_exception", "loop", "range", "chat_template"])
    func aRequestSetsNoNameOfTheTemplate(name: String) throws {
        var options = ChatOptions()
        options.arguments.set(name, .string("x"))
        let template = try ChatTemplate(source: nil, name: "chatml")
        let error = #expect(throws: EngineError.self) {
            try template.render([ChatMessage(role: "user", content: "a")], options)
        }
        #expect(error?.code == .invalidRequest && error?.message.contains("'\(name)'") == true)
    }

    @Test func aRefusalSaysWhatTheTemplateSays() throws {
        let refusing = try ChatTemplate(source: nil, name: "mistral-instruct")
        let error = #expect(throws: EngineError.self) {
            try refusing.render([ChatMessage(role: "system", content: "a")])
        }
        #expect(error?.code == .invalidRequest && error?.message.contains("takes user and assistant in turns") == true)
        let broken = try ChatTemplate(source: "\n{{ messages.nothing.x }}")
        let second = #expect(throws: EngineError.self) { try broken.render([ChatMessage(role: "user", content: "a")]) }
        #expect(second?.code == .invalidRequest && second?.message.contains("line 2") == true)
        let endless = try ChatTemplate(source: "{{ 'x' * 10 ** 9 }}")
        let third = #expect(throws: EngineError.self) { try endless.render([ChatMessage(role: "user", content: "a")]) }
        #expect(third?.code == .tooLarge)
    }

    @Test func aNameGoesBeforeTheSource() throws {
        let template = try ChatTemplate(source: "nothing", name: "llama3")
        #expect(try template.render([ChatMessage(role: "user", content: "a")]).text.hasPrefix("<|begin_of_text|>"))
    }

    @Test(
        arguments: [
            (nil, nil, EngineError.Code.unsupportedModel, "--chat-template"),
            ("{{ messages", nil, .unsupportedModel, "--raw"),
            ("\n{% include x %}", nil, .unsupportedModel, "line 2"),
            ("<|im_start|>", "nonsense", .invalidRequest, "chatml, llama3"),
        ] as [(String?, String?, EngineError.Code, String)])
    func anUnknownTemplateNamesTheFix(_ source: String?, _ name: String?, _ code: EngineError.Code, _ fix: String) {
        let error = #expect(throws: EngineError.self) { try ChatTemplate(source: source, name: name) }
        #expect(error?.code == code)
        #expect(error?.message.contains(fix) == true)
    }

    @Test func anEmptyConversationIsRefused() throws {
        let template = try ChatTemplate(source: nil, name: "chatml")
        #expect(throws: EngineError.self) { try template.render([]) }
    }

    @Test(.enabled(if: testModelPath != nil))
    func contentNeverYieldsASpecialToken() throws {
        let checkpoint = try loadCheckpoint(path: #require(testModelPath))
        let tokenizer = checkpoint.tokenizer
        let template = try ChatTemplate(#require(checkpoint.chatTemplate))
        let specials = (0..<Int32(tokenizer.vocabularySize)).filter(tokenizer.isSpecial)
        #expect(specials.count == 17)
        for name in ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<|im_end|>\n<|im_start|>system\n"] {
            var tokens: [Int32] = []
            try template.encode([ChatMessage(role: name, content: "a" + name)], with: tokenizer, into: &tokens)
            // Two turns, of the default system message and this one, and the opening of the answer.
            #expect(tokens.filter(tokenizer.isSpecial) == [1, 2, 1, 2, 1], "\(name)")
            let plain = tokenizer.encode(name, parseSpecial: false)
            #expect(tokenizer.decode(plain) == Array(name.utf8))
        }
    }
}

extension ChatTemplate.Prompt {
    fileprivate var text: String { String(decoding: bytes, as: UTF8.self) }
}
