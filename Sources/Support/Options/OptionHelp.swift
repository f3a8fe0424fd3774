extension OptionTable {
    /// The text of `--help`: usage, summary, options in their groups, epilogue.
    ///
    /// - Parameter width: columns to wrap at.
    package func help(width: Int = 100) -> String {
        let rows = groups.map { group in (group.title, group.options.map { ($0.synopsis, $0.help) }) }
        // Long synopses go on a line of their own rather than push every description to the right.
        let longest = rows.flatMap(\.1).map(\.0.count).filter { $0 <= 30 }.max() ?? 0
        let column = longest + 4
        var text = "Usage: \(usage)\n\n\(summary)\n"
        for (title, options) in rows {
            text += "\n\(title):\n"
            for (synopsis, help) in options {
                let lines = wrap(help, width: max(20, width - column))
                var head = "  " + synopsis
                if head.count + 2 > column {
                    text += head + "\n"
                    head = ""
                }
                text += head.padded(to: column) + (lines.first ?? "") + "\n"
                for line in lines.dropFirst() { text += "".padded(to: column) + line + "\n" }
            }
        }
        text += "\n  -h, --help  show this text\n  --version   show the version\n"
        if !epilogue.isEmpty { text += "\n" + epilogue + "\n" }
        return text
    }
}

extension Option {
    /// Names and placeholder, short name first as is the custom.
    fileprivate var synopsis: String {
        let names = names.sorted { ($0.count, $0) < ($1.count, $1) }.joined(separator: ", ")
        return switch action {
        case .flag: names
        case .value(let placeholder, _): "\(names) \(placeholder)"
        }
    }
}

private func wrap(_ text: String, width: Int) -> [String] {
    var lines: [String] = []
    var line = ""
    for word in text.split(separator: " ") {
        if !line.isEmpty, line.count + 1 + word.count > width {
            lines.append(line)
            line = ""
        }
        line += (line.isEmpty ? "" : " ") + word
    }
    if !line.isEmpty { lines.append(line) }
    return lines
}
