import LMProtocol

extension FuzzTarget {
    /// However bytes are cut, they yield the same actions and the same error.
    func checkFrames(_ input: [UInt8]) throws(Broken) {
        guard let seed = input.first else { return }
        let bytes = input.dropFirst()
        if bytes.count >= Limits.header {
            let word = bytes.prefix(Limits.header).reversed().reduce(0) { $0 << 8 | UInt64($1) }
            try hold(FrameHeader(word: word).word == word, "a header is its word")
        }
        for fresh in [Self.busyServer, Self.busyClient] {
            let whole = Reception(of: [bytes], by: fresh)
            try hold(whole == Reception(of: bytes.indices.map { bytes[$0...$0] }, by: fresh), "single bytes change it")
            let middle = bytes.startIndex + (bytes.isEmpty ? 0 : Int(seed) * bytes.count / 256)
            try hold(whole == Reception(of: [bytes[..<middle], bytes[middle...]], by: fresh), "a cut changes it")
        }
    }

    /// The two ends of a connection on which streams 1 and 4 are accepted generations, the latter resumed, 2 is a call and
    /// 3 waits for ACCEPT.
    static let (busyClient, busyServer) = {
        var pair = OpenPair()
        sound {
            var bytes: [UInt8] = []
            let request = GenerateMessage(prompt: .text("x"), creditLimit: 100)
            _ = try pair.client.sendGenerate(request, into: &bytes)
            _ = try pair.client.sendCall(.tokenize(.text("x"), model: nil), into: &bytes)
            _ = try pair.client.sendGenerate(request, into: &bytes)
            _ = try pair.client.sendResume(
                ResumeMessage(token: Opaque128(1, 2), nextIndex: 65_534, creditLimit: 65_600), checksum: nil,
                into: &bytes)
            deliver(bytes, to: &pair.server)
            bytes = []
            var accept = AcceptMessage()
            try pair.server.sendAccept(on: 1, accept, into: &bytes)
            accept.startIndex = 65_534
            try pair.server.sendAccept(on: 4, accept, into: &bytes)
            deliver(bytes, to: &pair.client)
        }
        return (pair.client, pair.server)
    }()
}

/// What one end made of what it received in pieces.
private struct Reception: Equatable {
    private var actions: [Connection.Action] = []
    private var error: WireError?
    private let isClosed: Bool
    private let openStreams: [UInt32]

    init(of pieces: [ArraySlice<UInt8>], by fresh: Connection) {
        var connection = fresh
        var inbox = Inbox()
        for piece in pieces {
            inbox.append(piece)
            while let action = inbox.next(of: &connection) { actions.append(action) }
        }
        error = inbox.error
        isClosed = connection.isClosed
        openStreams = connection.openStreams.sorted()
    }

    static func == (left: Reception, right: Reception) -> Bool {
        guard left.error == right.error, left.isClosed == right.isClosed, left.openStreams == right.openStreams
        else { return false }
        // A NaN differs from itself; its description does not.
        return left.actions == right.actions || "\(left.actions)" == "\(right.actions)"
    }
}
