import Glibc
import LMServer
import LMSupport

/// `lmserve key new`: makes an API key.
struct KeyCommand {
    var role = Role.infer
    var file: String?

    static var table: OptionTable<KeyCommand> {
        OptionTable(
            usage: "lmserve key new NAME [OPTIONS]",
            summary: """
                Makes an API key of 256 random bits for the tenant NAME and prints it, once: give it to its owner and keep
                it nowhere else. The key file holds only its digest, in a line that is added to --file, or printed after
                the key. A tenant may have several keys. A running server reads its key file again on SIGHUP; a key whose
                line is gone then ends its connections.
                """,
            groups: [
                OptionGroup(
                    "Key",
                    [
                        .value(
                            "--role", as: .choice(), to: \.role,
                            "infer generates; admin also sees statistics (default infer)"),
                        .value("--file", as: .text("FILE"), to: \.file, "key file to add it to, made if there is none"),
                    ])
            ],
            epilogue: """
                Examples:
                  lmserve key new alice --file keys > alice.key
                  lmserve key new monitoring --role admin --file keys
                """)
    }

    func run(name: String) throws {
        let made: (key: String, line: String)
        do {
            made = try APIKeys.generate(name: name, role: role)
        } catch {
            throw ProgramError.usage(error.message)
        }
        guard let file else { return try StandardStream.output.write("\(made.key)\n\(made.line)\n") }
        try append(made.line, to: file)
        try StandardStream.output.write("\(made.key)\n")
    }

    private func append(_ line: String, to path: String) throws(ProgramError) {
        let descriptor = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw ProgramError(.localInputOutput, "cannot write \(path): \(describeSystemError(errno))")
        }
        defer { close(descriptor) }
        // A last line that somebody left without its end must not swallow the new one.
        var last: UInt8 = 0x0A
        let size = lseek(descriptor, 0, SEEK_END)
        if size > 0 { _ = pread(descriptor, &last, 1, size - 1) }
        do {
            try StandardStream(descriptor: descriptor).write((last == 0x0A ? "" : "\n") + line + "\n")
        } catch {
            throw ProgramError(.localInputOutput, "cannot write \(path): \(error)")
        }
    }
}
