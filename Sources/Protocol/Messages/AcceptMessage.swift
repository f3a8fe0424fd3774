/// ACCEPT: the request is valid and in the engine's queue. From here on it may have had an effect: a client must not
/// repeat it by itself.
package struct AcceptMessage: Sendable, Equatable {
    /// Index of the first token that will follow: 0 after GENERATE, the one asked for after RESUME.
    package var startIndex: UInt32 = 0
    /// What the server's logs call the request.
    package var requestID: String?
    /// The model that answers.
    package var model: String?
    /// The seed in use, when it is already drawn.
    package var seed: UInt64?
    /// What a RESUME names the generation by; nil when it ends with its connection.
    package var resumeToken: Opaque128?

    /// An ACCEPT that says nothing more.
    package init() {}

    private enum Key {
        static let requestID: UInt16 = 1
        static let model: UInt16 = 2
        static let seed: UInt16 = 3
        static let resumeToken: UInt16 = 4
    }

    init(_ reader: consuming ByteReader) throws(WireError) {
        startIndex = try reader.integer()
        var fields = try FieldReader(reader)
        while let key = try fields.next() {
            switch key {
            case Key.requestID: requestID = try fields.text("request id", limit: Limits.name)
            case Key.model: model = try fields.text("model", limit: Limits.name)
            case Key.seed: seed = try fields.integer()
            case Key.resumeToken: resumeToken = try fields.opaque()
            default: try fields.skip()
            }
        }
    }

    func encode(into bytes: inout [UInt8]) {
        bytes.append(integer: startIndex)
        bytes.appendField(Key.requestID, text: requestID)
        bytes.appendField(Key.model, text: model)
        bytes.appendField(Key.seed, integer: seed)
        bytes.appendField(Key.resumeToken, opaque: resumeToken)
    }
}
