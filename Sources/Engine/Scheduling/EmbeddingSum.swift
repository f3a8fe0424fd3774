/// The hidden states of an embedding's rows, added up row by row as steps yield them: in the order of positions and in
/// double precision, so that the vector has the same bits however the prompt is cut into steps.
struct EmbeddingSum {
    let options: EmbeddingOptions
    private var sum: [Double] = []
    private var rowCount = 0

    init(_ options: EmbeddingOptions) { self.options = options }

    /// Of the rows that a step computes, the ones that count.
    ///
    /// - Parameter count: tokens of the prompt.
    func rows(among computed: Range<Int>, of count: Int) -> Range<Int> {
        switch options.pooling {
        case .mean: computed
        case .last: max(computed.lowerBound, min(count - 1, computed.upperBound))..<computed.upperBound
        }
    }

    /// Adds rows, which lie one after the other.
    mutating func add(_ states: Span<Float>, rows: Int) {
        let width = states.count / rows
        if sum.isEmpty { sum = [Double](repeating: 0, count: width) }
        for row in 0..<rows {
            for column in 0..<width { sum[column] += Double(states[row * width + column]) }
        }
        rowCount += rows
    }

    /// Forgets all rows: they are computed again.
    mutating func removeAll() {
        sum.removeAll(keepingCapacity: true)
        rowCount = 0
    }

    /// The embedding; nil when it is not finite.
    var vector: [Float]? {
        precondition(rowCount > 0, "an embedding of no rows")
        let mean = sum.map { $0 / Double(rowCount) }
        let length = options.isNormalized ? mean.reduce(0) { $0 + $1 * $1 }.squareRoot() : 1
        let vector = mean.map { Float(length > 0 ? $0 / length : $0) }
        return vector.allSatisfy(\.isFinite) ? vector : nil
    }
}
