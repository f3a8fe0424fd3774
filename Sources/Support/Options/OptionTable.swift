/// All options of a command: the one source of its parser and its `--help`.
package struct OptionTable<Settings> {
    /// How the command is typed, for example "lmcall [COMMAND] [PROMPT…]".
    let usage: String
    /// What the command does, in a sentence or a few lines.
    let summary: String
    let groups: [OptionGroup<Settings>]
    /// Examples and notes after the options.
    let epilogue: String

    /// Creates a table; `--help`, `-h` and `--version` are understood without being listed.
    package init(usage: String, summary: String, groups: [OptionGroup<Settings>], epilogue: String = "") {
        self.usage = usage
        self.summary = summary
        self.groups = groups
        self.epilogue = epilogue
        let names = groups.flatMap(\.options).flatMap(\.names)
        precondition(Set(names).count == names.count, "an option is in the table twice")
    }

    /// What the arguments asked for.
    package enum Outcome {
        /// `--help` or `--version` was given: this text is the program's output, nothing else matters.
        case show(String)
        /// Run with these settings.
        case run(Settings, Arguments)
    }

    /// What remains of the arguments besides the settings.
    package struct Arguments: Equatable {
        /// Arguments that are not options, in order.
        package var positionals: [String] = []
        /// Options in the order given, in their long spelling, with the group they belong to.
        package var used: [UsedOption] = []
    }

    /// An option that was given.
    package struct UsedOption: Equatable {
        /// Its long spelling.
        package let name: String
        /// Title of its group.
        package let group: String
    }

    /// Parses GNU style: `--flag=value` or `--flag value`, `-T 0.5` or `-T0.5`, `-abc` for `-a -b -c`, `--` ends options,
    /// a lone `-` is an argument. A value may start with a dash.
    ///
    /// - Parameter arguments: without the program's name.
    /// - Throws: a usage error that names the option and what it expects.
    package func parse(_ arguments: [String], into settings: Settings) throws(ProgramError) -> Outcome {
        var parser = Parser(table: self, rest: arguments[...], settings: settings)
        if let text = try parser.run() { return .show(text) }
        return .run(parser.settings, parser.found)
    }

    private struct Parser {
        let table: OptionTable
        var rest: ArraySlice<String>
        var settings: Settings
        var found = Arguments()

        /// The text that was asked for instead of running.
        mutating func run() throws(ProgramError) -> String? {
            while let argument = rest.popFirst() {
                if argument == "--" {
                    found.positionals += rest
                    return nil
                }
                if argument == "--help" || argument == "-h" { return table.help() }
                if argument == "--version" { return table.version }
                if argument.hasPrefix("--") {
                    try long(argument)
                } else if argument.hasPrefix("-"), argument != "-" {
                    try bundle(argument.dropFirst())
                } else {
                    found.positionals.append(argument)
                }
            }
            return nil
        }

        private mutating func long(_ argument: String) throws(ProgramError) {
            let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            try apply(String(parts[0]), attached: parts.count == 2 ? String(parts[1]) : nil)
        }

        private mutating func bundle(_ letters: Substring) throws(ProgramError) {
            var letters = letters
            while let letter = letters.popFirst() {
                let name = "-\(letter)"
                guard let (option, _) = table.find(name), case .value = option.action else {
                    try apply(name, attached: nil)
                    continue
                }
                if letters.first == "=" { letters = letters.dropFirst() }
                try apply(name, attached: letters.isEmpty ? nil : String(letters))
                return
            }
        }

        private mutating func apply(_ name: String, attached: String?) throws(ProgramError) {
            guard let (option, group) = table.find(name) else { throw table.unknown(name) }
            switch option.action {
            case .flag(let turnOn):
                guard attached == nil else { throw .usage("\(name) takes no value") }
                turnOn(&settings)
            case .value(let placeholder, let set):
                guard let text = attached ?? rest.popFirst() else {
                    throw .usage("\(name) needs a value: \(name) \(placeholder)")
                }
                do {
                    try set(&settings, text)
                } catch {
                    throw .usage("\(name) \(error.message)")
                }
            }
            found.used.append(UsedOption(name: option.names[0], group: group))
        }
    }

    /// The program and its version, as a line.
    private var version: String { "\(usage.prefix { $0 != " " }) \(productVersion)\n" }

    private func find(_ name: String) -> (Option<Settings>, group: String)? {
        for group in groups {
            for option in group.options where option.names.contains(name) { return (option, group.title) }
        }
        return nil
    }

    private func unknown(_ name: String) -> ProgramError {
        let names = groups.flatMap(\.options).flatMap(\.names) + ["--help", "--version"]
        let typed = usage.prefix { $0 != "\n" }
        let hint = nearestMatch(to: name, among: names).map { "did you mean \($0)?" } ?? "usage: \(typed); see --help"
        return .usage("unknown option \(name); \(hint)")
    }
}
