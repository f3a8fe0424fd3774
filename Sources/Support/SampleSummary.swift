/// Statistics of a set of samples as numpy computes them, so that our figures equal other tools' to the digit.
package struct SampleSummary: Sendable {
    private let sorted: [Double]

    /// Summarises samples in any order. An empty set has 0 for every statistic, as vLLM reports it.
    package init(_ samples: [Double]) {
        sorted = samples.sorted()
    }

    /// Number of samples.
    package var count: Int { sorted.count }
    /// The largest sample.
    package var maximum: Double { sorted.last ?? 0 }
    /// The arithmetic mean.
    package var mean: Double { sorted.isEmpty ? 0 : sorted.reduce(0, +) / Double(sorted.count) }

    /// Standard deviation of the population (numpy's `ddof=0`).
    package var standardDeviation: Double {
        guard !sorted.isEmpty else { return 0 }
        let mean = mean
        let squares = sorted.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        return (squares / Double(sorted.count)).squareRoot()
    }

    /// The middle sample, or the mean of the two in the middle.
    package var median: Double {
        guard !sorted.isEmpty else { return 0 }
        let middle = sorted.count / 2
        return sorted.count.isMultiple(of: 2) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
    }

    /// The value below which `percent` of the samples lie, interpolated linearly (numpy's default method).
    ///
    /// - Parameter percent: 0...100.
    package func percentile(_ percent: Double) -> Double {
        precondition((0...100).contains(percent), "a percentile is between 0 and 100")
        guard !sorted.isEmpty else { return 0 }
        let position = percent / 100 * Double(sorted.count - 1)
        let index = min(Int(position), sorted.count - 1)
        let fraction = position - Double(index)
        let lower = sorted[index]
        let upper = sorted[min(index + 1, sorted.count - 1)]
        // numpy interpolates from the nearer end, which keeps the result between the two for every rounding.
        return fraction < 0.5 ? lower + (upper - lower) * fraction : upper - (upper - lower) * (1 - fraction)
    }
}
