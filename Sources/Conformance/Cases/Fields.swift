extension CaseList {
    /// Section 4.1.
    static var fields: CaseList {
        var cases = CaseList("4.1")
        cases.accepts("GENERATE with an unknown field") { _ in Generate().with(0x0777, [1, 2, 3]) }
        cases.accepts("GENERATE with an unknown empty field") { _ in Generate().with(0x3FFF, []) }
        cases.accepts("GENERATE with an unknown repeatable field three times") { _ in
            Generate().with(0x4777, [], [1], [1, 2])
        }
        cases.accepts("GENERATE with field 0") { _ in Generate().with(0, [9]) }
        cases.refuses("GENERATE with an unknown critical field") { _ in Generate().with(0x8777, [1]) }
        cases.refuses("GENERATE with an unknown critical repeatable field") { _ in Generate().with(0xC777, [1]) }
        cases.refuses("GENERATE with key 16 and the critical bit, which is another key") { _ in
            Generate().with(0x8000 | Generate.Key.temperature, f32(0))
        }
        cases.must("CALL with an unknown field", "REPLY") { lab in
            let peer = try lab.greet()
            _ = try peer.reply(try peer.call(Method.health, field(0x0777, [1])))
        }
        cases.must("CALL with an unknown critical field", "ERROR INVALID on the stream") { lab in
            let peer = try lab.greet()
            try peer.fails(try peer.call(Method.health, field(0x8777, [1])), Code.invalid)
            try peer.fence()
        }
        cases.must("ERROR on stream 0 with an unknown field", "close") { lab in
            let peer = try lab.greet()
            peer.send(.error(fields: field(0x0777, [1])))
            try peer.closes()
        }
        cases.addOrder()
        cases.addLies()
        cases.addSizes()
        return cases
    }

    private mutating func addOrder() {
        let prompt = field(Generate.Key.prompt, text("Hi"))
        let temperature = field(Generate.Key.temperature, f32(0))
        generates("fields in descending order") { temperature + prompt }
        generates("a field twice") { prompt + prompt }
        generates("a field twice with another between") { prompt + temperature + prompt }
        generates("an unknown field twice") { prompt + field(0x0777, []) + field(0x0777, []) }
        generates("an unknown field before a known one with a lower key") { field(0x0777, []) + prompt }
        accepts("a repeatable field twice, in order") { lab in
            Generate().with(Generate.Key.stopString, text("never said 1"), text("never said 2"))
        }
        generates("a repeatable field, another, and the first again") {
            prompt + field(Generate.Key.stopString, text("x")) + field(0x4777, [])
                + field(Generate.Key.stopString, text("y"))
        }
        violation("CALL with fields in descending order") { _ in
            [.call(1, Method.tokenize, field(2, text("Hi")) + field(1, text("m")))]
        }
        violation("RESUME with a field twice") { _ in
            [.resume(1, Array(repeating: 7, count: 16), index: 0, fields: field(0x0777, []) + field(0x0777, []))]
        }
    }

    private mutating func addLies() {
        for count in 1...5 {
            generates("\(count) bytes of a field's head") { Array(field(Generate.Key.prompt, []).prefix(count)) }
        }
        generates("a field one byte longer than the frame") { field(Generate.Key.prompt, text("Hi"), length: 3) }
        generates("a field of 2^32 - 1 bytes") { field(Generate.Key.prompt, text("Hi"), length: .max) }
        generates("an unknown field longer than the frame") {
            field(Generate.Key.prompt, text("Hi")) + field(0x0777, [1], length: 2)
        }
        generates("one byte after the last field") { field(Generate.Key.prompt, text("Hi")) + [0] }
        generates("a message whose role is longer than it") {
            field(Generate.Key.message, message("user", "", roleLength: 5))
        }
        generates("an empty message, which lacks the length of its role") { field(Generate.Key.message, []) }
    }

    private mutating func addSizes() {
        let sizes: [(String, UInt16, Int)] = [
            ("temperature", Generate.Key.temperature, 4), ("top-p", Generate.Key.topP, 4),
            ("top-k", Generate.Key.topK, 4), ("min-p", Generate.Key.minP, 4),
            ("repetition penalty", Generate.Key.repetitionPenalty, 4),
            ("presence penalty", Generate.Key.presencePenalty, 4),
            ("frequency penalty", Generate.Key.frequencyPenalty, 4), ("seed", Generate.Key.seed, 8),
            ("log-probabilities", Generate.Key.logprobs, 1), ("most tokens", Generate.Key.maxTokens, 4),
            ("fewest tokens", Generate.Key.minTokens, 4), ("first-token time", Generate.Key.firstTokenTimeout, 4),
            ("gap time", Generate.Key.gapTimeout, 4),
        ]
        for (name, key, size) in sizes {
            for wrong in Set([0, size - 1, size + 1]).sorted() {
                generates("\(name) of \(wrong) bytes") {
                    Array(Generate().with(key, Array(repeating: 0, count: wrong)).payload.dropFirst(12))
                }
            }
        }
        for wrong in [1, 3, 5] {
            generates("a prompt of token ids with \(wrong) bytes") {
                field(Generate.Key.promptIDs, Array(repeating: 0, count: wrong))
            }
            generates("stop tokens with \(wrong) bytes") {
                field(Generate.Key.prompt, text("Hi"))
                    + field(Generate.Key.stopTokens, Array(repeating: 0, count: wrong))
            }
        }
        violation("CALL detokenize with 3 bytes of ids") { _ in [.call(1, Method.detokenize, field(3, [0, 0, 0]))] }
    }

    /// A GENERATE whose fields end the connection.
    private mutating func generates(_ title: String, _ fields: @escaping @Sendable () -> [UInt8]) {
        violation("GENERATE with \(title)") { _ in [Frame(FrameType.generate, 1, Generate().head + fields())] }
    }
}
