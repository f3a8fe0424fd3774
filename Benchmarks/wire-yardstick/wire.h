// What the yardstick server and the load client share: the bytes of the protocol (docs/protocol.md), a connection that is
// plain or TLS, and clocks. Little-endian machines only.
#pragma once
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    HELLO = 0x81, PING = 0x82, PONG = 0x83, MAX_STREAMS = 0x86,
    GENERATE = 0x90, CALL = 0x91, CREDIT = 0x92, CANCEL = 0x93,
    ACCEPT = 0xA0, TOKENS = 0xA1, PROGRESS = 0x22, FINISH = 0xA2, ERROR = 0xA3, REPLY = 0xA4,
};

static const uint8_t preface[8] = {0x89, 'L', 'M', 'C', '\r', '\n', 0x1A, '\n'};
static const uint8_t alpn[] = "\x08lmcall/1";

static inline void die(const char *what) {
    fprintf(stderr, "error: %s: %s\n", what, strerror(errno));
    exit(1);
}

static inline uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

// ---- Bytes

static inline uint16_t get16(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return v; }
static inline uint32_t get32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline uint64_t get64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline uint8_t *put8(uint8_t *p, uint8_t v) { *p = v; return p + 1; }
static inline uint8_t *put16(uint8_t *p, uint16_t v) { memcpy(p, &v, 2); return p + 2; }
static inline uint8_t *put32(uint8_t *p, uint32_t v) { memcpy(p, &v, 4); return p + 4; }
static inline uint8_t *put64(uint8_t *p, uint64_t v) { memcpy(p, &v, 8); return p + 8; }

static inline uint8_t *put_header(uint8_t *p, uint8_t type, uint32_t stream, uint32_t length) {
    return put64(p, length | (uint64_t)type << 24 | (uint64_t)stream << 32);
}

static inline uint8_t *put_field(uint8_t *p, uint16_t key, const void *value, uint32_t length) {
    p = put32(put16(p, key), length);
    memcpy(p, value, length);
    return p + length;
}

// ---- A connection's bytes

typedef struct {
    int socket;
    SSL *tls;  // NULL for a plain connection
} wire_stream;

enum { WIRE_AGAIN = -1, WIRE_END = -2 };

static inline long wire_result(wire_stream *s, int result) {
    int reason = SSL_get_error(s->tls, result);
    if (reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE) return WIRE_AGAIN;
    ERR_clear_error();
    return WIRE_END;
}

// Bytes read, WIRE_AGAIN or WIRE_END.
static inline long wire_read(wire_stream *s, void *bytes, size_t size) {
    if (s->tls) {
        int result = SSL_read(s->tls, bytes, (int)size);
        return result > 0 ? result : wire_result(s, result);
    }
    ssize_t result = recv(s->socket, bytes, size, 0);
    if (result > 0) return result;
    return result < 0 && errno == EAGAIN ? WIRE_AGAIN : WIRE_END;
}

// Bytes written, which may be fewer than given; WIRE_AGAIN or WIRE_END.
static inline long wire_write(wire_stream *s, const void *bytes, size_t size) {
    if (s->tls) {
        int result = SSL_write(s->tls, bytes, (int)size);
        return result > 0 ? result : wire_result(s, result);
    }
    ssize_t result = send(s->socket, bytes, size, MSG_NOSIGNAL);
    if (result >= 0) return result;
    return errno == EAGAIN ? WIRE_AGAIN : WIRE_END;
}

static inline void wire_no_delay(int socket) {
    int one = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

// The modes that a server with many connections wants: see docs/performance-wire.md.
static inline void wire_modes(SSL_CTX *context) {
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 0);
}
