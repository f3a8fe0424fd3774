/// One option of a command: its names, its help and what it does to the command's settings.
package struct Option<Settings> {
    /// What the option does with the text that follows it.
    enum Action {
        case flag((inout Settings) -> Void)
        case value(placeholder: String, (inout Settings, String) throws(ValueError) -> Void)
    }

    /// Spellings with their dashes, the long one first.
    package let names: [String]
    let help: String
    let action: Action

    /// An option without a value that turns a setting on.
    package static func flag(
        _ names: String..., set target: WritableKeyPath<Settings, Bool>, _ help: String
    ) -> Option {
        Option(names: names, help: help, action: .flag { $0[keyPath: target] = true })
    }

    /// An option that replaces a setting.
    package static func value<Value>(
        _ names: String..., as parser: ValueParser<Value>, to target: WritableKeyPath<Settings, Value>, _ help: String
    ) -> Option {
        Option(
            names: names, help: help,
            action: .value(placeholder: parser.placeholder) { settings, text throws(ValueError) in
                settings[keyPath: target] = try parser.parse(text)
            })
    }

    /// An option that gives a value to a setting that has none unless it is used.
    package static func value<Value>(
        _ names: String..., as parser: ValueParser<Value>, to target: WritableKeyPath<Settings, Value?>, _ help: String
    ) -> Option {
        Option(
            names: names, help: help,
            action: .value(placeholder: parser.placeholder) { settings, text throws(ValueError) in
                settings[keyPath: target] = try parser.parse(text)
            })
    }

    /// An option that may be given several times; each use appends.
    package static func repeated<Value>(
        _ names: String..., as parser: ValueParser<Value>, to target: WritableKeyPath<Settings, [Value]>, _ help: String
    ) -> Option {
        Option(
            names: names, help: help + " (repeatable)",
            action: .value(placeholder: parser.placeholder) { settings, text throws(ValueError) in
                settings[keyPath: target].append(try parser.parse(text))
            })
    }
}

/// Options that are shown together in `--help` and allowed together.
package struct OptionGroup<Settings> {
    /// Heading in `--help`; also how a program asks which groups were used.
    package let title: String
    let options: [Option<Settings>]

    /// Puts options under a heading.
    package init(_ title: String, _ options: [Option<Settings>]) {
        self.title = title
        self.options = options
    }
}
