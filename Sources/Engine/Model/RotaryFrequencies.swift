internal import Glibc

/// How fast each pair of a head turns, scaling applied.
///
/// A frequency may depend on the position (dynamic and longrope scaling), never on the length of a prompt or of a
/// step: whatever shares the step, a token is turned alike, and as if the tokens had come one by one.
package struct RotaryFrequencies {
    /// What rotated queries and keys are multiplied by, each.
    package let magnitude: Float
    /// (pairs) below `farStart`
    private let near: [Float]
    /// (pairs) from `farStart` on
    private let far: [Float]
    private let farStart: Int
    private let dimension: Int
    private let base: Float
    private let dynamicFactor: Float?

    /// - Parameter dimension: elements of a head that are rotated; even.
    package init(dimension: Int, base: Float, scaling: ModelConfiguration.RotaryScaling) {
        self.dimension = dimension
        self.base = base
        let plain = Self.plain(dimension, base)
        var near = plain
        var far: [Float]?
        var farStart = Int.max
        var magnitude: Float = 1
        var dynamicFactor: Float?
        switch scaling {
        case .none: break
        case .linear(let factor): near = plain.map { $0 / factor }
        case .perFrequency(let divisors): near = zip(plain, divisors).map { $0 / $1 }
        case .dynamic(let factor, let context): (dynamicFactor, farStart) = (factor, context)
        case .llama3(let factor, let low, let high, let context):
            near = plain.map { llama3($0, factor: factor, low: low, high: high, context: Float(context)) }
        case .yarn(let yarn): (near, magnitude) = (Self.scaled(plain, base: base, by: yarn), yarn.magnitude)
        case .longrope(let short, let long, let context, let factor):
            let waves = (0..<plain.count).map { pow(base, Float(2 * $0) / Float(dimension)) }
            near = zip(waves, short).map { 1 / ($1 * $0) }
            far = zip(waves, long).map { 1 / ($1 * $0) }
            (farStart, magnitude) = (context, factor)
        }
        (self.near, self.far, self.farStart) = (near, far ?? near, farStart)
        (self.magnitude, self.dynamicFactor) = (magnitude, dynamicFactor)
    }

    /// Number of pairs.
    package var count: Int { near.count }

    /// Radians per position of each pair of a token at `position`.
    package func frequencies(at position: Int) -> [Float] {
        guard position >= farStart else { return near }
        guard let dynamicFactor else { return far }
        let length = Float(position + 1)
        let stretch = (dynamicFactor * length / Float(farStart)) - (dynamicFactor - 1)
        return Self.plain(dimension, base * pow(stretch, Float(dimension) / Float(dimension - 2)))
    }

    private static func plain(_ dimension: Int, _ base: Float) -> [Float] {
        (0..<dimension / 2).map { 1 / pow(base, Float(2 * $0) / Float(dimension)) }
    }

    /// YaRN: from pair `low` to pair `high` the divisor grows from 1 to the factor.
    private static func scaled(_ plain: [Float], base: Float, by yarn: ModelConfiguration.Yarn) -> [Float] {
        let dimension = Double(2 * plain.count)
        func pair(turning turns: Float) -> Double {
            dimension * log(Double(yarn.originalContext) / (Double(turns) * 2 * .pi)) / (2 * log(Double(base)))
        }
        var low = pair(turning: yarn.fastTurns)
        var high = pair(turning: yarn.slowTurns)
        if yarn.roundsBounds { (low, high) = (low.rounded(.down), high.rounded(.up)) }
        (low, high) = (max(low, 0), min(high, dimension - 1))
        if low == high { high += 0.001 }
        return plain.enumerated().map { index, frequency in
            let ramp = min(max((Float(index) - Float(low)) / Float(high - low), 0), 1)
            return frequency / yarn.factor * ramp + frequency * (1 - ramp)
        }
    }
}

private func llama3(_ frequency: Float, factor: Float, low: Float, high: Float, context: Float) -> Float {
    let wave = 2 * Float.pi / frequency
    if wave < context / high { return frequency }
    if wave > context / low { return frequency / factor }
    let smooth = (context / wave - low) / (high - low)
    return (1 - smooth) * frequency / factor + smooth * frequency
}

extension ModelConfiguration {
    /// The frequencies of layers with or without an attention window.
    package func rotaryFrequencies(windowed: Bool) -> RotaryFrequencies {
        if windowed, let windowRotaryBase {
            return RotaryFrequencies(dimension: rotaryDimension, base: windowRotaryBase, scaling: .none)
        }
        return RotaryFrequencies(dimension: rotaryDimension, base: rotaryBase, scaling: rotaryScaling)
    }
}
