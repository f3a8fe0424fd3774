/// What a generation consumed; sent in FINISH, and in an ERROR that ends a generation.
package struct UsageReport: Sendable, Equatable {
    /// Tokens of the prompt.
    package var promptTokens: UInt32 = 0
    /// Prompt tokens found in the prefix cache.
    package var cachedTokens: UInt32 = 0
    /// Tokens produced, whether or not all of them were sent.
    package var completionTokens: UInt32 = 0
    /// Times the sequence lost its cache blocks and was recomputed.
    package var preemptions: UInt32 = 0
    /// Nanoseconds from receipt to the first step that carried the request.
    package var queueTime: UInt64 = 0
    /// Nanoseconds from that step to the first token.
    package var prefillTime: UInt64 = 0
    /// Nanoseconds from the first token to the last.
    package var decodeTime: UInt64 = 0

    /// All zero.
    package init() {}

    private enum Key {
        static let promptTokens: UInt16 = 16
        static let cachedTokens: UInt16 = 17
        static let completionTokens: UInt16 = 18
        static let preemptions: UInt16 = 19
        static let queueTime: UInt16 = 20
        static let prefillTime: UInt16 = 21
        static let decodeTime: UInt16 = 22
    }

    /// Whether `key` was one of these.
    mutating func read(_ key: UInt16, _ fields: inout FieldReader) throws(WireError) -> Bool {
        switch key {
        case Key.promptTokens: promptTokens = try fields.integer()
        case Key.cachedTokens: cachedTokens = try fields.integer()
        case Key.completionTokens: completionTokens = try fields.integer()
        case Key.preemptions: preemptions = try fields.integer()
        case Key.queueTime: queueTime = try fields.integer()
        case Key.prefillTime: prefillTime = try fields.integer()
        case Key.decodeTime: decodeTime = try fields.integer()
        default: return false
        }
        return true
    }

    func encode(into bytes: inout [UInt8]) {
        bytes.appendField(Key.promptTokens, integer: promptTokens)
        bytes.appendField(Key.cachedTokens, integer: cachedTokens)
        bytes.appendField(Key.completionTokens, integer: completionTokens)
        bytes.appendField(Key.preemptions, integer: preemptions)
        bytes.appendField(Key.queueTime, integer: queueTime)
        bytes.appendField(Key.prefillTime, integer: prefillTime)
        bytes.appendField(Key.decodeTime, integer: decodeTime)
    }
}
