internal import Glibc

/// Sum of products, in sixteen partial sums so that the compiler may use vectors.
func dot(_ a: ArraySlice<Float>, _ b: ArraySlice<Float>) -> Float {
    precondition(a.count == b.count, "vectors of a dot product have equal lengths")
    return a.withUnsafeBufferPointer { a in
        b.withUnsafeBufferPointer { b in
            var sums = SIMD16<Float>(repeating: 0)
            let whole = a.count / 16 * 16
            let (pa, pb) = (UnsafeRawBufferPointer(a), UnsafeRawBufferPointer(b))
            for start in stride(from: 0, to: whole * 4, by: 64) {
                let x = pa.loadUnaligned(fromByteOffset: start, as: SIMD16<Float>.self)
                let y = pb.loadUnaligned(fromByteOffset: start, as: SIMD16<Float>.self)
                sums += x * y
            }
            var sum = sums.sum()
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

/// exp(x - max) / Σ exp(x - max), in place.
func softmax(_ x: inout [Float]) {
    let maximum = x.max() ?? 0
    var sum: Float = 0
    for index in x.indices {
        x[index] = exp(x[index] - maximum)
        sum += x[index]
    }
    for index in x.indices { x[index] /= sum }
}

extension IntegerProduct.Inputs {
    /// The integers that stand for `x`, and what multiplies them.
    func quantized(_ x: [Float]) -> (quants: [Int64], scale: Float) {
        guard x.allSatisfy(\.isFinite) else { return (x.map { _ in 0 }, .nan) }
        switch self {
        case .perToken:
            let largest = x.map(abs).max() ?? 0
            guard largest >= 1e-35 else { return (x.map { _ in 0 }, 0) }
            let scale = largest / 127
            return (x.map { Int64(($0 / scale).rounded(.toNearestOrEven)) }, scale)
        case .fixed(let scale, let offset):
            return (x.map { Int64(min(max(($0 / scale).rounded(.toNearestOrEven) + offset, -128), 127)) }, 1)
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

    init(_ frequencies: RotaryFrequencies, layout: ModelConfiguration.RotaryLayout) {
        self.frequencies = frequencies
        self.layout = layout
    }

    /// Turns elements `offset ..< offset + 2 * pairs` of each head.
    func rotated(_ x: [Float], headDimension: Int, offset: Int, position: Int) -> [Float] {
        var x = x
        for (pair, frequency) in frequencies.frequencies(at: position).enumerated() {
            let angle = Float(position) * frequency
            let (c, s) = (cos(angle) * frequencies.magnitude, sin(angle) * frequencies.magnitude)
            let (first, second) =
                switch layout {
                case .interleaved: (2 * pair, 2 * pair + 1)
                case .halves: (pair, pair + frequencies.count)
                }
            for start in stride(from: offset, to: x.count, by: headDimension) {
                let (i, j) = (start + first, start + second)
                (x[i], x[j]) = (x[i] * c - x[j] * s, x[i] * s + x[j] * c)
            }
        }
        return x
    }
}
