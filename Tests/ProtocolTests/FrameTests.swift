import LMProtocol
import Testing

/// Every kind of frame, and what remains of it when it is cut. What whole frames mean is in VectorTests.
@Suite("Frames")
struct FrameTests {
    /// Conversations whose last step delivers one frame.
    static let frames = Conversation.load("frames").filter { $0.steps.last?.reaction == .deliver }

    @Test("every kind of frame has a vector in each direction it may go")
    func completeness() {
        for role in [Role.client, .server] {
            let received = Conversation.load("frames").filter { $0.end.role == role }.flatMap(\.allSteps)
                .filter { $0.in != nil }.compactMap(\.frame)
            for kind in FrameKind.allCases where kind.maySend(role.peer, on: kind.scope == .connection ? 0 : 1) {
                let name = kind == .maxStreams ? "MAX_STREAMS" : "\(kind)".uppercased()
                #expect(received.contains(name), "\(name) to a \(role)")
            }
        }
    }

    @Test("any prefix of a frame is waited for, and the rest completes it", arguments: frames)
    func prefixes(_ conversation: Conversation) throws {
        let fresh = try conversation.beforeLastStep()
        let step = try #require(conversation.steps.last)
        let bytes = step.bytes
        let expected = [step.meaning?.normal]
        for end in bytes.indices {
            var receiver = fresh
            #expect(
                try receiver.receive(pieces: [bytes[..<end], bytes[end...]]).map(\.meaning) == expected, "cut at \(end)"
            )
        }
        var receiver = fresh
        #expect(try receiver.receive(pieces: bytes.indices.map { bytes[$0...$0] }).map(\.meaning) == expected)
    }

    @Test("a payload cut short, with a length that says so, is an error or another message", arguments: frames)
    func truncation(_ conversation: Conversation) throws {
        let fresh = try conversation.beforeLastStep()
        let step = try #require(conversation.steps.last)
        let bytes = step.bytes
        for count in 0..<bytes.count - Limits.header {
            var receiver = fresh
            let cut = frame(
                type: bytes[3], stream: UInt32(bytes[4]), Array(bytes[Limits.header..<Limits.header + count]))
            let actions = try? receiver.receiveAll(cut)
            #expect(actions?.map(\.meaning) != [step.meaning?.normal], "cut to \(count) bytes")
            if actions == nil { #expect(receiver.isClosed) }
        }
    }
}
