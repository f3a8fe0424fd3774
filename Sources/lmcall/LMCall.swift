import Glibc
import LMClient
import LMSupport

/// The command line client: parses, configures, runs.
@main enum LMCall {
    static func main() async {
        prepareProcess()
        // Before any other thread exists, so that all of them leave signals to the listener.
        let interruption: Interruption
        do {
            interruption = try Interruption()
        } catch {
            exitProgram(reportFailure(error, program: "lmcall"))
        }
        do {
            exitProgram(try await run(try InputText.arguments(), interruption))
        } catch {
            exitProgram(interruption.exitCode ?? reportFailure(error, program: "lmcall"))
        }
    }

    private static func run(_ arguments: [String], _ interruption: Interruption) async throws -> ExitCode {
        // A command with options of its own.
        if arguments.first == "conformance" { return try conformance(Array(arguments.dropFirst())) }
        switch try CallSettings.table.parse(arguments, into: CallSettings()) {
        case .show(let text):
            try StandardStream.output.write(text)
            return .success
        case .run(let settings, let rest):
            let (command, words) = try Command.choose(rest)
            switch command {
            case .run: return try await ask(settings, words, interruption)
            case .chat:
                guard words.isEmpty else {
                    throw ProgramError.usage("chat takes no prompt; type it once it has started")
                }
                return try await ChatCommand(settings: settings, interruption: interruption).run()
            case .embed: return try await EmbedCommand(settings: settings, words: words).run()
            case .health, .models, .stats, .tokenize, .detokenize:
                return try await InquiryCommand(command: command, settings: settings, words: words).run()
            }
        }
    }

    private static func conformance(_ arguments: [String]) throws -> ExitCode {
        switch try ConformanceSettings.table.parse(arguments, into: ConformanceSettings()) {
        case .show(let text):
            try StandardStream.output.write(text)
            return .success
        case .run(let settings, let rest):
            return try ConformanceCommand(settings: settings, words: rest.positionals).run()
        }
    }

    /// One prompt; or a chat, when a person at a terminal gave none.
    private static func ask(
        _ settings: CallSettings, _ words: [String], _ interruption: Interruption
    ) async throws -> ExitCode {
        guard let prompt = try settings.prompt.resolve(words) else {
            guard isatty(STDIN_FILENO) == 1, StandardStream.output.terminal.isTerminal else {
                throw ProgramError.usage("there is no prompt: give it as an argument or on standard input; see --help")
            }
            return try await ChatCommand(settings: settings, interruption: interruption).run()
        }
        let generation = Generation(client: try settings.server.connect(), interruption: interruption)
        let request = try settings.request(prompt)
        switch settings.output.format {
        case .text:
            var writer = TextWriter()
            return try await generation.run(request, showingUsage: settings.output.showsUsage, to: &writer)
        case .json:
            var writer = JSONWriter()
            return try await generation.run(request, showingUsage: settings.output.showsUsage, to: &writer)
        case .ndjson:
            var writer = NDJSONWriter()
            return try await generation.run(request, showingUsage: settings.output.showsUsage, to: &writer)
        }
    }
}
