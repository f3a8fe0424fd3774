/// A number with its unit as people type it: `250ms`, `8GiB`.
private struct Quantity {
    let number: Double
    let unit: String

    init?(_ text: String) {
        let digits = text.prefix { $0.isASCIIDigit || $0 == "." }
        guard let number = Double(digits), number.isFinite else { return nil }
        self.number = number
        unit = String(text[digits.endIndex...])
    }
}

extension ValueParser where Value == Duration {
    /// A span of time above zero with its unit: `250ms`, `5s`, `2m`, `1h`.
    package static func duration() -> ValueParser {
        ValueParser("DURATION") { text throws(ValueError) in
            let secondsPerUnit: [String: Double] = ["us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600]
            guard let quantity = Quantity(text), let seconds = secondsPerUnit[quantity.unit] else {
                throw ValueError("expects a duration such as 250ms, 5s or 2m, got '\(text)'")
            }
            // A year bounds the arithmetic of every deadline that is computed from it.
            let total = quantity.number * seconds
            guard total > 0, total <= 366 * 86_400 else {
                throw ValueError("expects a duration above zero and below a year, got '\(text)'")
            }
            return .seconds(total)
        }
    }
}

extension ValueParser where Value == Int {
    /// A number of bytes above zero: `4096`, `512MiB`, `8GiB`, `8GB`.
    package static func byteCount() -> ValueParser {
        ValueParser("SIZE") { text throws(ValueError) in
            let bytesPerUnit: [String: Double] = [
                "": 1, "B": 1,
                "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
                "KiB": 0x1p10, "MiB": 0x1p20, "GiB": 0x1p30, "TiB": 0x1p40,
            ]
            guard let quantity = Quantity(text), let bytes = bytesPerUnit[quantity.unit] else {
                throw ValueError("expects a size such as 512MiB or 8GiB, got '\(text)'")
            }
            let total = quantity.number * bytes
            guard total >= 1, total <= 0x1p60 else {
                throw ValueError("expects a size from 1 byte to 1 EiB, got '\(text)'")
            }
            return Int(total)
        }
    }
}
