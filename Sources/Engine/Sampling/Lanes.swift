/// Elements handled at once; buffers that are written by groups are padded to a multiple of it.
let laneCount = 8

extension UnsafeBufferPointer<Float> {
    /// Calls `body` with each group of `laneCount` elements and the index of its first; the last group is filled up
    /// with -infinity.
    @inline(__always)
    func forEachGroup(_ body: (_ lanes: SIMD8<Float>, _ start: Int) -> Void) {
        let raw = UnsafeRawBufferPointer(self)
        for start in stride(from: 0, to: count, by: laneCount) {
            if start + laneCount <= count {
                body(raw.loadUnaligned(fromByteOffset: start * 4, as: SIMD8<Float>.self), start)
            } else {
                var rest = SIMD8<Float>(repeating: -.infinity)
                for index in start..<count { rest[index - start] = self[index] }
                body(rest, start)
            }
        }
    }
}
