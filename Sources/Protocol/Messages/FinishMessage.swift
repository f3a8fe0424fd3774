/// FINISH: the generation ended without a failure; the last frame of its stream.
package struct FinishMessage: Sendable, Equatable {
    /// Why it ended. Not an enum: a reason of a later version is a value like any other.
    package struct Reason: RawRepresentable, Hashable, Sendable {
        /// The number on the wire.
        package var rawValue: UInt8

        /// Any number, known or not.
        package init(rawValue: UInt8) { self.rawValue = rawValue }

        /// An end token, stop token or stop string.
        package static let stop = Reason(rawValue: 1)
        /// The most tokens asked for, or the context, was reached.
        package static let length = Reason(rawValue: 2)
        /// CANCEL.
        package static let cancelled = Reason(rawValue: 3)
    }

    /// Why it ended.
    package var reason: Reason
    /// Tokens of the whole generation: the index after the last one.
    package var tokens: UInt32
    /// CRC-32C of the text of all of them, from index 0.
    package var checksum: UInt32
    /// What it consumed.
    package var usage = UsageReport()
    /// The seed that repeats the output; nil when the server keeps it.
    package var seed: UInt64?

    /// Creates the message.
    package init(reason: Reason, tokens: UInt32, checksum: UInt32) {
        self.reason = reason
        self.tokens = tokens
        self.checksum = checksum
    }

    private enum Key {
        static let seed: UInt16 = 23
    }

    init(_ reader: consuming ByteReader) throws(WireError) {
        reason = Reason(rawValue: try reader.integer())
        _ = try reader.take(3)
        tokens = try reader.integer()
        checksum = try reader.integer()
        var fields = try FieldReader(reader)
        while let key = try fields.next() {
            if try usage.read(key, &fields) { continue }
            switch key {
            case Key.seed: seed = try fields.integer()
            default: try fields.skip()
            }
        }
    }

    func encode(into bytes: inout [UInt8]) {
        bytes.append(reason.rawValue)
        bytes.append(contentsOf: repeatElement(0, count: 3))
        bytes.append(integer: tokens)
        bytes.append(integer: checksum)
        usage.encode(into: &bytes)
        bytes.appendField(Key.seed, integer: seed)
    }
}
