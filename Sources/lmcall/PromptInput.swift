import Glibc
import LMSupport

/// Puts the prompt together from arguments, standard input and files.
enum PromptInput {
    /// The longest text accepted; the server's own limit is below it, so this only bounds our memory.
    static let byteLimit = 16 << 20

    /// Piped input, a blank line and the arguments, or whichever of the two there is.
    ///
    /// - Returns: nil when there is neither.
    static func text(arguments: [String]) throws(ProgramError) -> String? {
        let words = arguments.filter { $0 != "-" }.joined(separator: " ")
        guard arguments.contains("-") || isInputPiped(besideArguments: !words.isEmpty) else {
            return words.isEmpty ? nil : words
        }
        noteWaiting()
        let piped = try text(path: "-")
        if words.isEmpty { return piped.isEmpty ? nil : piped }
        return piped.isEmpty ? words : "\(piped)\n\n\(words)"
    }

    /// The text of a file, or of standard input (`-`).
    static func text(path: String) throws(ProgramError) -> String {
        try InputText.text(
            try InputText.bytes(of: path, limit: byteLimit), source: path == "-" ? "standard input" : path)
    }

    /// A program that starts us may have left its own input open; without a word, waiting for it would look like hanging.
    private static func noteWaiting() {
        var input = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
        if isatty(STDIN_FILENO) == 0, poll(&input, 1, 1000) == 0 {
            StandardStream.error.note("lmcall: waiting for the end of standard input (use </dev/null if there is none)")
        }
    }

    /// Whether someone sends us text. Beside a prompt in the arguments only files and pipes count: a program that starts
    /// us may have a socket or device as its own input, which would never end.
    private static func isInputPiped(besideArguments: Bool) -> Bool {
        if !besideArguments { return isatty(STDIN_FILENO) == 0 }
        var status = stat()
        guard fstat(STDIN_FILENO, &status) == 0 else { return false }
        return [S_IFREG, S_IFIFO].contains(status.st_mode & S_IFMT)
    }
}
