import COpenSSL
import Glibc
import LMTransport
import TestKit
import Testing

@Suite(.timeLimit(.minutes(5))) final class TLSTests {
    private let files: TestCertificates

    init() throws { files = try TestCertificates() }

    private func server(_ certificate: String? = nil, protocol name: String = lmcall) throws -> TLSContext {
        try .server(
            .init(certificateFile: certificate ?? files.certificate, keyFile: files.key), applicationProtocol: name)
    }

    /// Connects our own client to `server` and returns what it was told.
    private func connect(
        _ context: TLSContext, to server: TestServer, serverName: String? = nil, sending bytes: [UInt8] = []
    ) throws -> (Recorder, EventLoop) {
        let loop = try EventLoop(name: "test-client")
        let client = Recorder()
        let port = server.address.port
        loop.post {
            let channel = Channel(
                connectingTo: .host("localhost", port: port), on: loop, tls: context, serverName: serverName,
                handler: client)
            channel.write { $0.append(contentsOf: bytes) }
        }
        try loop.start()
        return (client, loop)
    }

    @Test(arguments: [1, 16384, 16385, 3_000_001]) func echoesBetweenOurEnds(count: Int) throws {
        let server = try TestServer(tls: self.server()) { .echo() }
        defer { withExtendedLifetime(server) {} }
        let (client, loop) = try connect(
            .client(authorityFile: files.certificate, applicationProtocol: lmcall), to: server, sending: pattern(count))
        defer { loop.stop() }
        #expect(client.told.next() == .ready)
        #expect(client.bytes(count).elementsEqual(pattern(count)))
    }

    @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION]) func servesBothVersions(version: Int32) throws {
        let server = try TestServer(tls: self.server()) { .echo() }
        defer { withExtendedLifetime(server) {} }
        let peer = try TLSPeer(to: server.address, version: version)
        #expect(peer.handshake())
        for count in [1, 100, 100_000] {
            peer.write(pattern(count))
            #expect(peer.read(count).elementsEqual(pattern(count)))
        }
    }

    @Test func refusesOlderVersions() throws {
        let server = try TestServer(tls: self.server()) { .echo() }
        defer { withExtendedLifetime(server) {} }
        #expect(try !TLSPeer(to: server.address, version: TLS1_1_VERSION).handshake())
    }

    @Test func survivesShortAndInterruptedCalls() throws {
        let script = ScriptedSystem.Script(
            onSend: { call, size in [-Int(EINTR), 3, -Int(EAGAIN), min(size, 1000)][call % 4] },
            onReceive: { call, _ in [-Int(EINTR), 1, -Int(EAGAIN), 777][call % 4] })
        let server = try TestServer(system: ScriptedSystem(script), tls: self.server()) { .echo() }
        defer { withExtendedLifetime(server) {} }
        let (client, loop) = try connect(
            .client(authorityFile: files.certificate, applicationProtocol: lmcall), to: server,
            sending: pattern(100_000))
        defer { loop.stop() }
        #expect(client.bytes(100_000).elementsEqual(pattern(100_000)))
    }

    /// Each name, certificate and authority that must be refused, with what the person is told.
    @Test(
        arguments: [
            ("good", "good", "elsewhere.example", "was made for another host"),
            ("good", "good", "192.0.2.1", "was made for another host"),
            ("expired", "expired", nil, "Renew the server's certificate"),
            ("good", "other", nil, "Give the authority"),
            ("elsewhere", "elsewhere", nil, "was made for another host"),
            ("client", "client", nil, "purpose"),
        ] as [(String, String, String?, String)])
    func refusesCertificates(serving: String, trusting: String, name: String?, advice: String) throws {
        let server = try TestServer(tls: self.server("\(files.directory)/\(serving).pem")) { .echo() }
        defer { withExtendedLifetime(server) {} }
        let strangers = try TestCertificates()
        let authority = trusting == "other" ? strangers.certificate : "\(files.directory)/\(trusting).pem"
        let (client, loop) = try connect(
            .client(authorityFile: authority, applicationProtocol: lmcall), to: server, serverName: name)
        defer { loop.stop() }
        guard case .closed(let error?) = client.told.next() else {
            Issue.record("the connection was made")
            return
        }
        #expect(error.code == .tlsCertificate)
        #expect(error.description.contains(advice), "\(error)")
    }

    @Test(arguments: ["elsewhere.example", "192.0.2.1"]) func acceptsTheNameInTheCertificate(name: String) throws {
        let server = try TestServer(tls: self.server(files.elsewhere)) { .echo() }
        defer { withExtendedLifetime(server) {} }
        let (client, loop) = try connect(
            .client(authorityFile: files.elsewhere, applicationProtocol: lmcall), to: server, serverName: name)
        defer { loop.stop() }
        #expect(client.told.next() == .ready)
    }

    @Test func refusesServersOfAnotherProtocol() throws {
        let server = try TestServer(tls: self.server(protocol: "h2")) { .echo() }
        defer { withExtendedLifetime(server) {} }
        let (client, loop) = try connect(
            .client(authorityFile: files.certificate, applicationProtocol: lmcall), to: server)
        defer { loop.stop() }
        guard case .closed(let error?) = client.told.next() else {
            Issue.record("the connection was made")
            return
        }
        #expect(error.code == .tlsApplicationProtocol)
    }

    @Test(arguments: [nil, "h2", "lmcall/12", "lmcall/"] as [String?])
    func refusesClientsOfAnotherProtocol(offer: String?) throws {
        let handler = Recorder()
        let server = try TestServer(tls: self.server()) { handler }
        defer { withExtendedLifetime(server) {} }
        let peer = try TLSPeer(to: server.address, version: TLS1_2_VERSION, offer: offer)
        _ = peer.handshake()
        guard case .closed(let error?) = handler.told.next() else {
            Issue.record("the connection was made")
            return
        }
        #expect(error.code == .tlsApplicationProtocol, "\(error)")
    }

    @Test func plaintextOnATLSPortIsToldApart() throws {
        let handler = Recorder()
        let server = try TestServer(tls: self.server()) { handler }
        defer { withExtendedLifetime(server) {} }
        let peer = try Peer(to: server.address)
        peer.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8)
        guard case .closed(let error?) = handler.told.next() else {
            Issue.record("the connection was made")
            return
        }
        #expect(error.description.contains("does not speak TLS"), "\(error)")
    }

    @Test func tlsOnAPlaintextPortIsToldApart() throws {
        let server = try TestServer {
            Recorder { channel, bytes in
                channel.write { $0.append(contentsOf: "HTTP/1.1 400 Bad Request\r\n\r\n".utf8) }
                return bytes.count
            }
        }
        defer { withExtendedLifetime(server) {} }
        let (client, loop) = try connect(
            .client(authorityFile: files.certificate, applicationProtocol: lmcall), to: server)
        defer { loop.stop() }
        guard case .closed(let error?) = client.told.next() else {
            Issue.record("the connection was made")
            return
        }
        #expect(error.description.contains("does not speak TLS"), "\(error)")
    }

    @Test func aSilentClientLosesItsConnection() throws {
        var options = ChannelOptions()
        options.readyTimeout = .milliseconds(50)
        let handler = Recorder()
        let server = try TestServer(tls: self.server(), options: options) { handler }
        defer { withExtendedLifetime(server) {} }
        let peer = try Peer(to: server.address)
        guard case .closed(let error?) = handler.told.next() else {
            Issue.record("the connection was made")
            return
        }
        #expect(error.code == .timedOut)
        #expect(peer.receive(1).isEmpty)
    }

    @Test func anEndWithoutNotifyIsAnError() throws {
        let handler = Recorder()
        let server = try TestServer(tls: self.server()) { handler }
        defer { withExtendedLifetime(server) {} }
        let peer = try TLSPeer(to: server.address, version: TLS1_3_VERSION)
        #expect(peer.handshake())
        peer.write([1])
        peer.peer.endOutput()
        guard case .closed(let error?) = handler.closing() else {
            Issue.record("closed in good order")
            return
        }
        #expect(error.code == .tlsTruncated)
    }

    @Test func closeNotifyIsAHalfClose() throws {
        let handler = Recorder()
        handler.onEnd = { channel in
            channel.write { $0.append(contentsOf: [4, 5]) }
            channel.closeAfterFlush()
        }
        let server = try TestServer(tls: self.server()) { handler }
        defer { withExtendedLifetime(server) {} }
        let peer = try TLSPeer(to: server.address, version: TLS1_3_VERSION)
        #expect(peer.handshake())
        peer.write([1, 2, 3])
        peer.notifyClose()
        #expect(peer.read(10) == [4, 5])
        #expect(handler.told.next() == .ready)
        #expect(handler.bytes(3) == [1, 2, 3])
        #expect(handler.told.next() == .inputEnded)
        #expect(handler.told.next() == .closed(nil))
    }

    @Test func namesTheFileThatIsWrong() {
        let cases: [(certificate: String, key: String, wrong: String, says: String)] = [
            ("/nowhere/cert.pem", files.key, "/nowhere/cert.pem", "No such file"),
            (files.certificate, "/nowhere/key.pem", "/nowhere/key.pem", "No such file"),
            (files.key, files.key, files.key, "unencrypted PEM"),
            (files.certificate, files.otherKey, files.otherKey, "the certificate was made for"),
            (files.certificate, files.encryptedKey, files.encryptedKey, "unencrypted PEM"),
        ]
        for (certificate, key, wrong, says) in cases {
            let error = #expect(throws: TransportError.self) {
                try TLSContext.server(
                    .init(certificateFile: certificate, keyFile: key), applicationProtocol: lmcall)
            }
            #expect(error?.code == .tlsConfiguration)
            #expect(error?.operation.contains(wrong) == true)
            #expect(error?.description.contains(says) == true, "\(String(describing: error))")
        }
        #expect(throws: TransportError.self) {
            try TLSContext.client(authorityFile: "/nowhere/ca.pem", applicationProtocol: lmcall)
        }
    }
}
