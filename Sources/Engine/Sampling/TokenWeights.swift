import Glibc

/// The probabilities of all tokens, up to a common factor, as integers: the likeliest token weighs `one`.
///
/// Integers, because their sums do not depend on the order of adding: a filter that selects gives the same bits as one
/// that sorts, and a row the same bits on every machine. A token lighter than 2^-40 of the likeliest weighs nothing.
package struct TokenWeights {
    /// The weight of the likeliest token. 2^40 leaves room for the sum of 2^23 tokens.
    package static let one: UInt64 = 1 << 40

    /// (vocabulary, padded to whole groups) weight of each token; 0 for those filtered out.
    package private(set) var values: [UInt64]
    /// Sum of `values`.
    package private(set) var total: UInt64 = 0
    private var exponentials: [Float]
    private var cutoffs: CutoffSelector

    package init(vocabularySize: Int) {
        let groups = (vocabularySize + laneCount - 1) / laneCount
        values = [UInt64](repeating: 0, count: groups * laneCount)
        exponentials = [Float](repeating: 0, count: groups * laneCount)
        cutoffs = CutoffSelector(capacity: vocabularySize)
    }

    /// The natural logarithm of the sum over all tokens of exp(logit - maximum), if no filter has run.
    package var logarithmOfSum: Double { log(Double(total) / Double(Self.one)) }

    /// Sets every weight to `one` * exp((logit - maximum) / temperature).
    ///
    /// The maximum is subtracted before the division, so that no temperature above 0 can overflow.
    package mutating func fill(_ logits: UnsafeBufferPointer<Float>, maximum: Float, temperature: Float) {
        precondition(logits.count <= values.count && values.count - logits.count < laneCount)
        // Two passes: in one, the compiler takes the exponential apart into scalars.
        exponentials.withUnsafeMutableBytes { exponentials in
            logits.forEachGroup { x, start in
                let weight = exponential((x - maximum) / temperature) * Float(Self.one)
                exponentials.storeBytes(of: weight, toByteOffset: start * 4, as: SIMD8<Float>.self)
            }
        }
        var sum: UInt64 = 0
        for index in values.indices {
            let weight = UInt64(truncatingIfNeeded: Int64(exponentials[index]))
            values[index] = weight
            sum &+= weight
        }
        total = sum
    }

    /// The most that a token weighs whose logit is at most `logit`, with the maximum and the temperature of `fill`.
    ///
    /// The exponential is off by units in the last place, and may fall where its argument rises: 2^-16 allows for that.
    package static func most(atLogit logit: Float, maximum: Float, temperature: Float) -> UInt64 {
        let weight = exponential(SIMD8(repeating: (logit - maximum) / temperature))[0] * Float(one)
        return UInt64(weight + weight * 0x1p-16)
    }

    /// Min-p, top-k and top-p, each relative to what the one before left.
    package mutating func filter(by parameters: SamplingParameters) {
        keepHeavy(by: parameters)
        if parameters.topP < 1 { keep(nucleus: parameters.topP) }
    }

    /// Min-p and top-k.
    ///
    /// - Returns: the weight below which they drop a token, or would drop one that is not in the row; 1 where they drop none,
    ///   for tokens that weigh nothing take no part.
    @discardableResult
    package mutating func keepHeavy(by parameters: SamplingParameters) -> UInt64 {
        var least: UInt64 = 1
        if parameters.minP > 0 { least = max(least, keep(aboveShare: parameters.minP)) }
        if parameters.topK > 0 && parameters.topK < values.count {
            least = max(least, keep(heaviest: parameters.topK))
        }
        return least
    }

    /// Min-p: drops tokens below `share` (0...1) of the likeliest one's weight. Returns that weight.
    @discardableResult
    package mutating func keep(aboveShare share: Float) -> UInt64 {
        let threshold = UInt64(share * Float(Self.one))
        keep { weight, _ in weight >= threshold }
        return threshold
    }

    /// Top-k: keeps the `count` heaviest tokens and, like vLLM, all that weigh as much as the last of them. Returns what
    /// that one weighs; 0 where there are no more than `count`.
    @discardableResult
    package mutating func keep(heaviest count: Int) -> UInt64 {
        guard let cutoff = cutoffs.cutoff(in: values, reaching: UInt64(count), measure: { _ in 1 }) else { return 0 }
        keep { weight, _ in weight >= cutoff.weight }
        return cutoff.weight
    }

    /// Top-p: keeps a token while the tokens before it in descending order (of equal weights the lower id first) make
    /// up less than `share` of the total; the heaviest token is always kept.
    package mutating func keep(nucleus share: Float) {
        if let last = lastEntry(ofNucleus: share, ofTotal: total) { keep(upTo: last) }
    }

    /// Top-p of a row of which these are the heaviest tokens, if they tell what it keeps.
    ///
    /// - Parameters:
    ///   - totals: what all tokens of the row may weigh together.
    ///   - others: the most that a token weighs which is not here.
    /// - Returns: false where it depends on the total, or may depend on other tokens; nothing is dropped then.
    package mutating func keep(nucleus share: Float, of totals: ClosedRange<UInt64>, above others: UInt64) -> Bool {
        guard totals.lowerBound > 0,
            let last = lastEntry(ofNucleus: share, ofTotal: totals.lowerBound), last.weight > others,
            let other = lastEntry(ofNucleus: share, ofTotal: totals.upperBound), other.token == last.token
        else { return false }
        keep(upTo: last)
        return true
    }

    /// The last that top-p keeps of a total above 0; nil where all that are here weigh less than that.
    private mutating func lastEntry(ofNucleus share: Float, ofTotal total: UInt64) -> CutoffSelector.Entry? {
        let target = UInt64((Double(share) * Double(total)).rounded(.up))
        return cutoffs.cutoff(in: values, reaching: target, measure: { $0 })
    }

    private mutating func keep(upTo last: CutoffSelector.Entry) {
        keep { weight, token in weight > last.weight || (weight == last.weight && token <= last.token) }
    }

    /// What tokens weigh together of which each weighs more than `weight`.
    package func total(above weight: UInt64) -> UInt64 { values.reduce(0) { $0 + ($1 > weight ? $1 : 0) } }

    /// The token at `random` / 2^64 of the total, tokens laid out in order of id.
    package func draw(_ random: UInt64) -> Int32 {
        var remaining = total.multipliedFullWidth(by: random).high
        for (token, weight) in values.enumerated() {
            if remaining < weight { return Int32(token) }
            remaining -= weight
        }
        preconditionFailure("the weights of the tokens do not sum up to their total")
    }

    private mutating func keep(where isKept: (UInt64, Int32) -> Bool) {
        var sum: UInt64 = 0
        values.withUnsafeMutableBufferPointer { values in
            for token in values.indices {
                if isKept(values[token], Int32(truncatingIfNeeded: token)) {
                    sum &+= values[token]
                } else {
                    values[token] = 0
                }
            }
        }
        total = sum
    }
}

/// exp(x) of each lane for x <= 0, to about 2 units in the last place; 0 or nearly so below -87, never NaN for -infinity.
///
/// Our own, because a library's differs between machines. Cephes' method: x = n ln 2 + r, a polynomial for exp(r), and n
/// added to the exponent.
@inline(__always)
private func exponential(_ x: SIMD8<Float>) -> SIMD8<Float> {
    let clamped = x.replacing(with: -87, where: x .< -87)
    // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits of the pattern.
    let shifter = SIMD8<Float>(repeating: 12_582_912)
    let shifted = clamped * 1.442_695_04 + shifter
    let n = shifted - shifter
    let r = clamped - n * 0.693_359_375 + n * 2.121_944_4e-4
    var polynomial = r * 1.987_569_1e-4 + 1.398_199_9e-3
    polynomial = polynomial * r + 8.333_452e-3
    polynomial = polynomial * r + 4.166_579_6e-2
    polynomial = polynomial * r + 1.666_666_5e-1
    polynomial = polynomial * r + 0.5
    polynomial = polynomial * (r * r) + r + 1
    let exponent = unsafeBitCast(shifted, to: SIMD8<UInt32>.self) &- unsafeBitCast(shifter, to: SIMD8<UInt32>.self)
    return polynomial * unsafeBitCast((exponent &+ 127) &<< 23, to: SIMD8<Float>.self)
}
