extension CaseList {
    /// Sections 6.10 to 6.13: what comes back for GENERATE.
    static var answers: CaseList {
        var cases = CaseList("6.10")
        cases.must("GENERATE", "ACCEPT with index 0, and with the model's name if with any") { lab in
            let peer = try lab.greet()
            let accept = try peer.accepted(try peer.open(Generate(limit: 0)))
            let name = try lab.model().name
            guard accept.model ?? name == name else { throw Stop.failed("another model") }
        }
        cases.must("a seed in GENERATE", "the same seed in ACCEPT and FINISH, where they name one") { lab in
            let peer = try lab.greet()
            let stream = try peer.open(Generate().with(Generate.Key.seed, u64(0x1234_5678_9ABC_DEF0)))
            let finish = try peer.finishes(stream)
            for seed in [peer[stream].accept?.seed, finish.seed] where seed != nil && seed != 0x1234_5678_9ABC_DEF0 {
                throw Stop.failed("seed \(seed ?? 0)")
            }
        }
        cases.must("the same request and seed twice, at temperature 1", "the same tokens") { lab in
            let peer = try lab.greet()
            let request = Generate(tokens: 16).with(Generate.Key.temperature, f32(1)).with(Generate.Key.seed, u64(7))
            let streams = try (0..<2).map { _ in try peer.open(request) }
            for stream in streams { try peer.finishes(stream) }
            guard peer[streams[0]].tokens == peer[streams[1]].tokens else { throw Stop.failed("the tokens differ") }
        }
        cases.must("FINISH's seed used again", "the same tokens") { lab in
            let peer = try lab.greet()
            let request = Generate(tokens: 16).with(Generate.Key.temperature, f32(1))
            let first = try peer.open(request)
            guard let seed = try peer.finishes(first).seed else { throw Stop.skipped("FINISH names no seed") }
            let second = try peer.open(request.with(Generate.Key.seed, u64(seed)))
            try peer.finishes(second)
            guard peer[first].tokens == peer[second].tokens else { throw Stop.failed("the tokens differ") }
        }
        cases.must("FINISH's numbers", "those of the prompt and of the tokens that came") { lab in
            let peer = try lab.greet()
            let prompt = Generate(tokens: 8).with(Generate.Key.prompt).with(Generate.Key.promptIDs, ids([1, 2, 3]))
            let finish = try peer.finishes(try peer.open(prompt), Finish.Reason.length)
            guard finish.tokens == 8, finish.generatedTokens ?? 8 == 8, finish.promptTokens ?? 3 == 3 else {
                throw Stop.failed("\(finish.promptTokens ?? 0) prompt tokens, \(finish.generatedTokens ?? 0) generated")
            }
        }
        cases.must("64 tokens", "indexes without a gap, whole characters, the right checksum") { lab in
            let peer = try lab.greet()
            let stream = try peer.open(Generate(tokens: 64).with(Generate.Key.temperature, f32(1.5)))
            guard try peer.finishes(stream, Finish.Reason.length).tokens == 64 else {
                throw Stop.failed("not 64 tokens")
            }
        }
        cases.must("a generation up to the end of the context", "FINISH length, all tokens in order") { lab in
            let context = try lab.model().contextLength
            guard context <= 2_048 else { throw Stop.skipped("the context has \(context) tokens") }
            let peer = try lab.greet()
            let stream = try peer.open(Generate(tokens: context - 16))
            try peer.finishes(stream, Finish.Reason.length)
        }
        for count in [0, 1, 20] {
            cases.must("\(count) log-probabilities", "the chosen token first, then \(count) in falling order") { lab in
                let peer = try lab.greet()
                let stream = try peer.open(Generate(tokens: 6).with(Generate.Key.logprobs, u8(UInt8(count))))
                try peer.finishes(stream)
                try peer[stream].checkLogprobs(count)
            }
        }
        cases.must("no log-probabilities asked for", "none come") { lab in
            let peer = try lab.greet()
            let stream = try peer.open(Generate())
            try peer.finishes(stream)
            guard peer[stream].logprobs.isEmpty else { throw Stop.failed("some came") }
        }
        cases.must("tokens and detokenize", "the text of the stream is that of its ids") { lab in
            let peer = try lab.greet()
            let stream = try peer.open(Generate(tokens: 16))
            try peer.finishes(stream)
            let reply = try peer.reply(try peer.call(Method.detokenize, field(3, ids(peer[stream].tokens))))
            let whole = reply.bytes(2) ?? []
            // The stream may hold back an unfinished character, which detokenize shows as U+FFFD.
            guard
                String(decoding: whole, as: UTF8.self).hasPrefix(String(decoding: peer[stream].text, as: UTF8.self))
                    || whole.contains(0xEF)
            else { throw Stop.failed("the texts differ") }
        }
        return cases
    }

    /// Section 6.6, with 6.15.
    static var calls: CaseList {
        var cases = CaseList("6.6")
        cases.must("health", "a state, a version and a time") { lab in
            let peer = try lab.greet()
            let reply = try peer.reply(try peer.call(Method.health))
            guard try reply.integer(1, UInt8.self) == 1, try reply.text(2, limit: 256) != nil,
                try reply.integer(3, UInt64.self) != nil
            else { throw Stop.failed("a field is missing, or the state is not ready") }
        }
        cases.must("models", "at least one, with name, context and vocabulary") { lab in
            let model = try lab.model()
            guard !model.name.isEmpty, model.contextLength > 0, model.vocabularySize > 0 else {
                throw Stop.failed("\(model)")
            }
        }
        cases.must("statistics", "lower-case names of at most 256 bytes, each once") { lab in
            let peer = try lab.greet()
            let stream = try peer.call(Method.statistics)
            if case .error(let failure) = try peer.end(stream), failure.code == Code.forbidden {
                throw Stop.skipped("the key may not ask for them")
            }
            let values = try peer.reply(stream).all(0x4006)
            let names = values.map { String(decoding: $0.dropFirst(8), as: UTF8.self) }
            for (value, name) in zip(values, names) {
                guard (9...264).contains(value.count), name == name.lowercased() else { throw Stop.failed("'\(name)'") }
            }
            guard !names.isEmpty, Set(names).count == names.count else { throw Stop.failed("none, or one twice") }
        }
        cases.must("tokenize and detokenize", "the text again") { lab in
            let peer = try lab.greet()
            let original = text("Grüße, 世界 𝄞!")
            let tokens = try peer.reply(try peer.call(Method.tokenize, field(2, original))).bytes(3) ?? []
            guard !tokens.isEmpty, tokens.count.isMultiple(of: 4) else {
                throw Stop.failed("\(tokens.count) bytes of ids")
            }
            let back = try peer.reply(try peer.call(Method.detokenize, field(3, tokens))).bytes(2)
            guard back == original else { throw Stop.failed("another text came back") }
        }
        cases.must("tokenize of token ids", "the same ids") { lab in
            let peer = try lab.greet()
            let reply = try peer.reply(try peer.call(Method.tokenize, field(3, ids([1, 2, 3]))))
            guard reply.bytes(3) == ids([1, 2, 3]) else { throw Stop.failed("other ids") }
        }
        cases.addRefusedCalls()
        cases.must("100 calls in one write", "100 replies") { lab in
            let peer = try lab.greet()
            let count = min(100, peer.monitor.grant)
            peer.send((1...count).map { .call($0) })
            for stream in 1...count { _ = try peer.reply(stream) }
        }
        cases.addEmbeddings()
        return cases
    }

    private mutating func addRefusedCalls() {
        for method: UInt16 in [0, 7, 0x7FFF, .max] {
            must("method \(method)", "ERROR NOT_FOUND on the stream") { lab in
                let peer = try lab.greet()
                try peer.fails(try peer.call(method), Code.notFound)
                try peer.fence()
            }
        }
        let wrong: [(String, UInt16, [UInt8], UInt16)] = [
            ("tokenize without a prompt", Method.tokenize, [], Code.invalid),
            ("tokenize of two prompts", Method.tokenize, field(2, text("a")) + field(3, ids([1])), Code.invalid),
            (
                "tokenize for a model that is not there", Method.tokenize, field(1, text("x")) + field(2, text("a")),
                Code.notFound
            ),
            ("tokenize of text that is not UTF-8", Method.tokenize, field(2, [0xC0, 0x80]), Code.invalid),
            ("detokenize of a negative id", Method.detokenize, field(3, ids([-1])), Code.invalid),
            ("detokenize of id 2^31 - 1", Method.detokenize, field(3, ids([.max])), Code.invalid),
            (
                "detokenize for a model that is not there", Method.detokenize, field(1, text("x")) + field(3, ids([1])),
                Code.notFound
            ),
        ]
        for (title, method, fields, code) in wrong {
            must(title, "ERROR \(Code.name(code)) on the stream") { lab in
                let peer = try lab.greet()
                try peer.fails(try peer.call(method, fields), code)
                try peer.fence()
            }
        }
        must("a reserved field of CALL that is set", "REPLY") { lab in
            let peer = try lab.greet()
            peer.send(Frame(FrameType.call, 1, u16(Method.health) + u16(.max)))
            _ = try peer.reply(1)
        }
    }

    /// Section 7.2, UTF-8.
    static var textEncoding: CaseList {
        var cases = CaseList("7.2")
        let malformed: [(String, [UInt8])] = [
            ("a lone continuation byte", [0x80]), ("a cut character of 2 bytes", [0xC3]),
            ("a cut character of 3 bytes", [0xE2, 0x82]), ("a cut character of 4 bytes", [0xF0, 0x9D, 0x84]),
            ("an overlong slash", [0xC0, 0xAF]), ("an overlong form of 3 bytes", [0xE0, 0x80, 0xAF]),
            ("a surrogate", [0xED, 0xA0, 0x80]), ("a number above U+10FFFF", [0xF4, 0x90, 0x80, 0x80]),
            ("byte FE", [0xFE]), ("byte FF between letters", [0x61, 0xFF, 0x62]),
        ]
        for (name, bytes) in malformed {
            cases.refuses("a prompt with \(name)") { _ in Generate().with(Generate.Key.prompt, bytes) }
        }
        cases.refuses("a model's name that is not UTF-8") { _ in Generate().with(Generate.Key.model, [0xFF]) }
        cases.refuses("a stop string that is not UTF-8") { _ in Generate().with(Generate.Key.stopString, [0xC3, 0x28]) }
        cases.refuses("a message whose content is not UTF-8") { lab in
            try lab.chat(message("user", "") + [0xE2, 0x28, 0xA1])
        }
        cases.refuses("a role that is not UTF-8") { lab in try lab.chat([1, 0xFF] + text("Hi")) }
        cases.refuses("a role that ends within a character") { lab in try lab.chat([1, 0xC3, 0xA9] + text("Hi")) }
        cases.must("every refusal", "a sentence in its ERROR, and not retryable") { lab in
            let peer = try lab.greet()
            let failure = try peer.fails(try peer.open(Generate().with(Generate.Key.prompt)), Code.invalid)
            guard failure.message?.isEmpty == false else { throw Stop.failed("no sentence") }
            guard !failure.isRetryable else { throw Stop.failed("retryable") }
        }
        return cases
    }
}

extension Monitor.Stream {
    /// Checks what 6.11 says of the entries of each token.
    fileprivate func checkLogprobs(_ count: Int) throws {
        guard logprobs.count == tokens.count else { throw Stop.failed("entries of \(logprobs.count) tokens") }
        for (token, entries) in zip(tokens, logprobs) {
            guard entries.count == count + 1 else {
                throw Stop.failed("\(entries.count) entries instead of \(count + 1)")
            }
            guard entries[0].id == token else { throw Stop.failed("the first entry is not the chosen token") }
            let others = entries.dropFirst().map(\.value)
            guard others == others.sorted(by: >), entries.allSatisfy({ $0.value <= 0 }) else {
                throw Stop.failed("entries \(entries)")
            }
        }
    }
}
