internal import Glibc
internal import LMTransport

/// Bearer keys that may use the server, kept as digests.
///
/// A key file has a line for each key, `NAME:sha256:HEX` with the digest of the key, or `NAME:KEY`, then any of the
/// fields `:admin` and `:until=YYYY-MM-DD` (the last day, UTC). Keys of the same name belong to the same tenant, so that
/// keys can be rotated. Empty lines and lines that start with `#` are skipped.
///
/// Keys are random, so one round of SHA-256 is enough at rest: there is no dictionary to try. Every key that is shown is
/// compared with every key that is known, in a time that does not depend on what they hold.
public struct APIKeys: Sendable {
    /// Where they were read.
    let path: String
    private let identities: [Identity]
    /// The same by digest, to find keys that were accepted before.
    private let accepted: [[UInt8]: Identity]

    private static let shortestKey = 16

    /// How many keys there are.
    public var count: Int { identities.count }

    /// Reads a key file.
    ///
    /// - Throws: what is wrong with which line, or that others may read the file; a key itself is never in the message.
    public init(file path: String) throws(ServerError) {
        try self.init(text: KeyFile.read(path), path: path)
    }

    private init(text: String, path: String) throws(ServerError) {
        var identities: [Identity] = []
        var lines: [[UInt8]: Int] = [:]
        for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            if line.isEmpty || line.first == "#" { continue }
            let identity: Identity
            do throws(ServerError) {
                identity = try Self.identity(line)
            } catch {
                throw ServerError("\(path) line \(index + 1): \(error.message)")
            }
            let first = identity.keyDigest.flatMap { lines.updateValue(index + 1, forKey: $0) }
            if let first { throw ServerError("\(path) line \(index + 1): the key of line \(first) again") }
            identities.append(identity)
        }
        guard !identities.isEmpty else {
            throw ServerError("\(path) holds no key; add one with `lmserve key new NAME --file \(path)`")
        }
        self.path = path
        self.identities = identities
        accepted = Dictionary(
            uniqueKeysWithValues: identities.compactMap { entry in entry.keyDigest.map { ($0, entry) } })
    }

    /// Who owns the key; nil when nobody does, or when its time is over.
    ///
    /// - Parameter now: seconds since 1970.
    func identity(of key: String?, now: Int64) -> Identity? {
        let digest = Digest.sha256(Array((key ?? "").utf8))
        var owner: Identity?
        for entry in identities {
            if let known = entry.keyDigest, Digest.isEqual(known, digest) { owner = entry }
        }
        return owner.flatMap { now < $0.end ? $0 : nil }
    }

    /// What has become of an identity that older keys proved; nil when its key is gone or belongs to somebody else now.
    func renewed(_ identity: Identity) -> Identity? {
        guard let digest = identity.keyDigest, let entry = accepted[digest], entry.tenant == identity.tenant else {
            return nil
        }
        return entry
    }

    // MARK: - Lines

    private static func identity(_ line: Substring) throws(ServerError) -> Identity {
        var fields = line.split(separator: ":", omittingEmptySubsequences: false)[...]
        guard fields.count >= 2, let name = fields.popFirst(), !name.isEmpty, let key = fields.popFirst() else {
            throw ServerError("expected NAME:KEY or NAME:sha256:HEX")
        }
        let digest: [UInt8]
        if key == "sha256" {
            guard let hex = fields.popFirst(), let bytes = bytes(hex: hex), bytes.count == 32 else {
                throw ServerError("a SHA-256 digest has 64 hexadecimal digits")
            }
            digest = bytes
        } else {
            guard key.utf8.count >= shortestKey else {
                throw ServerError(
                    "the key is shorter than \(shortestKey) bytes; make one with `lmserve key new NAME`")
            }
            digest = Digest.sha256(Array(key.utf8))
        }
        var role = Role.infer
        var end = Int64.max
        for field in fields {
            if let named = Role(rawValue: String(field)) {
                role = named
            } else if field.hasPrefix("until="), let day = CalendarDay(field.dropFirst(6)) {
                end = day.end
            } else {
                // Not repeated: it may be the rest of a key that holds a colon.
                throw ServerError("after the key come only infer, admin and until=YYYY-MM-DD; a key holds no colon")
            }
        }
        return Identity(key: name, role: role, digest: digest, end: end)
    }

    private static func bytes(hex: Substring) -> [UInt8]? {
        let digits = hex.compactMap(\.hexDigitValue)
        guard digits.count == hex.count, digits.count.isMultiple(of: 2) else { return nil }
        return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }
}

// Not even digests show in logs, descriptions or debuggers.
extension APIKeys: CustomStringConvertible, CustomReflectable {
    /// For `CustomStringConvertible`; says how many there are.
    public var description: String { "APIKeys(\(count))" }

    /// For `CustomReflectable`; shows nothing.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}

// New keys.
extension APIKeys {
    /// Makes a key of 256 random bits.
    ///
    /// - Returns: the key, to be given to its owner and kept nowhere else, and the line for the key file.
    /// - Throws: when the name cannot stand in a key file.
    public static func generate(name: String, role: Role) throws(ServerError) -> (key: String, line: String) {
        guard !name.isEmpty, name.first != "#", !name.utf8.contains(where: { $0 == 0x3A || $0 < 0x20 }) else {
            throw ServerError("a key's name is not empty, holds no colon and does not start with '#'")
        }
        var generator = SystemRandomNumberGenerator()
        let random = (0..<32).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        // The prefix lets people and scanners of leaked secrets tell what they look at.
        let key = "lmk_" + hexadecimal(random)
        let suffix = role == .infer ? "" : ":\(role.rawValue)"
        return (key, "\(name):sha256:\(hexadecimal(Digest.sha256(Array(key.utf8))))\(suffix)")
    }

    private static func hexadecimal(_ bytes: [UInt8]) -> String {
        bytes.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
    }
}

/// A day of the calendar, UTC.
private struct CalendarDay {
    /// Seconds since 1970 of the first moment after it.
    let end: Int64

    /// Reads `YYYY-MM-DD`; nil when there is no such day.
    init?(_ text: Substring) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.map(\.utf8.count) == [4, 2, 2], text.utf8.allSatisfy({ $0 == 0x2D || (0x30...0x39).contains($0) }),
            let year = Int32(parts[0]), let month = Int32(parts[1]), let day = Int32(parts[2])
        else { return nil }
        var wanted = tm()
        wanted.tm_year = year - 1900
        wanted.tm_mon = month - 1
        wanted.tm_mday = day
        let start = timegm(&wanted)
        // timegm makes the 3rd of March of the 31st of February.
        guard wanted.tm_mon == month - 1, wanted.tm_mday == day, wanted.tm_year == year - 1900 else { return nil }
        end = Int64(start) + 86_400
    }
}
