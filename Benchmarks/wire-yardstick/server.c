// The yardstick: what one thread, epoll and C need for the work of Benchmarks/wire, and nothing more. It speaks as much of
// the protocol as that work uses, trusts its client, and writes all tokens of a step to a connection at once.
//
//   server --step-us N [--source-thread 1] [--frame-tokens N] [--tls-cert FILE --tls-key FILE] [--counters FILE]
//
// --step-us 0 writes as fast as the sockets take it, in batches of 64 KiB, --frame-tokens to a frame; otherwise each open
// stream gets one token every N microseconds. With --source-thread a second thread makes the tokens, as a model would.
#include "wire.h"

#include "callocations.h"
#include <arpa/inet.h>
#include <nmmintrin.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

typedef struct {
    uint32_t id, next, limit, crc;
} stream;

typedef struct {
    wire_stream io;
    bool in_handshake, is_greeted, wants_output;
    uint32_t stream_count, stream_room, turn;
    stream *streams;
    uint8_t *out;  // what the socket did not take yet
    size_t out_start, out_count;
    uint8_t *in;  // an unfinished frame
    size_t in_count;
} connection;

enum { BATCH = 64 * 1024, READ = 64 * 1024, TEXT = 6 };

static int poller, listener, timer = -1;
static SSL_CTX *context;
static uint64_t step_ns;
static atomic_uint made_at;  // when the source thread's last tokens were made
static unsigned frame_tokens = 255;
static connection **connections;  // those with streams
static size_t connection_count, connection_room;
static uint8_t *scratch, *input;
static const char text[TEXT + 1] = " token";

static void watch(connection *c) {
    struct epoll_event event = {.events = EPOLLIN | (c->wants_output ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->io.socket, &event);
}

static void end(connection *c) {
    for (size_t i = 0; i < connection_count; i++)
        if (connections[i] == c) connections[i] = connections[--connection_count];
    if (c->io.tls) SSL_free(c->io.tls);
    close(c->io.socket);
    free(c->streams);
    free(c->out);
    free(c->in);
    free(c);
}

// Writes; what the socket does not take waits for EPOLLOUT. False when the connection is over.
static bool transmit(connection *c, const uint8_t *bytes, size_t size) {
    size_t done = 0;
    if (!c->out_count) {
        while (done < size) {
            long count = wire_write(&c->io, bytes + done, size - done);
            if (count == WIRE_END) return false;
            if (count == WIRE_AGAIN) break;
            done += (size_t)count;
        }
        if (done == size) return true;
    }
    if (c->out_start) memmove(c->out, c->out + c->out_start, c->out_count);
    c->out_start = 0;
    c->out = realloc(c->out, c->out_count + size - done);
    memcpy(c->out + c->out_count, bytes + done, size - done);
    c->out_count += size - done;
    if (!c->wants_output) {
        c->wants_output = true;
        watch(c);
    }
    return true;
}

static bool flush(connection *c) {
    while (c->out_count) {
        long count = wire_write(&c->io, c->out + c->out_start, c->out_count);
        if (count == WIRE_END) return false;
        if (count == WIRE_AGAIN) return true;
        c->out_start += (size_t)count;
        c->out_count -= (size_t)count;
    }
    free(c->out);  // an idle connection holds no buffer
    c->out = NULL;
    c->out_start = 0;
    if (c->wants_output) {
        c->wants_output = false;
        watch(c);
    }
    return true;
}

// ---- Tokens

// FINISH would say the checksum of all text, as the processor computes it.
static uint32_t checksum(uint32_t crc, const uint8_t *bytes, size_t size) {
    for (; size >= 8; bytes += 8, size -= 8) crc = (uint32_t)_mm_crc32_u64(crc, get64(bytes));
    for (; size > 0; bytes++, size--) crc = _mm_crc32_u8(crc, *bytes);
    return crc;
}

static uint8_t *put_tokens(uint8_t *p, stream *s, unsigned count, uint32_t id) {
    p = put_header(p, TOKENS, s->id, 4 + 4 * count + (count - 1) + TEXT * count);
    p = put8(put8(put16(p, (uint16_t)s->next), (uint8_t)count), 0);
    for (unsigned i = 0; i < count; i++) p = put32(p, id);
    for (unsigned i = 1; i < count; i++) p = put8(p, TEXT);
    uint8_t *start = p;
    for (unsigned i = 0; i < count; i++) {
        memcpy(p, text, TEXT);
        p += TEXT;
    }
    s->crc = checksum(s->crc, start, (size_t)(p - start));
    s->next += count;
    return p;
}

static unsigned credit(const stream *s, unsigned most) {
    uint32_t left = s->limit - s->next;
    return left < most ? left : most;
}

// One token for each stream of each connection, and one write for each connection.
static void step(uint32_t id) {
    for (size_t i = connection_count; i-- > 0;) {
        connection *c = connections[i];
        uint8_t *p = scratch;
        bool is_alive = true;
        for (uint32_t n = 0; n < c->stream_count && is_alive; n++) {
            if (credit(&c->streams[n], 1)) p = put_tokens(p, &c->streams[n], 1, id);
            if (p - scratch > BATCH - 64) {
                is_alive = transmit(c, scratch, (size_t)(p - scratch));
                p = scratch;
            }
        }
        if (is_alive && p > scratch) is_alive = transmit(c, scratch, (size_t)(p - scratch));
        if (!is_alive) end(c);
    }
}

// As much as the sockets take, one batch for each connection. Whether there is more to do at once.
static bool saturate(void) {
    bool is_busy = false;
    size_t frame = 12 + 11 * frame_tokens;
    for (size_t i = connection_count; i-- > 0;) {
        connection *c = connections[i];
        if (c->out_count) continue;
        uint8_t *p = scratch;
        uint32_t idle = 0;
        while (p + frame <= scratch + BATCH && idle < c->stream_count) {
            stream *s = &c->streams[c->turn];
            c->turn = c->turn + 1 == c->stream_count ? 0 : c->turn + 1;
            unsigned count = credit(s, frame_tokens);
            idle = count ? 0 : idle + 1;
            if (count) p = put_tokens(p, s, count, s->next);
        }
        if (p == scratch) continue;
        if (!transmit(c, scratch, (size_t)(p - scratch))) end(c);
        else if (!c->out_count) is_busy = true;
    }
    return is_busy;
}

// ---- Frames from the client

static stream *find(connection *c, uint32_t id) {
    for (uint32_t low = 0, high = c->stream_count; low < high;) {
        uint32_t middle = (low + high) / 2;
        if (c->streams[middle].id == id) return &c->streams[middle];
        if (c->streams[middle].id < id) low = middle + 1;
        else high = middle;
    }
    return NULL;
}

static uint8_t *put_hello(uint8_t *p) {
    static const char agent[] = "yardstick";
    uint32_t keep_alive = 15000;
    uint8_t *start = p;
    p = put64(put32(put16(put8(put8(p + 8, 1), 1), 0), 1 << 20), 0);
    p = put_field(p, 2, agent, sizeof agent - 1);
    p = put_field(p, 3, &keep_alive, 4);
    put_header(start, HELLO, 0, (uint32_t)(p - start) - 8);
    return put32(put_header(p, MAX_STREAMS, 0, 4), 1 << 30);
}

static uint8_t *put_accept(uint8_t *p, uint32_t id) {
    static const char request[] = "1g3ek7qzhw5ab-1000";
    uint64_t seed = 0x0123456789ABCDEF;
    uint8_t *start = p;
    p = put32(p + 8, 0);
    p = put_field(p, 1, request, sizeof request - 1);
    p = put_field(p, 2, "synthetic", 9);
    p = put_field(p, 3, &seed, 8);
    put_header(start, ACCEPT, id, (uint32_t)(p - start) - 8);
    return p;
}

static uint8_t *put_health(uint8_t *p, uint32_t id) {
    uint8_t status = 1, *start = p;
    uint64_t uptime = now_ns() / 1000000;
    p = put_field(p + 8, 1, &status, 1);
    p = put_field(p, 2, "lmserve", 7);
    p = put_field(p, 3, &uptime, 8);
    put_header(start, REPLY, id, (uint32_t)(p - start) - 8);
    return put32(put_header(p, MAX_STREAMS, 0, 4), 1 << 30);
}

static void open_stream(connection *c, uint32_t id, uint32_t limit) {
    if (c->stream_count == c->stream_room) {
        c->stream_room = c->stream_room ? 2 * c->stream_room : 1;
        c->streams = realloc(c->streams, c->stream_room * sizeof(stream));
    }
    c->streams[c->stream_count++] = (stream){.id = id, .limit = limit};
    if (c->stream_count > 1) return;
    if (connection_count == connection_room) {
        connection_room = connection_room ? 2 * connection_room : 64;
        connections = realloc(connections, connection_room * sizeof *connections);
    }
    connections[connection_count++] = c;
}

// Appends the answers to `p`.
static uint8_t *receive(connection *c, uint8_t *p, uint8_t type, uint32_t id, const uint8_t *payload) {
    stream *s;
    switch (type) {
    case HELLO: return put_hello(p);
    case GENERATE:
        open_stream(c, id, get32(payload));
        return put_accept(p, id);
    case CALL: return put_health(p, id);
    case CREDIT:
        if ((s = find(c, id)) && get32(payload) > s->limit) s->limit = get32(payload);
        return p;
    case PING:
        p = put_header(p, PONG, 0, 8);
        return put64(p, get64(payload));
    default: return p;
    }
}

// Takes the frames in `bytes`; returns how many bytes they were.
static size_t consume(connection *c, const uint8_t *bytes, size_t size, bool *is_alive) {
    size_t start = 0;
    uint8_t *p = scratch;
    if (!c->is_greeted && size >= sizeof preface) {
        if (memcmp(bytes, preface, sizeof preface)) *is_alive = false;
        c->is_greeted = true;
        start = sizeof preface;
    }
    while (*is_alive && c->is_greeted && size - start >= 8) {
        uint64_t word = get64(bytes + start);
        uint32_t length = word & 0xFFFFFF;
        if (size - start - 8 < length) break;
        p = receive(c, p, (uint8_t)(word >> 24), (uint32_t)(word >> 32), bytes + start + 8);
        start += 8 + length;
        if (p - scratch > BATCH - 512) {
            *is_alive = transmit(c, scratch, (size_t)(p - scratch));
            p = scratch;
        }
    }
    if (*is_alive && p > scratch) *is_alive = transmit(c, scratch, (size_t)(p - scratch));
    return start;
}

static bool read_some(connection *c) {
    do {
        if (c->in_count) memcpy(input, c->in, c->in_count);
        long count = wire_read(&c->io, input + c->in_count, READ);
        if (count == WIRE_AGAIN) return true;
        if (count == WIRE_END) return false;
        size_t size = c->in_count + (size_t)count;
        bool is_alive = true;
        size_t done = consume(c, input, size, &is_alive);
        if (!is_alive) return false;
        free(c->in);
        c->in = NULL;
        c->in_count = size - done;
        if (c->in_count) {
            c->in = malloc(c->in_count);
            memcpy(c->in, input + done, c->in_count);
        }
    } while (c->io.tls && SSL_pending(c->io.tls));
    return true;
}

static bool ready(connection *c, uint32_t events) {
    if (c->in_handshake) {
        int result = SSL_do_handshake(c->io.tls);
        if (result != 1) return wire_result(&c->io, result) == WIRE_AGAIN;
        c->in_handshake = false;
    }
    if (events & EPOLLOUT && !flush(c)) return false;
    return !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)) || read_some(c);
}

static void accept_some(void) {
    for (;;) {
        int socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (socket < 0) return;
        wire_no_delay(socket);
        connection *c = calloc(1, sizeof *c);
        c->io.socket = socket;
        if (context) {
            c->io.tls = SSL_new(context);
            SSL_set_fd(c->io.tls, socket);
            SSL_set_accept_state(c->io.tls);
            c->in_handshake = true;
        }
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, socket, &event) < 0) die("epoll_ctl");
    }
}

static int choose_alpn(SSL *tls, const uint8_t **out, uint8_t *length, const uint8_t *in, unsigned size, void *unused) {
    (void)tls, (void)unused;
    return SSL_select_next_proto((uint8_t **)out, length, alpn, sizeof alpn - 1, in, size) == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void listen_somewhere(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, 4096) < 0) die("listen");
    getsockname(listener, (struct sockaddr *)&address, &length);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
}

static void *run_source(void *unused) {
    for (uint64_t due = now_ns();; due += step_ns) {
        struct timespec time = {(time_t)(due / 1000000000), (long)(due % 1000000000)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
        atomic_store(&made_at, (uint32_t)now_ns());
        eventfd_write(timer, 1);
    }
    return unused;
}

static void start_timer(bool has_source) {
    pthread_t thread;
    if (!step_ns) return;
    if (has_source) {
        timer = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (pthread_create(&thread, NULL, run_source, NULL)) die("pthread_create");
        pthread_setname_np(thread, "source");
    } else {
        timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        struct timespec interval = {(time_t)(step_ns / 1000000000), (long)(step_ns % 1000000000)};
        timerfd_settime(timer, 0, &(struct itimerspec){interval, interval}, NULL);
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &timer};
    epoll_ctl(poller, EPOLL_CTL_ADD, timer, &event);
}

int main(int argc, char **argv) {
    const char *certificate = NULL, *key = NULL;
    bool has_source = false;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--step-us")) step_ns = strtoull(argv[i + 1], NULL, 10) * 1000;
        if (!strcmp(argv[i], "--source-thread")) has_source = atoi(argv[i + 1]) != 0;
        if (!strcmp(argv[i], "--frame-tokens")) frame_tokens = (unsigned)atoi(argv[i + 1]);
        if (!strcmp(argv[i], "--counters") && ca_share(argv[i + 1])) die("sharing counters");
        if (!strcmp(argv[i], "--tls-cert")) certificate = argv[i + 1];
        if (!strcmp(argv[i], "--tls-key")) key = argv[i + 1];
    }
    if (frame_tokens < 1 || frame_tokens > 255) frame_tokens = 255;
    if (certificate) {
        context = SSL_CTX_new(TLS_server_method());
        wire_modes(context);
        SSL_CTX_set_alpn_select_cb(context, choose_alpn, NULL);
        if (SSL_CTX_use_certificate_file(context, certificate, SSL_FILETYPE_PEM) != 1 ||
            SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) die("certificate or key");
    }
    scratch = malloc(BATCH + 4096);
    input = malloc(2 * READ);
    poller = epoll_create1(EPOLL_CLOEXEC);
    listen_somewhere();
    start_timer(has_source);
    bool is_busy = false;
    for (;;) {
        struct epoll_event events[256];
        int count = epoll_wait(poller, events, 256, is_busy ? 0 : -1);
        uint64_t steps = 0;
        for (int i = 0; i < count; i++) {
            if (!events[i].data.ptr) accept_some();
            else if (events[i].data.ptr == &timer) {
                if (read(timer, &steps, 8) != 8) steps = 0;
            } else if (!ready(events[i].data.ptr, events[i].events)) end(events[i].data.ptr);
        }
        for (; steps > 0; steps--) step(has_source ? atomic_load(&made_at) : (uint32_t)now_ns());
        is_busy = !step_ns && saturate();
    }
}
