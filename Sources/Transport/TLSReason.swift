internal import COpenSSL
internal import Glibc

/// OpenSSL's errors in words a person can act on.
enum TLSReason {
    /// Text of the oldest queued error; empties the queue.
    static func takeQueued() -> String {
        let error = ERR_peek_error()
        ERR_clear_error()
        return text(error)
    }

    static func wrongApplicationProtocol(_ peer: String, _ expected: String) -> TransportError {
        TransportError(
            .tlsApplicationProtocol, "the TLS handshake with \(peer)",
            "the peer does not speak \(expected) (ALPN)",
            advice: "Check that both ends are of this product and that no proxy ends TLS between them.")
    }

    /// What `error`, the oldest in OpenSSL's queue, means.
    ///
    /// - Parameter verification: the session's X509_V code.
    static func explain(
        _ error: UInt, verification: Int32, _ operation: String, peer: String, applicationProtocol: String
    ) -> TransportError {
        switch co_reason(error) {
        case SSL_R_CERTIFICATE_VERIFY_FAILED: return certificate(verification, operation, peer)
        case SSL_R_UNEXPECTED_EOF_WHILE_READING:
            return TransportError(
                .tlsTruncated, operation, "the peer closed the connection without ending TLS",
                advice: "What came before may be incomplete.")
        case SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL, SSL_R_NO_APPLICATION_PROTOCOL:
            return wrongApplicationProtocol(peer, applicationProtocol)
        case SSL_R_WRONG_VERSION_NUMBER, SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST, SSL_R_UNEXPECTED_MESSAGE:
            return TransportError(
                .tls, operation, "the peer does not speak TLS (\(text(error)))",
                advice: "Use TLS on both ends or on none.")
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
            return TransportError(
                .tlsCertificate, operation, "the client shows no certificate, and the server asks for one",
                advice: "Give the client's certificate and key (in lmcall and lmload: --tls-cert and --tls-key).")
        default: return TransportError(.tls, operation, text(error), advice: advice(error))
        }
    }

    private static func advice(_ error: UInt) -> String {
        switch co_reason(error) {
        case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
            "The peer does not trust this side's certificate: give it the authority that signed it."
        case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, SSL_R_UNSUPPORTED_PROTOCOL:
            "The two ends share no version of TLS that both allow."
        default: ""
        }
    }

    private static func certificate(_ verification: Int32, _ operation: String, _ peer: String) -> TransportError {
        let reason = String(cString: X509_verify_cert_error_string(Int(verification)))
        let advice =
            switch verification {
            case X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH:
                "The certificate was made for another host than \(peer): use the name it carries, or one made for this host."
            case X509_V_ERR_CERT_HAS_EXPIRED: "Renew the server's certificate."
            case X509_V_ERR_CERT_NOT_YET_VALID: "Check this machine's clock."
            case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN,
                X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
                "Give the authority that signed the server's certificate."
            default: ""
            }
        return TransportError(
            .tlsCertificate, operation, "the certificate of \(peer) is refused: \(reason)", advice: advice)
    }

    private static func text(_ error: UInt) -> String {
        if let reason = ERR_reason_error_string(error) { return String(cString: reason) }
        return error == 0 ? "no reason given" : "error \(String(error, radix: 16))"
    }
}
