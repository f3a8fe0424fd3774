internal import Glibc
internal import LMTransport

/// Bearer keys that may use the server, kept as digests.
///
/// Keys are random strings of at least 16 bytes, so one round of SHA-256 is enough at rest: there is no dictionary to
/// try. The comparison takes the same time wherever it differs.
public struct APIKeys: Sendable {
    /// Keys of the same name belong to the same tenant, so that keys can be rotated.
    private let digests: [(tenant: UInt64, digest: [UInt8])]

    private static let shortestKey = 16

    /// Reads `name:key` lines; empty lines and lines that start with `#` are skipped.
    ///
    /// - Throws: what is wrong with which line; a key itself is never in the message.
    public init(file path: String) throws(ServerError) {
        try self.init(text: Self.read(path), path: path)
    }

    init(text: String, path: String) throws(ServerError) {
        var digests: [(tenant: UInt64, digest: [UInt8])] = []
        var tenants: [Substring: UInt64] = [:]
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let line = line.last == "\r" ? line.dropLast() : line
            if line.isEmpty || line.first == "#" { continue }
            guard let colon = line.firstIndex(of: ":"), colon != line.startIndex else {
                throw ServerError("\(path) line \(index + 1): expected NAME:KEY")
            }
            let key = line[line.index(after: colon)...]
            guard key.utf8.count >= Self.shortestKey else {
                throw ServerError(
                    "\(path) line \(index + 1): the key is shorter than \(Self.shortestKey) bytes; "
                        + "make one with `openssl rand -hex 32`")
            }
            let tenant = tenants[line[..<colon], default: UInt64(tenants.count) + 1]
            tenants[line[..<colon]] = tenant
            digests.append((tenant, Digest.sha256(Array(key.utf8))))
        }
        guard !digests.isEmpty else {
            throw ServerError("\(path) holds no key; add a line NAME:KEY, for example from `openssl rand -hex 32`")
        }
        self.digests = digests
    }

    /// The number of the tenant that owns the key, from 1; nil when nobody does. Compares with every key, so that time
    /// tells nothing.
    func tenant(of key: String?) -> UInt64? {
        let digest = Digest.sha256(Array((key ?? "").utf8))
        var tenant: UInt64?
        for entry in digests where Digest.isEqual(entry.digest, digest) { tenant = entry.tenant }
        return tenant
    }

    private static func read(_ path: String) throws(ServerError) -> String {
        guard let file = fopen(path, "re") else {
            throw ServerError("cannot read the key file \(path): \(String(cString: strerror(errno)))")
        }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4_096)
        while case let count = fread(&chunk, 1, chunk.count, file), count > 0 {
            bytes += chunk[..<count]
            guard bytes.count <= 1_048_576 else { throw ServerError("the key file \(path) is larger than 1 MiB") }
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ServerError("the key file \(path) is not UTF-8 text")
        }
        return text
    }
}
