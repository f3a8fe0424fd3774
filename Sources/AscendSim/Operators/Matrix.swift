internal import CAscend

/// The second factor of a matrix product, {K, N}, read a row of its storage at a time.
struct Factor {
    let view: View
    let inputs: Int
    let outputs: Int
    /// Whether a row of the storage holds all inputs of one output; else all outputs of one input.
    let rowsAreOutputs: Bool

    /// Rows and columns are the last two dimensions of the view, or the other way round with `isTransposed`.
    init(_ view: View, isTransposed: Bool = false, batch: Int = 0) {
        var tensor = view.tensor
        if tensor.dims.count == 3 {
            tensor.offset += batch * tensor.strides[0]
            tensor.dims.removeFirst()
            tensor.strides.removeFirst()
        }
        let isTiledTransposed = tensor.isTiled && tensor.tiles.isTransposed
        if isTransposed {
            tensor.dims.swapAt(0, 1)
            tensor.strides.swapAt(0, 1)
        }
        self.view = View(tensor: tensor, base: view.base)
        self.batch = batch
        inputs = tensor.dims[0]
        outputs = tensor.dims[1]
        rowsAreOutputs = tensor.isTiled ? isTiledTransposed != isTransposed : tensor.strides[0] == 1
    }
    private let batch: Int

    /// Inputs of an output, or outputs of an input.
    func read(_ row: Int, into values: UnsafeMutablePointer<Float>) {
        let tensor = view.tensor
        let count = rowsAreOutputs ? inputs : outputs
        guard tensor.isTiled else {
            let strides =
                rowsAreOutputs ? (tensor.strides[1], tensor.strides[0]) : (tensor.strides[0], tensor.strides[1])
            view.decode(at: tensor.offset + row * strides.0, stride: strides.1, count: count, into: values)
            return
        }
        let width = 32 / tensor.type.bytes
        let storage = Array(tensor.storage.suffix(4))
        let matrix = batch * storage.reduce(1, *)
        for tile in 0..<(count + width - 1) / width {
            let start = matrix + ((tile * storage[1] + row / 16) * 16 + row % 16) * width
            view.decode(
                at: start, stride: 1, count: min(width, count - tile * width), into: values + tile * width)
        }
    }
}

/// x {rows, K} times a factor {K, N}: each output is summed in 32-bit floats, in an order that no other row has a say in.
func multiply(_ x: [Float], rows: Int, _ factor: Factor) -> [Float] {
    let (k, n) = (factor.inputs, factor.outputs)
    var y = [Float](repeating: 0, count: rows * n)
    withUnsafeTemporaryAllocation(of: Float.self, capacity: max(k, n, 1)) { scratch in
        x.withUnsafeBufferPointer { x in
            y.withUnsafeMutableBufferPointer { y in
                guard let scratch = scratch.baseAddress, let x = x.baseAddress, let y = y.baseAddress else { return }
                if factor.rowsAreOutputs {
                    for output in 0..<n {
                        factor.read(output, into: scratch)
                        for row in 0..<rows { y[row * n + output] = dot(x + row * k, scratch, k) }
                    }
                } else {
                    for input in 0..<k {
                        factor.read(input, into: scratch)
                        for row in 0..<rows {
                            let (value, target) = (x[row * k + input], y + row * n)
                            for output in 0..<n { target[output] += value * scratch[output] }
                        }
                    }
                }
            }
        }
    }
    return y
}

/// Exact products of 8-bit integers, modulo 2^32. Sums of 1024 products are whole numbers that a 32-bit float holds exactly, so
/// that the loops for floats do.
func multiplyIntegers(_ x: [Float], rows: Int, _ factor: Factor) -> [Int32] {
    let (k, n, run) = (factor.inputs, factor.outputs, 1024)
    var y = [Int32](repeating: 0, count: rows * n)
    var part = [Float](repeating: 0, count: factor.rowsAreOutputs ? 0 : rows * n)
    var line = [Float](repeating: 0, count: max(k, n, 1))
    x.withUnsafeBufferPointer { x in
        line.withUnsafeMutableBufferPointer { line in
            guard let x = x.baseAddress, let line = line.baseAddress else { return }
            if factor.rowsAreOutputs {
                for output in 0..<n {
                    factor.read(output, into: line)
                    for row in 0..<rows {
                        for start in stride(from: 0, to: k, by: run) {
                            let sum = dot(x + row * k + start, line + start, min(run, k - start))
                            y[row * n + output] &+= Int32(sum)
                        }
                    }
                }
                return
            }
            part.withUnsafeMutableBufferPointer { part in
                for input in 0..<k {
                    factor.read(input, into: line)
                    for row in 0..<rows {
                        let value = x[row * k + input]
                        for output in 0..<n { part[row * n + output] += value * line[output] }
                    }
                    guard (input + 1) % run == 0 || input + 1 == k else { continue }
                    for index in part.indices {
                        y[index] &+= Int32(part[index])
                        part[index] = 0
                    }
                }
            }
        }
    }
    return y
}

/// Sums in four times eight lanes, then the rest one by one: in the order of the engine's reference back end, so that tests
/// compare the two bit by bit.
func dot(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ count: Int) -> Float {
    var sums = (SIMD8<Float>(), SIMD8<Float>(), SIMD8<Float>(), SIMD8<Float>())
    var index = 0
    @inline(__always) func load(_ pointer: UnsafePointer<Float>, _ at: Int) -> SIMD8<Float> {
        UnsafeRawPointer(pointer + at).loadUnaligned(as: SIMD8<Float>.self)
    }
    while index &+ 32 <= count {
        sums.0 += load(a, index) * load(b, index)
        sums.1 += load(a, index &+ 8) * load(b, index &+ 8)
        sums.2 += load(a, index &+ 16) * load(b, index &+ 16)
        sums.3 += load(a, index &+ 24) * load(b, index &+ 24)
        index &+= 32
    }
    var sum = ((sums.0 + sums.1) + (sums.2 + sums.3)).sum()
    while index < count {
        sum += a[index] * b[index]
        index &+= 1
    }
    return sum
}

// MARK: - Operators

extension Plan {
    /// self {…, M, K} × mat2 {K, N} or {…, K, N}, of floats.
    func product(_ a: Operand, _ b: Operand, _ out: Operand, _ cubeMathType: Int8) throws(Failure) {
        try type(a, ACL_FLOAT, ACL_FLOAT16, ACL_BF16)
        try same(a, b, out)
        try plain(a, out)
        try require((0...4).contains(cubeMathType), "cubeMathType \(cubeMathType)")
        try require(cubeMathType != 2 || a.type != ACL_BF16, "cubeMathType 2 is not for BF16")
        try require(!profile.is310P || a.type != ACL_FLOAT || cubeMathType != 0, "FLOAT with cubeMathType 0")
        let batch = b.dims.count == 3 ? b.dims[0] : 1
        try require(a.dims.count >= 2 && (b.dims.count == 2 || b.dims.count == 3), "\(a.dims) × \(b.dims)")
        try require(b.dims.count == 2 || (a.dims.count == 3 && a.dims[0] == batch), "\(a.dims) × \(b.dims)")
        let (k, n) = (a.columns, b.columns)
        try require(b.dims[b.dims.count - 2] == k, "self is \(a.tensor.shape), mat2 \(b.tensor.shape)")
        try shape(out, a.dims.dropLast() + [n])
        let rows = a.rows / batch
        let bytes = (a.tensor.count + b.tensor.count + out.tensor.count) * a.type.bytes
        let cost = Cost(bytes: bytes, floatOperations: 2 * Double(a.tensor.count) * Double(n))
        run(workspace: 1 << 16, cost: cost) { contents throws(Failure) in
            let x = contents[a].floats()
            var y: [Float] = []
            for index in 0..<batch {
                let part = batch == 1 ? x : Array(x[index * rows * k..<(index + 1) * rows * k])
                y += multiply(part, rows: rows, Factor(contents[b], batch: index))
            }
            contents[out].write(y)
        }
    }
}

/// Products of 8-bit integers with what is done to them afterwards.
struct IntegerProduct {
    let a: Operand
    let b: Operand
    let isTransposed: Bool
    let scale: Operand
    let tokens: Operand?
    let bias: Operand?
    let out: Operand
}

extension Plan {
    func integerProduct(_ product: IntegerProduct) throws(Failure) {
        let (a, b, out, scale) = (product.a, product.b, product.out, product.scale)
        try type(a, ACL_INT8)
        try type(b, ACL_INT8)
        try require(a.dims.count >= 2 && b.dims.count == 2, "x1 \(a.dims), x2 \(b.dims)")
        let (inputs, outputs) = product.isTransposed ? (b.dims[1], b.dims[0]) : (b.dims[0], b.dims[1])
        try require(a.columns == inputs, "x1 is \(a.tensor.shape), x2 \(b.tensor.shape)")
        if b.tensor.isTiled { try contiguous(b) }
        try require(a.rows > 0 && outputs > 0, "empty")
        try shape(out, a.dims.dropLast() + [outputs])
        try require(
            [[1], [outputs]].contains(scale.dims), "the scale is \(scale.tensor.shape), {\(outputs)} is wanted")
        if let bias = product.bias { try shape(bias, [outputs]) }
        if let tokens = product.tokens {
            try type(tokens, ACL_FLOAT)
            try shape(tokens, [a.rows])
        }
        try checkTypes(product)
        let bytes = a.tensor.count + b.tensor.count + out.tensor.count * out.type.bytes
        let cost = Cost(bytes: bytes, integerOperations: 2 * Double(a.tensor.count) * Double(outputs))
        run(workspace: 1 << 16, cost: cost) { contents throws(Failure) in contents.compute(product, outputs) }
    }

    /// The combinations of types that are documented for A2; for 310P fewer.
    private func checkTypes(_ product: IntegerProduct) throws(Failure) {
        let (out, scale, bias) = (product.out.type, product.scale.type, product.bias?.type ?? ACL_INT32)
        let isLegal =
            switch out {
            case ACL_BF16:
                [ACL_FLOAT, ACL_BF16].contains(scale) && [ACL_INT32, ACL_BF16, ACL_FLOAT].contains(bias)
            case ACL_FLOAT16 where product.tokens != nil:
                scale == ACL_FLOAT && [ACL_INT32, ACL_FLOAT16, ACL_FLOAT].contains(bias)
            case ACL_FLOAT16, ACL_INT8: [ACL_UINT64, ACL_INT64].contains(scale) && bias == ACL_INT32
            case ACL_INT32: [ACL_FLOAT, ACL_BF16].contains(scale) && bias == ACL_INT32 && product.tokens == nil
            default: false
            }
        try require(
            isLegal,
            "no form for out \(out.name), scale \(scale.name), bias \(product.bias.map(\.type.name) ?? "NULL"), scale per token \(product.tokens == nil ? "NULL" : "FLOAT")"
        )
        if profile.is310P && product.tokens != nil {
            try require(product.b.tensor.isTiled && product.isTransposed, "310P wants x2 transposed and in tiles")
        }
    }
}

extension Contents {
    fileprivate func compute(_ product: IntegerProduct, _ outputs: Int) {
        let a = product.a
        let sums = multiplyIntegers(
            self[a].floats(), rows: a.rows, Factor(self[product.b], isTransposed: product.isTransposed))
        let scales = self.scales(product.scale)
        let tokens = product.tokens.map { self[$0].floats() }
        let isEarly = product.bias?.type == ACL_INT32
        let early = isEarly ? product.bias.map { self[$0].integers() } : nil
        let late = isEarly ? nil : product.bias.map { self[$0].floats() }
        if product.out.type == ACL_INT32 {
            self[product.out].write(
                sums.enumerated().map { Int($0.element &+ Int32(truncatingIfNeeded: early?[$0.offset % outputs] ?? 0)) }
            )
            return
        }
        var y = [Float](repeating: 0, count: sums.count)
        for row in 0..<a.rows {
            for output in 0..<outputs {
                let index = row * outputs + output
                let sum = sums[index] &+ Int32(truncatingIfNeeded: early?[output] ?? 0)
                let scale = scales[scales.count == 1 ? 0 : output]
                var value = Float(sum) * (tokens.map { scale * $0[row] } ?? scale)
                if let late { value += late[output] }
                y[index] = product.out.type == ACL_INT8 ? value.rounded(.toNearestOrEven) : value
            }
        }
        self[product.out].write(y)
    }

    /// The 64-bit form holds a float cut to 19 bits in its lower half.
    private func scales(_ operand: Operand) -> [Float] {
        guard operand.type == ACL_UINT64 || operand.type == ACL_INT64 else { return self[operand].floats() }
        return self[operand].integers().map { Float(bitPattern: UInt32(truncatingIfNeeded: $0) & 0xFFFF_E000) }
    }
}
