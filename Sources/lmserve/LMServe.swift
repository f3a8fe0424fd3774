import LMServer
import LMSupport

/// The server program: parses, configures, runs.
@main enum LMServe {
    static func main() {
        prepareProcess()
        do {
            let arguments = try InputText.arguments()
            let rest = Array(arguments.dropFirst())
            switch arguments.first {
            case "bench": exitProgram(try bench(rest))
            case "eval": exitProgram(try eval(rest))
            case "doctor": exitProgram(try doctor(rest))
            case "inspect": exitProgram(try inspect(rest))
            case "key": exitProgram(try key(rest))
            case "limits": exitProgram(try limits(rest))
            default: exitProgram(try serve(arguments))
            }
        } catch {
            exitProgram(reportFailure(error, program: "lmserve"))
        }
    }

    private static func bench(_ arguments: [String]) throws -> ExitCode {
        switch try BenchSettings.table.parse(arguments, into: BenchSettings()) {
        case .show(let text): try StandardStream.output.write(text)
        case .run(let settings, let rest):
            try refuse(rest.positionals)
            try BenchCommand(settings: settings).run()
        }
        return .success
    }

    private static func eval(_ arguments: [String]) throws -> ExitCode {
        switch try EvalCommand.table.parse(arguments, into: EvalCommand()) {
        case .show(let text): try StandardStream.output.write(text)
        case .run(let command, let rest):
            try refuse(rest.positionals)
            try command.run()
        }
        return .success
    }

    private static func doctor(_ arguments: [String]) throws -> ExitCode {
        switch try DoctorCommand.table.parse(arguments, into: DoctorCommand()) {
        case .show(let text):
            try StandardStream.output.write(text)
            return .success
        case .run(let command, let rest):
            try refuse(rest.positionals)
            return try command.run()
        }
    }

    private static func inspect(_ arguments: [String]) throws -> ExitCode {
        switch try InspectCommand.table.parse(arguments, into: InspectCommand()) {
        case .show(let text): try StandardStream.output.write(text)
        case .run(let command, let rest):
            guard let model = rest.positionals.first else {
                throw ProgramError.usage("expected 'lmserve inspect MODEL'; see --help")
            }
            try refuse(Array(rest.positionals.dropFirst()))
            try command.run(model: model)
        }
        return .success
    }

    private static func key(_ arguments: [String]) throws -> ExitCode {
        switch try KeyCommand.table.parse(arguments, into: KeyCommand()) {
        case .show(let text): try StandardStream.output.write(text)
        case .run(let command, let rest):
            guard rest.positionals.count == 2, rest.positionals[0] == "new" else {
                throw ProgramError.usage("expected 'lmserve key new NAME'; see --help")
            }
            try command.run(name: rest.positionals[1])
        }
        return .success
    }

    /// Lists the limits, one a line: key, default, unit, values.
    private static func limits(_ arguments: [String]) throws -> ExitCode {
        try refuse(arguments)
        for key in ServerLimits.keys {
            let columns = [key.name, key.value(in: ServerLimits()), key.unit, key.range]
            StandardStream.output.note(columns.joined(separator: "\t"))
        }
        return .success
    }

    private static func serve(_ arguments: [String]) throws -> ExitCode {
        switch try ServeSettings.table.parse(arguments, into: ServeSettings()) {
        case .show(let text):
            try StandardStream.output.write(text)
            return .success
        case .run(let settings, let rest):
            try refuse(rest.positionals)
            return try ServeCommand(settings: settings).run()
        }
    }

    private static func refuse(_ positionals: [String]) throws(ProgramError) {
        guard let first = positionals.first else { return }
        throw .usage("unexpected argument '\(first)'; see --help")
    }
}
