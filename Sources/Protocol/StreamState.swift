/// What both ends remember about an open stream. A stream is open from its GENERATE or CALL to its one FINISH, REPLY or
/// ERROR; that it is closed needs no memory, because stream numbers only grow.
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
    /// Index of the next token.
    var nextIndex: UInt32 = 0
    /// Tokens with an index below this may be sent.
    var creditLimit: UInt32 = 0

    /// Takes note of tokens sent or received.
    mutating func advance(from index: UInt32, by count: Int) throws(WireError) {
        try checkAccepted()
        guard index == nextIndex else { throw .malformed("token \(index) where \(nextIndex) is next") }
        guard count <= creditLimit - nextIndex else {
            throw .malformed("\(count) tokens from \(index) exceed the credit of \(creditLimit)")
        }
        nextIndex += UInt32(count)
    }

    /// Takes note of ACCEPT.
    mutating func accept(_ message: AcceptMessage) throws(WireError) {
        guard kind == .generation, !isAccepted else { throw .malformed("the stream is not waiting for it") }
        guard message.startIndex == 0 else { throw .malformed("starts at token \(message.startIndex) instead of 0") }
        isAccepted = true
    }

    /// Whatever follows ACCEPT must follow it.
    func checkAccepted() throws(WireError) {
        guard isAccepted else { throw .malformed("the stream is not an accepted generation") }
    }
}
