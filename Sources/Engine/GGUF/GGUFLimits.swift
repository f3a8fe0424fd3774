/// What a GGUF header may declare before it is rejected. Each limit is far above real files and keeps the work and
/// memory spent on a hostile header in proportion to its size.
package enum GGUFLimits {
    /// Format versions that are read; 1 used 32-bit counts and is extinct.
    package static let versions: ClosedRange<UInt32> = 2...3
    /// Metadata keys; real files have about 40.
    package static let keyCount = 65_536
    /// Tensors; the largest mixture models have some thousands.
    package static let tensorCount = 131_072
    /// Bytes of one string; chat templates reach tens of kilobytes.
    package static let stringByteCount = 16 << 20
    /// Elements of one array; vocabularies and merges stay below a million.
    package static let arrayCount = 16 << 20
    /// Arrays inside arrays; no known key nests at all.
    package static let arrayDepth = 4
    /// Dimensions of a tensor, as in GGML.
    package static let dimensionCount = 1...4
    /// Alignment of tensor data in bytes, a power of two.
    package static let alignment = 8...65_536
    /// Alignment when the file states none.
    package static let defaultAlignment = 32
}
