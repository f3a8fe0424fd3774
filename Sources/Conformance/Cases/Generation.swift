extension CaseList {
    /// Section 6.5: GENERATE, each row of its tables at both ends of its range and beyond.
    static var generation: CaseList {
        var cases = CaseList("6.5")
        cases.addHead()
        cases.addNumbers()
        cases.addPrompts()
        cases.addStops()
        cases.addModels()
        cases.addTemplateInput()
        return cases
    }

    private mutating func addHead() {
        for priority: UInt8 in [0, 7] {
            accepts("priority \(priority)") { _ in
                var request = Generate()
                request.priority = priority
                return request
            }
        }
        for priority: UInt8 in [8, 255] {
            refuses("priority \(priority)") { _ in
                var request = Generate()
                request.priority = priority
                return request
            }
        }
        accepts("reserved bytes that are set") { _ in
            var request = Generate()
            request.reserved = .max
            return request
        }
        accepts("a timeout of 1 minute") { _ in
            var request = Generate()
            request.timeout = 60_000
            return request
        }
        accepts("no flag but raw; the end token may end it") { _ in Generate().flags(Generate.Flag.raw) }
        must("a timeout of 2^32 - 1 ms", "ERROR INVALID where the server has a limit; else ACCEPT") { lab in
            let peer = try lab.greet()
            var request = Generate()
            request.timeout = .max
            let stream = try peer.open(request)
            if case .error = try peer.end(stream) { try peer.fails(stream, Code.invalid) }
        }
        must("flag 4, resumable, on a server that keeps no streams", "the stream is served all the same") { lab in
            let peer = try lab.greet()
            try peer.finishes(try peer.open(Generate().resumable), Finish.Reason.length)
        }
    }

    private mutating func addNumbers() {
        let floats: [(String, UInt16, good: [Float], bad: [Float])] = [
            ("temperature", Generate.Key.temperature, [0, 0.7, 2], [-0.001, 2.001]),
            ("top-p", Generate.Key.topP, [0.001, 1], [0, -0.5, 1.001]),
            ("min-p", Generate.Key.minP, [0, 1], [-0.001, 1.001]),
            ("repetition penalty", Generate.Key.repetitionPenalty, [0.01, 1, 2], [0, -1, 2.001]),
            ("presence penalty", Generate.Key.presencePenalty, [-2, 2], [-2.001, 2.001]),
            ("frequency penalty", Generate.Key.frequencyPenalty, [-2, 2], [-2.001, 2.001]),
        ]
        for (name, key, good, bad) in floats {
            for value in good { accepts("\(name) \(value)") { _ in Generate().with(key, f32(value)) } }
            for value in bad + [.nan, .infinity, -.infinity] {
                refuses("\(name) \(value)") { _ in Generate().with(key, f32(value)) }
            }
        }
        for value: UInt32 in [0, 1, .max] {
            accepts("top-k \(value)") { _ in Generate().with(Generate.Key.topK, u32(value)) }
        }
        for value: UInt64 in [0, .max] {
            accepts("seed \(value)") { _ in Generate().with(Generate.Key.seed, u64(value)) }
        }
        for value: UInt8 in [21, 255] {
            refuses("log-probabilities \(value)") { _ in Generate().with(Generate.Key.logprobs, u8(value)) }
        }
        refuses("most tokens 0") { _ in Generate().with(Generate.Key.maxTokens, u32(0)) }
        must("most tokens 1", "one token and FINISH length") { lab in
            let peer = try lab.greet()
            let stream = try peer.open(Generate(tokens: 1))
            guard try peer.finishes(stream, Finish.Reason.length).tokens == 1 else { throw Stop.failed("not 1 token") }
        }
        must("most tokens 2^32 - 1", "it ends by the context's length, or ERROR INVALID or TOO_LARGE") { lab in
            let peer = try lab.greet()
            // The suite does not wait for a large context to be filled.
            let stream = try peer.open(Generate(limit: 1).with(Generate.Key.maxTokens, u32(.max)))
            try peer.wait(for: "ACCEPT or ERROR") {
                $0.streams[stream]?.accept != nil || $0.streams[stream]?.end != nil
            }
            if peer[stream].accept == nil { try peer.fails(stream, Code.invalid, Code.tooLarge) }
        }
        accepts("fewest tokens 0") { _ in Generate().with(Generate.Key.minTokens, u32(0)) }
        accepts("fewest tokens equal to most tokens") { _ in Generate().with(Generate.Key.minTokens, u32(4)) }
        refuses("fewest tokens above most tokens") { _ in Generate().with(Generate.Key.minTokens, u32(5)) }
        for (name, key) in [("first token", Generate.Key.firstTokenTimeout), ("gap", Generate.Key.gapTimeout)] {
            refuses("\(name) time 0") { _ in Generate().with(key, u32(0)) }
            accepts("\(name) time 60,000") { _ in Generate().with(key, u32(60_000)) }
        }
    }

    private mutating func addPrompts() {
        refuses("no prompt") { _ in Generate().with(Generate.Key.prompt) }
        refuses("a prompt as text and as token ids") { _ in Generate().with(Generate.Key.promptIDs, ids([1])) }
        refuses("a prompt as text and as messages") { _ in Generate().with(Generate.Key.message, message("user", "Hi"))
        }
        refuses("a prompt as token ids and as messages") { _ in
            Generate().with(Generate.Key.prompt).with(Generate.Key.promptIDs, ids([1]))
                .with(Generate.Key.message, message("user", "Hi"))
        }
        accepts("a prompt of one token id") { _ in Generate().ids([1]) }
        refuses("a prompt of no token id") { _ in Generate().ids([]) }
        refuses("a prompt with a negative token id") { _ in Generate().ids([1, -1]) }
        refuses("a prompt with token id 2^31 - 1") { _ in Generate().ids([.max]) }
        refuses("a prompt with the first id outside the vocabulary") { lab in
            Generate().ids([Int32(clamping: try lab.model().vocabularySize)])
        }
        accepts("a prompt with the last id of the vocabulary") { lab in
            Generate().ids([Int32(clamping: try lab.model().vocabularySize) - 1])
        }
        refuses("a prompt of as many tokens as the context", Code.tooLarge, Code.invalid) { lab in
            Generate().ids(Array(repeating: 1, count: Int(try lab.smallContext())))
        }
        refuses("a prompt of a mebibyte", Code.tooLarge, Code.invalid) { lab in
            _ = try lab.smallContext()
            return Generate().with(Generate.Key.prompt, Array(repeating: 0x61, count: 1_048_576))
        }
        accepts("a prompt of characters of 2, 3 and 4 bytes") { _ in
            Generate().with(Generate.Key.prompt, text("é € 𝄞"))
        }
        accepts("a prompt with the character U+0000") { _ in Generate().with(Generate.Key.prompt, text("a\u{0}b")) }
        accepts("a conversation of one message") { lab in
            try lab.chat(message("user", "Hi"))
        }
        accepts("a conversation of all four roles") { lab in
            try lab.chat(message("system", "a"), message("user", "b"), message("assistant", "c"), message("tool", "d"))
        }
        refuses("a role that is none of the four") { lab in try lab.chat(message("robot", "Hi")) }
        refuses("an empty role") { lab in try lab.chat(message("", "Hi")) }
        refuses("a role in capitals") { lab in try lab.chat(message("User", "Hi")) }
        refuses("a role of 32 bytes that is none of the four") { lab in
            try lab.chat(message(String(repeating: "u", count: 32), "Hi"))
        }
        refuses("a role of 33 bytes") { lab in try lab.chat(message(String(repeating: "u", count: 33), "Hi")) }
        refuses("2,049 messages") { lab in
            Generate().flags(Generate.Flag.ignoreEnd).with(Generate.Key.prompt)
                .with(Generate.Key.message, Array(repeating: message("user", ""), count: 2_049))
        }
        must("2,048 messages", "read: served, or ERROR TOO_LARGE for the context") { lab in
            let peer = try lab.greet()
            let stream = try peer.open(try lab.chat(Array(repeating: message("user", "a"), count: 2_048)))
            if case .error = try peer.end(stream) { try peer.fails(stream, Code.tooLarge) }
        }
    }

    private mutating func addStops() {
        accepts("64 stop tokens") { _ in Generate().with(Generate.Key.stopTokens, ids(Array(repeating: 2, count: 64))) }
        refuses("65 stop tokens") { _ in Generate().with(Generate.Key.stopTokens, ids(Array(repeating: 2, count: 65))) }
        accepts("no stop token in the list") { _ in Generate().with(Generate.Key.stopTokens, []) }
        accepts("16 stop strings") { _ in
            Generate().with(Generate.Key.stopString, (0..<16).map { text("never said \($0)") })
        }
        refuses("17 stop strings") { _ in
            Generate().with(Generate.Key.stopString, (0..<17).map { text("never said \($0)") })
        }
        accepts("a stop string of 256 bytes") { _ in
            Generate().with(Generate.Key.stopString, Array(repeating: 0x7E, count: 256))
        }
        refuses("a stop string of 257 bytes") { _ in
            Generate().with(Generate.Key.stopString, Array(repeating: 0x7E, count: 257))
        }
        must("the first token as a stop token", "FINISH stop") { lab in
            let peer = try lab.greet()
            let plain = try peer.open(Generate(tokens: 8))
            try peer.finishes(plain)
            let first = Array(peer[plain].tokens.prefix(1))
            let stream = try peer.open(Generate(tokens: 8).with(Generate.Key.stopTokens, ids(first)))
            guard try peer.finishes(stream, Finish.Reason.stop).tokens <= 1 else { throw Stop.failed("it went on") }
        }
        must("the first token as a stop token, fewest tokens 4", "at least 4 tokens") { lab in
            let peer = try lab.greet()
            let plain = try peer.open(Generate(tokens: 8))
            try peer.finishes(plain)
            let first = Array(peer[plain].tokens.prefix(1))
            let request = Generate(tokens: 8).with(Generate.Key.stopTokens, ids(first))
                .with(Generate.Key.minTokens, u32(4))
            let stream = try peer.open(request)
            guard try peer.finishes(stream).tokens >= 4 else { throw Stop.failed("it stopped before") }
        }
        must("a text that the output contains as a stop string", "FINISH stop, and the text ends before it") { lab in
            let peer = try lab.greet()
            let plain = try peer.open(Generate(tokens: 24))
            try peer.finishes(plain)
            guard let said = String(decoding: peer[plain].text, as: UTF8.self).last(where: { $0.isASCII }) else {
                throw Stop.skipped("the model says nothing that could be searched for")
            }
            let stream = try peer.open(Generate(tokens: 24).with(Generate.Key.stopString, text(String(said))))
            try peer.finishes(stream, Finish.Reason.stop)
            let output = String(decoding: peer[stream].text, as: UTF8.self)
            guard !output.contains(said) else { throw Stop.failed("the stop string is part of the text") }
        }
    }

    private mutating func addModels() {
        accepts("the model's name") { lab in Generate().with(Generate.Key.model, text(try lab.model().name)) }
        refuses("a model that is not there", Code.notFound) { _ in
            Generate().with(Generate.Key.model, text("no such model"))
        }
        refuses("a model's name of 256 bytes that is not there", Code.notFound) { _ in
            Generate().with(Generate.Key.model, Array(repeating: 0x6D, count: 256))
        }
        refuses("a model's name of 257 bytes") { _ in
            Generate().with(Generate.Key.model, Array(repeating: 0x6D, count: 257))
        }
        must("a refused request, then a good one", "the connection serves it") { lab in
            let peer = try lab.greet()
            try peer.fails(try peer.open(Generate().with(Generate.Key.prompt)), Code.invalid)
            try peer.finishes(try peer.open(Generate()), Finish.Reason.length)
        }
        must("a refused request beside one that waits for credit", "the other is not touched") { lab in
            let peer = try lab.greet()
            let waiting = try peer.openAccepted(Generate(limit: 0))
            try peer.fails(try peer.open(Generate().with(Generate.Key.prompt)), Code.invalid)
            peer.send(.credit(waiting, .max))
            try peer.finishes(waiting, Finish.Reason.length)
        }
    }
}

extension Generate {
    /// The same with token ids for a prompt.
    fileprivate func ids(_ values: [Int32]) -> Generate {
        with(Key.prompt).with(Key.promptIDs, LMConformance.ids(values))
    }
}

extension Lab {
    /// Tokens of the model's context; skips the case when they are too many to be overrun.
    fileprivate func smallContext() throws -> UInt32 {
        let context = try model().contextLength
        guard context <= 65_536 else { throw Stop.skipped("the context has \(context) tokens") }
        return context
    }

    /// A request with a conversation; skips the case when the model has no chat template.
    func chat(_ messages: [UInt8]...) throws -> Generate { try chat(messages) }

    /// A request with a conversation; skips the case when the model has no chat template.
    func chat(_ messages: [[UInt8]]) throws -> Generate {
        guard try model().hasTemplate else { throw Stop.skipped("the model has no chat template") }
        return Generate().flags(Generate.Flag.ignoreEnd).with(Generate.Key.prompt).with(Generate.Key.message, messages)
    }
}
