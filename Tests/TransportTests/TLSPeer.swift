import COpenSSL
import Glibc
import LMTransport

/// The application protocol of these tests.
let lmcall = "lmcall/1"

/// A TLS client that is OpenSSL alone, blocking: what our ends are compared with.
final class TLSPeer {
    let peer: Peer
    let session: OpaquePointer?
    private let context: OpaquePointer?

    /// - Parameters:
    ///   - version: the only one it speaks.
    ///   - certificate: and its key's file.
    ///   - receiveBuffer: bytes the kernel may keep for us; nil for its default.
    init(
        to address: SocketAddress, version: Int32, offer: String? = lmcall,
        certificate: TLSContext.Credentials? = nil, receiveBuffer: Int32? = nil
    ) throws {
        peer = try Peer(to: address, receiveBuffer: receiveBuffer)
        context = SSL_CTX_new(TLS_client_method())
        // Level 0 admits TLS 1.1, which a server of ours must refuse by itself.
        SSL_CTX_set_cipher_list(context, "DEFAULT:@SECLEVEL=0")
        co_ctx_set_min_version(context, version)
        if let certificate {
            SSL_CTX_use_certificate_chain_file(context, certificate.certificateFile)
            SSL_CTX_use_PrivateKey_file(context, certificate.keyFile, SSL_FILETYPE_PEM)
        }
        session = SSL_new(context)
        SSL_ctrl(session, SSL_CTRL_SET_MAX_PROTO_VERSION, Int(version), nil)
        if let offer {
            let list = [UInt8(offer.utf8.count)] + offer.utf8
            SSL_set_alpn_protos(session, list, UInt32(list.count))
        }
        SSL_set_fd(session, peer.descriptor)
        SSL_set_connect_state(session)
    }

    deinit {
        SSL_free(session)
        SSL_CTX_free(context)
    }

    func handshake() -> Bool { SSL_do_handshake(session) == 1 }

    @discardableResult
    func write(_ bytes: [UInt8]) -> Bool { SSL_write(session, bytes, Int32(bytes.count)) > 0 }

    func read(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let part = [UInt8](unsafeUninitializedCapacity: count - bytes.count) { buffer, used in
                used = Int(max(0, SSL_read(session, buffer.baseAddress, Int32(buffer.count))))
            }
            if part.isEmpty { break }
            bytes += part
        }
        return bytes
    }

    func notifyClose() { SSL_shutdown(session) }
}
