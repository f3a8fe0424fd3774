import COpenSSL
import Glibc
import LMTransport
import TestKit
import Testing

/// Who is at the other end: certificates of clients, and users of this machine.
@Suite(.timeLimit(.minutes(5))) final class PeerIdentityTests {
    private let files: TestCertificates

    init() throws { files = try TestCertificates() }

    /// A server that asks for certificates vouched for by `authority`.
    private func server(trusting authority: String, _ handler: Recorder) throws -> TestServer {
        let tls = try TLSContext.server(
            .init(certificateFile: files.certificate, keyFile: files.key), clientAuthorityFile: authority,
            applicationProtocol: lmcall)
        return try TestServer(tls: tls) { handler }
    }

    @Test(arguments: [
        ("client", "spiffe://example/alice"), ("good", "localhost"), ("common-name", "test"),
    ])
    func aClientIsCalledWhatItsCertificateSays(certificate: String, name: String) throws {
        let file = "\(files.directory)/\(certificate).pem"
        let names = Waiting<String?>()
        let handler = Recorder()
        handler.onReady = { names.put($0.peerCertificateName) }
        let server = try server(trusting: file, handler)
        defer { withExtendedLifetime(server) {} }
        for version in [TLS1_2_VERSION, TLS1_3_VERSION] {
            let peer = try TLSPeer(
                to: server.address, version: version, certificate: .init(certificateFile: file, keyFile: files.key))
            #expect(peer.handshake())
            #expect(names.next() == name)
        }
    }

    @Test(
        arguments: [
            (nil, "shows no certificate"), ("expired", "expired"), ("server-only", "purpose"), ("elsewhere", "self"),
        ] as [(String?, String)])
    func aClientWithoutTheRightCertificateIsRefused(certificate: String?, reason: String) throws {
        let handler = Recorder()
        // An authority for each of them but the last.
        let authority = certificate == "elsewhere" ? "client" : certificate ?? "client"
        let server = try server(trusting: "\(files.directory)/\(authority).pem", handler)
        defer { withExtendedLifetime(server) {} }
        let shown = certificate.map {
            TLSContext.Credentials(certificateFile: "\(files.directory)/\($0).pem", keyFile: files.key)
        }
        let peer = try TLSPeer(to: server.address, version: TLS1_3_VERSION, certificate: shown)
        _ = peer.handshake()
        guard case .closed(let error?) = handler.told.next() else {
            Issue.record("the connection was made")
            return
        }
        #expect(error.code == .tlsCertificate)
        #expect(error.description.contains(reason), "\(error)")
        ERR_clear_error()
    }

    @Test func ourClientShowsItsCertificate() throws {
        let handler = Recorder.echo()
        let server = try server(trusting: files.client, handler)
        defer { withExtendedLifetime(server) {} }
        let context = try TLSContext.client(
            authorityFile: files.certificate, credentials: .init(certificateFile: files.client, keyFile: files.key),
            applicationProtocol: lmcall)
        let loop = try EventLoop(name: "test-client")
        let client = Recorder()
        let port = server.address.port
        loop.post {
            let channel = Channel(
                connectingTo: .host("localhost", port: port), on: loop, tls: context, handler: client)
            channel.write { $0.append(contentsOf: pattern(100)) }
        }
        try loop.start()
        defer { loop.stop() }
        #expect(client.bytes(100).elementsEqual(pattern(100)))
    }

    @Test func aCertificateThatEndsIsNoticed() throws {
        func days(_ file: String) throws -> Int? {
            try TLSContext.server(
                .init(certificateFile: file, keyFile: files.key), applicationProtocol: lmcall
            ).certificateDaysLeft
        }
        #expect(try days(files.endingSoon) == 0)
        #expect(try #require(try days(files.expired)) < -2_000)
        #expect(try #require(try days(files.certificate)) > 10_000)
    }

    @Test func theKernelNamesTheUserOfAUnixSocket() throws {
        let folder = try TemporaryFolder()
        defer { withExtendedLifetime(folder) {} }
        let path = folder.path + "/socket"
        let users = Waiting<UInt32?>()
        let handler = Recorder()
        handler.onReady = { users.put($0.peerUser) }
        let previous = umask(0)
        let server = try TestServer(at: .unix(path)) { handler }
        defer { withExtendedLifetime(server) {} }
        umask(previous)
        let peer = try Peer(to: .unix(path))
        #expect(users.next() == geteuid())
        peer.close()

        var status = stat()
        #expect(stat(path, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600)
        server.loop.stop()

        let network = try TestServer { handler }
        _ = try Peer(to: network.address)
        #expect(handler.closing() != nil)
        #expect(users.next() == .some(nil))
    }
}
