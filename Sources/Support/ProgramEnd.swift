import Glibc

/// Says on standard error why a program ends.
///
/// - Returns: its exit status.
package func reportFailure(_ error: any Error, program: String) -> ExitCode {
    switch error {
    case let error as ProgramError:
        StandardStream.error.note("\(program): \(StandardStream.error.terminal.showing(error.message))")
        return error.code
    case StandardStream.WriteError.brokenPipe:
        // The reader had enough, as `| head -1` does: nothing went wrong.
        return .success
    case StandardStream.WriteError.system(let number):
        StandardStream.error.note("\(program): cannot write the output: \(describeSystemError(number))")
        return .localInputOutput
    default:
        StandardStream.error.note("\(program): \(error)")
        return .failure
    }
}

/// Ends the process with a status of ours.
package func exitProgram(_ code: ExitCode) -> Never {
    exit(code.rawValue)
}

/// Ends the process now, from any thread, without giving others a chance to finish.
package func abandonProgram(_ code: ExitCode) -> Never {
    _exit(code.rawValue)
}
