import LMClient
import LMSupport

/// The commands that ask one question: health, models, stats, tokenize, detokenize.
struct InquiryCommand {
    let command: Command
    let settings: CallSettings
    let words: [String]

    func run() async throws -> ExitCode {
        guard settings.output.format != .ndjson else {
            throw ProgramError.usage("'lmcall \(command.rawValue)' gives one answer; use --format json")
        }
        do {
            let client = try settings.server.connect()
            switch command {
            case .health: return try await health(client)
            case .models: try await models(client)
            case .stats: try await statistics(client)
            case .tokenize: try await tokenize(client)
            case .detokenize: try await detokenize(client)
            case .run, .chat, .embed: preconditionFailure("not an inquiry")
            }
            return .success
        } catch let error as LMError {
            if isJSON {
                try write(JSONText.line(["error": Answer.Failure(error)]))
            }
            throw ProgramError(error)
        }
    }

    private var isJSON: Bool { settings.output.format == .json }

    private func write(_ line: String) throws { try StandardStream.output.write(line + "\n") }

    private func health(_ client: LMClient) async throws -> ExitCode {
        struct Document: Encodable {
            let status: String
            let version: String
            let uptimeS: Double
        }
        try refuseWords()
        let health = try await client.health()
        let uptime = health.uptime / .seconds(1)
        if isJSON {
            try write(
                JSONText.line(
                    Document(status: health.status.description, version: health.version, uptimeS: uptime)))
        } else {
            try write("\(health.status), \(health.version), up \(uptime.fixed(0)) s")
        }
        return health.status == .ready ? .success : .modelUnavailable
    }

    private func models(_ client: LMClient) async throws {
        struct Document: Encodable {
            let name, architecture, format, device: String
            let contextLength, vocabularySize: Int
            let parameters, cacheTokens: UInt64
        }
        try refuseWords()
        let models = try await client.models()
        if isJSON {
            let documents = models.map {
                Document(
                    name: $0.name, architecture: $0.architecture, format: $0.format, device: $0.device,
                    contextLength: $0.contextLength, vocabularySize: $0.vocabularySize, parameters: $0.parameters,
                    cacheTokens: $0.cacheTokens)
            }
            try write(JSONText.line(["models": documents]))
        } else {
            for model in models {
                let facts = [model.architecture, model.format, model.device].filter { !$0.isEmpty }
                try write("\(model.name)  \(facts.joined(separator: " "))  context \(model.contextLength)")
            }
        }
    }

    private func statistics(_ client: LMClient) async throws {
        try refuseWords()
        let statistics = try await client.statistics()
        if isJSON {
            try write(JSONText.line(Dictionary(statistics.map { ($0.name, $0.value) }) { $1 }))
        } else {
            let width = statistics.map(\.name.count).max() ?? 0
            for statistic in statistics { try write("\(statistic.name.padded(to: width))  \(statistic.value)") }
        }
    }

    private func tokenize(_ client: LMClient) async throws {
        guard let prompt = try settings.prompt.resolve(words) else {
            throw ProgramError.usage("there is no text: give it as an argument or on standard input")
        }
        let ids = try await client.tokenize(
            prompt, tools: settings.prompt.tools(),
            templateArguments: settings.prompt.checkedTemplateArguments(), model: settings.prompt.model)
        try write(isJSON ? JSONText.line(["token_ids": ids]) : ids.map(String.init).joined(separator: ","))
    }

    private func detokenize(_ client: LMClient) async throws {
        let text = try PromptInput.text(arguments: words) ?? ""
        var ids: [Int32] = []
        for part in text.split(whereSeparator: { $0 == "," || $0.isWhitespace }) {
            guard let id = Int32(part) else {
                throw ProgramError(.badInput, "'\(part)' is no token id; give numbers separated by commas or spaces")
            }
            ids.append(id)
        }
        guard !ids.isEmpty else { throw ProgramError.usage("there are no token ids: give them as an argument") }
        let answer = try await client.detokenize(ids)
        if isJSON {
            try write(JSONText.line(["text": answer]))
        } else {
            // Exactly the text; a person's terminal gets it harmless and with a line of its own.
            let terminal = StandardStream.output.terminal
            try StandardStream.output.write(terminal.isTerminal ? terminal.showing(answer) + "\n" : answer)
        }
    }

    private func refuseWords() throws(ProgramError) {
        guard let word = words.first else { return }
        throw .usage("'lmcall \(command.rawValue)' takes no argument, got '\(word)'; to ask it, use 'lmcall run'")
    }
}
