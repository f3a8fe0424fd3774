/// The eight bytes in front of every payload, little endian: u24 payload length, u8 type, u32 stream.
package struct FrameHeader: Sendable, Equatable {
    /// Bytes after the header; at most `Limits.largestPayload`.
    package var length: Int
    /// The type as sent, known or not.
    package var type: UInt8
    /// 0 is the connection itself.
    package var stream: UInt32

    /// - Parameter word: the eight bytes as one little-endian integer.
    package init(word: UInt64) {
        length = Int(word & 0xFF_FFFF)
        type = UInt8(truncatingIfNeeded: word >> 24)
        stream = UInt32(truncatingIfNeeded: word >> 32)
    }

    /// A header for a frame of ours, before its length is known.
    package init(_ kind: FrameKind, stream: UInt32) {
        length = 0
        type = kind.rawValue
        self.stream = stream
    }

    /// The eight bytes as one little-endian integer.
    package var word: UInt64 { UInt64(length) | UInt64(type) << 24 | UInt64(stream) << 32 }

    /// The type if this version knows it.
    package var kind: FrameKind? { FrameKind(rawValue: type) }

    /// Whether a receiver that does not know the type has to close the connection.
    package var isCritical: Bool { type & FrameKind.criticalBit != 0 }
}
