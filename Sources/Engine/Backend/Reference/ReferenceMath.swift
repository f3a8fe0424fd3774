internal import Glibc

/// Sum of products, in four times eight partial sums so that the compiler may use vectors. The simulated NPU forms them in
/// the same order, so that its results can be held against these bit by bit.
func dot(_ a: ArraySlice<Float>, _ b: ArraySlice<Float>) -> Float {
    precondition(a.count == b.count, "vectors of a dot product have equal lengths")
    return a.withUnsafeBufferPointer { a in
        b.withUnsafeBufferPointer { b in
            var sums = (SIMD8<Float>(), SIMD8<Float>(), SIMD8<Float>(), SIMD8<Float>())
            let whole = a.count / 32 * 32
            let (pa, pb) = (UnsafeRawBufferPointer(a), UnsafeRawBufferPointer(b))
            func product(_ start: Int) -> SIMD8<Float> {
                pa.loadUnaligned(fromByteOffset: start, as: SIMD8<Float>.self)
                    * pb.loadUnaligned(fromByteOffset: start, as: SIMD8<Float>.self)
            }
            for start in stride(from: 0, to: whole * 4, by: 128) {
                sums.0 += product(start)
                sums.1 += product(start + 32)
                sums.2 += product(start + 64)
                sums.3 += product(start + 96)
            }
            var sum = ((sums.0 + sums.1) + (sums.2 + sums.3)).sum()
            for index in whole..<a.count { sum += a[index] * b[index] }
            return sum
        }
    }
}

/// x / sqrt(mean(x²) + epsilon) · weight (Zhang and Sennrich, "Root Mean Square Layer Normalization").
func rmsNorm(_ x: [Float], _ weight: [Float], epsilon: Float) -> [Float] {
    let scale = 1 / (dot(x[...], x[...]) / Float(x.count) + epsilon).squareRoot()
    return zip(x, weight).map { $0 * scale * $1 }
}

/// `rmsNorm` of each head by itself.
func headNorm(_ x: [Float], _ weight: [Float], epsilon: Float) -> [Float] {
    stride(from: 0, to: x.count, by: weight.count).flatMap { start in
        rmsNorm(Array(x[start..<start + weight.count]), weight, epsilon: epsilon)
    }
}

/// exp(x - max) rounded to a type, in place. Returns their sum, by which they are to be divided.
func exponentials(_ x: inout [Float], as type: TensorType) -> Float {
    let maximum = x.max() ?? 0
    var sum: Float = 0
    for index in x.indices {
        x[index] = type.rounded(exp(x[index] - maximum))
        sum += x[index]
    }
    return sum
}

extension IntegerProduct.Inputs {
    /// The integers that stand for `x`, and what multiplies them.
    ///
    /// - Parameters:
    ///   - rounded: of what a device keeps to quantize by a fixed scale: one over it, and the offset.
    ///   - followsSum: whether the operator of the norm does it, which divides; beside float16 it keeps scale and offset exactly.
    func quantized(
        _ x: [Float], _ rounded: ReferenceRounding, followsSum: Bool = false
    ) -> (quants: [Int64], scale: Float) {
        guard x.allSatisfy(\.isFinite) else { return (x.map { _ in 0 }, .nan) }
        switch self {
        case .perToken:
            let largest = x.map(abs).max() ?? 0
            guard largest >= 1e-35 else { return (x.map { _ in 0 }, 0) }
            let scale = largest / 127
            return (x.map { Int64(($0 / scale).rounded(.toNearestOrEven)) }, scale)
        case .fixed(let scale, let offset):
            let quants = x.map { x -> Float in
                guard rounded.type != .f32 else { return (x / scale).rounded(.toNearestOrEven) + offset }
                guard followsSum else { return (x * rounded(1 / scale) + rounded(offset)).rounded(.toNearestOrEven) }
                let divisor = rounded.type == .bf16 ? rounded(scale) : scale
                return (x / divisor + offset).rounded(.toNearestOrEven)
            }
            return (quants.map { Int64(min(max($0, -128), 127)) }, 1)
        }
    }
}

/// bound · tanh(x / bound)
func softcap(_ x: Float, _ bound: Float) -> Float { tanh(x / bound) * bound }

extension ModelConfiguration.Activation {
    /// The function's value.
    func callAsFunction(_ x: Float) -> Float {
        switch self {
        case .silu: x / (1 + exp(-x))
        case .geluTanh: 0.5 * x * (1 + tanh(0.797_884_560_802_865_4 * (x + 0.044_715 * x * x * x)))
        }
    }
}

/// y += x
func add(_ x: [Float], to y: inout [Float]) {
    for index in x.indices { y[index] += x[index] }
}

/// Rotary position embedding (Su et al., "RoFormer"): pairs of elements turned by position · base^(-2i/d).
struct ReferenceRotary {
    private let frequencies: RotaryFrequencies
    private let layout: ModelConfiguration.RotaryLayout
    private let rounded: ReferenceRounding

    init(
        _ frequencies: RotaryFrequencies, layout: ModelConfiguration.RotaryLayout, _ rounding: ReferenceRounding
    ) {
        self.frequencies = frequencies
        self.layout = layout
        rounded = rounding
    }

    /// Turns elements `offset ..< offset + 2 * pairs` of each head.
    func rotated(_ x: [Float], headDimension: Int, offset: Int, position: Int) -> [Float] {
        var x = x
        for (pair, frequency) in frequencies.frequencies(at: position).enumerated() {
            let angle = Float(position) * frequency
            let c = rounded(cos(angle) * frequencies.magnitude)
            let s = rounded(sin(angle) * frequencies.magnitude)
            let (first, second) =
                switch layout {
                case .interleaved: (2 * pair, 2 * pair + 1)
                case .halves: (pair, pair + frequencies.count)
                }
            for start in stride(from: offset, to: x.count, by: headDimension) {
                let (i, j) = (start + first, start + second)
                (x[i], x[j]) = (rounded(x[i] * c - x[j] * s), rounded(x[i] * s + x[j] * c))
            }
        }
        return x
    }
}
