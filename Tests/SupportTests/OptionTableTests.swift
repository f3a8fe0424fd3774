import LMSupport
import Testing

private struct Settings: Equatable {
    var verbose = false
    var quiet = false
    var temperature = 1.0
    var seed: UInt64?
    var threads = 2
    var stop: [String] = []
    var batch: [Int] = [1]
    var timeout: Duration?
    var memory: Int?
    var format = Format.text
    enum Format: String, CaseIterable { case text, json, ndjson }

    static var table: OptionTable<Settings> {
        OptionTable(
            usage: "tool [OPTIONS] [WORD…]", summary: "Does things.",
            groups: [
                OptionGroup(
                    "Output",
                    [
                        .flag("--verbose", "-v", set: \.verbose, "say more"),
                        .flag("--quiet", "-q", set: \.quiet, "say less"),
                        .value("--format", as: .choice(), to: \.format, "how answers are written"),
                    ]),
                OptionGroup(
                    "Sampling",
                    [
                        .value("--temperature", "-T", as: .number(in: 0...2), to: \.temperature, "0 is greedy"),
                        .value("--seed", as: .integer(in: 0 ... .max), to: \.seed, "repeat an answer"),
                        .value("--threads", as: .integer(in: 1...1024), to: \.threads, "compute threads"),
                        .repeated("--stop", as: .text("TEXT"), to: \.stop, "end the answer before this text"),
                        .value("--batch", as: .list(of: .integer(in: 1...64)), to: \.batch, "batch sizes"),
                        .value("--timeout", as: .duration(), to: \.timeout, "give up after this"),
                        .value("--kv-cache-memory", as: .byteCount(), to: \.memory, "KV pool"),
                    ]),
            ], epilogue: "Example: tool -v")
    }
}

private func parse(_ arguments: String...) throws -> (Settings, OptionTable<Settings>.Arguments) {
    guard case .run(let settings, let rest) = try Settings.table.parse(arguments, into: Settings()) else {
        throw ProgramError(.failure, "help was not asked for")
    }
    return (settings, rest)
}

@Suite struct OptionTableTests {
    @Test func everySpellingOfAValueIsUnderstood() throws {
        for arguments in [["--temperature", "0.5"], ["--temperature=0.5"], ["-T", "0.5"], ["-T0.5"], ["-T=0.5"]] {
            guard case .run(let settings, _) = try Settings.table.parse(arguments, into: Settings()) else { continue }
            #expect(settings.temperature == 0.5, "\(arguments)")
        }
    }

    @Test func bundledFlagsMayEndInAValue() throws {
        let (settings, rest) = try parse("-vqT0", "word")
        #expect(settings.verbose && settings.quiet && settings.temperature == 0)
        #expect(rest.positionals == ["word"])
        #expect(rest.used.map(\.name) == ["--verbose", "--quiet", "--temperature"])
        #expect(rest.used.map(\.group) == ["Output", "Output", "Sampling"])
    }

    @Test func doubleDashEndsOptionsAndALoneDashIsAnArgument() throws {
        let (settings, rest) = try parse("-", "--", "--verbose", "-v")
        #expect(rest.positionals == ["-", "--verbose", "-v"])
        #expect(!settings.verbose)
    }

    @Test func aValueMayStartWithADash() throws {
        #expect(try parse("--stop", "--", "--stop=-x").0.stop == ["--", "-x"])
    }

    @Test func typedValuesAreRead() throws {
        let (settings, _) = try parse(
            "--batch", "1,8,32", "--timeout=250ms", "--kv-cache-memory", "1.5GiB", "--format", "ndjson",
            "--seed=18446744073709551615")
        #expect(settings.batch == [1, 8, 32])
        #expect(settings.timeout == .milliseconds(250))
        #expect(settings.memory == 1_610_612_736)
        #expect(settings.format == .ndjson)
        #expect(settings.seed == .max)
    }

    @Test(arguments: [
        (["--threds", "2"], "unknown option --threds; did you mean --threads?"),
        (["--xyzzy"], "unknown option --xyzzy; usage: tool [OPTIONS] [WORD…]; see --help"),
        (["-z"], "unknown option -z; did you mean -v?"),
        (["--threads"], "--threads needs a value: --threads N"),
        (["--threads", "0"], "--threads is out of range 1 to 1024: 0"),
        (["--threads", "99999999999999999999"], "--threads is out of range 1 to 1024: 99999999999999999999"),
        (["--threads", "two"], "--threads expects a whole number, got 'two'"),
        (["--seed", "-1"], "--seed is out of range 0 or more: -1"),
        (["-T", "nan"], "-T expects a number, got 'nan'"),
        (["-T", "2.5"], "-T is out of range 0.0 to 2.0: 2.5"),
        (["--verbose=yes"], "--verbose takes no value"),
        (["--format", "xml"], "--format expects one of text, json, ndjson, got 'xml'"),
        (["--batch", "1,,2"], "--batch expects a whole number, got ''"),
        (["--timeout", "5"], "--timeout expects a duration such as 250ms, 5s or 2m, got '5'"),
        (["--timeout", "0s"], "--timeout expects a duration above zero and below a year, got '0s'"),
        (["--timeout", "1e9h"], "--timeout expects a duration such as 250ms, 5s or 2m, got '1e9h'"),
        (["--kv-cache-memory", "8Gb"], "--kv-cache-memory expects a size such as 512MiB or 8GiB, got '8Gb'"),
        (
            ["--kv-cache-memory", "99999999TiB"],
            "--kv-cache-memory expects a size from 1 byte to 1 EiB, got '99999999TiB'"
        ),
    ])
    func mistakesNameTheOptionAndTheFix(arguments: [String], message: String) {
        #expect(throws: ProgramError(.usage, message)) { try Settings.table.parse(arguments, into: Settings()) }
    }

    @Test func helpShowsEveryOptionWithinTheWidth() throws {
        guard case .show(let shown) = try Settings.table.parse(["-q", "--help", "--nonsense"], into: Settings()) else {
            Issue.record("--help was given")
            return
        }
        #expect(shown == Settings.table.help())
        let help = Settings.table.help(width: 70)
        for part in [
            "Usage: tool", "Output:\n", "-T, --temperature X", "--format text|json|ndjson", "(repeatable)",
            "--batch N[,N…]", "Example: tool -v",
        ] {
            #expect(help.contains(part), "\(part)")
        }
        #expect(help.split(separator: "\n").allSatisfy { $0.count <= 70 })
    }
}

@Suite struct NearestMatchTests {
    @Test(arguments: [
        ("--max-token", "--max-tokens"), ("--tempreature", "--temperature"), ("heatlh", "health"), ("--zzzzzz", nil),
    ])
    func suggestsOnlyWhatIsAlike(word: String, expected: String?) {
        #expect(
            nearestMatch(to: word, among: ["--max-tokens", "--temperature", "--top-p", "health", "models"]) == expected)
    }
}
