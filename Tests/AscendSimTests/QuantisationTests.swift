import CAscend
import Glibc
import Testing

extension SimulatorTests {
    /// 8-bit weights and activations against their obvious forms.
    @Suite struct QuantisationTests {
        let half: Float = 1 / 256

        @Test func dynamicQuantRoundsHalvesToEven() throws {
            let machine = try Machine()
            // The largest is 127, so that the scale is 1.
            let x: [Float] = [127, 0.5, 1.5, -2.5, 0, 0, 0, 0]
            let input = try machine.floats(x, [2, 4])
            let (y, scale) = (try machine.empty(ACL_INT8, [2, 4]), try machine.empty(ACL_FLOAT, [2]))
            try machine.run(machine.operators.aclnnDynamicQuant) {
                machine.operators.aclnnDynamicQuantGetWorkspaceSize(input.handle, nil, y.handle, scale.handle, $0, $1)
            }
            #expect(try machine.read(y) == [127, 0, 2, -2, 0, 0, 0, 0])
            #expect(try machine.read(scale) == [1, 0])
        }

        @Test func ascendQuantSaturates() throws {
            let machine = try Machine()
            let input = try machine.floats([1, -1, 40, -40], [2, 2])
            let (scale, offset) = (try machine.floats([4], [1]), try machine.floats([0.5], [1]))
            let y = try machine.empty(ACL_INT8, [2, 2])
            try machine.run(machine.operators.aclnnAscendQuant) {
                machine.operators.aclnnAscendQuantGetWorkspaceSize(
                    input.handle, scale.handle, offset.handle, false, "round", 2, y.handle, $0, $1)
            }
            #expect(try machine.read(y) == [4, -4, 127, -128])
        }

        @Test(arguments: [ACL_BF16, ACL_FLOAT16])
        func fusedNormQuantisesByFixedScales(type: aclDataType) throws {
            let machine = try Machine()
            let isHalf = type == ACL_FLOAT16
            // A row whose root of the mean square is 1.
            let (a, b): ([Float], [Float]) = ([0.5, -0.5, 1, -1.5], [0.5, -0.5, -2, 2.5])
            let inputs = [try machine.floats(a, [1, 4], type), try machine.floats(b, [1, 4], type)]
            let gamma = try machine.floats([1, 1, 2, 64], [4], type)
            let scales = try machine.floats([0.25, 0.125, 0.5, 0.25], [4], isHalf ? ACL_FLOAT : type)
            let offsets = try machine.floats([3, 0, -1, 0], [4], isHalf ? ACL_INT32 : type)
            let (y, unused) = (try machine.empty(ACL_INT8, [1, 4]), try machine.empty(ACL_INT8, [1, 4]))
            let sum = try machine.empty(type, [1, 4])
            try machine.run(machine.operators.aclnnAddRmsNormQuant) {
                machine.operators.aclnnAddRmsNormQuantGetWorkspaceSize(
                    inputs[0].handle, inputs[1].handle, gamma.handle, scales.handle, nil, offsets.handle, nil, -1,
                    1e-12, true, y.handle, unused.handle, sum.handle, $0, $1)
            }
            #expect(try machine.read(y) == [7, -8, -5, 127])
            #expect(try machine.read(sum) == [1, -1, -1, 1])
        }

        enum Form: CaseIterable { case v4, v4Transposed, v5, tiles, tilesTransposed }

        @Test(arguments: Form.allCases)
        func integerProduct(form: Form) throws {
            let machine = try Machine()
            var numbers = Numbers(11)
            let (m, k, n) = (3, 64, 48)
            let x = numbers.integers(m * k, -128...127).map(Float.init)
            let w = numbers.integers(k * n, -128...127).map(Float.init)
            let flipped = (0..<n * k).map { w[$0 % k * n + $0 / k] }
            let scales = numbers.floats(n).map { abs($0) / 1000 }
            let tokens: [Float] = [0.5, 1, 2]
            let bias = numbers.floats(n)
            let a = try machine.floats(x, [m, k], ACL_INT8)
            let scale = try machine.floats(scales, [n], ACL_FLOAT)
            let perToken = try machine.floats(tokens, [m], ACL_FLOAT)
            let added = try machine.floats(bias, [n], ACL_FLOAT)
            let out = try machine.empty(ACL_BF16, [m, n])
            let operators = machine.operators
            switch form {
            case .v4, .v4Transposed:
                let isTransposed = form == .v4Transposed
                let b = try machine.floats(isTransposed ? flipped : w, isTransposed ? [n, k] : [k, n], ACL_INT8)
                try machine.run(operators.aclnnQuantMatmulV4) {
                    operators.aclnnQuantMatmulV4GetWorkspaceSize(
                        a.handle, b.handle, scale.handle, nil, perToken.handle, added.handle, false, isTransposed,
                        out.handle, $0, $1)
                }
            case .v5:
                let b = try machine.floats(w, [k, n], ACL_INT8)
                try machine.run(operators.aclnnQuantMatmulV5) {
                    operators.aclnnQuantMatmulV5GetWorkspaceSize(
                        a.handle, b.handle, perToken.handle, scale.handle, nil, nil, nil, nil, added.handle, false,
                        false, 0,
                        out.handle, $0, $1)
                }
            case .tiles, .tilesTransposed:
                let isTransposed = form == .tilesTransposed
                let dims = isTransposed ? [n, k] : [k, n]
                let whole = [(dims[1] + 31) / 32, (dims[0] + 15) / 16, 16, 32]
                // Converted in place by the device.
                var bytes = (isTransposed ? flipped : w).map { Int8($0) }
                bytes += [Int8](repeating: 99, count: whole.reduce(1, *) - bytes.count)
                let place = try machine.upload(bytes)
                var size: UInt64 = 0
                try machine.check(
                    operators.aclnnCalculateMatmulWeightSizeV2(machine.integers(dims), ACL_INT8, &size))
                try #require(size == UInt64(bytes.count))
                let plain = machine.tensor(ACL_INT8, dims, at: place, storage: [bytes.count])
                try machine.run(operators.aclnnTransMatmulWeight) {
                    operators.aclnnTransMatmulWeightGetWorkspaceSize(plain, $0, $1)
                }
                let expected = tiled(isTransposed ? flipped : w, dims[0], dims[1], 32).map { Int8($0) }
                #expect(try machine.download(place, bytes.count, Int8(0)) == expected)
                let b = machine.tensor(ACL_INT8, dims, at: place, format: ACL_FORMAT_FRACTAL_NZ, storage: whole)
                try machine.run(operators.aclnnQuantMatmulWeightNz) {
                    operators.aclnnQuantMatmulWeightNzGetWorkspaceSize(
                        a.handle, b, perToken.handle, scale.handle, nil, nil, nil, nil, added.handle, false,
                        isTransposed, 0,
                        out.handle, $0, $1)
                }
            }
            let expected = product(x, w, m, k, n).enumerated().map { index, sum in
                sum * scales[index % n] * tokens[index / n] + bias[index % n]
            }
            #expect(difference(try machine.read(out), expected) <= half)
        }

        @Test func theScaleOf64BitsIsCutTo19() throws {
            let machine = try Machine()
            // 63 in each output, and a scale of 1 + 2^-11, of which 1 remains.
            let a = try machine.floats([32] + [Float](repeating: 1, count: 31), [1, 32], ACL_INT8)
            let b = try machine.floats([Float](repeating: 1, count: 32 * 16), [32, 16], ACL_INT8)
            let exact = Float(bitPattern: 0x3F80_1000)
            let scale = try machine.floats([Float](repeating: exact, count: 16), [16], ACL_FLOAT)
            let words = try machine.empty(ACL_INT64, [16])
            try machine.run(machine.operators.aclnnTransQuantParamV2) {
                machine.operators.aclnnTransQuantParamV2GetWorkspaceSize(scale.handle, nil, words.handle, $0, $1)
            }
            #expect(try machine.download(words.place, 1, UInt64(0)) == [0x3F80_0000 | 1 << 46])
            // The plain bits of the float, as quantised models hold them, are cut as well.
            let bits = [Int64](repeating: Int64(exact.bitPattern), count: 16)
            let plain = machine.tensor(ACL_INT64, [16], at: try machine.upload(bits))
            for scale in [words.handle, plain] {
                let out = try machine.empty(ACL_FLOAT16, [1, 16])
                try machine.run(machine.operators.aclnnQuantMatmulV4) {
                    machine.operators.aclnnQuantMatmulV4GetWorkspaceSize(
                        a.handle, b.handle, scale, nil, nil, nil, false, false, out.handle, $0, $1)
                }
                #expect(try machine.read(out) == [Float](repeating: 63, count: 16))
            }
        }

        @Test func fusedNormAndGateQuantise() throws {
            let machine = try Machine()
            var numbers = Numbers(12)
            let (a, b, gamma) = (numbers.floats(2 * 64), numbers.floats(2 * 64), numbers.floats(64))
            let inputs = [
                try machine.floats(a, [2, 64]), try machine.floats(b, [2, 64]), try machine.floats(gamma, [64]),
            ]
            let (y, none) = (try machine.empty(ACL_INT8, [2, 64]), try machine.empty(ACL_INT8, [1]))
            let (sum, scale) = (try machine.empty(ACL_BF16, [2, 64]), try machine.empty(ACL_FLOAT, [2]))
            let nothing = try machine.empty(ACL_FLOAT, [1])
            try machine.run(machine.operators.aclnnAddRmsNormDynamicQuant) {
                machine.operators.aclnnAddRmsNormDynamicQuantGetWorkspaceSize(
                    inputs[0].handle, inputs[1].handle, inputs[2].handle, nil, nil, 1e-5, y.handle, none.handle,
                    sum.handle, scale.handle, nothing.handle, $0, $1)
            }
            let normed = norm(brained(zip(a, b).map { $0 + $1 }), gamma)
            let scales = try machine.read(scale)
            let decoded = try machine.read(y).enumerated().map { $0.element * scales[$0.offset / 64] }
            #expect(difference(decoded, normed) < 1 / 250)

            let x = numbers.integers(2 * 64, -2000...2000)
            let product = Placed(
                handle: machine.tensor(ACL_INT32, [2, 64], at: try machine.upload(x.map(Int32.init))), place: y.place,
                type: ACL_INT32, dims: [2, 64])
            let weights = try machine.floats([Float](repeating: 0.001, count: 64), [64], ACL_FLOAT)
            let tokens = try machine.floats([1, 2], [2], ACL_FLOAT)
            let (gated, factor) = (try machine.empty(ACL_INT8, [2, 32]), try machine.empty(ACL_FLOAT, [2]))
            var mode = Array("dynamic".utf8CString)
            try machine.run(machine.operators.aclnnDequantSwigluQuant) {
                machine.operators.aclnnDequantSwigluQuantGetWorkspaceSize(
                    product.handle, weights.handle, tokens.handle, nil, nil, nil, nil, true, &mode, gated.handle,
                    factor.handle, $0, $1)
            }
            let expected = (0..<64).map { i -> Float in
                let scale = Float(0.001) * (i < 32 ? 1 : 2)
                let (gate, up) = (Float(x[i / 32 * 64 + i % 32]) * scale, Float(x[i / 32 * 64 + 32 + i % 32]) * scale)
                return gate / (1 + expf(-gate)) * up
            }
            let factors = try machine.read(factor)
            let result = try machine.read(gated).enumerated().map { $0.element * factors[$0.offset / 32] }
            #expect(difference(result, expected) < 1 / 250)
        }
    }
}
