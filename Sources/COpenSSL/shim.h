// OpenSSL's headers, and functions in place of those of its macros that Swift cannot see.
#pragma once
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

static inline void co_ctx_set_min_version(SSL_CTX *ctx, int version) { SSL_CTX_set_min_proto_version(ctx, version); }
static inline void co_ctx_set_max_version(SSL_CTX *ctx, int version) { SSL_CTX_set_max_proto_version(ctx, version); }
static inline void co_ctx_set_mode(SSL_CTX *ctx, uint32_t mode) { SSL_CTX_set_mode(ctx, mode); }
/// No renegotiation, no compression, no session tickets.
static inline void co_ctx_set_refusals(SSL_CTX *ctx) {
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
}
static inline void co_ctx_disable_session_cache(SSL_CTX *ctx) { SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); }
static inline int co_set_server_name(SSL *ssl, const char *name) { return (int)SSL_set_tlsext_host_name(ssl, name); }

/// The peer must show a certificate that the context's authorities vouch for.
static inline void co_ctx_require_peer(SSL_CTX *ctx) {
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
}
static inline void co_set_message_callback_argument(SSL *ssl, void *argument) { SSL_set_msg_callback_arg(ssl, argument); }

/// Copies the certificate's first alternative name of a type (GEN_URI, GEN_DNS), or its only common name when `type` is
/// -1. Its length; -1 when there is none, or when it is longer than the buffer.
static inline int co_certificate_name(X509 *certificate, int type, unsigned char *buffer, int capacity) {
    unsigned char *text = NULL;
    int length = -1;
    if (type < 0) {
        X509_NAME *subject = X509_get_subject_name(certificate);
        int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
        if (index < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, index) >= 0) return -1;
        length = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index)));
    } else {
        GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
        for (int index = 0; index < sk_GENERAL_NAME_num(names) && length < 0; index++) {
            const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, index);
            if (name->type == type) length = ASN1_STRING_to_UTF8(&text, name->d.ia5);
        }
        GENERAL_NAMES_free(names);
    }
    if (length >= 0 && length <= capacity) memcpy(buffer, text, (size_t)length);
    OPENSSL_free(text);
    return length <= capacity ? length : -1;
}

static inline int co_library(unsigned long error) { return ERR_GET_LIB(error); }
static inline int co_reason(unsigned long error) { return ERR_GET_REASON(error); }

static inline void co_bio_retry_read(BIO *bio) { BIO_set_retry_read(bio); }
static inline void co_bio_retry_write(BIO *bio) { BIO_set_retry_write(bio); }
static inline void co_bio_clear_retry(BIO *bio) { BIO_clear_retry_flags(bio); }
