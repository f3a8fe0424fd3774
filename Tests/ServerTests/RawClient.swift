import Glibc
import LMProtocol

/// A client of one blocking socket, so that tests can send what a good client never would.
final class RawClient {
    struct Failure: Error {
        let message: String
    }

    private let descriptor: Int32
    private var inbound: [UInt8] = []
    /// Of the ERROR that ended the connection.
    private var lastWord = "nothing"
    private(set) var wire: Connection

    /// Connects to a port of this machine; nothing is sent.
    ///
    /// - Parameter receiveBuffer: bytes the kernel may keep for us; nil for its default.
    init(port: UInt16, receiveBuffer: Int32? = nil) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        wire = .client(HelloMessage(maxPayload: Limits.clientPayload))
        if var size = receiveBuffer { setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, 4) }
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else { throw Failure(message: "connect: \(String(cString: strerror(errno)))") }
    }

    deinit { close(descriptor) }

    /// Sends bytes as they are.
    func send(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }

    /// Sends a frame that the wire's rules allow.
    @discardableResult
    func send<Result>(_ encode: (inout Connection, inout [UInt8]) throws(WireError) -> Result) throws -> Result {
        var bytes: [UInt8] = []
        let result = try encode(&wire, &bytes)
        send(bytes)
        return result
    }

    /// Says HELLO and waits for the server's.
    func greet(credential: String? = nil) throws {
        if let refusal = try refusal(credential: credential) {
            throw Failure(message: "\(refusal.code): \(refusal.message)")
        }
    }

    /// Says HELLO. Nil when the server lets us in, else why it does not.
    func refusal(credential: String? = nil) throws -> ErrorMessage? {
        var hello = HelloMessage(maxPayload: Limits.clientPayload)
        hello.credential = credential.map(Credential.init)
        wire = .client(hello)
        try send { (wire, bytes) throws(WireError) in try wire.start(into: &bytes) }
        while !wire.canOpenStream {
            if case .error(0, let message) = try next() { return message }
        }
        return nil
    }

    /// Asks for tokens; returns the stream.
    func generate(_ message: GenerateMessage) throws -> UInt32 {
        while !wire.canOpenStream { _ = try next() }
        return try send { (wire, bytes) throws(WireError) in try wire.sendGenerate(message, into: &bytes) }
    }

    /// Asks a question and waits for its reply or error, whatever else comes.
    func ask(_ message: CallMessage) throws -> Connection.Action {
        let stream = try send { (wire, bytes) throws(WireError) in try wire.sendCall(message, into: &bytes) }
        while true {
            switch try next() {
            case .reply(stream, let reply): return .reply(stream, reply)
            case .error(stream, let error): return .error(stream, error)
            default: continue
            }
        }
    }

    /// Waits for the next frame.
    ///
    /// - Throws: `Failure` when the server closes or says nothing for 20 s.
    func next() throws -> Connection.Action {
        while true {
            var consumed = 0
            let bytes = inbound
            let action = try wire.receive(bytes.span.bytes, consumed: &consumed)
            inbound.removeFirst(consumed)
            if case .error(0, let message)? = action { lastWord = message.message }
            if let action { return action }
            guard try receive() else { throw Failure(message: "the server closed after saying: \(lastWord)") }
        }
    }

    /// Waits until the server closes; frames before that are dropped.
    func waitForEnd() throws {
        while try receive() { inbound.removeAll() }
    }

    /// False at the end of the stream.
    private func receive() throws -> Bool {
        var chunk = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &chunk, chunk.count, 0)
        if count < 0, errno == ECONNRESET { return false }
        guard count >= 0 else { throw Failure(message: "receive: \(String(cString: strerror(errno)))") }
        inbound += chunk[..<count]
        return count > 0
    }

    /// Does nothing for a while; what arrives is read later.
    func pause(milliseconds: UInt32) throws {
        guard usleep(milliseconds * 1_000) == 0 else { throw Failure(message: "interrupted") }
    }

    /// Ends our side, as a client that has no more to ask.
    func endOutput() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Everything a stream says until its end.
    func collect(_ stream: UInt32) throws -> Answer {
        var answer = Answer()
        while !answer.isComplete {
            answer.take(try next(), stream)
        }
        return answer
    }
}

/// What came on one stream.
struct Answer: Equatable {
    var tokens: [Int32] = []
    var text: [UInt8] = []
    var finish: FinishMessage.Reason?
    var error: ErrorCode?
    var completionTokens: UInt32 = 0
    var cachedTokens: UInt32 = 0

    var isComplete: Bool { finish != nil || error != nil }

    mutating func take(_ action: Connection.Action, _ stream: UInt32) {
        switch action {
        case .tokens(stream, let message):
            tokens += message.ids
            text += message.text
        case .finish(stream, let message):
            finish = message.reason
            completionTokens = message.usage.completionTokens
            cachedTokens = message.usage.cachedTokens
        case .error(stream, let message): error = message.code
        default: break
        }
    }
}
