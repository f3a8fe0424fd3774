/// How the rows of heads are packed: padded with zeros to whole lanes, which changes no product, and with interleaved
/// rotary pairs (2i, 2i + 1) moved to (i, i + half), queries and keys alike, so that the kernels need one layout only.
struct HeadLayout: Sendable {
    /// Rows of a packed head.
    let packedDimension: Int
    private let dimension: Int
    /// First of the rows that are moved.
    private let movedStart: Int
    private let movedHalf: Int

    /// How the rows of that tensor are packed; nil for one whose rows are not those of heads.
    init?(_ model: ModelConfiguration, _ role: TensorRole) {
        guard case .layer(_, let role) = role else { return nil }
        let half = model.rotaryLayout == .interleaved ? model.rotaryDimension / 2 : 0
        let plain = model.latentAttention?.plainDimension ?? 0
        switch role {
        case .query, .key, .queryBias, .keyBias, .queryNorm, .keyNorm:
            self.init(model.headDimension, movedStart: plain, movedHalf: half)
        case .value, .valueBias: self.init(model.headDimension, movedStart: 0, movedHalf: 0)
        case .keyValueLatent:
            let rank = model.latentAttention?.keyValueRank ?? 0
            self.init(rank + model.rotaryDimension, movedStart: rank, movedHalf: half)
        default: return nil
        }
    }

    private init(_ dimension: Int, movedStart: Int, movedHalf: Int) {
        self.dimension = dimension
        packedDimension = ForwardStep.padded(dimension)
        self.movedStart = movedStart
        self.movedHalf = movedHalf
    }

    /// Rows of all heads once packed.
    func packedCount(_ rows: Int) -> Int { rows / dimension * packedDimension }

    /// The row of the file that becomes row `row`; nil for padding.
    func source(of row: Int) -> Int? {
        let (head, element) = row.quotientAndRemainder(dividingBy: packedDimension)
        guard element < dimension else { return nil }
        let moved = element - movedStart
        let source =
            if moved < 0 || moved >= 2 * movedHalf {
                element
            } else if moved < movedHalf {
                movedStart + 2 * moved
            } else {
                movedStart + 2 * (moved - movedHalf) + 1
            }
        return head * dimension + source
    }
}
