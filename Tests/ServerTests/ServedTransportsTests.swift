import Glibc
import LMEngine
import LMProtocol
import LMServer
import LMTransport
import TestKit
import Testing

/// The same answer over every kind of connection; `StreamingTests` has the details over plain TCP.
@Suite(.serialized, .timeLimit(.minutes(5))) struct ServedTransportsTests {
    @Test("TLS end to end") func tls() throws {
        let files = try TestCertificates()
        let server = try TestServer {
            $0.tls = .init(certificate: files.certificate, privateKey: files.key)
        }
        let trusted = try TLSContext.client(
            authorityFile: files.certificate, applicationProtocol: Connection.alpn)
        let outcome = try ask(.host("localhost", port: server.port), trusted)
        #expect(outcome == .answered(tokens: 60))

        let strangers = try TestCertificates()
        let untrusting = try TLSContext.client(
            authorityFile: strangers.certificate, applicationProtocol: Connection.alpn)
        guard case .refused(let error) = try ask(.host("localhost", port: server.port), untrusting) else {
            Issue.record("a client talked to a server it does not trust")
            return
        }
        #expect(error.contains("is refused"))
        #expect(server.isIdle())
    }

    @Test("TLS to a plain port and plain text to a TLS port end at once") func mismatch() throws {
        let files = try TestCertificates()
        let tls = try TLSContext.client(authorityFile: files.certificate, applicationProtocol: Connection.alpn)
        let plain = try TestServer()
        let encrypted = try TestServer { $0.tls = .init(certificate: files.certificate, privateKey: files.key) }
        for (server, context) in [(plain, tls), (encrypted, nil)] {
            guard case .refused = try ask(.host("localhost", port: server.port), context) else {
                Issue.record("the two ends understood each other")
                continue
            }
        }
        #expect(try ask(.host("localhost", port: plain.port), nil) == .answered(tokens: 60))
    }

    @Test("Unix-domain socket") func unix() throws {
        let path = "/tmp/lmcall-server-test-\(getpid())"
        let server = try TestServer { $0.listen = ["unix:\(path)"] }
        #expect(server.server.addresses == ["unix:\(path)"])
        #expect(try ask(.unix(path), nil) == .answered(tokens: 60))
        server.server.stop()
        #expect(access(path, F_OK) != 0)
    }

}

/// Asks one question at `endpoint`.
func ask(_ endpoint: Endpoint, _ tls: TLSContext?) throws -> Questioner.Outcome {
    let loop = try EventLoop(name: "test-client")
    let questioner = Questioner()
    loop.post { questioner.start(Channel(connectingTo: endpoint, on: loop, tls: tls, handler: questioner)) }
    try loop.start()
    defer { loop.stop() }
    #expect(questioner.done.wait())
    return questioner.outcome
}

/// Asks one question over a channel and counts the tokens of the answer.
final class Questioner: ChannelHandler, @unchecked Sendable {
    enum Outcome: Equatable {
        case none
        case answered(tokens: Int)
        case refused(String)
    }

    let done = Arrivals()
    // Loop thread only, until `done` is signalled.
    private(set) var outcome = Outcome.none
    private var wire = Connection.client(HelloMessage(maxPayload: Limits.clientPayload))
    private var tokens = 0

    func start(_ channel: Channel) {
        try? channel.write { (bytes) throws(WireError) in try wire.start(into: &bytes) }
    }

    func channelReady(_ channel: Channel) {}
    func channelInputEnded(_ channel: Channel) { channel.close() }
    func channelWritabilityChanged(_ channel: Channel) {}

    func channel(_ channel: Channel, received bytes: RawSpan) -> Int {
        var consumed = 0
        do throws(WireError) {
            while let action = try wire.receive(bytes, consumed: &consumed) {
                switch action {
                case .maxStreams where wire.openStreamCount == 0 && tokens == 0:
                    _ = try channel.write { (bytes) throws(WireError) in
                        try wire.sendGenerate(.greedy("hello", maxTokens: 60), into: &bytes)
                    }
                case .tokens(_, let message): tokens += message.count
                case .finish: end(.answered(tokens: tokens), channel)
                default: break
                }
            }
        } catch {
            end(.refused(error.message), channel)
        }
        return consumed
    }

    func channelClosed(_ channel: Channel, error: TransportError?) {
        guard outcome == .none else { return }
        end(.refused(error?.description ?? "closed"), channel)
    }

    private func end(_ outcome: Outcome, _ channel: Channel) {
        self.outcome = outcome
        channel.close()
        done.signal()
    }
}

/// Asks a question and takes the answer only when told to, as long as which its connection has a stream.
final class SlowQuestioner: ChannelHandler, @unchecked Sendable {
    let began = Arrivals()
    let ended = Arrivals()
    private let loop: EventLoop
    // Loop thread only.
    private var wire = Connection.client(HelloMessage(maxPayload: Limits.clientPayload))
    private var channel: Channel?

    init(_ endpoint: Endpoint, _ tls: TLSContext?) throws {
        loop = try EventLoop(name: "test-slow-client")
        loop.post { [self] in
            let channel = Channel(connectingTo: endpoint, on: loop, tls: tls, handler: self)
            try? channel.write { (bytes) throws(WireError) in try wire.start(into: &bytes) }
            self.channel = channel
        }
        try loop.start()
    }

    func goOn() {
        loop.post { [self] in
            try? channel?.write { (bytes) throws(WireError) in
                try wire.sendCredit(on: 1, CreditMessage(limit: .max, consumed: 0), into: &bytes)
            }
        }
    }

    func stop() { loop.stop() }

    func channel(_ channel: Channel, received bytes: RawSpan) -> Int {
        var consumed = 0
        while let action = try? wire.receive(bytes, consumed: &consumed) {
            switch action {
            case .maxStreams where wire.openStreamCount == 0:
                _ = try? channel.write { (bytes) throws(WireError) in
                    try wire.sendGenerate(.greedy("hello", maxTokens: 60, credit: 2), into: &bytes)
                }
            case .tokens: began.signal()
            case .finish: ended.signal()
            default: break
            }
        }
        return consumed
    }

    func channelReady(_ channel: Channel) {}
    func channelInputEnded(_ channel: Channel) {}
    func channelWritabilityChanged(_ channel: Channel) {}
    func channelClosed(_ channel: Channel, error: TransportError?) {}
}
