/// What both ends remember about an open stream. A stream is open from its GENERATE, RESUME or CALL to its one FINISH, REPLY
/// or ERROR; that it is closed needs no memory, because stream numbers only grow.
struct StreamState: Equatable {
    /// What opened the stream decides which frames belong on it.
    enum Kind: Equatable {
        case generation
        case call(CallMessage.Method)
    }

    let kind: Kind
    /// ACCEPT was sent or received.
    var isAccepted = false
    /// CANCEL was sent or received; the stream stays open until the server ends it.
    var isCancelled = false
    /// Index of the next token; before ACCEPT, of the one it has to name.
    var nextIndex: UInt32 = 0
    /// Tokens with an index below this may be sent.
    var creditLimit: UInt32 = 0
    /// Tokens below this will not be asked for again, as the client says.
    var consumed: UInt32 = 0
    /// Client: of the text of all tokens before the next one; nil when it was not told of them all.
    var checksum: CRC32C? = CRC32C()

    /// Takes note of tokens sent or received.
    mutating func advance(from index: UInt32, by count: Int) throws(WireError) {
        try checkAccepted()
        guard index == nextIndex else { throw .malformed("token \(index) where \(nextIndex) is next") }
        guard creditLimit > nextIndex, count <= creditLimit - nextIndex else {
            throw .malformed("\(count) tokens from \(index) exceed the credit of \(creditLimit)")
        }
        nextIndex += UInt32(count)
    }

    /// Takes note of ACCEPT.
    mutating func accept(_ message: AcceptMessage) throws(WireError) {
        guard kind == .generation, !isAccepted else { throw .malformed("the stream is not waiting for it") }
        guard message.startIndex == nextIndex else {
            throw .malformed("starts at token \(message.startIndex) instead of \(nextIndex)")
        }
        isAccepted = true
    }

    /// Whatever follows ACCEPT must follow it.
    func checkAccepted() throws(WireError) {
        guard isAccepted else { throw .malformed("the stream is not an accepted generation") }
    }
}
