import CKernels
import Glibc
import Testing

extension KernelTests {
    @Test func `norms equal the oracle and the formula`() {
        var random = Random(10)
        for n in [1, 15, 16, 17, 100, 576] {
            let x = random.floats(n, in: -5...5)
            let weight = random.floats(n)
            var y = [Float](repeating: 0, count: n)
            for (name, equal) in compareLevels({
                ck_rms_norm(x, weight, n, 1e-5, &y)
                return y
            }) { #expect(equal, "\(name), \(n)") }
            let mean = x.map { Double($0) * Double($0) }.reduce(0, +) / Double(n)
            for i in 0..<n {
                let expected = Double(x[i]) / (mean + 1e-5).squareRoot() * Double(weight[i])
                #expect(abs(Double(y[i]) - expected) < 1e-5)
            }
        }
    }

    @Test func `rotation equals the oracle and leaves the tail of a head`() {
        var random = Random(11)
        for (dimension, half) in [(64, 32), (80, 20), (96, 48), (128, 37)] {
            let x = random.floats(3 * dimension)
            let angles = random.floats(half, in: 0...100)
            let cosines = angles.map { cosf($0) }
            let sines = angles.map { sinf($0) }
            var y = x
            for (name, equal) in compareLevels({
                y = x
                ck_rotary(&y, 3, dimension, half, cosines, sines)
                return y
            }) { #expect(equal, "\(name), \(dimension)") }
            for head in 0..<3 {
                let base = head * dimension
                #expect(y[base + 2 * half..<base + dimension] == x[base + 2 * half..<base + dimension])
                #expect(abs(y[base] - (x[base] * cosines[0] - x[base + half] * sines[0])) < 1e-6)
                #expect(abs(y[base + half] - (x[base] * sines[0] + x[base + half] * cosines[0])) < 1e-6)
            }
        }
    }

    @Test func `gating equals the oracle and the formula`() {
        var random = Random(12)
        let special: [Float] = [0, -0.0, 1e-30, 87, -87, 88.5, -88.5, 1000, -1000, .infinity, .nan]
        for n in [1, 16, 33, 500] {
            let gate = Array((special + random.floats(n, in: -20...20)).prefix(n))
            let up = random.floats(n)
            var y = [Float](repeating: 0, count: n)
            for (name, equal) in compareLevels({
                ck_swiglu(gate, up, n, &y)
                return y
            }) { #expect(equal, "\(name), \(n)") }
            for i in 0..<n where gate[i].isFinite {
                let expected = Double(gate[i]) / (1 + exp(-Double(gate[i]))) * Double(up[i])
                #expect(abs(Double(y[i]) - expected) <= 1e-6 * abs(expected) + 1e-34, "gate \(gate[i])")
            }
        }
    }

    @Test func `gating by gelu equals the oracle and the formula`() {
        var random = Random(13)
        let special: [Float] = [0, -0.0, 1e-30, 20, -20, 1000, -1000, .infinity, .nan]
        for n in [1, 16, 33, 500] {
            let gate = Array((special + random.floats(n, in: -8...8)).prefix(n))
            let up = random.floats(n)
            var y = [Float](repeating: 0, count: n)
            for (name, equal) in compareLevels({
                ck_geglu(gate, up, n, &y)
                return y
            }) { #expect(equal, "\(name), \(n)") }
            for i in 0..<n where gate[i].isFinite {
                let x = Double(gate[i])
                let gelu = x / 2 * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
                #expect(abs(Double(y[i]) - gelu * Double(up[i])) <= 1e-6 * max(abs(x), 1e-30), "gate \(gate[i])")
            }
        }
    }

    @Test func `softcap equals the oracle and the formula`() {
        var random = Random(14)
        for bound: Float in [0.5, 30, 50] {
            let x = [0, -0.0, 1e-20, 1e6, -1e6] + random.floats(43, in: -100...100)
            var y = x
            for (name, equal) in compareLevels({
                y = x
                ck_softcap(&y, 48, bound)
                return y
            }) { #expect(equal, "\(name), \(bound)") }
            for i in x.indices {
                let expected = Double(bound) * tanh(Double(x[i]) / Double(bound))
                #expect(abs(Double(y[i]) - expected) <= 3e-7 * Double(bound), "\(x[i])")
            }
        }
    }
}

extension KernelTests {
    @Test func `what memory is read as equals the oracle's, every word of it`() {
        var random = Random(31)
        var words = (0..<1024).map { _ in UInt32.random(in: .min ... .max, using: &random) }
        let expected = words.reduce(0, ^)
        #expect(ck_read(words, 4096) == expected)
        for index in stride(from: 0, to: words.count, by: 13) {
            words[index] ^= 1 << 30
            let outcome = compareLevels { [Float(ck_read(words, 4096) >> 8), Float(ck_read(words, 4096) & 0xFF)] }
            for (name, equal) in outcome { #expect(equal, "\(name), word \(index)") }
        }
    }
}
