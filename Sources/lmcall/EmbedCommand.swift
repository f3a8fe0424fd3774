import LMClient
import LMSupport

/// `lmcall embed`: the vectors of texts, a JSON object a line in the order of the texts.
struct EmbedCommand {
    let settings: CallSettings
    let words: [String]

    /// Calls under way, or waiting for an earlier one to be printed: enough to fill the server's steps.
    private static let concurrency = 32

    private typealias Outcome = Result<Embedding, LMError>

    /// - Throws: what a call failed by. A text that the server refuses gets a line with the error, and the others theirs;
    ///   anything else ends the command.
    func run() async throws -> ExitCode {
        let prompts = try prompts()
        let client = try settings.server.connect()
        let progress = ProgressLine()
        defer { progress.clear() }
        var refusal: LMError?
        try await withThrowingTaskGroup { group in
            var (started, printed) = (0, 0)
            var outcomes: [Int: Outcome] = [:]
            while printed < prompts.count {
                while started < min(prompts.count, printed + Self.concurrency) {
                    let index = started
                    group.addTask { (index, await embed(prompts[index], with: client)) }
                    started += 1
                }
                guard let (index, outcome) = try await group.next() else { return }
                outcomes[index] = outcome
                while let outcome = outcomes.removeValue(forKey: printed) {
                    progress.clear()
                    try write(outcome, index: printed)
                    if case .failure(let error) = outcome {
                        guard error.concernsTextAlone else { throw try await explained(error, by: client) }
                        refusal = refusal ?? error
                    }
                    printed += 1
                }
                if prompts.count > 1 { progress.show("\(printed) of \(prompts.count) texts") }
            }
        }
        if let refusal { throw ProgramError(refusal) }
        return .success
    }

    private func prompts() throws(ProgramError) -> [GenerateRequest.Prompt] {
        let whole =
            if let file = settings.embedding.file {
                try prompt(file: file)
            } else {
                try settings.prompt.resolve(words)
            }
        guard let prompt = whole else {
            throw .usage("there is no text: give it as an argument, on standard input or with --file")
        }
        guard settings.embedding.splitsLines else { return [prompt] }
        guard case .text(let text) = prompt else { throw .usage("--lines takes text; leave out --ids and --messages") }
        // The newline behind the last line begins none.
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        return (lines.last?.isEmpty == true ? lines.dropLast() : lines[...]).map { .text(String($0)) }
    }

    private func prompt(file: String) throws(ProgramError) -> GenerateRequest.Prompt? {
        let other = settings.prompt
        guard words.isEmpty, other.messagesFile == nil, other.system == nil, other.ids.isEmpty else {
            throw .usage("--file holds the whole text; leave out the other one")
        }
        return .text(try PromptInput.text(path: file))
    }

    private func embed(_ prompt: GenerateRequest.Prompt, with client: LMClient) async -> Outcome {
        do throws(LMError) {
            return .success(
                try await client.embed(
                    prompt, pooling: settings.embedding.pooling, isNormalized: settings.embedding.isNormalized,
                    model: settings.prompt.model, timeout: settings.prompt.timeout))
        } catch {
            return .failure(error)
        }
    }

    private func write(_ outcome: Outcome, index: Int) throws {
        struct Document: Encodable {
            var index: Int
            var embedding: [Float]?
            var promptTokens: Int?
            var error: Answer.Failure?
        }
        var document = Document(index: index)
        switch outcome {
        case .success(let embedding):
            document.embedding = embedding.vector
            document.promptTokens = embedding.promptTokens
        case .failure(let error): document.error = Answer.Failure(error)
        }
        try StandardStream.output.write(try JSONText.line(document) + "\n")
    }

    /// `NOT_FOUND` is said of a model, and by servers that do not know the call at all.
    private func explained(_ error: LMError, by client: LMClient) async throws -> ProgramError {
        guard error.code == .notFound else { return ProgramError(error) }
        if let model = settings.prompt.model, try await !client.models().contains(where: { $0.name == model }) {
            return ProgramError(error)
        }
        return ProgramError(
            .protocolError, "the server is too old for 'lmcall embed': \(error.message); update lmserve")
    }
}

extension LMError {
    /// Whether another text, sent the same way, could succeed.
    fileprivate var concernsTextAlone: Bool { code == .invalid || code == .tooLarge }
}
