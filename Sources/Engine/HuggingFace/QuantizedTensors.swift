/// Reads what belongs to the quantized weights of a folder.
struct QuantizedTensors {
    let weights: WeightFiles

    /// What the products of the weight of that name mean.
    ///
    /// - Parameter rows: of the stored weight.
    /// - Throws: `invalidModel` naming a tensor that is missing or wrong, `unsupportedModel` for asymmetric weights.
    func meaning(
        of name: String, _ scheme: FolderQuantization.Scheme, rows: Int
    ) throws(EngineError) -> IntegerProduct {
        try requireZeros("weight_offset", of: name)
        try requireZeros("weight_zero_point", of: name)
        switch scheme {
        case .float: preconditionFailure("\(name) holds floats")
        case .perToken: return IntegerProduct(scales: try scales("weight_scale", of: name, count: rows))
        case .modelSlimStatic:
            let bias = try required("quant_bias", of: name)
            guard bias.info.type == .i32, bias.bytes.count == rows * 4 else {
                throw invalid(bias, "must hold \(rows) numbers of dtype I32")
            }
            let addends = (0..<rows).map { row in
                Int32(littleEndian: bias.bytes.loadUnaligned(fromByteOffset: row * 4, as: Int32.self))
            }
            return IntegerProduct(
                inputs: try fixed(name, offset: "input_offset"),
                scales: try scales("deq_scale", of: name, count: rows), addends: addends)
        case .compressedStatic:
            let inputs = try fixed(name, offset: "input_zero_point")
            guard case .fixed(let scale, let offset) = inputs else { preconditionFailure("inputs are fixed") }
            return IntegerProduct(
                inputs: inputs, scales: try scales("weight_scale", of: name, count: rows).map { $0 * scale },
                addends: offset == 0 ? [] : rowSums(name, rows).map { $0 &* -Int32(offset) })
        }
    }

    private func fixed(_ name: String, offset: String) throws(EngineError) -> IntegerProduct.Inputs {
        let scale = try scales("input_scale", of: name, count: 1)[0]
        var zero: Float = 0
        if let entry = weights.tensors[FolderQuantization.companion(offset, of: name)] {
            zero = try numbers(entry, count: 1)[0]
            guard zero == zero.rounded(), (-128...127).contains(zero) else {
                throw invalid(entry, "must be a whole number within -128...127, is \(zero)")
            }
        }
        return .fixed(scale: scale, offset: zero)
    }

    private func rowSums(_ name: String, _ rows: Int) -> [Int32] {
        guard let entry = weights.tensors[name] else { preconditionFailure("\(name) was checked") }
        let columns = entry.bytes.count / rows
        return (0..<rows).map { row in
            entry.bytes[row * columns..<(row + 1) * columns].reduce(Int32(0)) { $0 + Int32(Int8(bitPattern: $1)) }
        }
    }

    /// Positive numbers, one for all or one for each row.
    private func scales(_ suffix: String, of name: String, count: Int) throws(EngineError) -> [Float] {
        let entry = try required(suffix, of: name)
        let isShared = entry.info.shape.reduce(1, { $0 &* $1 }) == 1
        let scales = try numbers(entry, count: isShared ? 1 : count)
        if let wrong = scales.first(where: { !$0.isFinite || $0 < 0 }) {
            throw invalid(entry, "holds \(wrong); scales are finite and not negative")
        }
        if suffix == "input_scale", scales[0] == 0 { throw invalid(entry, "is 0") }
        return isShared ? [Float](repeating: scales[0], count: count) : scales
    }

    private func requireZeros(_ suffix: String, of name: String) throws(EngineError) {
        guard let entry = weights.tensors[FolderQuantization.companion(suffix, of: name)] else { return }
        let count = entry.info.shape.reduce(1, { $0 &* $1 })
        guard try numbers(entry, count: count).allSatisfy({ $0 == 0 }) else {
            throw EngineError(
                .unsupportedModel,
                "\(entry.file.path): tensor '\(entry.info.name.printable)' is not zero: asymmetric weights are not "
                    + "supported")
        }
    }

    private func required(_ suffix: String, of name: String) throws(EngineError) -> WeightFiles.Entry {
        let companion = FolderQuantization.companion(suffix, of: name)
        if let entry = weights.tensors[companion] { return entry }
        throw EngineError(
            .invalidModel,
            "\(weights.source): tensor '\(companion)' is missing, which the quantized '\(name)' needs; "
                + "the files are incomplete")
    }

    private func numbers(_ entry: WeightFiles.Entry, count: Int) throws(EngineError) -> [Float] {
        let type = entry.info.type
        let supported: [SafetensorsType] = [.f32, .f16, .bf16, .i8, .i32, .i64]
        guard supported.contains(type), entry.bytes.count == count * type.bitCount / 8 else {
            throw invalid(
                entry,
                "\(type.rawValue) \(entry.info.shape) but \(count) numbers of dtype "
                    + supported.map(\.rawValue).joined(separator: ", ") + " are needed")
        }
        func load<Bits: FixedWidthInteger>(_ index: Int, _ bits: Bits.Type) -> Bits {
            let offset = index * MemoryLayout<Bits>.size
            return Bits(littleEndian: entry.bytes.loadUnaligned(fromByteOffset: offset, as: bits))
        }
        var numbers: [Float] = []
        numbers.reserveCapacity(count)
        for index in 0..<count {
            switch type {
            case .f32: numbers.append(Float(bitPattern: load(index, UInt32.self)))
            case .f16: numbers.append(Float(Float16(bitPattern: load(index, UInt16.self))))
            case .bf16: numbers.append(Float(bitPattern: UInt32(load(index, UInt16.self)) << 16))
            case .i8: numbers.append(Float(load(index, Int8.self)))
            case .i32: numbers.append(Float(load(index, Int32.self)))
            default:
                // A float's bits, widened for a processor that takes words of 64 bits.
                let word = load(index, Int64.self)
                guard word >> 32 == 0 || word >> 32 == -1 else {
                    throw invalid(entry, "element \(index) is no float in 64 bits: \(word)")
                }
                numbers.append(Float(bitPattern: UInt32(truncatingIfNeeded: word)))
            }
        }
        return numbers
    }

    private func invalid(_ entry: WeightFiles.Entry, _ problem: String) -> EngineError {
        EngineError(.invalidModel, "\(entry.file.path): tensor '\(entry.info.name.printable)': \(problem)")
    }
}
