internal import COpenSSL

/// The two things about secrets that OpenSSL does better than we would.
package enum Digest {
    /// SHA-256 of some bytes: 32 bytes.
    package static func sha256(_ bytes: [UInt8]) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: 32)
        SHA256(bytes, bytes.count, &digest)
        return digest
    }

    /// Whether two byte strings are equal, in a time that depends on their lengths alone.
    package static func isEqual(_ a: [UInt8], _ b: [UInt8]) -> Bool {
        a.count == b.count && CRYPTO_memcmp(a, b, a.count) == 0
    }
}
