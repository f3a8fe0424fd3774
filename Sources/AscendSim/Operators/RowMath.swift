internal import CAscend
internal import Glibc

/// x / sqrt(mean(x²) + epsilon) × gamma of one row; also returns the factor.
func normalise(_ x: [Float], _ gamma: [Float], _ epsilon: Double) -> (y: [Float], factor: Float) {
    let squares = x.withUnsafeBufferPointer { x in x.baseAddress.map { dot($0, $0, x.count) } ?? 0 }
    let factor = 1 / (squares / Float(x.count) + Float(epsilon)).squareRoot()
    return (zip(x, gamma).map { $0 * factor * $1 }, factor)
}

/// 8-bit integers of one row and their scale, half to even.
func quantise(_ x: [Float]) -> (quants: [Float], scale: Float) {
    var largest: Float = 0
    for value in x { largest = max(largest, abs(value)) }
    let scale = largest / 127
    return (x.map { scale == 0 ? 0 : min(max(($0 / scale).rounded(.toNearestOrEven), -128), 127) }, scale)
}

func silu(_ value: Float) -> Float { value / (1 + expf(-value)) }

/// The logarithms of softmax of one row.
func logSoftmax(_ x: [Float]) -> [Float] {
    let shift = logSumExp(x)
    return x.map { $0 - shift }
}

/// The logarithm of the sum of exp over one row.
func logSumExp(_ x: [Float]) -> Float {
    var largest = -Float.infinity
    for value in x { largest = max(largest, value) }
    var sum: Float = 0
    for value in x { sum += expf(value - largest) }
    return largest + logf(sum)
}

func softmax(_ x: [Float]) -> [Float] {
    var largest = -Float.infinity
    for value in x { largest = max(largest, value) }
    var values = x.map { expf($0 - largest) }
    let sum = values.reduce(0, +)
    for index in values.indices { values[index] /= sum }
    return values
}

/// Indices of the largest values, descending; of equal ones the first.
func largest(_ x: [Float], _ count: Int) -> [Int] {
    guard count * 8 < x.count else {
        let sorted = x.indices.sorted { x[$0] > x[$1] || (x[$0] == x[$1] && $0 < $1) }
        return Array(sorted.prefix(count))
    }
    // A few of many: most values are below the smallest of those found so far, and cost a comparison.
    var best: [Int] = []
    for index in x.indices {
        if best.count == count, let last = best.last {
            guard x[index] > x[last] else { continue }
            best.removeLast()
        }
        var place = best.count
        while place > 0 && x[best[place - 1]] < x[index] { place -= 1 }
        best.insert(index, at: place)
    }
    return best
}

extension View {
    /// The last dimension of a row as floats.
    func row(_ index: Int) -> [Float] {
        [Float](unsafeUninitializedCapacity: columns) { buffer, initialized in
            if let start = buffer.baseAddress { read(row: index, into: start) }
            initialized = columns
        }
    }

    func write(row: Int, _ values: [Float]) {
        values.withUnsafeBufferPointer { if let start = $0.baseAddress { write(row: row, start) } }
    }

    /// As a tensor of other dimensions sees it: dimensions of 1 repeat.
    func broadcast(to dims: [Int]) -> View {
        var tensor = tensor
        let missing = dims.count - tensor.dims.count
        var strides = [Int](repeating: 0, count: missing) + tensor.strides
        for (axis, size) in tensor.dims.enumerated() where size == 1 { strides[missing + axis] = 0 }
        tensor.dims = dims
        tensor.strides = strides
        return View(tensor: tensor, base: base)
    }
}

extension Plan {
    /// Whether `small` can be repeated to `large`.
    func broadcasts(_ small: Operand, to large: [Int]) throws(Failure) {
        let missing = large.count - small.dims.count
        let fits =
            missing >= 0
            && small.dims.enumerated().allSatisfy { $0.element == 1 || $0.element == large[missing + $0.offset] }
        try require(fits, "\(small.name) \(small.dims) cannot be repeated to \(large)")
    }

    func last(_ dim: Int64, _ operand: Operand) throws(Failure) {
        try require(
            dim == -1 || dim == Int64(operand.dims.count - 1), "dim \(dim): only the last dimension is simulated")
    }
}

/// What an attribute string says; NULL is empty.
func text(_ pointer: UnsafePointer<CChar>?) -> String { pointer.map { String(cString: $0) } ?? "" }

extension Plan {
    /// The cost of vector work: elements of these tensors moved, and so many operations for each of the first.
    func vector(_ operands: Operand..., operations: Int) -> Cost {
        Cost(
            bytes: operands.reduce(0) { $0 + $1.tensor.count * $1.type.bytes },
            vectorOperations: Double(operations * (operands.first?.tensor.count ?? 0)))
    }
}

extension View {
    /// A row of another view of the same type, as it is.
    func copy(row: Int, from source: View, row other: Int) {
        let size = tensor.type.bytes
        let (to, from) = (offset(ofRow: row), source.offset(ofRow: other))
        let (step, otherStep) = (tensor.strides.last ?? 1, source.tensor.strides.last ?? 1)
        if step == 1 && otherStep == 1 {
            memmove(base + to * size, source.base + from * size, columns * size)
            return
        }
        for column in 0..<columns {
            memcpy(base + (to + column * step) * size, source.base + (from + column * otherStep) * size, size)
        }
    }

    /// All elements of a view of equal shape in the type of this one.
    func convert(from source: View) {
        if tensor.type == source.tensor.type {
            for row in 0..<rows { copy(row: row, from: source, row: row) }
        } else if tensor.type.isFloat || source.tensor.type.isFloat {
            // Towards integers the fraction is cut off.
            let values = source.floats()
            write(tensor.type.isFloat ? values : values.map { $0.rounded(.towardZero) })
        } else {
            write(source.integers())
        }
    }
}

extension View {
    /// Puts a matrix into tiles, in place or elsewhere; what pads them is 0.
    func tile(into tiles: [Int], at target: UnsafeMutableRawPointer? = nil) {
        let size = tensor.type.bytes
        let bytes = tiles.reduce(1, *) * size
        withUnsafeTemporaryAllocation(byteCount: bytes, alignment: 64) { scratch in
            guard let scratch = scratch.baseAddress else { return }
            memset(scratch, 0, bytes)
            let width = tiles[3]
            for row in 0..<dims[0] {
                let start = offset(ofRow: row)
                for column in 0..<dims[1] {
                    let place = ((column / width * tiles[1] + row / 16) * 16 + row % 16) * width + column % width
                    let element = start + column * tensor.strides[1]
                    memcpy(scratch + place * size, base + element * size, size)
                }
            }
            memcpy(target ?? base, scratch, bytes)
        }
    }
}

/// Keeps the `count` largest (0 or less: all) and of those the fewest whose probabilities reach `share`; the rest is -infinity.
func filter(_ x: [Float], count: Int, share: Float) -> [Float] {
    let order = largest(x, x.count)
    let kept = count <= 0 || count >= x.count ? order : order.filter { x[$0] >= x[order[count - 1]] }
    var line = [Float](repeating: -.infinity, count: x.count)
    let chances = softmax(kept.map { x[$0] })
    var sum: Float = 0
    for (index, place) in kept.enumerated() {
        if index > 0 && sum >= share { break }
        sum += chances[index]
        line[place] = x[place]
    }
    return line
}
