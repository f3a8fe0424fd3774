internal import Glibc

/// The file that holds the keys.
enum KeyFile {
    private static let longest = 1_048_576

    /// Its text.
    ///
    /// - Throws: when it cannot be read, when others than its owner can read or change it, or when it is no text.
    static func read(_ path: String) throws(ServerError) -> String {
        guard let file = fopen(path, "re") else {
            throw ServerError("cannot read the key file \(path): \(String(cString: strerror(errno)))")
        }
        defer { fclose(file) }
        try checkMode(file, path)
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4_096)
        while case let count = fread(&chunk, 1, chunk.count, file), count > 0 {
            bytes += chunk[..<count]
            guard bytes.count <= longest else { throw ServerError("the key file \(path) is larger than 1 MiB") }
        }
        guard ferror(file) == 0 else {
            throw ServerError("cannot read the key file \(path): \(String(cString: strerror(errno)))")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ServerError("the key file \(path) is not UTF-8 text")
        }
        return text
    }

    private static func checkMode(_ file: UnsafeMutablePointer<FILE>, _ path: String) throws(ServerError) {
        var status = stat()
        guard fstat(fileno(file), &status) == 0 else {
            throw ServerError("cannot examine the key file \(path): \(String(cString: strerror(errno)))")
        }
        let mode = status.st_mode & 0o777
        guard mode & 0o077 == 0 else {
            throw ServerError(
                "others than its owner may use the key file \(path) (mode \(String(mode, radix: 8))); "
                    + "run `chmod 600 \(path)`, and make new keys if others have read it")
        }
    }
}
