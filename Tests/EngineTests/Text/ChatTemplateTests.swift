import LMEngine
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
            let segments = try? template.render(golden.conversation)
            let text = segments.map { $0.map(\.string).joined() }
            #expect(text == golden.text, "\(template.format) \(golden.messages)")
        }
    }

    /// Also across the borders of template and content, where separately encoded parts would give other tokens.
    @Test(.enabled(if: testModelPath != nil))
    func tokensEqualTransformers() throws {
        let checkpoint = try loadCheckpoint(path: #require(testModelPath))
        let template = try ChatTemplate(source: checkpoint.chatTemplateSource)
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
        let whole = try template.render(spaced).map(\.string).joined()
        #expect(tokens == checkpoint.tokenizer.encode(whole, parseSpecial: true))
    }

    @Test func aNameGoesBeforeTheSource() throws {
        let template = try ChatTemplate(source: "<|im_start|>", name: "llama3")
        #expect(template.format == .llama3)
    }

    @Test(
        arguments: [
            (nil, nil, EngineError.Code.unsupportedModel, "--chat-template"),
            ("{{ messages }}", nil, .unsupportedModel, "--raw"),
            ("<|im_start|>", "nonsense", .invalidRequest, "chatml, llama3"),
        ] as [(String?, String?, EngineError.Code, String)])
    func anUnknownTemplateNamesTheFix(_ source: String?, _ name: String?, _ code: EngineError.Code, _ fix: String) {
        let error = #expect(throws: EngineError.self) { try ChatTemplate(source: source, name: name) }
        #expect(error?.code == code)
        #expect(error?.message.contains(fix) == true)
    }

    /// Looked at from each mark to the end, this source would take hours.
    @Test(.timeLimit(.minutes(5)), arguments: ["", "'<|im_end|>"])
    func manyMarksInATemplateCostNoMore(end: String) throws {
        let source = String(repeating: "<|im_start|>system\n", count: 50_000) + end
        #expect(try ChatTemplate(source: source).render([ChatMessage(role: "user", content: "a")]).count == 6)
    }

    @Test func anEmptyConversationIsRefused() throws {
        let template = try ChatTemplate(source: nil, name: "chatml")
        #expect(throws: EngineError.self) { try template.render([]) }
    }

    @Test(.enabled(if: testModelPath != nil))
    func contentNeverYieldsASpecialToken() throws {
        let checkpoint = try loadCheckpoint(path: #require(testModelPath))
        let tokenizer = checkpoint.tokenizer
        let template = try ChatTemplate(source: checkpoint.chatTemplateSource)
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

extension ChatTemplate.Segment {
    fileprivate var string: String {
        switch self {
        case .special(let text), .text(let text): text
        }
    }
}
