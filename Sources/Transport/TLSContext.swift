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

    /// PEM files with which an end proves who it is.
    package struct Credentials: Sendable {
        /// The certificate, then its intermediates.
        package var certificateFile: String
        /// The private key, unencrypted.
        package var keyFile: String

        /// Names the two files.
        package init(certificateFile: String, keyFile: String) {
            self.certificateFile = certificateFile
            self.keyFile = keyFile
        }
    }

    /// For a server.
    ///
    /// - Parameters:
    ///   - clientAuthorityFile: clients must show a certificate that these authorities (PEM) vouch for; nil asks for none.
    ///   - requiresTLS13: false admits TLS 1.2 too.
    /// - Throws: `tlsConfiguration`, with the file and what is wrong with it.
    package static func server(
        _ credentials: Credentials, clientAuthorityFile: String? = nil, requiresTLS13: Bool = false,
        applicationProtocol: String
    ) throws(TransportError) -> TLSContext {
        let context = try TLSContext(TLS_server_method(), applicationProtocol)
        if requiresTLS13 { co_ctx_set_min_version(context.handle, TLS1_3_VERSION) }
        try context.load(credentials)
        if let clientAuthorityFile {
            try context.load(clientAuthorityFile, "client certificate authorities") { SSL_CTX_load_verify_file($0, $1) }
            // Tells clients with several certificates which one is wanted.
            SSL_CTX_set_client_CA_list(context.handle, SSL_load_client_CA_file(clientAuthorityFile))
            co_ctx_require_peer(context.handle)
            // A session could be resumed only where its certificate was checked; without a name OpenSSL refuses to.
            SSL_CTX_set_session_id_context(context.handle, context.offer.baseAddress, UInt32(context.offer.count))
        }
        SSL_CTX_set_alpn_select_cb(context.handle, selectApplicationProtocol, context.offer.baseAddress)
        return context
    }

    /// For a client: trusts servers whose chain ends in `authorityFile` (PEM), or in the system's authorities when nil.
    ///
    /// - Parameter credentials: shown to servers that ask for a certificate.
    /// - Throws: `tlsConfiguration`, with the file and what is wrong with it.
    package static func client(
        authorityFile: String? = nil, credentials: Credentials? = nil, applicationProtocol: String
    ) throws(TransportError) -> TLSContext {
        let context = try TLSContext(TLS_client_method(), applicationProtocol)
        SSL_CTX_set_verify(context.handle, SSL_VERIFY_PEER, nil)
        if let credentials { try context.load(credentials) }
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

    /// Whole days until the own certificate ends, rounded down, so that it is negative once it has; nil without one.
    package var certificateDaysLeft: Int? {
        guard let certificate = SSL_CTX_get0_certificate(handle) else { return nil }
        var days: Int32 = 0
        var seconds: Int32 = 0
        guard ASN1_TIME_diff(&days, &seconds, nil, X509_get0_notAfter(certificate)) == 1 else { return nil }
        return Int(seconds < 0 ? days - 1 : days)
    }

    private func load(_ credentials: Credentials) throws(TransportError) {
        try load(credentials.certificateFile, "the certificate") { SSL_CTX_use_certificate_chain_file($0, $1) }
        try load(credentials.keyFile, "the private key") { SSL_CTX_use_PrivateKey_file($0, $1, SSL_FILETYPE_PEM) }
        guard SSL_CTX_check_private_key(handle) == 1 else {
            throw Self.wrongKey("reading the private key \(credentials.keyFile)")
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
