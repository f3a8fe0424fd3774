/// A JSON value whose keys are only known at run time, such as a report's `p99_ttft_ms`.
package enum JSONValue: Encodable, Equatable, Sendable {
    case null
    case integer(Int)
    case number(Double)
    case boolean(Bool)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    /// For `Encodable`.
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .integer(let value): try container.encode(value)
        case .number(let value): try container.encode(value)
        case .boolean(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        case .array(let values): try container.encode(values)
        case .object(let members): try container.encode(members)
        }
    }
}
