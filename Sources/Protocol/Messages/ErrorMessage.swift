/// ERROR: a failure that ends a stream, or with stream 0 the connection.
package struct ErrorMessage: Error, Sendable, Equatable {
    /// What kind of failure.
    package var code: ErrorCode
    /// Whether the same request can succeed later or elsewhere.
    package var isRetryable: Bool
    /// Milliseconds to wait before a repetition; 0 leaves it to the client.
    package var retryAfter: UInt32
    /// A sentence for a person: what was wrong, where, and the fix.
    package var message: String
    /// What the failed generation consumed; nil when it never started.
    package var usage: UsageReport?

    /// Creates the message; retryable as the code says.
    package init(_ code: ErrorCode, _ message: String, retryAfter: UInt32 = 0) {
        self.code = code
        self.message = message
        self.retryAfter = retryAfter
        isRetryable = code.isRetryable
    }

    /// What to tell the peer about an error of ours.
    package init(_ error: WireError) { self.init(error.code, error.message) }

    private enum Flag {
        static let retryable: UInt8 = 1
    }

    private enum Key {
        static let message: UInt16 = 1
    }

    init(_ reader: consuming ByteReader) throws(WireError) {
        code = ErrorCode(rawValue: try reader.integer())
        isRetryable = try reader.integer(UInt8.self) & Flag.retryable != 0
        _ = try reader.integer(UInt8.self)
        retryAfter = try reader.integer()
        message = ""
        var fields = try FieldReader(reader)
        var report = UsageReport()
        while let key = try fields.next() {
            if try report.read(key, &fields) {
                usage = report
                continue
            }
            switch key {
            case Key.message: message = try fields.text("message")
            default: try fields.skip()
            }
        }
    }

    func encode(into bytes: inout [UInt8]) {
        bytes.append(integer: code.rawValue)
        bytes.append(isRetryable ? Flag.retryable : 0)
        bytes.append(0)
        bytes.append(integer: retryAfter)
        bytes.appendField(Key.message, text: message.cut(toUTF8: Limits.errorMessage))
        usage?.encode(into: &bytes)
    }
}

extension String {
    /// The longest start of whole characters within `limit` bytes.
    func cut(toUTF8 limit: Int) -> String {
        guard utf8.count > limit else { return self }
        var end = utf8.index(startIndex, offsetBy: limit)
        while end > startIndex, end.samePosition(in: unicodeScalars) == nil { end = utf8.index(before: end) }
        return String(self[..<end])
    }
}
