internal import CKernels
internal import Glibc

/// Makes the rows of weights as the NPU holds them, some at a time, so that little host memory is needed.
struct AscendWeightRows {
    private let model: ModelConfiguration
    private let frequencies: RotaryFrequencies
    private var floats: [Float] = []

    init(_ model: ModelConfiguration) {
        self.model = model
        frequencies = model.rotaryFrequencies(windowed: false)
    }

    /// Writes rows `range` of `entry` to the beginning of `target`.
    ///
    /// - Throws: `EngineError.invalidModel` for a float that is not finite, in the file or as it is kept.
    mutating func write(
        _ entry: AscendWeights.Entry, rows range: Range<Int>, to target: UnsafeMutableRawBufferPointer
    ) throws(EngineError) {
        precondition(target.count >= range.count * entry.columns * entry.element.byteCount)
        switch entry.source {
        case .tensors(let parts) where parts[0].role.isVector: try writeVectors(parts, entry, to: target)
        case .tensors(let parts):
            var start = 0
            for part in parts {
                let end = start + part.rows.count
                for row in range.clamped(to: start..<end) {
                    let place = row - range.lowerBound
                    let source = source(of: part.rows.lowerBound + row - start, part.role)
                    try writeMatrixRow(source, of: part, entry, to: place, target)
                }
                start = end
            }
        case .scales(let parts):
            let scales = parts.flatMap { part in ordered(part) { part.tensor.integers?.scales[$0] ?? 1 } }
            store(scales, entry, at: 0, target)
        case .addends(let parts):
            let addends = parts.flatMap { part in
                ordered(part) { row in
                    part.tensor.integers.map { $0.addends.isEmpty ? 0 : $0.addends[row] } ?? 0
                }
            }
            for (index, addend) in addends.enumerated() {
                target.storeBytes(of: addend, toByteOffset: index * 4, as: Int32.self)
            }
        case .constant(let x) where entry.element == .int32:
            for index in 0..<entry.columns { target.storeBytes(of: Int32(x), toByteOffset: index * 4, as: Int32.self) }
        case .constant(let x): store([Float](repeating: x, count: entry.columns), entry, at: 0, target)
        case .causalMask:
            for row in range {
                for column in 0..<entry.columns {
                    target[(row - range.lowerBound) * entry.columns + column] = column > row ? 1 : 0
                }
            }
        case .expertPlaces(let own):
            for row in range {
                let place = own.contains(row) ? row - own.lowerBound : own.count
                target.storeBytes(of: Int32(place), toByteOffset: (row - range.lowerBound) * 4, as: Int32.self)
            }
        case .cosines: writeAngles(cos, entry, range, target)
        case .sines: writeAngles(sin, entry, range, target)
        }
    }

    // MARK: - Tensors

    /// A part's rows in the order in which the device has them: rotated pairs stand half a head apart.
    private func ordered<Element>(_ part: AscendWeights.Part, _ element: (Int) -> Element) -> [Element] {
        part.rows.map { element(source(of: $0, part.role)) }
    }

    private func source(of row: Int, _ role: TensorRole) -> Int {
        guard let heads = HeadLayout(model, role) else { return row }
        guard let source = heads.source(of: row) else { preconditionFailure("heads of the NPU have no padding") }
        return source
    }

    private mutating func writeMatrixRow(
        _ row: Int, of part: AscendWeights.Part, _ entry: AscendWeights.Entry, to place: Int,
        _ target: UnsafeMutableRawBufferPointer
    ) throws(EngineError) {
        let tensor = part.tensor
        let byteCount = tensor.bytes.count / tensor.rows
        if entry.element == .int8 || tensor.type == entry.element.tensorType && entry.element != .float32 {
            let width = entry.element.byteCount
            let start = row * byteCount + part.columns.lowerBound * width
            let bytes = UnsafeRawBufferPointer(rebasing: tensor.bytes[start..<start + entry.columns * width])
            UnsafeMutableRawBufferPointer(rebasing: target[(place * entry.columns * width)...]).copyMemory(from: bytes)
            if entry.element != .int8, !entry.element.areFinite(bytes) {
                try tensor.requireFinite(storedAs: entry.element.tensorType)
            }
            return
        }
        if floats.count < tensor.columns { floats = [Float](repeating: 0, count: tensor.columns) }
        let scale = tensor.integers?.weightScale(row) ?? 1
        ck_dequantize(
            tensor.type.storage, tensor.bytes.baseAddress.map { $0 + row * byteCount }, tensor.columns, &floats)
        let start = place * entry.columns * entry.element.byteCount
        let isFinite = floats.withUnsafeBufferPointer { floats in
            entry.element.store(
                UnsafeBufferPointer(rebasing: floats[part.columns]), scale: scale,
                to: UnsafeMutableRawBufferPointer(rebasing: target[start...]))
        }
        if !isFinite { try tensor.requireFinite(storedAs: entry.element.tensorType) }
    }

    private mutating func writeVectors(
        _ parts: [AscendWeights.Part], _ entry: AscendWeights.Entry, to target: UnsafeMutableRawBufferPointer
    ) throws(EngineError) {
        var column = 0
        for part in parts {
            let tensor = part.tensor
            var values = [Float](repeating: 0, count: tensor.columns)
            values.withUnsafeMutableBufferPointer { tensor.dequantize(row: 0, into: $0) }
            let addend = part.role.isNorm ? model.normWeightOffset : 0
            let isFinite = store(
                part.columns.map { values[source(of: $0, part.role)] + addend }, entry, at: column, target)
            if !isFinite { try tensor.requireFinite(storedAs: entry.element.tensorType) }
            column += part.columns.count
        }
    }

    @discardableResult
    private func store(
        _ values: [Float], _ entry: AscendWeights.Entry, at column: Int, _ target: UnsafeMutableRawBufferPointer
    ) -> Bool {
        let start = column * entry.element.byteCount
        return values.withUnsafeBufferPointer {
            entry.element.store($0, scale: 1, to: UnsafeMutableRawBufferPointer(rebasing: target[start...]))
        }
    }

    // MARK: - Rotary tables

    private func writeAngles(
        _ function: (Float) -> Float, _ entry: AscendWeights.Entry, _ range: Range<Int>,
        _ target: UnsafeMutableRawBufferPointer
    ) {
        for position in range {
            let half = frequencies.frequencies(at: position).map {
                function(Float(position) * $0) * frequencies.magnitude
            }
            store(half + half, entry, at: (position - range.lowerBound) * entry.columns, target)
        }
    }
}

extension AscendElement {
    /// Writes floats in this type, each times `scale`. Returns whether all are finite in it.
    func store(
        _ values: UnsafeBufferPointer<Float>, scale: Float, to target: UnsafeMutableRawBufferPointer
    ) -> Bool {
        precondition(target.count >= values.count * byteCount)
        var isFinite = true
        switch self {
        case .float32:
            for (index, x) in values.enumerated() {
                isFinite = isFinite && (x * scale).isFinite
                target.storeBytes(of: x * scale, toByteOffset: index * 4, as: Float.self)
            }
        case .float16:
            for (index, x) in values.enumerated() {
                let half = Float16(x * scale)
                isFinite = isFinite && half.isFinite
                target.storeBytes(of: half.bitPattern, toByteOffset: index * 2, as: UInt16.self)
            }
        case .bfloat16:
            for (index, x) in values.enumerated() {
                let rounded = TensorType.bf16.rounded(x * scale)
                isFinite = isFinite && rounded.isFinite
                target.storeBytes(
                    of: UInt16(truncatingIfNeeded: rounded.bitPattern >> 16), toByteOffset: index * 2, as: UInt16.self)
            }
        case .int8, .int32, .int64: preconditionFailure("floats are not stored as integers")
        }
        return isFinite
    }

    /// Whether all halves are finite: those that are not have all bits of the exponent set.
    fileprivate func areFinite(_ halves: UnsafeRawBufferPointer) -> Bool {
        let exponent: UInt16 = self == .float16 ? 0x7C00 : 0x7F80
        var others: UInt16 = 0
        for offset in stride(from: 0, to: halves.count, by: 2) {
            let bits = halves.loadUnaligned(fromByteOffset: offset, as: UInt16.self)
            others |= bits & exponent == exponent ? 1 : 0
        }
        return others == 0
    }

    /// The element at `index` of floats in this type.
    func load(_ source: UnsafeRawPointer, _ index: Int) -> Float {
        switch self {
        case .float32: source.load(fromByteOffset: index * 4, as: Float.self)
        case .float16: Float(Float16(bitPattern: source.load(fromByteOffset: index * 2, as: UInt16.self)))
        case .bfloat16:
            Float(bitPattern: UInt32(source.load(fromByteOffset: index * 2, as: UInt16.self)) << 16)
        case .int8, .int32, .int64: preconditionFailure("these are no floats")
        }
    }
}
