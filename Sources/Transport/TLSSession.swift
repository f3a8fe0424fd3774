internal import COpenSSL
internal import Glibc

/// One TLS connection over a socket. Loop thread only.
///
/// OpenSSL reaches the socket through `SocketBIO`, hence through the `System` seam. After a failure the session is never
/// touched again, as OpenSSL demands.
final class TLSSession {
    private let context: TLSContext
    private let handle: OpaquePointer
    private let bio: SocketBIO
    private let peerName: String
    private var isBroken = false
    private var isEstablished = false
    /// Handshake messages that came after the handshake, since `lateMessagesSince`.
    private var lateMessages = 0
    private var lateMessagesSince: UInt64 = 0

    /// Late handshake messages that a peer may send in `lateMessagePeriod`. An honest one renews its keys after
    /// gigabytes; each message costs this side a key derivation or an alert and carries nothing.
    private static let lateMessageLimit = 32
    /// Nanoseconds.
    private static let lateMessagePeriod: UInt64 = 60_000_000_000

    /// The server's side.
    convenience init(acceptedOn socket: Socket, _ context: TLSContext) throws(TransportError) {
        try self.init(socket, context, peerName: "the client")
        SSL_set_accept_state(handle)
    }

    /// The client's side: the certificate must carry `serverName`, a host name or a numeric address.
    convenience init(connectedOn socket: Socket, to serverName: String, _ context: TLSContext) throws(TransportError) {
        try self.init(socket, context, peerName: serverName)
        let isAccepted: Bool
        if SocketAddress(numericHost: serverName, port: 0) != nil {
            isAccepted = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(handle), serverName) == 1
        } else {
            SSL_set_hostflags(handle, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
            // OpenSSL reads an empty name as "any".
            isAccepted =
                !serverName.isEmpty && SSL_set1_host(handle, serverName) == 1
                && co_set_server_name(handle, serverName) == 1
        }
        guard isAccepted else {
            throw TransportError(
                .tlsConfiguration, "starting TLS", "\"\(serverName)\" is no host name a certificate could carry",
                advice: "Give the server's name.")
        }
        SSL_set_connect_state(handle)
    }

    private init(_ socket: Socket, _ context: TLSContext, peerName: String) throws(TransportError) {
        ERR_clear_error()
        guard let handle = SSL_new(context.handle), let bio = SocketBIO(socket) else {
            throw TransportError(.tls, "starting TLS", TLSReason.takeQueued())
        }
        self.context = context
        self.handle = handle
        self.bio = bio
        self.peerName = peerName
        bio.attach(to: handle)
        co_set_message_callback_argument(handle, Unmanaged.passUnretained(self).toOpaque())
        SSL_set_msg_callback(handle) { isSent, _, kind, bytes, count, _, session in
            guard let session else { return }
            let message = UnsafeRawBufferPointer(start: bytes, count: count)
            Unmanaged<TLSSession>.fromOpaque(session).takeUnretainedValue()
                .sawMessage(kind, isSent: isSent != 0, message)
        }
    }

    deinit { SSL_free(handle) }

    /// Whether this is the end that was connected to.
    var isServer: Bool { SSL_is_server(handle) == 1 }
    /// What carries the session.
    var socket: Socket { bio.socket }

    /// Goes on with the handshake; `moved` when it is complete.
    func handshake() -> Transfer {
        ERR_clear_error()
        let result = SSL_do_handshake(handle)
        guard result == 1 else { return outcome(of: result, "the TLS handshake with \(peerName)") }
        // OpenSSL does not ask the server's callback when the client offers nothing, nor does it mind a server that
        // answers nothing.
        var chosen: UnsafePointer<UInt8>?
        var length: UInt32 = 0
        SSL_get0_alpn_selected(handle, &chosen, &length)
        let name = String(decoding: UnsafeBufferPointer(start: chosen, count: Int(length)), as: UTF8.self)
        guard name == context.applicationProtocol else {
            isBroken = true
            return .failed(TLSReason.wrongApplicationProtocol(peerName, context.applicationProtocol))
        }
        isEstablished = true
        return .moved(0)
    }

    /// What the peer's verified certificate calls it: its first URI, else its first DNS name, else its common name. Nil
    /// without a certificate, and for names that are no printable text of at most 256 bytes.
    func peerCertificateName() -> String? {
        guard let certificate = SSL_get1_peer_certificate(handle) else { return nil }
        defer { X509_free(certificate) }
        for type in [GEN_URI, GEN_DNS, -1] {
            let name = [UInt8](unsafeUninitializedCapacity: 256) { buffer, count in
                count = max(0, Int(co_certificate_name(certificate, type, buffer.baseAddress, Int32(buffer.count))))
            }
            if name.isEmpty { continue }
            guard name.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else { return nil }
            return String(validating: name, as: UTF8.self)
        }
        return nil
    }

    /// Counts what a peer makes this side do after the handshake: KeyUpdate, and attempts to negotiate anew, which are
    /// answered by a warning.
    private func sawMessage(_ kind: Int32, isSent: Bool, _ message: UnsafeRawBufferPointer) {
        guard isEstablished else { return }
        let isHandshake = kind == SSL3_RT_HANDSHAKE && !isSent
        let isRefusal = kind == SSL3_RT_ALERT && isSent && message.count == 2 && message[1] == SSL_AD_NO_RENEGOTIATION
        guard isHandshake || isRefusal else { return }
        let now = bio.socket.system.monotonicNanoseconds()
        if lateMessages == 0 || now &- lateMessagesSince > Self.lateMessagePeriod {
            lateMessages = 0
            lateMessagesSince = now
        }
        lateMessages += 1
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) -> Transfer {
        guard !isBroken else { return .ended }
        ERR_clear_error()
        let result = SSL_read(handle, buffer.baseAddress, Int32(clamping: buffer.count))
        guard lateMessages <= Self.lateMessageLimit else {
            isBroken = true
            ERR_clear_error()
            return .failed(
                TransportError(
                    .tls, "reading from \(peerName)",
                    "\(lateMessages) key updates or renegotiations in a minute, the limit is \(Self.lateMessageLimit)"))
        }
        return result > 0 ? .moved(Int(result)) : outcome(of: result, "reading from \(peerName)")
    }

    func write(_ bytes: UnsafeRawBufferPointer) -> Transfer {
        guard !isBroken else { return .ended }
        ERR_clear_error()
        let result = SSL_write(handle, bytes.baseAddress, Int32(clamping: bytes.count))
        return result > 0 ? .moved(Int(result)) : outcome(of: result, "writing to \(peerName)")
    }

    /// Sends close_notify, if the socket takes it, and ends the socket's output.
    func endOutput() {
        if !isBroken {
            ERR_clear_error()
            SSL_shutdown(handle)
        }
        bio.socket.endOutput()
    }

    private func outcome(of result: Int32, _ operation: String) -> Transfer {
        switch SSL_get_error(handle, result) {
        case SSL_ERROR_WANT_READ: return .blocked(.input)
        case SSL_ERROR_WANT_WRITE: return .blocked(.output)
        case SSL_ERROR_ZERO_RETURN: return .ended
        case SSL_ERROR_SYSCALL where bio.errno != 0:
            isBroken = true
            ERR_clear_error()
            return .failed(TransportError(operation, errno: bio.errno))
        default:
            isBroken = true
            let verification = SSL_get_verify_result(handle)
            defer { ERR_clear_error() }
            return .failed(
                TLSReason.explain(
                    ERR_peek_error(), verification: Int32(clamping: verification), operation, peer: peerName,
                    applicationProtocol: context.applicationProtocol))
        }
    }
}

/// Lets OpenSSL read and write a `Socket`. In place of its own socket BIO, which would bypass the seam and raise
/// SIGPIPE.
private final class SocketBIO {
    let socket: Socket
    private let handle: OpaquePointer
    /// The socket's last error number, 0 for none.
    private(set) var errno: Int32 = 0
    private var isAtEnd = false

    /// Nil when memory ran out.
    init?(_ socket: Socket) {
        guard let method = Self.method, let handle = BIO_new(method) else { return nil }
        self.socket = socket
        self.handle = handle
        BIO_set_data(handle, Unmanaged.passUnretained(self).toOpaque())
        BIO_set_init(handle, 1)
    }

    /// Gives the BIO to a session, which frees it. The session's owner keeps this object as long.
    func attach(to session: OpaquePointer) { SSL_set_bio(session, handle, handle) }

    // Made once, never changed or freed.
    nonisolated(unsafe) private static let method: OpaquePointer? = {
        let type = BIO_get_new_index() | BIO_TYPE_SOURCE_SINK
        guard let method = BIO_meth_new(type, "socket") else { return nil }
        BIO_meth_set_read(method) { bio, bytes, count in
            SocketBIO.of(bio)?.read(UnsafeMutableRawBufferPointer(start: bytes, count: Int(count))) ?? -1
        }
        BIO_meth_set_write(method) { bio, bytes, count in
            SocketBIO.of(bio)?.write(UnsafeRawBufferPointer(start: bytes, count: Int(count))) ?? -1
        }
        BIO_meth_set_ctrl(method) { bio, command, _, _ in
            switch command {
            case BIO_CTRL_FLUSH: 1
            case BIO_CTRL_EOF: SocketBIO.of(bio)?.isAtEnd == true ? 1 : 0
            default: 0
            }
        }
        return method
    }()

    private static func of(_ bio: OpaquePointer?) -> SocketBIO? {
        BIO_get_data(bio).map { Unmanaged<SocketBIO>.fromOpaque($0).takeUnretainedValue() }
    }

    private func read(_ buffer: UnsafeMutableRawBufferPointer) -> Int32 {
        co_bio_clear_retry(handle)
        switch socket.read(into: buffer) {
        case .moved(let count): return Int32(count)
        case .blocked:
            co_bio_retry_read(handle)
            return -1
        case .ended:
            isAtEnd = true
            return 0
        case .failed(let error):
            errno = error.errno
            return -1
        }
    }

    private func write(_ bytes: UnsafeRawBufferPointer) -> Int32 {
        co_bio_clear_retry(handle)
        switch socket.write(bytes) {
        case .moved(let count): return Int32(count)
        case .blocked:
            co_bio_retry_write(handle)
            return -1
        case .ended: return -1
        case .failed(let error):
            errno = error.errno
            return -1
        }
    }
}
