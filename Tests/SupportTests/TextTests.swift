import LMSupport
import Testing

@Suite struct TextTests {
    @Test(arguments: [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\u{1B}[31mred", "^[[31mred"),
        ("a\u{07}b\u{7F}c\rd", "a^Gb^?c^Md"),
        ("\u{9B}2J", "\\x9b2J"),
        ("žluťoučký 日本 🙂", "žluťoučký 日本 🙂"),
    ])
    func controlCharactersAreMadeVisible(text: String, safe: String) {
        #expect(escapingControls(text) == safe)
    }

    @Test(arguments: [
        (true, nil, "xterm", true), (true, "", "xterm", true), (true, "1", "xterm", false),
        (true, nil, "dumb", false), (false, nil, "xterm", false),
    ])
    func escapesOnlyWhereTheyAreWelcome(isTerminal: Bool, noColor: String?, term: String?, allowed: Bool) {
        #expect(Terminal(isTerminal: isTerminal, noColor: noColor, term: term).allowsEscapes == allowed)
    }

    @Test func textIsOnlyChangedOnATerminal() {
        #expect(Terminal(isTerminal: false, noColor: nil, term: nil).showing("\u{1B}") == "\u{1B}")
        #expect(Terminal(isTerminal: true, noColor: "1", term: nil).showing("\u{1B}") == "^[")
    }

    @Test(arguments: [
        ([UInt8]("ok é".utf8), nil as Int?), ([], nil), ([0x61, 0xFF, 0x62], 1), ([0x61, 0xC3], 1),
        ([0x61, 0x62, 0], 2),
        ([0xED, 0xA0, 0x80], 0), ([0xC0, 0xAF], 0), ([0xF4, 0x90, 0x80, 0x80], 0),
    ])
    func invalidUTF8IsRefusedWithItsOffset(bytes: [UInt8], offset: Int?) {
        do {
            let text = try InputText.text(bytes, source: "prompt")
            #expect(offset == nil && Array(text.utf8) == bytes)
        } catch {
            #expect(error.code == .badInput)
            #expect(offset.map { error.message.contains("prompt: byte \($0) is") } == true, "\(error)")
        }
    }

    @Test func aMissingFileIsNamed() {
        #expect(throws: ProgramError(.missingInput, "cannot read /nonexistent: No such file or directory")) {
            try InputText.bytes(of: "/nonexistent", limit: 10)
        }
    }

    @Test func aFileAboveTheLimitIsRefused() {
        #expect(throws: ProgramError(.badInput, "/proc/version is longer than the limit of 4 B")) {
            try InputText.bytes(of: "/proc/version", limit: 4)
        }
    }

    @Test func numbersForPeople() {
        #expect(3.14159.fixed(2) == "3.14")
        #expect((-0.5).fixed(0) == "-0")
        #expect(Double.greatestFiniteMagnitude.fixed(1).count == 311)
        #expect(describeBytes(1023) == "1023 B")
        #expect(describeBytes(1536) == "1.5 KiB")
        #expect(describeBytes(3 << 30) == "3.00 GiB")
        #expect("ab".centered(in: 5, fill: "-") == "-ab--")
    }
}

@Suite struct JSONTextTests {
    private struct Answer: Codable, Equatable {
        var text = "a/b\n\u{1}"
        var ids = [1, 2]
        var topLogprob: Float = 0.1
        var rate = Double.infinity
    }

    @Test func oneLineWithSortedKeys() throws {
        #expect(
            try JSONText.line(Answer()) == #"{"ids":[1,2],"rate":"inf","text":"a/b\n\u0001","top_logprob":0.1}"#)
        #expect(
            try JSONText.line(JSONValue.object(["b": .null, "a": .array([.boolean(true), .integer(3)])]))
                == #"{"a":[true,3],"b":null}"#)
    }

    @Test(arguments: [
        ("{", "not the JSON expected here"), (#"[{"role":"user"}]"#, "at [0]: 'content' is missing"),
        (#"[{"role":"user","content":3}]"#, "at [0].content: expected String"),
    ])
    func mistakesNameTheirPlace(json: String, message: String) {
        struct Message: Decodable { let role, content: String }
        #expect {
            try JSONText.decode([Message].self, from: Array(json.utf8), source: "chat.json")
        } throws: { error in
            guard let error = error as? ProgramError else { return false }
            return error.code == .badInput && error.message.hasPrefix("chat.json: ") && error.message.contains(message)
        }
    }
}
