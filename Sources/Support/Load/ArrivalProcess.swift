import Glibc

/// When requests arrive, independent of how fast the server answers.
package struct ArrivalProcess: Sendable, Equatable {
    /// Requests a second; infinity sends all at once.
    package var rate: Double
    /// Shape of the gamma distribution of the gaps: 1 is a Poisson process, less is burstier, infinity is constant.
    package var burstiness: Double

    /// Creates a process; both arguments are above 0.
    package init(rate: Double, burstiness: Double = 1) {
        precondition(rate > 0 && burstiness > 0, "rate and burstiness are positive")
        self.rate = rate
        self.burstiness = burstiness
    }

    /// Seconds from the start at which each of `count` requests arrives, ascending.
    ///
    /// As in vLLM the gaps are scaled so that the last request arrives at `count / rate`: the sum of random gaps is off
    /// by a percent or two, which would blur comparisons between seeds.
    package func arrivals(count: Int, using random: inout SeededRandom) -> [Double] {
        guard rate.isFinite else { return Array(repeating: 0, count: count) }
        var elapsed = 0.0
        var arrivals: [Double] = []
        for _ in 0..<count {
            let gap =
                burstiness.isFinite
                ? gammaSample(shape: burstiness, using: &random) / (rate * burstiness) : 1 / rate
            elapsed += gap
            arrivals.append(elapsed)
        }
        guard elapsed > 0 else { return arrivals }
        let scale = Double(count) / rate / elapsed
        return arrivals.map { $0 * scale }
    }
}

/// A sample of the gamma distribution with scale 1 (Marsaglia and Tsang, 2000).
func gammaSample(shape: Double, using random: inout SeededRandom) -> Double {
    if shape < 1 {
        // Gamma(a) = Gamma(a + 1) * U^(1/a).
        let uniform = Double.random(in: Double.leastNormalMagnitude..<1, using: &random)
        return gammaSample(shape: shape + 1, using: &random) * pow(uniform, 1 / shape)
    }
    let d = shape - 1.0 / 3
    let c = 1 / (9 * d).squareRoot()
    while true {
        let x = normalSample(using: &random)
        let v = (1 + c * x) * (1 + c * x) * (1 + c * x)
        guard v > 0 else { continue }
        let uniform = Double.random(in: Double.leastNormalMagnitude..<1, using: &random)
        if log(uniform) < 0.5 * x * x + d * (1 - v + log(v)) { return d * v }
    }
}

/// A sample of the normal distribution with mean 0 and deviation 1 (Box and Muller, 1958).
private func normalSample(using random: inout SeededRandom) -> Double {
    let radius = (-2 * log(Double.random(in: Double.leastNormalMagnitude..<1, using: &random))).squareRoot()
    return radius * cos(2 * .pi * Double.random(in: 0..<1, using: &random))
}
