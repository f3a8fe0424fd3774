/// How the text after an option becomes a value, and how that text is called in `--help`.
package struct ValueParser<Value> {
    /// Stands for the value in `--help`, in capitals.
    package let placeholder: String
    /// Reads the text; the error says what was expected.
    package let parse: (String) throws(ValueError) -> Value

    /// Pairs a placeholder with the function that reads the text.
    package init(_ placeholder: String, parse: @escaping (String) throws(ValueError) -> Value) {
        self.placeholder = placeholder
        self.parse = parse
    }
}

/// Why a text is not a value of an option, as the end of a sentence that starts with the option's name.
package struct ValueError: Error, Equatable {
    /// For example "expects a whole number, got 'x'".
    package let message: String

    /// Creates an error from the end of its sentence.
    package init(_ message: String) { self.message = message }
}

extension ValueParser where Value == String {
    /// Any text, empty included.
    package static func text(_ placeholder: String) -> ValueParser {
        ValueParser(placeholder) { text in text }
    }
}

extension ValueParser where Value: FixedWidthInteger {
    /// A whole number inside `range`.
    package static func integer(_ placeholder: String = "N", in range: ClosedRange<Value>) -> ValueParser {
        ValueParser(placeholder) { text throws(ValueError) in
            // An unsigned type would call "-1" no number at all; saying that it is out of range helps more.
            guard let value = Value(text) else {
                let isNumber = !text.isEmpty && text.drop { $0 == "-" || $0 == "+" }.allSatisfy(\.isASCIIDigit)
                throw ValueError(
                    isNumber ? "is out of range \(describe(range)): \(text)" : "expects a whole number, got '\(text)'")
            }
            guard range.contains(value) else { throw ValueError("is out of range \(describe(range)): \(text)") }
            return value
        }
    }

    private static func describe(_ range: ClosedRange<Value>) -> String {
        switch (range.lowerBound == .min, range.upperBound == .max) {
        case (_, true): "\(range.lowerBound) or more"
        case (true, false): "\(range.upperBound) or less"
        case (false, false): "\(range.lowerBound) to \(range.upperBound)"
        }
    }
}

extension ValueParser where Value: BinaryFloatingPoint & LosslessStringConvertible {
    /// A number inside `range`; `inf` is one where the range reaches infinity.
    package static func number(_ placeholder: String = "X", in range: ClosedRange<Value>) -> ValueParser {
        ValueParser(placeholder) { text throws(ValueError) in
            guard let value = Value(text), !value.isNaN else { throw ValueError("expects a number, got '\(text)'") }
            guard range.contains(value) else {
                throw ValueError("is out of range \(range.lowerBound) to \(range.upperBound): \(text)")
            }
            return value
        }
    }
}

extension ValueParser where Value: RawRepresentable & CaseIterable, Value.RawValue == String {
    /// One of the raw values of an enumeration.
    package static func choice() -> ValueParser {
        let names = Value.allCases.map(\.rawValue)
        return ValueParser(names.joined(separator: "|")) { text throws(ValueError) in
            guard let value = Value(rawValue: text) else {
                throw ValueError("expects one of \(names.joined(separator: ", ")), got '\(text)'")
            }
            return value
        }
    }
}

extension ValueParser {
    /// One or more values separated by commas.
    package static func list<Element>(of element: ValueParser<Element>) -> ValueParser where Value == [Element] {
        ValueParser("\(element.placeholder)[,\(element.placeholder)…]") { text throws(ValueError) in
            var values: [Element] = []
            for part in text.split(separator: ",", omittingEmptySubsequences: false) {
                values.append(try element.parse(String(part)))
            }
            return values
        }
    }
}

extension Character {
    var isASCIIDigit: Bool { ("0"..."9").contains(self) }
}
