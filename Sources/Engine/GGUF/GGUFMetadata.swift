/// Typed access to metadata. Reading an absent key gives nil; a key of another type, or out of range, is an error that
/// names it and its byte.
extension GGUFFile {
    /// An error about a key.
    package func invalid(key: String, _ problem: String) -> EngineError {
        let place = metadata[key].map { " at byte \($0.offset)" } ?? ""
        return EngineError(.invalidModel, "\(file.path): metadata key '\(key)'\(place): \(problem)")
    }

    /// An integer within `range`.
    package func integer(_ key: String, in range: ClosedRange<Int>) throws(EngineError) -> Int? {
        let value: Int?
        switch metadata[key]?.value {
        case nil: return nil
        case .unsigned(let raw): value = Int(exactly: raw)
        case .signed(let raw): value = Int(exactly: raw)
        default: throw invalid(key: key, "must be an integer")
        }
        guard let value, range.contains(value) else {
            throw invalid(key: key, "must be in \(range.lowerBound)...\(range.upperBound)")
        }
        return value
    }

    /// An integer within `range` that must be there.
    package func requiredInteger(_ key: String, in range: ClosedRange<Int>) throws(EngineError) -> Int {
        guard let value = try integer(key, in: range) else { throw invalid(key: key, "is missing") }
        return value
    }

    /// A finite number above zero.
    package func positiveFloat(_ key: String) throws(EngineError) -> Float? {
        guard let entry = metadata[key] else { return nil }
        guard case .float(let value) = entry.value, Float(value).isFinite, Float(value) > 0 else {
            throw invalid(key: key, "must be a finite float above 0")
        }
        return Float(value)
    }

    /// A string.
    package func string(_ key: String) throws(EngineError) -> String? {
        guard let entry = metadata[key] else { return nil }
        guard case .string(let value) = entry.value else { throw invalid(key: key, "must be a string") }
        return value
    }

    /// A boolean.
    package func bool(_ key: String) throws(EngineError) -> Bool? {
        guard let entry = metadata[key] else { return nil }
        guard case .bool(let value) = entry.value else { throw invalid(key: key, "must be a boolean") }
        return value
    }

    /// Calls `body` with the bytes of each string of an array; returns the number of strings, nil if the key is absent.
    package func forEachString(
        _ key: String, _ body: (UnsafeRawBufferPointer) throws(EngineError) -> Void
    ) throws(EngineError) -> Int? {
        guard let array = try array(key, of: .string, "strings") else { return nil }
        var offset = array.range.lowerBound
        for _ in 0..<array.count {
            let length = file.bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            let start = offset + MemoryLayout<UInt64>.size
            offset = start + Int(UInt64(littleEndian: length))
            try body(UnsafeRawBufferPointer(rebasing: file.bytes[start..<offset]))
        }
        return array.count
    }

    /// An array of 32-bit signed integers.
    package func int32Array(_ key: String) throws(EngineError) -> [Int32]? {
        guard let array = try array(key, of: .int32, "32-bit integers") else { return nil }
        return (0..<array.count).map { index in
            let offset = array.range.lowerBound + index * MemoryLayout<Int32>.size
            return Int32(littleEndian: file.bytes.loadUnaligned(fromByteOffset: offset, as: Int32.self))
        }
    }

    private func array(
        _ key: String, of type: GGUFValueType, _ elements: String
    ) throws(EngineError) -> GGUFArray? {
        guard let entry = metadata[key] else { return nil }
        guard case .array(let array) = entry.value, array.elementType == type else {
            throw invalid(key: key, "must be an array of \(elements)")
        }
        return array
    }
}
