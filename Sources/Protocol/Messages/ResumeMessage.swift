/// RESUME: opens a stream that continues a generation whose connection was lost.
package struct ResumeMessage: Sendable, Equatable {
    /// What ACCEPT gave.
    package var token: Opaque128
    /// Index of the first token wanted; those below it count as consumed.
    package var nextIndex: UInt32
    /// The server may send tokens with an index below this.
    package var creditLimit: UInt32

    /// Creates the message.
    package init(token: Opaque128, nextIndex: UInt32, creditLimit: UInt32) {
        self.token = token
        self.nextIndex = nextIndex
        self.creditLimit = creditLimit
    }

    init(_ reader: consuming ByteReader) throws(WireError) {
        token = try Opaque128(&reader)
        nextIndex = try reader.integer()
        creditLimit = try reader.integer()
        var fields = try FieldReader(reader)
        while try fields.next() != nil { try fields.skip() }
    }

    func encode(into bytes: inout [UInt8]) {
        token.encode(into: &bytes)
        bytes.append(integer: nextIndex)
        bytes.append(integer: creditLimit)
    }
}
