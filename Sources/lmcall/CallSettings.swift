import LMClient
import LMSupport

/// Everything that can be set on the command line of lmcall. What is nil is left to the server.
struct CallSettings {
    var server = ServerOptions()
    var prompt = PromptSettings()
    var sampling = GenerateRequest.Sampling()
    var stop = GenerateRequest.Stop()
    var output = OutputSettings()
    var embedding = EmbeddingSettings()

    struct PromptSettings {
        var model: String?
        var system: String?
        var messagesFile: String?
        var toolsFile: String?
        var templateArguments: String?
        var isRaw = false
        var ids: [Int32] = []
        var timeout: Duration?
        var window: Int?
    }

    struct OutputSettings {
        var format = OutputFormat.text
        var showsUsage = false
    }

    struct EmbeddingSettings {
        var pooling = Pooling.last
        var isNormalized = false
        var splitsLines = false
        var file: String?
    }

    enum OutputFormat: String, CaseIterable {
        case text, json, ndjson
    }
}

/// What lmcall can be asked to do; the word after `lmcall`.
enum Command: String, CaseIterable {
    case run, chat, embed, health, models, stats, tokenize, detokenize

    /// Headings of the options that mean something to the command.
    var groups: Set<String> {
        switch self {
        case .run: ["Server", "Prompt", "Chat template", "Sampling", "Output"]
        case .chat: ["Server", "Prompt", "Chat template", "Sampling"]
        case .embed: ["Server", "Prompt", "Embedding"]
        case .tokenize: ["Server", "Prompt", "Chat template", "Output"]
        case .health, .models, .stats, .detokenize: ["Server", "Output"]
        }
    }
}

extension CallSettings {
    /// The option table. Ranges are the engine's, so that a mistake is found before anything is sent.
    static var table: OptionTable<CallSettings> {
        OptionTable(
            usage: "lmcall [COMMAND] [OPTIONS] [PROMPT…]",
            summary: """
                Asks a language model on an lmserve server and prints its answer as it comes.

                Commands:
                  run          answer one prompt; implied when the first word is no command
                  chat         a conversation; implied on a terminal without a prompt
                  embed        the vector of a text, or of each line of one, as JSON lines
                  health       whether the server is ready
                  models       the models it serves
                  stats        its counters
                  tokenize     token ids of a text
                  detokenize   text of token ids
                  conformance  hold a server against the protocol's specification; see 'lmcall conformance --help'

                Piped input is put before the PROMPT; '-' reads it even from a terminal.
                """,
            groups: [
                OptionGroup("Server", ServerOptions.options(at: \.server)), promptGroup, templateGroup, samplingGroup,
                embeddingGroup, outputGroup,
            ],
            epilogue: """
                Examples:
                  lmcall "Name three primary colors."
                  cat report.txt | lmcall "Summarize in one sentence."
                  lmcall --temperature 0 --max-tokens 64 --format json "Why is the sky blue?"
                  lmcall tokenize "Hello, world"
                  lmcall embed --lines --file titles.txt --pooling mean --normalize
                  lmcall --host unix:/run/lmserve.sock health
                """)
    }

    private static var promptGroup: OptionGroup<CallSettings> {
        OptionGroup(
            "Prompt",
            [
                .value("--model", "-m", as: .text("NAME"), to: \.prompt.model, "model to ask (default the server's)"),
                .value("--system", "-s", as: .text("TEXT"), to: \.prompt.system, "system message before the prompt"),
                .value(
                    "--messages", as: .text("FILE"), to: \.prompt.messagesFile,
                    "conversation as JSON: [{\"role\": …, \"content\": …}, …]; the PROMPT, if any, is the next message"),
                .flag("--raw", set: \.prompt.isRaw, "send the prompt as it is, without the model's chat template"),
                .value(
                    "--ids", as: .list(of: .integer("ID", in: 0 ... .max)), to: \.prompt.ids,
                    "the prompt as token ids"),
                .value("--timeout", as: .duration(), to: \.prompt.timeout, "give up on the answer after this"),
                .value(
                    "--window", as: .integer("TOKENS", in: 1...1 << 20), to: \.prompt.window,
                    "tokens the server may be ahead of what was printed"),
            ])
    }

    private static var templateGroup: OptionGroup<CallSettings> {
        OptionGroup(
            "Chat template",
            [
                .value(
                    "--tools", as: .text("FILE"), to: \.prompt.toolsFile,
                    "functions that the model may call, as a JSON array"),
                .value(
                    "--template-arguments", as: .text("JSON"), to: \.prompt.templateArguments,
                    "variables as a JSON object, such as '{\"enable_thinking\": false}'"),
            ])
    }

    private static var samplingGroup: OptionGroup<CallSettings> {
        OptionGroup(
            "Sampling",
            [
                .value("--temperature", "-T", as: .number(in: 0...2), to: \.sampling.temperature, "0 is greedy"),
                .value(
                    "--top-p", as: .number(in: 0...1), to: \.sampling.topP, "likeliest tokens up to this probability"),
                .value("--top-k", as: .integer(in: 0...1 << 30), to: \.sampling.topK, "this many tokens; 0 for all"),
                .value(
                    "--min-p", as: .number(in: 0...1), to: \.sampling.minP,
                    "drop what is less likely, relative to the top"),
                .value("--seed", as: .integer(in: 0 ... .max), to: \.sampling.seed, "makes the answer repeatable"),
                .value(
                    "--max-tokens", as: .integer(in: 1...1 << 30), to: \.stop.maxTokens, "most tokens of the answer"),
                .value(
                    "--min-tokens", as: .integer(in: 0...1 << 30), to: \.stop.minTokens,
                    "do not stop before this many"),
                .repeated("--stop", as: .text("TEXT"), to: \.stop.strings, "end before this text"),
                .repeated("--stop-id", as: .integer("ID", in: 0 ... .max), to: \.stop.tokens, "end at this token"),
                .value(
                    "--presence-penalty", as: .number(in: -2...2), to: \.sampling.presencePenalty,
                    "against tokens already used"),
                .value(
                    "--frequency-penalty", as: .number(in: -2...2), to: \.sampling.frequencyPenalty,
                    "the same, for each use"),
                .value(
                    "--repetition-penalty", as: .number(in: 0...2), to: \.sampling.repetitionPenalty,
                    "the same as a factor, prompt included; 1 is none"),
                .flag("--ignore-eos", set: \.stop.ignoresEndOfSequence, "go on through the model's end tokens"),
                .value(
                    "--logprobs", as: .integer("K", in: 0...20), to: \.sampling.logprobs,
                    "report log-probabilities of each token and of the K likeliest (json, ndjson)"),
            ])
    }

    private static var embeddingGroup: OptionGroup<CallSettings> {
        OptionGroup(
            "Embedding",
            [
                .value(
                    "--pooling", as: .choice(), to: \.embedding.pooling,
                    "hidden state of the last token (default), or the mean over all"),
                .flag("--normalize", set: \.embedding.isNormalized, "scale the vector to the length 1"),
                .value("--file", "-f", as: .text("FILE"), to: \.embedding.file, "read the text from there"),
                .flag("--lines", set: \.embedding.splitsLines, "each line is a text of its own"),
            ])
    }

    private static var outputGroup: OptionGroup<CallSettings> {
        OptionGroup(
            "Output",
            [
                .value(
                    "--format", as: .choice(), to: \.output.format, "text, one JSON object, or one JSON object a line"),
                .flag("--usage", "-u", set: \.output.showsUsage, "print tokens and times on standard error at the end"),
            ])
    }
}

extension Command {
    /// The command that the arguments name, and what is left of them.
    ///
    /// - Throws: a usage error when an option was given that means nothing to the command.
    static func choose(_ arguments: OptionTable<CallSettings>.Arguments) throws(ProgramError) -> (Command, [String]) {
        let named = arguments.positionals.first.flatMap(Command.init(rawValue:))
        let command = named ?? .run
        for option in arguments.used where !command.groups.contains(option.group) {
            throw .usage("\(option.name) means nothing to 'lmcall \(command.rawValue)'; see --help")
        }
        return (command, named == nil ? arguments.positionals : Array(arguments.positionals.dropFirst()))
    }
}
