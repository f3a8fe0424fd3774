import FoundationEssentials

/// JSON as our programs write it: keys in snake case and sorted, so that equal values give equal text.
package enum JSONText {
    /// Encodes a value on one line without the newline. Numbers that JSON lacks become "inf", "-inf" and "nan".
    package static func line(_ value: some Encodable) throws(ProgramError) -> String {
        String(decoding: try encode(value, [.sortedKeys, .withoutEscapingSlashes]), as: UTF8.self)
    }

    /// Encodes a value over several lines, for files that people open.
    package static func pretty(_ value: some Encodable) throws(ProgramError) -> String {
        let formatting: JSONEncoder.OutputFormatting = [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
        return String(decoding: try encode(value, formatting), as: UTF8.self)
    }

    private static func encode(
        _ value: some Encodable, _ formatting: JSONEncoder.OutputFormatting
    ) throws(ProgramError) -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = formatting
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        do {
            return try encoder.encode(value)
        } catch {
            throw ProgramError(.failure, "cannot write \(type(of: value)) as JSON: \(error)")
        }
    }

    /// Decodes a value.
    ///
    /// - Parameter source: where the text came from, for the message.
    /// - Throws: `.badInput` with the place of the first thing that is wrong.
    package static func decode<Value: Decodable>(
        _ type: Value.Type, from bytes: [UInt8], source: String
    ) throws(ProgramError) -> Value {
        do {
            return try JSONDecoder().decode(type, from: Data(bytes))
        } catch let error as DecodingError {
            throw ProgramError(.badInput, "\(source): \(describe(error))")
        } catch {
            throw ProgramError(.badInput, "\(source): \(error)")
        }
    }

    private static func describe(_ error: DecodingError) -> String {
        let (context, problem): (DecodingError.Context, String) =
            switch error {
            case .keyNotFound(let key, let context): (context, "'\(key.stringValue)' is missing")
            case .typeMismatch(let type, let context): (context, "expected \(type)")
            case .valueNotFound(let type, let context): (context, "expected \(type), found null")
            case .dataCorrupted(let context): (context, context.debugDescription)
            @unknown default: (DecodingError.Context(codingPath: [], debugDescription: ""), "\(error)")
            }
        let path = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? ".\($0.stringValue)" }.joined()
        return path.isEmpty ? "not the JSON expected here: \(problem)" : "at \(path): \(problem)"
    }
}
