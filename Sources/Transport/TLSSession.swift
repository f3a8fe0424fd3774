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
    }

    deinit { SSL_free(handle) }

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
        return .moved(0)
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) -> Transfer {
        guard !isBroken else { return .ended }
        ERR_clear_error()
        let result = SSL_read(handle, buffer.baseAddress, Int32(clamping: buffer.count))
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
            return .failed(TransportError(operation, errno: bio.errno))
        default:
            isBroken = true
            let verification = SSL_get_verify_result(handle)
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
