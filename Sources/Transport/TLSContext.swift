internal import COpenSSL
internal import Glibc

/// Certificates, keys and rules shared by the TLS sessions of one listener or one client. Immutable: to rotate
/// certificates make a new one; sessions keep the one they began with.
package final class TLSContext: @unchecked Sendable {
    // Immutable; OpenSSL counts references to it atomically.
    let handle: OpaquePointer
    /// The application protocol both sides must name (ALPN).
    let applicationProtocol: String
    /// `applicationProtocol` in the form of the wire: its length, then its bytes.
    private let offer: UnsafeMutableBufferPointer<UInt8>

    /// For a server: proves itself with the chain in `certificateFile` and the key in `keyFile`, both PEM.
    ///
    /// - Throws: `tlsConfiguration`, with the file and what is wrong with it.
    package static func server(
        certificateFile: String, keyFile: String, applicationProtocol: String
    ) throws(TransportError) -> TLSContext {
        let context = try TLSContext(TLS_server_method(), applicationProtocol)
        try context.loadCertificate(certificateFile)
        try context.loadKey(keyFile)
        SSL_CTX_set_alpn_select_cb(context.handle, selectApplicationProtocol, context.offer.baseAddress)
        return context
    }

    /// For a client: trusts servers whose chain ends in `authorityFile` (PEM), or in the system's authorities when nil.
    ///
    /// - Throws: `tlsConfiguration`, with the file and what is wrong with it.
    package static func client(
        authorityFile: String? = nil, applicationProtocol: String
    ) throws(TransportError) -> TLSContext {
        let context = try TLSContext(TLS_client_method(), applicationProtocol)
        SSL_CTX_set_verify(context.handle, SSL_VERIFY_PEER, nil)
        if let authorityFile {
            try context.load(authorityFile, "certificate authorities") { SSL_CTX_load_verify_file($0, $1) }
        } else {
            SSL_CTX_set_default_verify_paths(context.handle)
        }
        let status = SSL_CTX_set_alpn_protos(
            context.handle, context.offer.baseAddress, UInt32(context.offer.count))
        precondition(status == 0, "an offer of one short name is well formed")
        return context
    }

    private init(_ method: OpaquePointer?, _ applicationProtocol: String) throws(TransportError) {
        precondition((1...255).contains(applicationProtocol.utf8.count), "ALPN names have 1 to 255 bytes")
        ERR_clear_error()
        guard let handle = SSL_CTX_new(method) else {
            throw TransportError(.tlsConfiguration, "starting TLS", TLSReason.takeQueued())
        }
        self.handle = handle
        self.applicationProtocol = applicationProtocol
        offer = .allocate(capacity: applicationProtocol.utf8.count + 1)
        _ = offer.initialize(from: [UInt8(applicationProtocol.utf8.count)] + applicationProtocol.utf8)

        co_ctx_set_min_version(handle, TLS1_2_VERSION)
        co_ctx_set_refusals(handle)
        // Without tickets and cache every connection proves itself anew: they live long, resumption gains nothing.
        SSL_CTX_set_num_tickets(handle, 0)
        co_ctx_disable_session_cache(handle)
        // The output buffer grows between two tries of one record; idle sessions give their buffers back.
        co_ctx_set_mode(
            handle, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS)
        // Without this an encrypted key would ask for its pass phrase on the terminal.
        SSL_CTX_set_default_passwd_cb(handle) { _, _, _, _ in 0 }
    }

    deinit {
        SSL_CTX_free(handle)
        offer.deallocate()
    }

    private func loadCertificate(_ file: String) throws(TransportError) {
        try load(file, "the certificate") { SSL_CTX_use_certificate_chain_file($0, $1) }
    }

    private func loadKey(_ file: String) throws(TransportError) {
        try load(file, "the private key") { SSL_CTX_use_PrivateKey_file($0, $1, SSL_FILETYPE_PEM) }
        guard SSL_CTX_check_private_key(handle) == 1 else {
            throw Self.wrongKey("reading the private key \(file)")
        }
    }

    private func load(
        _ file: String, _ what: String, _ body: (OpaquePointer, String) -> Int32
    ) throws(TransportError) {
        ERR_clear_error()
        guard body(handle, file) != 1 else { return }
        guard access(file, R_OK) == 0 else {
            throw TransportError(
                .tlsConfiguration, "reading \(what) \(file)", String(cString: strerror(errno)),
                advice: "Check the path and its permissions.", errno: errno)
        }
        let error = ERR_peek_error()
        if co_library(error) == ERR_LIB_X509, co_reason(error) == X509_R_KEY_VALUES_MISMATCH {
            throw Self.wrongKey("reading \(what) \(file)")
        }
        throw TransportError(
            .tlsConfiguration, "reading \(what) \(file)", TLSReason.takeQueued(),
            advice: "The file must be unencrypted PEM.")
    }

    private static func wrongKey(_ operation: String) -> TransportError {
        TransportError(
            .tlsConfiguration, operation, TLSReason.takeQueued(),
            advice: "Give the key that the certificate was made for.")
    }
}

/// Chooses the protocol in `offer`; refuses clients that do not offer it with a fatal alert.
private func selectApplicationProtocol(
    _ session: OpaquePointer?, _ chosen: UnsafeMutablePointer<UnsafePointer<UInt8>?>?,
    _ chosenLength: UnsafeMutablePointer<UInt8>?, _ offered: UnsafePointer<UInt8>?, _ offeredLength: UInt32,
    _ offer: UnsafeMutableRawPointer?
) -> Int32 {
    guard let offer, let offered, let chosen, let chosenLength else { return SSL_TLSEXT_ERR_ALERT_FATAL }
    let ours = offer.assumingMemoryBound(to: UInt8.self)
    var start = 0
    while start < Int(offeredLength) {
        let length = Int(offered[start])
        guard start + 1 + length <= Int(offeredLength) else { break }
        if length == Int(ours[0]), memcmp(offered + start + 1, ours + 1, length) == 0 {
            chosen.pointee = offered + start + 1
            chosenLength.pointee = UInt8(length)
            return SSL_TLSEXT_ERR_OK
        }
        start += 1 + length
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL
}
