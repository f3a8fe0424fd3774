import Glibc

/// What may be written to a stream that a person may be looking at.
package struct Terminal: Sendable {
    /// The stream is a terminal.
    package let isTerminal: Bool
    /// Escape sequences (colour, cursor movement) may be written: a terminal that is not dumb, and no `NO_COLOR`.
    package let allowsEscapes: Bool

    /// Looks at a file descriptor and the environment.
    package init(_ descriptor: Int32) {
        self.init(
            isTerminal: isatty(descriptor) == 1, noColor: environmentValue("NO_COLOR"), term: environmentValue("TERM"))
    }

    /// Decides from facts, as https://no-color.org asks: `NO_COLOR` counts when it is not empty.
    package init(isTerminal: Bool, noColor: String?, term: String?) {
        self.isTerminal = isTerminal
        allowsEscapes = isTerminal && (noColor ?? "").isEmpty && term != "dumb"
    }

    /// Text from a model or a peer as it may be shown: on a terminal control characters are made visible, because they
    /// could move the cursor or change the terminal; elsewhere the text is passed through byte for byte.
    package func showing(_ text: String) -> String {
        isTerminal ? escapingControls(text) : text
    }
}

/// Replaces control characters other than line feed and tab by `^X` (C0, delete) or `\x9b` (C1).
package func escapingControls(_ text: String) -> String {
    func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.generalCategory == .control && scalar != "\n" && scalar != "\t"
    }
    guard text.unicodeScalars.contains(where: isControl) else { return text }
    var safe = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
        if !isControl(scalar) {
            safe.append(scalar)
        } else if scalar.isASCII {
            // Caret notation: the character whose bit 6 differs; delete becomes ^?.
            safe.append("^")
            safe.append(Unicode.Scalar(UInt8(scalar.value) ^ 0x40))
        } else {
            safe.append(contentsOf: "\\x\(String(scalar.value, radix: 16))".unicodeScalars)
        }
    }
    return String(safe)
}

/// The value of an environment variable, or nil when it is not set.
package func environmentValue(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }
}
