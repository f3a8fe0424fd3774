// The standard library normalizes text whenever it compares strings, and keeps the result to itself and to Foundation.
// Its private name for it is used here, because a second copy of Unicode's tables would be the larger evil.
@_spi(_Unicode) internal import Swift

/// Unicode normalization.
enum Normalization {
    /// Valid UTF-8 in composed form (NFC); nil when it certainly is in that form already.
    static func composed(_ text: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
        // Below U+0300, whose lead byte is CC, nothing combines and nothing decomposes into something else.
        guard text.contains(where: { $0 >= 0xCC }) else { return nil }
        var composed = String.UnicodeScalarView()
        composed.append(contentsOf: String(decoding: text, as: UTF8.self)._nfc)
        return Array(String(composed).utf8)
    }

    /// Valid UTF-8 in decomposed form (NFD); nil when it certainly is in that form already.
    static func decomposed(_ text: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
        guard text.contains(where: { $0 >= 0x80 }) else { return nil }
        var decomposed = String.UnicodeScalarView()
        decomposed.append(contentsOf: String(decoding: text, as: UTF8.self)._nfd)
        return Array(String(decomposed).utf8)
    }
}
