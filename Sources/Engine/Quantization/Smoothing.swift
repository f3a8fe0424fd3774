internal import Glibc

/// Evens out how far channels reach, between the inputs of matrices and the matrices themselves (Xiao et al.,
/// "SmoothQuant"): what yields a channel is divided by a factor, the columns of matrices that multiply it take the factor
/// over. In real numbers nothing changes; of 8 bits for all channels of an input, small ones get more.
///
/// Layers with experts are evened out before attention alone, attention over latents not behind the heads.
struct Smoothing: Sendable {
    /// Where the factors are.
    let layout: SmoothingLayout
    /// The factors of all layers.
    private(set) var factors: [Float]

    /// Factors that change nothing.
    init(_ model: ModelConfiguration) {
        layout = SmoothingLayout(model)
        factors = [Float](repeating: 1, count: layout.count)
    }

    /// - Parameter factors: in the order of the layout.
    init(_ model: ModelConfiguration, factors: [Float]) {
        layout = SmoothingLayout(model)
        precondition(factors.count == layout.count)
        self.factors = factors
    }

    /// Sets a site's factors from how far each channel of the inputs reaches and each column of the matrices behind:
    /// √(inputs / columns) over the geometric mean of all. Channels that reach nowhere keep the factor 1.
    mutating func balance(_ inputs: [Float], _ columns: [Float], layer: Int, at site: ChannelRanges.Site) {
        guard let range = layout.range(layer, site) else { return }
        precondition(inputs.count == range.count && columns.count == range.count)
        let logarithms = zip(inputs, columns).map { input, column in
            input > 0 && column > 0 ? (log(input) - log(column)) / 2 : Float.nan
        }
        let known = logarithms.filter { $0.isFinite }
        guard !known.isEmpty else { return }
        let mean = known.reduce(0, +) / Float(known.count)
        for (index, logarithm) in zip(range, logarithms) where logarithm.isFinite {
            factors[index] = exp(logarithm - mean)
        }
    }

    /// What the columns of a matrix are multiplied by; nil for nothing.
    func columnFactors(_ role: TensorRole) -> [Float]? {
        guard case .layer(let layer, let role) = role, let site = layout.siteBefore(role),
            let range = layout.range(layer, site)
        else { return nil }
        let own = factors[range]
        guard site == .attended else { return Array(own) }
        return layout.forEveryHead(own)
    }

    /// What the rows of a matrix, or the elements of a vector, are divided by; nil for nothing.
    func rowFactors(_ role: TensorRole) -> [Float]? {
        guard case .layer(let layer, let role) = role, let site = layout.siteBehind(role) else { return nil }
        return layout.range(layer, site).map { Array(factors[$0]) }
    }

    /// A norm's weight or a bias with its elements divided; the tensor itself when nothing is to be done.
    func vector(_ role: TensorRole, _ tensor: Tensor) -> Tensor {
        guard role.isVector, let divisors = rowFactors(role) else { return tensor }
        let offset = role.isNorm ? layout.normWeightOffset : 0
        let elements = zip(tensor.floats(), divisors).map { ($0 + offset) / $1 - offset }
        return Tensor(name: tensor.name, floats: elements, rows: 1)
    }
}

/// Where in one array the factors of a model's layers are.
struct SmoothingLayout: Sendable {
    /// Factors of all layers.
    let count: Int
    /// Of the sites of every layer.
    private let ranges: [[ChannelRanges.Site: Range<Int>]]
    private let headDimension: Int
    private let headsPerGroup: Int
    private let hasDirectQueries: Bool
    /// What norms add to their weights.
    let normWeightOffset: Float

    init(_ model: ModelConfiguration) {
        var end = 0
        ranges = model.layers.map { layer in
            var ranges: [ChannelRanges.Site: Range<Int>] = [:]
            for site in ChannelRanges.Site.allCases {
                let width: Int
                switch site {
                case .attention: width = model.embeddingLength
                case .attended: width = model.latentAttention == nil ? model.keyValueLength : 0
                case .feedForward: width = layer.isMixture ? 0 : model.embeddingLength
                case .hidden: width = layer.isMixture ? 0 : model.feedForwardLength
                }
                guard width > 0 else { continue }
                ranges[site] = end..<end + width
                end += width
            }
            return ranges
        }
        count = end
        headDimension = model.headDimension
        headsPerGroup = model.headCount / model.keyValueHeadCount
        hasDirectQueries = model.latentAttention?.queryRank == nil
        normWeightOffset = model.normWeightOffset
    }

    /// Names and numbers of the factors of every site, in their order.
    var names: [(name: String, count: Int)] {
        ranges.enumerated().flatMap { layer, ranges in
            ChannelRanges.Site.allCases.compactMap { site in
                ranges[site].map { ("layers.\(layer).smoothing.\(site)", $0.count) }
            }
        }
    }

    /// Where the factors of a site are; nil for none.
    func range(_ layer: Int, _ site: ChannelRanges.Site) -> Range<Int>? { ranges[layer][site] }

    /// The site whose channels the matrix multiplies.
    func siteBefore(_ role: TensorRole.LayerRole) -> ChannelRanges.Site? {
        switch role {
        case .query: hasDirectQueries ? .attention : nil
        case .key, .value, .queryLatent, .keyValueLatent: .attention
        case .attentionOutput: .attended
        case .gate, .up: .feedForward
        case .down: .hidden
        default: nil
        }
    }

    /// The site whose channels the matrix or vector yields.
    func siteBehind(_ role: TensorRole.LayerRole) -> ChannelRanges.Site? {
        switch role {
        case .attentionNorm: .attention
        case .value, .valueBias: .attended
        case .feedForwardNorm: .feedForward
        case .up, .upBias: .hidden
        default: nil
        }
    }

    /// What is known of the channels of values, repeated for the query heads that attend to them.
    func forEveryHead(_ values: ArraySlice<Float>) -> [Float] {
        stride(from: values.startIndex, to: values.endIndex, by: headDimension).flatMap { start in
            (0..<headsPerGroup).flatMap { _ in values[start..<start + headDimension] }
        }
    }

    /// The largest of what is known of the channels of heads, for those that attend to the same values.
    func largestOfHeads(_ values: [Float]) -> [Float] {
        (0..<values.count / headsPerGroup).map { channel in
            let (group, element) = channel.quotientAndRemainder(dividingBy: headDimension)
            return (0..<headsPerGroup).reduce(0) { largest, head in
                max(largest, values[(group * headsPerGroup + head) * headDimension + element])
            }
        }
    }
}
