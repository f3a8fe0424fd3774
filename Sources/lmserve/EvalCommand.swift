import LMEngine
import LMSupport

/// `lmserve eval`: how well the model, as it would be served, foretells a text.
struct EvalCommand {
    var model = ModelSettings()
    var file = ""
    var context: Int?
    var tokens: Int?
    var json = false

    /// Bytes of text that are read.
    private static let textLimit = 256 << 20
    private static let defaultContext = 2048

    /// The result.
    struct Row: Encodable {
        let model: String
        let backend: String
        let context: Int
        /// Tokens that were foretold.
        let tokens: Int
        let perplexity: Double
        /// Natural logarithm, mean of a token.
        let negativeLogLikelihood: Double
        /// Of the mean.
        let standardError: Double
        let seconds: Double
        let tokensPerSecond: Double
    }

    static var table: OptionTable<EvalCommand> {
        OptionTable(
            usage: "lmserve eval --perplexity FILE --model PATH|NAME [OPTIONS]",
            summary: """
                Computes the perplexity of a text: how many equally likely tokens would surprise the model as much. Lower
                is better; what a number format costs is seen by evaluating the same text with and without it.
                The text is read in windows of --context tokens that overlap by half, so that each token is foretold
                once, from half a window or more before it. Every window starts with the beginning of sequence if the
                model wants one.
                """,
            groups: [
                OptionGroup("Model", ModelSettings.options(at: \EvalCommand.model)),
                OptionGroup("Evaluation", evaluationOptions),
            ],
            epilogue: """
                Examples:
                  lmserve eval --perplexity book.txt --model SmolLM2-135M-Instruct.Q4_1
                  lmserve eval --perplexity - --tokens 20000 --json --model ~/models/Qwen2.5-0.5B-Instruct < book.txt
                """)
    }

    private static var evaluationOptions: [Option<EvalCommand>] {
        [
            .value("--perplexity", as: .text("FILE"), to: \.file, "UTF-8 text; '-' reads standard input"),
            .value(
                "--context", as: .integer("TOKENS", in: 4...1 << 24), to: \.context,
                "tokens of a window (default \(defaultContext), or what the model was trained for if that is less)"),
            .value(
                "--tokens", as: .integer("TOKENS", in: 2...1 << 30), to: \.tokens,
                "tokens of the text that are used, from its start (default all)"),
            .flag("--json", set: \.json, "one JSON object instead of text"),
        ]
    }

    func run() throws {
        guard !file.isEmpty else { throw ProgramError.usage("--perplexity is missing: which text?") }
        let wish = try DeviceChoice(model)
        let text = try InputText.text(try InputText.bytes(of: file, limit: Self.textLimit), source: file)
        let source = try ModelSource(model)
        let contextLength = source.checkpoint.configuration.contextLength
        let context = context ?? min(Self.defaultContext, contextLength)
        guard context <= contextLength else {
            throw ProgramError.usage("--context: the model was trained for \(contextLength) tokens")
        }
        source.announce()
        let backend = try source.makeBackend(model, on: try wish.settled(for: source, model).device)
        StandardStream.error.note("back end: \(backend.summary)")
        let row: Row
        do throws(EngineError) {
            row = try evaluate(text, source, backend, context: context)
        } catch {
            throw ProgramError(error)
        }
        try show(row)
    }

    private func evaluate(
        _ text: String, _ source: ModelSource, _ backend: any Backend, context: Int
    ) throws(EngineError) -> Row {
        var ids: [Int32] = []
        source.checkpoint.tokenizer.encode(Array(text.utf8).span, parseSpecial: false, into: &ids)
        if let tokens { ids.removeLast(max(0, ids.count - tokens)) }
        let evaluation = try PerplexityEvaluation(
            backend: backend, vocabularySize: source.checkpoint.configuration.vocabularySize, text: ids,
            beginning: source.checkpoint.tokenizer.beginningOfSequence, context: context)
        let progress = ProgressLine()
        defer { progress.clear() }
        let start = ContinuousClock.now
        func seconds() -> Double { (ContinuousClock.now - start) / .seconds(1) }
        let result = try evaluation.run { done, total in
            progress.show("\(done) of \(total) tokens, \((Double(done) / seconds()).fixed(0)) tokens/s")
        }
        let elapsed = seconds()
        return Row(
            model: source.name, backend: backend.summary, context: context, tokens: result.tokens,
            perplexity: result.value, negativeLogLikelihood: result.meanNegativeLogLikelihood,
            standardError: result.standardError, seconds: elapsed, tokensPerSecond: Double(result.tokens) / elapsed)
    }

    private func show(_ row: Row) throws {
        guard !json else { return try StandardStream.output.write(try JSONText.line(row) + "\n") }
        try StandardStream.output.write(
            """
            perplexity              \(row.perplexity.fixed(4))
            negative log-likelihood \(row.negativeLogLikelihood.fixed(5)) ± \(row.standardError.fixed(5)) nats a token
            tokens                  \(row.tokens), \(row.tokensPerSecond.fixed(1)) a second, context \(row.context)

            """)
    }
}
