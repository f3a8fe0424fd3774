package import LMJSON

/// The members of a folder's `config.json`, or of an object in it, read with the checks and the error messages that
/// bytes from outside need.
package struct ConfigurationFile {
    private let path: String
    private let object: JSONObject
    /// The keys that lead to `object`, each with a dot behind it.
    private let prefix: String

    /// - Parameter path: the file, for messages.
    /// - Throws: `EngineError.invalidModel` when the document is no object.
    package init(_ document: JSON, path: String) throws(EngineError) {
        guard let object = document.object else {
            throw EngineError(.invalidModel, "\(path): must be a JSON object, is \(document.kind)")
        }
        (self.path, self.object, prefix) = (path, object, "")
    }

    private init(_ object: JSONObject, path: String, prefix: String) {
        (self.path, self.object, self.prefix) = (path, object, prefix)
    }

    /// An error about a key's value.
    package func invalid(_ key: String, _ problem: String) -> EngineError {
        EngineError(.invalidModel, "\(path): key '\(prefix)\(key)': \(problem)")
    }

    /// An error about a sound value that the engine does not run.
    package func unsupported(_ key: String, _ problem: String) -> EngineError {
        EngineError(.unsupportedModel, "\(path): key '\(prefix)\(key)': \(problem)")
    }

    /// The value of a key; nil when it is absent or null.
    package func value(_ key: String) -> JSON? {
        guard let value = object[key], !value.isNull else { return nil }
        return value
    }

    /// All keys, in order.
    package var keys: [String] { object.members.map(\.key) }

    /// Whether the key is there and holds null.
    package func isNull(_ key: String) -> Bool { object[key]?.isNull ?? false }

    /// A member that is an object; nil when it is absent or null.
    package func nested(_ key: String) throws(EngineError) -> ConfigurationFile? {
        guard let value = value(key) else { return nil }
        guard let object = value.object else { throw invalid(key, "must be an object, is \(value.kind)") }
        return ConfigurationFile(object, path: path, prefix: "\(prefix)\(key).")
    }

    /// An integer within `range`.
    package func integer(_ key: String, in range: ClosedRange<Int>) throws(EngineError) -> Int? {
        guard let value = value(key) else { return nil }
        guard let integer = value.integer, range.contains(integer) else {
            throw invalid(key, "must be an integer in \(range.lowerBound)...\(range.upperBound)")
        }
        return integer
    }

    /// An integer within `range` that must be there.
    package func requiredInteger(_ key: String, in range: ClosedRange<Int>) throws(EngineError) -> Int {
        guard let value = try integer(key, in: range) else { throw invalid(key, "is missing") }
        return value
    }

    /// A number above zero.
    ///
    /// - Parameter zeroIsAbsent: whether the file may say zero for nothing.
    package func positiveFloat(_ key: String, zeroIsAbsent: Bool = false) throws(EngineError) -> Float? {
        guard let value = value(key), !(zeroIsAbsent && value.number == 0) else { return nil }
        guard let number = value.number, Float(number).isFinite, Float(number) > 0 else {
            throw invalid(key, "must be a number above 0")
        }
        return Float(number)
    }

    /// A number above zero that must be there.
    package func requiredPositiveFloat(_ key: String) throws(EngineError) -> Float {
        guard let value = try positiveFloat(key) else { throw invalid(key, "is missing") }
        return value
    }

    /// `count` numbers above zero that must be there.
    package func requiredPositiveFloats(_ key: String, count: Int) throws(EngineError) -> [Float] {
        guard let array = value(key)?.array, array.count == count else {
            throw invalid(key, "must be an array of \(count) numbers")
        }
        let floats = array.compactMap { $0.number.map { Float($0) } }
        guard floats.count == count, floats.allSatisfy({ $0.isFinite && $0 > 0 }) else {
            throw invalid(key, "must hold numbers above 0 alone")
        }
        return floats
    }

    /// Integers within `range`.
    package func integers(_ key: String, in range: ClosedRange<Int>) throws(EngineError) -> [Int]? {
        guard let value = value(key) else { return nil }
        guard let array = value.array else { throw invalid(key, "must be an array, is \(value.kind)") }
        let integers = array.compactMap(\.integer)
        guard integers.count == array.count, integers.allSatisfy(range.contains) else {
            throw invalid(key, "must hold integers in \(range.lowerBound)...\(range.upperBound) alone")
        }
        return integers
    }

    /// Strings.
    package func strings(_ key: String) throws(EngineError) -> [String]? {
        guard let value = value(key) else { return nil }
        guard let array = value.array else { throw invalid(key, "must be an array, is \(value.kind)") }
        let strings = array.compactMap(\.string)
        guard strings.count == array.count else { throw invalid(key, "must hold strings alone") }
        return strings
    }

    /// A string.
    package func string(_ key: String) throws(EngineError) -> String? {
        guard let value = value(key) else { return nil }
        guard let string = value.string else { throw invalid(key, "must be a string, is \(value.kind)") }
        return string
    }

    /// A boolean.
    package func bool(_ key: String) throws(EngineError) -> Bool? {
        guard let value = value(key) else { return nil }
        guard let bool = value.bool else { throw invalid(key, "must be a boolean, is \(value.kind)") }
        return bool
    }

    /// Refuses the model when the boolean `key` is true.
    package func reject(_ key: String) throws(EngineError) {
        if try bool(key) ?? false { throw unsupported(key, "true is not supported") }
    }
}
