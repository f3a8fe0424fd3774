import Glibc

/// Reads text from outside: arguments, standard input and files, checked to be UTF-8.
package enum InputText {
    /// The arguments after the program's name. Swift's own `CommandLine.arguments` repairs invalid UTF-8 silently; here
    /// it is an error, because a repaired prompt is another prompt.
    package static func arguments() throws(ProgramError) -> [String] {
        var arguments: [String] = []
        for index in stride(from: 1, to: Int(CommandLine.argc), by: 1) {
            guard let pointer = CommandLine.unsafeArgv[index] else { break }
            let bytes = UnsafeRawBufferPointer(start: pointer, count: strlen(pointer))
            arguments.append(try text(Array(bytes), source: "argument \(index)"))
        }
        return arguments
    }

    /// All of standard input (`-`) or a file.
    ///
    /// - Parameter limit: most bytes accepted.
    /// - Throws: `.missingInput` when the file cannot be read, `.badInput` when it is longer than the limit.
    package static func bytes(of path: String, limit: Int) throws(ProgramError) -> [UInt8] {
        let isStandardInput = path == "-"
        let source = isStandardInput ? "standard input" : path
        let descriptor = isStandardInput ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw ProgramError(.missingInput, "cannot read \(path): \(describeSystemError(errno))")
        }
        defer { if !isStandardInput { close(descriptor) } }

        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            if count > 0 {
                bytes.append(contentsOf: chunk[..<count])
                guard bytes.count <= limit else {
                    throw ProgramError(.badInput, "\(source) is longer than the limit of \(describeBytes(limit))")
                }
            } else if count == 0 {
                return bytes
            } else if errno != EINTR {
                throw ProgramError(.missingInput, "cannot read \(source): \(describeSystemError(errno))")
            }
        }
    }

    /// Bytes as text.
    ///
    /// - Parameter source: where the bytes came from, for the message.
    /// - Throws: `.badInput` naming the offset of the first NUL or the first byte that is not UTF-8.
    package static func text(_ bytes: [UInt8], source: String) throws(ProgramError) -> String {
        if let offset = bytes.firstIndex(of: 0) {
            throw ProgramError(.badInput, "\(source): byte \(offset) is NUL; text is wanted here, not binary data")
        }
        do {
            let valid = try UTF8Span(validating: bytes.span)
            return String(copying: valid)
        } catch {
            let offset = error.byteOffsets.lowerBound
            throw ProgramError(.badInput, "\(source): byte \(offset) is not valid UTF-8; convert it, e.g. with iconv")
        }
    }
}
