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
func rmsNorm(_ x: [Float], _ weight: [Float], epsilon: Float, into y: inout [Float]) {
    let scale = 1 / (dot(x[...], x[...]) / Float(x.count) + epsilon).squareRoot()
    for index in x.indices { y[index] = x[index] * scale * weight[index] }
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

/// gate · sigmoid(gate) · up, into gate (Shazeer, "GLU Variants Improve Transformer").
func swiGLU(_ gate: inout [Float], _ up: [Float]) {
    for index in gate.indices { gate[index] = gate[index] / (1 + exp(-gate[index])) * up[index] }
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
    func rotate(_ x: inout [Float], heads: Int, headDimension: Int, offset: Int, position: Int) {
        for (pair, frequency) in frequencies.frequencies(at: position).enumerated() {
            let angle = Float(position) * frequency
            let (c, s) = (cos(angle) * frequencies.magnitude, sin(angle) * frequencies.magnitude)
            let (first, second) =
                switch layout {
                case .interleaved: (2 * pair, 2 * pair + 1)
                case .halves: (pair, pair + frequencies.count)
                }
            for head in 0..<heads {
                let start = head * headDimension + offset
                let (i, j) = (start + first, start + second)
                (x[i], x[j]) = (x[i] * c - x[j] * s, x[i] * s + x[j] * c)
            }
        }
    }
}
