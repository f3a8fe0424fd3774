/// The exit status of our programs; scripts rely on these numbers. 65 and up follow sysexits(3), 130 and 143 the shell.
package enum ExitCode: Int32, Sendable {
    /// Finished; reaching the token limit counts as finished.
    case success = 0
    /// A failure that has no number of its own.
    case failure = 1
    /// The command line is wrong.
    case usage = 2
    /// The server's name cannot be resolved, or it cannot be reached.
    case cannotConnect = 3
    /// The server does not know us or does not allow it.
    case unauthorized = 4
    /// The model is not served there, or not ready.
    case modelUnavailable = 5
    /// Refused because of load or quota; a later try can succeed.
    case rejected = 6
    /// A deadline or time limit passed.
    case deadline = 7
    /// The server failed while generating; what it had produced was printed.
    case serverError = 8
    /// The peer broke the protocol or speaks another version.
    case protocolError = 10
    /// The input is not what it must be: not UTF-8, too long, an id outside the vocabulary, a corrupt model.
    case badInput = 65
    /// A file that was named does not exist or cannot be read.
    case missingInput = 66
    /// A device's driver does not come back from a call, which only the end of the process ends: start it again.
    case deviceHung = 71
    /// Reading or writing on this machine failed.
    case localInputOutput = 74
    /// Ended by SIGINT.
    case interrupted = 130
    /// Ended by SIGTERM.
    case terminated = 143
}

/// The one error type of our programs: what the exit status is and what a person is told.
package struct ProgramError: Error, Equatable, CustomStringConvertible {
    /// The exit status.
    package let code: ExitCode
    /// What was wrong, where, and what to do about it.
    package let message: String

    /// Creates an error from its exit status and its sentence.
    package init(_ code: ExitCode, _ message: String) {
        self.code = code
        self.message = message
    }

    /// The command line is wrong.
    package static func usage(_ message: String) -> ProgramError { ProgramError(.usage, message) }

    /// For `CustomStringConvertible`.
    package var description: String { message }
}
