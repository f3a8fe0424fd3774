import LMSupport

/// The answer's text and nothing else; byte for byte what the model wrote, unless a terminal has to be protected.
struct TextWriter: AnswerWriter {
    private let output = StandardStream.output
    private var endsInNewline = true

    mutating func began(_ opening: Answer.Opening) {}

    mutating func received(_ piece: Answer.Piece) throws {
        guard let last = piece.text.last else { return }
        endsInNewline = last.isNewline
        try output.write(output.terminal.showing(piece.text))
    }

    mutating func ended(_ ending: Answer.Ending) throws { try finishLine() }

    /// What is wrong goes to standard error, which the program's end takes care of.
    mutating func failed(_ failure: Answer.Failure) throws { try finishLine() }

    private mutating func finishLine() throws {
        if output.terminal.isTerminal, !endsInNewline { try output.write("\n") }
        endsInNewline = true
    }
}

/// One JSON object when the answer has ended; for a failure too, with what had arrived.
struct JSONWriter: AnswerWriter {
    private struct Document: Encodable {
        var v = 1
        var id: String?
        var model: String?
        var text = ""
        var tokenIds: [Int32] = []
        var logprobs: [Answer.Logprob]?
        var finishReason: String?
        var usage: Answer.Usage?
        var timingMs: Answer.Timing?
        var seed: UInt64?
        var error: Answer.Failure?
    }

    private var document = Document()

    mutating func began(_ opening: Answer.Opening) {
        document.id = opening.id
        document.model = opening.model
    }

    mutating func received(_ piece: Answer.Piece) {
        document.text += piece.text
        document.tokenIds += piece.ids
        if !piece.logprobs.isEmpty { document.logprobs = (document.logprobs ?? []) + piece.logprobs }
    }

    mutating func ended(_ ending: Answer.Ending) throws {
        document.finishReason = ending.finishReason
        document.usage = ending.usage
        document.timingMs = ending.timingMs
        document.seed = ending.seed
        try StandardStream.output.write(try JSONText.line(document) + "\n")
    }

    mutating func failed(_ failure: Answer.Failure) throws {
        document.error = failure
        try StandardStream.output.write(try JSONText.line(document) + "\n")
    }
}

/// A JSON object a line, as things happen; the last line is always `end` or `error`.
struct NDJSONWriter: AnswerWriter {
    private struct Line<Content: Encodable>: Encodable {
        let t: String
        let content: Content

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(t, forKey: .t)
            try content.encode(to: encoder)
        }

        private enum CodingKeys: CodingKey { case t }
    }

    private struct Open: Encodable {
        let v = 1
        let id: String?
        let model: String?
    }

    private struct Delta: Encodable {
        let seq: Int
        let text: String
        let ids: [Int32]
        let logprobs: [Answer.Logprob]?
    }

    mutating func began(_ opening: Answer.Opening) throws {
        try write("open", Open(id: opening.id, model: opening.model))
    }

    mutating func received(_ piece: Answer.Piece) throws {
        let logprobs = piece.logprobs.isEmpty ? nil : piece.logprobs
        try write("delta", Delta(seq: piece.index, text: piece.text, ids: piece.ids, logprobs: logprobs))
    }

    mutating func ended(_ ending: Answer.Ending) throws { try write("end", ending) }

    mutating func failed(_ failure: Answer.Failure) throws { try write("error", failure) }

    private func write(_ kind: String, _ content: some Encodable) throws {
        try StandardStream.output.write(try JSONText.line(Line(t: kind, content: content)) + "\n")
    }
}
