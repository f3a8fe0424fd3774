/// Extents a model may have, whatever file says so. Each is far above real models, and small enough that no product of
/// four of them overflows a 64-bit integer.
enum ModelLimits {
    static let layers = 1...1024
    static let width = 1...(1 << 20)
    static let heads = 1...4096
    static let headDimension = 2...4096
    static let context = 1...(1 << 30)
    /// Also what `TokenWeights` can sum.
    static let vocabulary = 1...(1 << 23)
    static let experts = 1...(1 << 12)
    /// Of the matrices of adapters.
    static let adapterRank = 1...4096
    /// Of names in an adapter's `rank_pattern` or `alpha_pattern`: one for each matrix of the largest models.
    static let adapterPatterns = 8192
}
