/// A tensor as the header describes it, with its place in the file already checked.
package struct GGUFTensorInfo: Sendable {
    /// The tensor's name in the file.
    package let name: String
    /// 1 to 4 extents, each at least 1; the first is the length of a row.
    package let dimensions: [Int]
    /// Storage format.
    package let type: TensorType
    /// Where the description stands in the header, for messages.
    package let headerOffset: Int
    /// Where the elements are in the file.
    package let range: Range<Int>
}

/// A description before it is known where the data section starts.
struct GGUFTensorHeader {
    let name: String
    let dimensions: [Int]
    let type: TensorType
    let headerOffset: Int
    /// Relative to the data section.
    let dataOffset: Int
    let byteCount: Int
}

extension GGUFCursor {
    /// The description of tensor number `index`; sizes are computed without overflow and limited by the file's size.
    mutating func tensorHeader(index: Int, alignment: Int) throws(EngineError) -> GGUFTensorHeader {
        subject = .tensorNumber(index)
        let start = offset
        let name = try string()
        subject = .tensor(name)
        let dimensions = try dimensions()
        let type = try tensorType()
        let byteCount = try byteCount(of: dimensions, type: type)
        let offsetPosition = offset
        let rawOffset = try integer(UInt64.self)
        guard let dataOffset = Int(exactly: rawOffset), dataOffset <= file.bytes.count else {
            throw invalid(
                "data offset \(rawOffset) lies outside the file (\(file.bytes.count) bytes)", at: offsetPosition)
        }
        guard dataOffset % alignment == 0 else {
            throw invalid(
                "data offset \(dataOffset) is not a multiple of the alignment \(alignment)", at: offsetPosition)
        }
        return GGUFTensorHeader(
            name: name, dimensions: dimensions, type: type, headerOffset: start, dataOffset: dataOffset,
            byteCount: byteCount)
    }

    private mutating func dimensions() throws(EngineError) -> [Int] {
        let start = offset
        let rawCount = try integer(UInt32.self)
        guard let count = Int(exactly: rawCount), GGUFLimits.dimensionCount.contains(count) else {
            throw invalid("\(rawCount) dimensions; 1 to \(GGUFLimits.dimensionCount.upperBound) are allowed", at: start)
        }
        var dimensions: [Int] = []
        for _ in 0..<count {
            let position = offset
            let raw = try integer(UInt64.self)
            guard let extent = Int(exactly: raw), extent >= 1 else {
                throw invalid("dimension \(raw) is not in 1...\(Int.max)", at: position)
            }
            dimensions.append(extent)
        }
        return dimensions
    }

    private mutating func tensorType() throws(EngineError) -> TensorType {
        let start = offset
        let code = try integer(UInt32.self)
        if let type = TensorType(ggmlCode: code) { return type }
        let supported = TensorType.allCases.filter { $0 != .i8 }.map(\.rawValue).joined(separator: ", ")
        let problem = invalid(
            "type \(TensorType.ggmlName(code)) is not supported; supported are \(supported)", at: start)
        throw EngineError(.unsupportedModel, problem.message)
    }

    private func byteCount(of dimensions: [Int], type: TensorType) throws(EngineError) -> Int {
        guard let width = dimensions.first, width % type.blockLength == 0 else {
            throw invalid(
                "row length is not a multiple of the \(type.blockLength) elements of a \(type.rawValue) block")
        }
        var byteCount = type.blockByteCount
        for factor in [width / type.blockLength] + dimensions.dropFirst() {
            let (product, overflow) = byteCount.multipliedReportingOverflow(by: factor)
            guard !overflow, product <= file.bytes.count else {
                throw invalid(
                    "shape \(dimensions) in \(type.rawValue) is larger than the file (\(file.bytes.count) bytes)")
            }
            byteCount = product
        }
        return byteCount
    }
}

extension TensorType {
    /// The type with that number in `enum ggml_type`.
    init?(ggmlCode: UInt32) {
        switch ggmlCode {
        case 0: self = .f32
        case 1: self = .f16
        case 2: self = .q4_0
        case 3: self = .q4_1
        case 8: self = .q8_0
        case 12: self = .q4_K
        case 13: self = .q5_K
        case 14: self = .q6_K
        case 30: self = .bf16
        default: return nil
        }
    }

    /// A name for a type this engine does not read: what people call the usual ones, else the number.
    static func ggmlName(_ code: UInt32) -> String {
        let names: [UInt32: String] = [
            6: "Q5_0", 7: "Q5_1", 10: "Q2_K", 11: "Q3_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S",
            20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
        ]
        return names[code] ?? "number \(code)"
    }
}
