/// A JSON value (RFC 8259) that remembers the order of its members, as files of models mean it.
public enum JSON: Sendable, Equatable {
    case null
    case bool(Bool)
    /// A number written without fraction and exponent that fits 64 bits.
    case integer(Int64)
    /// Every other number; finite.
    case number(Double)
    case string(String)
    case array([JSON])
    case object(JSONObject)
}

extension JSON {
    /// The text of a string; nil for everything else.
    public var string: String? { if case .string(let value) = self { value } else { nil } }
    /// The value of a boolean; nil for everything else.
    public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    /// The elements of an array; nil for everything else.
    public var array: [JSON]? { if case .array(let value) = self { value } else { nil } }
    /// The members of an object; nil for everything else.
    public var object: JSONObject? { if case .object(let value) = self { value } else { nil } }
    /// Whether this is `null`.
    public var isNull: Bool { self == .null }

    /// A whole number; `3.0` is one, as files written by Python have it. Nil for everything else.
    public var integer: Int? {
        switch self {
        case .integer(let value): Int(exactly: value)
        case .number(let value): Int(exactly: value)
        default: nil
        }
    }

    /// Any number; nil for everything else.
    public var number: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }

    /// A member of an object; nil when there is none, or this is no object.
    public subscript(key: String) -> JSON? { object?[key] }

    /// What kind of value this is, for messages.
    public var kind: String {
        switch self {
        case .null: "null"
        case .bool: "a boolean"
        case .integer, .number: "a number"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }
}

/// The members of a JSON object in the order they were written; no key occurs twice.
public struct JSONObject: Sendable {
    /// The members in order.
    public private(set) var members: [(key: String, value: JSON)] = []
    /// Where each key's member is; kept from the ninth member on, a short list is searched faster.
    private var positions: [Key: Int] = [:]
    private static let searchedCount = 8

    /// An object without members.
    public init() {}

    /// Number of members.
    public var count: Int { members.count }
    /// The keys in order.
    public var keys: [String] { members.map(\.key) }

    /// The member with that key. Setting nil does not remove it; nothing here needs that.
    public subscript(key: String) -> JSON? { position(of: key).map { members[$0].value } }

    /// Sets a member; a new key goes to the end.
    public mutating func set(_ key: String, _ value: JSON) {
        if let position = position(of: key) {
            members[position].value = value
        } else {
            append(key, value)
        }
    }

    /// Adds a member.
    ///
    /// - Returns: false, and nothing is changed, when the key is there already.
    mutating func insert(_ key: String, _ value: JSON) -> Bool {
        guard position(of: key) == nil else { return false }
        append(key, value)
        return true
    }

    private mutating func append(_ key: String, _ value: JSON) {
        members.append((key, value))
        if members.count > Self.searchedCount + 1 {
            positions[Key(text: key)] = members.count - 1
        } else if members.count == Self.searchedCount + 1 {
            for (index, member) in members.enumerated() { positions[Key(text: member.key)] = index }
        }
    }

    private func position(of key: String) -> Int? {
        let key = Key(text: key)
        return positions.isEmpty ? members.firstIndex { Key(text: $0.key) == key } : positions[key]
    }

    /// A key, equal to another if their code points are: to `String` "é" of one and of two of them are the same text,
    /// and a vocabulary has both.
    private struct Key: Hashable {
        let text: String

        static func == (a: Key, b: Key) -> Bool { a.text.utf8.elementsEqual(b.text.utf8) }

        func hash(into hasher: inout Hasher) {
            var text = text
            text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        }
    }
}

extension JSONObject: Equatable {
    /// Equal members in any order.
    public static func == (a: JSONObject, b: JSONObject) -> Bool {
        a.count == b.count && a.members.allSatisfy { b[$0.key] == $0.value }
    }
}
