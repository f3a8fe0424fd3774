// OpenSSL's headers, and functions in place of those of its macros that Swift cannot see.
#pragma once
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

static inline void co_ctx_set_min_version(SSL_CTX *ctx, int version) { SSL_CTX_set_min_proto_version(ctx, version); }
static inline void co_ctx_set_mode(SSL_CTX *ctx, uint32_t mode) { SSL_CTX_set_mode(ctx, mode); }
/// No renegotiation, no compression, no session tickets.
static inline void co_ctx_set_refusals(SSL_CTX *ctx) {
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
}
static inline void co_ctx_disable_session_cache(SSL_CTX *ctx) { SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); }
static inline int co_set_server_name(SSL *ssl, const char *name) { return (int)SSL_set_tlsext_host_name(ssl, name); }

static inline int co_library(unsigned long error) { return ERR_GET_LIB(error); }
static inline int co_reason(unsigned long error) { return ERR_GET_REASON(error); }

static inline void co_bio_retry_read(BIO *bio) { BIO_set_retry_read(bio); }
static inline void co_bio_retry_write(BIO *bio) { BIO_set_retry_write(bio); }
static inline void co_bio_clear_retry(BIO *bio) { BIO_clear_retry_flags(bio); }
