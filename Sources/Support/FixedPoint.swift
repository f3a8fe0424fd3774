import Glibc

extension Double {
    /// The number with a fixed count of decimals, as printf's `%.*f` writes it.
    package func fixed(_ decimals: Int) -> String {
        // The longest finite Double has 309 digits before the point.
        var buffer = [CChar](repeating: 0, count: 340 + decimals)
        let length = withVaList([Int32(decimals), self]) { vsnprintf(&buffer, buffer.count, "%.*f", $0) }
        return String(decoding: buffer.prefix(Int(length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

extension String {
    /// The text followed by spaces up to `width` columns.
    package func padded(to width: Int) -> String {
        self + String(repeating: " ", count: Swift.max(0, width - count))
    }

    /// The text in the middle of `width` columns of `fill`; an odd remainder goes to the right, as in Python.
    package func centered(in width: Int, fill: Character) -> String {
        let space = Swift.max(0, width - count)
        return String(repeating: fill, count: space / 2) + self + String(repeating: fill, count: space - space / 2)
    }
}

/// A number of bytes for people: "512.0 MiB".
package func describeBytes(_ count: Int) -> String {
    var value = Double(count)
    for unit in ["B", "KiB", "MiB"] {
        if value < 1024 { return unit == "B" ? "\(count) B" : "\(value.fixed(1)) \(unit)" }
        value /= 1024
    }
    return "\(value.fixed(2)) GiB"
}
