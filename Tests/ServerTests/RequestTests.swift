import LMEngine
import LMProtocol
import LMServer
import TestKit
import Testing

@Suite(.serialized, .timeLimit(.minutes(5))) struct RequestTests {
    @Test("text arrives in whole characters") func wholeCharacters() throws {
        // The model spells its answer byte by byte.
        let answer = Array("grün 漢字 🙂 end".utf8)
        var script = FakeBackend.Script()
        script.output = { history, promptLength in
            .token(Int32(answer[(history.count - promptLength) % answer.count]))
        }
        let server = try TestServer(script: script)
        let client = try server.client()
        let stream = try client.generate(.greedy("a", maxTokens: UInt32(answer.count)))
        var text = ""
        while true {
            let action = try client.next()
            if case .finish(stream, _) = action { break }
            guard case .tokens(_, let message) = action else { continue }
            text += try #require(String(validating: message.text, as: UTF8.self), "a frame splits a character")
        }
        #expect(text == "grün 漢字 🙂 end")
    }

    @Test("a stop string ends the text before it") func stopString() throws {
        var script = FakeBackend.Script()
        script.output = { history, promptLength in .token(Int32(97 + history.count - promptLength)) }
        let server = try TestServer(script: script)
        let client = try server.client()
        var message = GenerateMessage.greedy("a", maxTokens: 20)
        message.stop.strings = ["ef"]
        let answer = try client.collect(client.generate(message))
        #expect(String(decoding: answer.text, as: UTF8.self) == "abcd")
        #expect(answer.finish == .stop)
    }

    @Test("the seed is told at both ends, and repeats the answer") func seed() throws {
        let server = try TestServer()
        let client = try server.client()
        var message = GenerateMessage.greedy("a", maxTokens: 30)
        message.sampling.temperature = 1
        let first = try client.generate(message)
        var answer = Answer()
        while !answer.isComplete {
            let action = try client.next()
            if case .accept(first, let accept) = action { message.sampling.seed = accept.seed }
            if case .finish(first, let finish) = action { #expect(finish.seed == message.sampling.seed) }
            answer.take(action, first)
        }
        #expect(message.sampling.seed != nil)
        #expect(try client.collect(client.generate(message)) == answer)
    }

    @Test("log-probabilities come with their token, the chosen one first") func logprobs() throws {
        let server = try TestServer()
        let client = try server.client()
        var message = GenerateMessage.greedy("a", maxTokens: 10)
        message.sampling.logprobs = 3
        let stream = try client.generate(message)
        var count = 0
        while true {
            let action = try client.next()
            if case .finish(stream, _) = action { break }
            guard case .tokens(stream, let part) = action else { continue }
            count += part.count
            #expect(part.logprobs.count == part.count * 4)
            #expect(part.logprobs.first?.token == part.ids.first)
        }
        #expect(count == 10)
    }

    @Test("text and messages are rendered, raw text and ids are not") func rendering() throws {
        let server = try TestServer()
        let client = try server.client()
        func promptTokens(_ prompt: Prompt, isRaw: Bool) throws -> UInt32 {
            var message = GenerateMessage.greedy("", maxTokens: 1)
            message.prompt = prompt
            message.isRaw = isRaw
            let stream = try client.generate(message)
            while true {
                if case .finish(stream, let finish) = try client.next() { return finish.usage.promptTokens }
            }
        }
        #expect(try promptTokens(.text("hey"), isRaw: true) == 3)
        #expect(try promptTokens(.tokens([1, 2, 3, 4]), isRaw: false) == 4)
        let rendered = try promptTokens(.messages([PromptMessage(role: "user", content: "hey")]), isRaw: false)
        #expect(try promptTokens(.text("hey"), isRaw: false) == rendered)
        #expect(rendered > 10)
    }

    @Test("a step that fails twice fails its streams; a row that is not finite only its own") func failures() throws {
        let steps = Counter()
        var script = FakeBackend.Script()
        script.willExecute = { _ throws(EngineError) in
            if steps.next() < 2 { throw EngineError(.backend, "the device is gone") }
        }
        script.output = { history, _ in history.first == 78 ? .nonFinite : .natural }
        let server = try TestServer(script: script)
        let client = try server.client()
        #expect(try client.collect(client.generate(.greedy("a", maxTokens: 5))).error == .engine)

        let streams = try ["Not a number", "a", "b"].map { try client.generate(.greedy($0, maxTokens: 5)) }
        var answers = [Answer](repeating: Answer(), count: streams.count)
        while !answers.allSatisfy(\.isComplete) {
            let action = try client.next()
            for (index, stream) in streams.enumerated() { answers[index].take(action, stream) }
        }
        #expect(answers.map(\.error) == [.modelOutput, nil, nil])
        #expect(answers.map(\.tokens.count) == [0, 5, 5])
        #expect(server.isIdle())
    }

    @Test("a full engine and a deadline say so") func refusals() throws {
        let gate = Arrivals()
        var script = FakeBackend.Script()
        script.willExecute = { _ throws(EngineError) in _ = gate.wait() }
        var options = EngineOptions()
        options.maxNumRequests = 2
        let server = try TestServer(script: script, options: options)
        let client = try server.client()
        var late = GenerateMessage.greedy("late", maxTokens: 2)
        late.timeout = 1
        let streams = [
            try client.generate(.greedy("first", maxTokens: 2)), try client.generate(late),
        ]
        #expect(try client.collect(client.generate(.greedy("too many", maxTokens: 2))).error == .overloaded)
        let started = ContinuousClock.now
        while ContinuousClock.now - started < .milliseconds(2) {}
        for _ in 0..<10 { gate.signal() }
        var answers = [Answer](repeating: Answer(), count: 2)
        while !answers.allSatisfy(\.isComplete) {
            let action = try client.next()
            for (index, stream) in streams.enumerated() { answers[index].take(action, stream) }
        }
        #expect(answers.map(\.error) == [nil, .deadline])
        #expect(server.isIdle())
    }

    @Test("an adapter answers to its name as a model of its own") func adapters() throws {
        let server = try TestServer(adapters: ["poet", "clerk"])
        let client = try server.client()
        guard case .reply(_, .models(let models)) = try client.ask(.models) else {
            Issue.record("no list of models")
            return
        }
        #expect(models.map(\.name) == ["fake", "poet", "clerk"])
        #expect(Set(models.map(\.architecture)).count == 1 && models.allSatisfy { $0.contextLength == 4_096 })

        let streams = try [nil, "fake", "poet", "clerk", "poet"].map { name in
            var message = GenerateMessage.greedy("a prompt of more than a block", maxTokens: 8)
            message.model = name
            return try client.generate(message)
        }
        var answers = [Answer](repeating: Answer(), count: streams.count)
        var names = [String?](repeating: nil, count: streams.count)
        while !answers.allSatisfy(\.isComplete) {
            let action = try client.next()
            for (index, stream) in streams.enumerated() {
                answers[index].take(action, stream)
                if case .accept(stream, let message) = action { names[index] = message.model }
            }
        }
        #expect(names == ["fake", "fake", "poet", "clerk", "poet"])
        #expect(answers[0].tokens == answers[1].tokens && answers[2].tokens == answers[4].tokens)
        #expect(Set(answers.map(\.tokens)).count == 3 && server.backend.faults.isEmpty)
        #expect(server.isIdle())
    }

    @Test("an unknown model's error names those that there are") func unknownModel() throws {
        let server = try TestServer(adapters: (1...9).map { "adapter-\($0)" })
        let client = try server.client()
        for call in [CallMessage.tokenize(.text("a"), model: "other"), .detokenize([1], model: "other")] {
            guard case .error(_, let error) = try client.ask(call) else {
                Issue.record("no error")
                continue
            }
            #expect(error.code == .notFound)
            #expect(error.message.contains("'other'") && error.message.contains("'fake', 'adapter-1'"))
            #expect(error.message.contains("'adapter-7' and 2 more"))
        }
    }
}
