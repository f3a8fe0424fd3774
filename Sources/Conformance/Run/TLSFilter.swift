internal import COpenSSL

/// A TLS client between two byte arrays: the socket stays the caller's, so that timeouts and one-byte writes work alike
/// with and without TLS.
final class TLSFilter {
    private let context: OpaquePointer
    private let session: OpaquePointer
    private let input: OpaquePointer
    private let output: OpaquePointer

    /// What a step left to do.
    enum Step: Equatable {
        case done, needsInput
        /// close_notify came.
        case ended
        case failed(String)
    }

    /// - Parameter host: what the certificate must be for.
    init(_ options: Target.TLS, host: String) throws {
        ERR_clear_error()
        guard let context = SSL_CTX_new(TLS_client_method()) else { throw Self.broken() }
        self.context = context
        guard let session = Self.session(context, options, host), let input = BIO_new(BIO_s_mem()),
            let output = BIO_new(BIO_s_mem())
        else {
            SSL_CTX_free(context)
            throw Self.broken()
        }
        (self.session, self.input, self.output) = (session, input, output)
        SSL_set_bio(session, input, output)
        SSL_set_connect_state(session)
    }

    deinit {
        SSL_free(session)
        SSL_CTX_free(context)
    }

    private static func session(_ context: OpaquePointer, _ options: Target.TLS, _ host: String) -> OpaquePointer? {
        let newest = [Target.TLS.Version.v1_1: TLS1_1_VERSION, .v1_2: TLS1_2_VERSION, .v1_3: TLS1_3_VERSION]
        co_ctx_set_max_version(context, newest[options.newest] ?? TLS1_3_VERSION)
        // Level 0 lets OpenSSL offer the versions that a server has to refuse.
        if options.newest == .v1_1 { SSL_CTX_set_security_level(context, 0) }
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
        if let file = options.authorityFile {
            guard SSL_CTX_load_verify_file(context, file) == 1 else { return nil }
        } else {
            SSL_CTX_set_default_verify_paths(context)
        }
        if let (certificateFile, keyFile) = options.identity {
            guard SSL_CTX_use_certificate_chain_file(context, certificateFile) == 1,
                SSL_CTX_use_PrivateKey_file(context, keyFile, SSL_FILETYPE_PEM) == 1
            else { return nil }
        }
        if let names = options.applicationProtocols {
            let offer = names.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
            guard SSL_CTX_set_alpn_protos(context, offer, UInt32(offer.count)) == 0 else { return nil }
        }
        guard let session = SSL_new(context) else { return nil }
        if X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), host) != 1 {
            guard SSL_set1_host(session, host) == 1, co_set_server_name(session, host) == 1 else {
                SSL_free(session)
                return nil
            }
        }
        return session
    }

    /// Goes on with the handshake.
    func handshake() -> Step {
        ERR_clear_error()
        return step(SSL_do_handshake(session))
    }

    /// The protocol that the handshake chose; empty for none.
    var applicationProtocol: String {
        var name: UnsafePointer<UInt8>?
        var length: UInt32 = 0
        SSL_get0_alpn_selected(session, &name, &length)
        return String(decoding: UnsafeBufferPointer(start: name, count: Int(length)), as: UTF8.self)
    }

    /// For example "TLSv1.3".
    var version: String { String(cString: SSL_get_version(session)) }

    /// Changes the sending key (TLS 1.3).
    func updateKey() -> Bool { SSL_key_update(session, SSL_KEY_UPDATE_REQUESTED) == 1 }

    /// Encrypts; the bytes are then in `takeOutput`.
    func encrypt(_ bytes: [UInt8]) -> Step {
        ERR_clear_error()
        return step(SSL_write(session, bytes, Int32(bytes.count)))
    }

    /// Decrypts what `feed` brought, as far as records are complete.
    func decrypt(into plain: inout [UInt8]) -> Step {
        var chunk = [UInt8](repeating: 0, count: 16_384)
        while true {
            ERR_clear_error()
            let count = SSL_read(session, &chunk, Int32(chunk.count))
            guard count > 0 else { return step(count) }
            plain += chunk[..<Int(count)]
        }
    }

    /// Encrypted bytes from the socket.
    func feed(_ bytes: [UInt8]) { BIO_write(input, bytes, Int32(bytes.count)) }

    /// Encrypted bytes for the socket.
    func takeOutput() -> [UInt8] {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16_384)
        while case let count = BIO_read(output, &chunk, Int32(chunk.count)), count > 0 { bytes += chunk[..<Int(count)] }
        return bytes
    }

    /// Says close_notify.
    func endOutput() { SSL_shutdown(session) }

    private func step(_ result: Int32) -> Step {
        if result > 0 { return .done }
        switch SSL_get_error(session, result) {
        case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return .needsInput
        case SSL_ERROR_ZERO_RETURN: return .ended
        default: return .failed(Self.reason())
        }
    }

    private static func reason() -> String {
        let text = ERR_reason_error_string(ERR_get_error()).map { String(cString: $0) }
        return text ?? "unknown TLS failure"
    }

    private static func broken() -> Stop { .failed("cannot start TLS: \(reason())") }
}
