internal import Glibc

/// Zeroed memory of its own mapping that asks for 2 MiB pages: reading weights through 4 KiB pages costs 15 to 30% of
/// the memory bandwidth. Pages that are never touched take no memory.
final class HugePages: @unchecked Sendable {  // the range is immutable; users synchronise access to the contents
    /// 2 MiB aligned.
    let base: UnsafeMutableRawPointer
    private let mapping: UnsafeMutableRawPointer
    private let mappedByteCount: Int
    private static let pageByteCount = 2 << 20

    /// - Parameter purpose: what the memory is for, for the error message.
    /// - Throws: `EngineError.insufficientMemory`.
    init(byteCount: Int, purpose: String) throws(EngineError) {
        let (total, overflows) = max(byteCount, 1).addingReportingOverflow(Self.pageByteCount)
        let protection = PROT_READ | PROT_WRITE
        guard !overflows, let mapping = mmap(nil, total, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            mapping != MAP_FAILED
        else {
            throw EngineError(
                .insufficientMemory,
                "no memory for \(purpose): \(byteCount >> 20) MiB; use a smaller model or a smaller KV cache")
        }
        self.mapping = mapping
        mappedByteCount = total
        base = mapping.alignedUp(toMultipleOf: Self.pageByteCount)
        madvise(base, byteCount, MADV_HUGEPAGE)  // only advice: without it everything works, slower
    }

    deinit {
        munmap(mapping, mappedByteCount)
    }
}

/// Hands out consecutive 64-byte aligned ranges: first counts bytes, then, with a base, yields addresses.
struct BumpLayout {
    private(set) var byteCount = 0

    /// The offset of a new range for `count` elements.
    mutating func reserve<Element>(_ type: Element.Type, _ count: Int) -> Int {
        let offset = byteCount
        byteCount += (count * MemoryLayout<Element>.stride + 63) / 64 * 64
        return offset
    }
}
