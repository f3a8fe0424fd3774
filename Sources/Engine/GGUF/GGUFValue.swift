/// The types of metadata values, numbered as in the file.
package enum GGUFValueType: UInt32, Sendable {
    case uint8, int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

    /// Bytes of one value; nil where they vary.
    var byteCount: Int? {
        switch self {
        case .uint8, .int8, .bool: 1
        case .uint16, .int16: 2
        case .uint32, .int32, .float32: 4
        case .uint64, .int64, .float64: 8
        case .string, .array: nil
        }
    }
}

/// A metadata value. Integers and floats of all widths are widened; arrays stay in the file.
package enum GGUFValue: Sendable {
    case unsigned(UInt64)
    case signed(Int64)
    case float(Double)
    case bool(Bool)
    case string(String)
    case array(GGUFArray)
}

/// An array whose bounds were checked and whose elements are still in the file.
package struct GGUFArray: Sendable {
    /// Type of every element.
    package let elementType: GGUFValueType
    /// Number of elements.
    package let count: Int
    /// Where the elements are in the file.
    let range: Range<Int>
}

extension GGUFCursor {
    /// A type code.
    mutating func valueType() throws(EngineError) -> GGUFValueType {
        let start = offset
        let code = try integer(UInt32.self)
        guard let type = GGUFValueType(rawValue: code) else {
            throw invalid("value type \(code) is none of GGUF's 0...12", at: start)
        }
        return type
    }

    /// A value of the given type.
    mutating func value(_ type: GGUFValueType) throws(EngineError) -> GGUFValue {
        switch type {
        case .uint8: .unsigned(UInt64(try integer(UInt8.self)))
        case .uint16: .unsigned(UInt64(try integer(UInt16.self)))
        case .uint32: .unsigned(UInt64(try integer(UInt32.self)))
        case .uint64: .unsigned(try integer(UInt64.self))
        case .int8: .signed(Int64(try integer(Int8.self)))
        case .int16: .signed(Int64(try integer(Int16.self)))
        case .int32: .signed(Int64(try integer(Int32.self)))
        case .int64: .signed(try integer(Int64.self))
        case .float32: .float(Double(Float(bitPattern: try integer(UInt32.self))))
        case .float64: .float(Double(bitPattern: try integer(UInt64.self)))
        case .bool: .bool(try boolean())
        case .string: .string(try string())
        case .array: .array(try array(depth: 1))
        }
    }

    private mutating func boolean() throws(EngineError) -> Bool {
        let start = offset
        let byte = try integer(UInt8.self)
        guard byte <= 1 else { throw invalid("boolean is \(byte), neither 0 nor 1", at: start) }
        return byte == 1
    }

    /// Checks an array to its end, so that reading its elements later cannot fail.
    private mutating func array(depth: Int) throws(EngineError) -> GGUFArray {
        guard depth <= GGUFLimits.arrayDepth else {
            throw invalid("arrays nest deeper than \(GGUFLimits.arrayDepth)")
        }
        let type = try valueType()
        let count = try count(limit: GGUFLimits.arrayCount, of: "array elements")
        let start = offset
        if let byteCount = type.byteCount {
            _ = try skip(count * byteCount)  // at most 16 Mi * 8
        } else if type == .string {
            for _ in 0..<count { _ = try stringRange() }
        } else {
            for _ in 0..<count { _ = try array(depth: depth + 1) }
        }
        return GGUFArray(elementType: type, count: count, range: start..<offset)
    }
}
