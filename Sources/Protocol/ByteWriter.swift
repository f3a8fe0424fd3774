/// Frames are appended to a plain array owned by the caller, usually a connection's outbound buffer: it keeps its memory,
/// so that in steady state a frame costs no allocation.
extension [UInt8] {
    /// Appends an integer, little endian.
    package mutating func append<T: FixedWidthInteger>(integer value: T) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }

    /// Appends an IEEE 754 number of 32 bits.
    package mutating func append(float value: Float) { append(integer: value.bitPattern) }

    /// Appends raw bytes.
    package mutating func append(_ bytes: RawSpan) {
        bytes.withUnsafeBytes { append(contentsOf: $0) }
    }

    /// Appends a frame whose payload `body` appends, and fills in its length afterwards.
    ///
    /// - Throws: what `body` throws, or `tooLarge` when the payload exceeds `limit`; the buffer is then as before.
    package mutating func appendFrame(
        _ kind: FrameKind, stream: UInt32, limit: Int, _ body: (inout [UInt8]) throws(WireError) -> Void
    ) throws(WireError) {
        let start = count
        var header = FrameHeader(kind, stream: stream)
        append(integer: header.word)
        do throws(WireError) {
            try body(&self)
            header.length = count - start - Limits.header
            guard header.length <= limit else {
                throw WireError(
                    .tooLarge, "\(kind) would take \(header.length) bytes, the other end accepts \(limit); send less")
            }
        } catch {
            removeSubrange(start...)
            throw error
        }
        backfill(length: header.length, bytes: 3, at: start)
    }

    /// Writes the lowest `bytes` bytes of a length over a place kept for it.
    mutating func backfill(length: Int, bytes: Int, at start: Int) {
        for offset in 0..<bytes { self[start + offset] = UInt8(truncatingIfNeeded: length >> (8 * offset)) }
    }
}
