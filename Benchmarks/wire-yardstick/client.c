// The load: one thread, one epoll, the same bytes to whichever server is measured. Prints one line of JSON.
//
//   client load  --port N --pid N --connections C --streams S --seconds T [--warm-up T] [--tls 1] [--counters FILE]
//   client unary --port N --pid N --count N …
//   client hold  --port N --pid N --connections C --streams S …
//
// load: S streams on each of C connections take all the tokens that come. A token's id is the low half of the
// server's clock when the token was made, which is this machine's clock too: so its age on arrival is known.
// unary: a health CALL and its REPLY, one after the other.
// hold: C connections that do nothing, then S streams in all without credit; then each of them is asked for a sign of life.
#include "observe.h"

#include <arpa/inet.h>

typedef struct {
    wire_stream io;
    uint32_t first, opened, granted;  // streams: the first one's place in `nexts`, how many, and how many may be
    bool is_connected, in_handshake, is_greeted;
    uint8_t *in;
    size_t in_count;
} connection;

enum { READ = 256 * 1024, COALESCED = 16, AGES = 4 * 1024 * 1024, streams_held = 100 };  // streams of one connection when thousands are held

static int poller, port;
static SSL_CTX *context;
static connection *connections;
static unsigned connection_count = 1, streams_each = 1;
static unsigned greeted_count, opened_total, accepted_count, pong_count, reply_count;
static uint32_t *nexts;  // the next token's index of each stream, `stream_room` of them for each connection
static unsigned stream_room;
static uint64_t token_count, byte_count, frame_count;
static uint64_t lone_bytes, lone_count;  // of tokens in a frame of their own
static uint64_t coalesced_bytes, coalesced_count;  // of tokens in frames of `COALESCED` or more
static uint32_t *ages, age_count;
static bool is_measuring;
static uint8_t *input;

static void transmit(connection *c, const uint8_t *bytes, size_t size) {
    for (size_t done = 0; done < size;) {
        long count = wire_write(&c->io, bytes + done, size - done);
        if (count == WIRE_END) die("the server closed a connection that was written to");
        if (count > 0) done += (size_t)count;
    }
}

// ---- Requests

static void greet(connection *c) {
    uint8_t bytes[64], *p = bytes;
    memcpy(p, preface, sizeof preface);
    p = put_header(p + sizeof preface, HELLO, 0, 16);
    p = put64(put32(put16(put8(put8(p, 1), 1), 0), 1 << 20), 0);
    transmit(c, bytes, (size_t)(p - bytes));
}

static uint8_t *put_generate(uint8_t *p, uint32_t stream, uint32_t credit) {
    uint32_t most = 1u << 30;
    uint8_t *start = p;
    p = put16(put8(put8(put32(put32(p + 8, credit), 0), 3), 1), 0);
    p = put_field(p, 2, "x", 1);
    p = put_field(p, 32, &most, 4);
    put_header(start, GENERATE, stream, (uint32_t)(p - start) - 8);
    return p;
}

// As many streams as the server grants, up to `most`.
static void open_streams(connection *c, unsigned most, uint32_t credit) {
    uint8_t bytes[32 * 1024], *p = bytes;
    while (c->opened < most && c->opened < c->granted) {
        p = put_generate(p, ++c->opened, credit);
        opened_total++;
        if (p - bytes > 31 * 1024) {
            transmit(c, bytes, (size_t)(p - bytes));
            p = bytes;
        }
    }
    if (p > bytes) transmit(c, bytes, (size_t)(p - bytes));
}

static void send_word(connection *c, uint8_t type, uint32_t stream, uint64_t word) {
    uint8_t bytes[16];
    put64(put_header(bytes, type, stream, 8), word);
    transmit(c, bytes, sizeof bytes);
}

// ---- Answers

static void take_tokens(connection *c, uint32_t stream, const uint8_t *payload, uint32_t length, uint64_t now) {
    uint8_t count = payload[2];
    uint32_t *next = &nexts[c->first + stream - 1];
    if (stream > c->opened || length < 4u + 5u * count - 1 || get16(payload) != (uint16_t)*next) {
        fprintf(stderr, "error: TOKENS of stream %u do not follow: %u, not %u\n", stream, get16(payload), (uint16_t)*next);
        exit(1);
    }
    *next += count;
    if (!is_measuring) return;
    token_count += count;
    frame_count++;
    if (count == 1) {
        lone_bytes += 8 + length;
        lone_count++;
    } else if (count >= COALESCED) {
        coalesced_bytes += 8 + length;
        coalesced_count += count;
    }
    if (ages && age_count < AGES) ages[age_count++] = (uint32_t)now - get32(payload + 4);
}

static void receive(connection *c, uint8_t type, uint32_t stream, const uint8_t *payload, uint32_t length, uint64_t now) {
    switch (type) {
    case TOKENS: take_tokens(c, stream, payload, length, now); break;
    case MAX_STREAMS:
        if (!c->is_greeted) greeted_count++;
        c->is_greeted = true;
        c->granted = get32(payload);
        break;
    case ACCEPT: accepted_count++; break;
    case PONG: pong_count++; break;
    case REPLY: reply_count++; break;
    case PING: send_word(c, PONG, 0, get64(payload)); break;
    case ERROR:
        fprintf(stderr, "error: the server says on stream %u: %.*s\n", stream, (int)length - 14, payload + 14);
        exit(1);
    case FINISH: fprintf(stderr, "error: stream %u ended\n", stream); exit(1);
    default: break;
    }
}

static void consume(connection *c, size_t size) {
    uint64_t now = ages && is_measuring ? now_ns() : 0;
    size_t start = 0;
    while (size - start >= 8) {
        uint64_t word = get64(input + start);
        uint32_t length = word & 0xFFFFFF;
        if (size - start - 8 < length) break;
        receive(c, (uint8_t)(word >> 24), (uint32_t)(word >> 32), input + start + 8, length, now);
        start += 8 + length;
    }
    c->in_count = size - start;
    if (!c->in_count) return;
    c->in = realloc(c->in, c->in_count);
    memcpy(c->in, input + start, c->in_count);
}

static void read_some(connection *c) {
    do {
        if (c->in_count) memcpy(input, c->in, c->in_count);
        long count = wire_read(&c->io, input + c->in_count, READ);
        if (count == WIRE_AGAIN) return;
        if (count == WIRE_END) {
            fprintf(stderr, "error: the server closed connection %ld\n", c - connections);
            exit(1);
        }
        if (is_measuring) byte_count += (uint64_t)count;
        consume(c, c->in_count + (size_t)count);
    } while (c->io.tls && SSL_pending(c->io.tls));
}

// ---- Connections

static void start_connection(connection *c) {
    int socket_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (socket_ < 0) die("socket");
    wire_no_delay(socket_);
    // Ends by a reset: thousands of connections must not leave their port numbers taken.
    setsockopt(socket_, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (connect(socket_, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) die("connect");
    c->io.socket = socket_;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, socket_, &event) < 0) die("epoll_ctl");
}

static void ready(connection *c, uint32_t events) {
    if (!c->is_connected) {
        int error = 0;
        socklen_t length = sizeof error;
        getsockopt(c->io.socket, SOL_SOCKET, SO_ERROR, &error, &length);
        if (error) {
            errno = error;
            die("connecting");
        }
        c->is_connected = true;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(poller, EPOLL_CTL_MOD, c->io.socket, &event);
        if (context) {
            c->io.tls = SSL_new(context);
            SSL_set_fd(c->io.tls, c->io.socket);
            SSL_set_connect_state(c->io.tls);
            c->in_handshake = true;
        } else {
            greet(c);
        }
    }
    if (c->in_handshake) {
        int result = SSL_do_handshake(c->io.tls);
        if (result != 1) {
            if (wire_result(&c->io, result) == WIRE_END) die("the TLS handshake failed");
            return;
        }
        c->in_handshake = false;
        greet(c);
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) read_some(c);
}

static void turn(int timeout_ms) {
    struct epoll_event events[256];
    int count = epoll_wait(poller, events, 256, timeout_ms);
    for (int i = 0; i < count; i++) ready(events[i].data.ptr, events[i].events);
}

static void turn_until(const unsigned *counter, unsigned wanted, const char *what) {
    for (uint64_t last = now_ns(), seen = *counter; *counter < wanted; seen = *counter) {
        turn(1000);
        if (*counter != seen) last = now_ns();
        if (now_ns() - last < 20000000000u) continue;
        fprintf(stderr, "error: %u of %u %s after 20 s of silence\n", *counter, wanted, what);
        exit(1);
    }
}

// Connects the connections from `first` to before `end`, a few at a time: the server's backlog is finite.
static void connect_some(unsigned first, unsigned end) {
    for (unsigned i = first; i < end; i++) {
        connections[i].first = i * stream_room;
        start_connection(&connections[i]);
        if (i % 64 == 63 && i > first + 64) turn_until(&greeted_count, i - 31, "connections greeted");
    }
    turn_until(&greeted_count, end, "connections greeted");
}

static void connect_all(void) { connect_some(0, connection_count); }

// ---- The measurements

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void print_percentiles(const char *name, uint32_t *values, uint32_t count) {
    if (!count) return;
    qsort(values, count, sizeof *values, by_value);
    printf(",\"%s\":[%.1f,%.1f,%.1f]", name, values[count / 2] / 1e3, values[(uint64_t)count * 99 / 100] / 1e3,
           values[(uint64_t)count * 999 / 1000] / 1e3);
}

static void turn_for(double seconds) {
    for (uint64_t end = now_ns() + (uint64_t)(seconds * 1e9); now_ns() < end;) turn(100);
}

static void load(double warm_up, double seconds) {
    connect_all();
    for (unsigned i = 0; i < connection_count; i++) open_streams(&connections[i], streams_each, UINT32_MAX);
    turn_until(&accepted_count, connection_count * streams_each, "streams accepted");
    turn_for(warm_up);
    observation before = observe();
    is_measuring = true;
    turn_for(seconds);
    is_measuring = false;
    observation after = observe();
    printf("{\"seconds\":%.4f,\"tokens\":%llu,\"frames\":%llu,\"bytes\":%llu", (double)(after.at_ns - before.at_ns) / 1e9,
           (unsigned long long)token_count, (unsigned long long)frame_count, (unsigned long long)byte_count);
    if (lone_count) printf(",\"lone_bytes\":%.2f", (double)lone_bytes / (double)lone_count);
    if (coalesced_count) printf(",\"coalesced_bytes\":%.2f", (double)coalesced_bytes / (double)coalesced_count);
    print_percentiles("hop_us", ages, age_count);
    print_threads(&before, &after);
    puts("}");
}

static void unary(unsigned count) {
    connect_all();
    connection *c = &connections[0];
    uint32_t *times = malloc(count * sizeof *times);
    observation before = {0};
    unsigned warm = count / 10;
    for (unsigned i = 0; i < count + warm; i++) {
        if (i == warm) before = observe();
        uint8_t bytes[12];
        put32(put_header(bytes, CALL, ++c->opened, 4), 1);
        uint64_t start = now_ns();
        transmit(c, bytes, sizeof bytes);
        while (reply_count <= i) turn(-1);
        if (i >= warm) times[i - warm] = (uint32_t)(now_ns() - start);
        // Stream numbers are granted as replies are sent, in the same bytes.
        while (c->granted <= c->opened) turn(-1);
    }
    observation after = observe();
    printf("{\"calls\":%u", count);
    print_percentiles("round_trip_us", times, count);
    print_threads(&before, &after);
    puts("}");
}

// The server's memory once it has been quiet for a moment.
static uint64_t settled_memory(void) {
    turn_for(0.3);
    return observed_memory();
}

// Opens `count` more streams, as many on a connection as it may have.
static void open_held(unsigned count) {
    unsigned wanted = opened_total + count;
    for (unsigned i = 0; opened_total < wanted && i < connection_count; i++) {
        unsigned most = connections[i].opened + wanted - opened_total;
        open_streams(&connections[i], most < streams_held ? most : streams_held, 0);
    }
    if (opened_total < wanted) die("more streams than the connections may have");
    turn_until(&accepted_count, opened_total, "streams accepted");
}

// The first tenth of connections, and the first half of streams, make what all share and the room of a burst: memory is
// what the others take.
static void hold(unsigned stream_total) {
    unsigned first = connection_count / 10, half = stream_total / 2;
    connect_some(0, first);
    uint64_t memory_first = settled_memory(), start = now_ns();
    connect_some(first, connection_count);
    double connecting = (double)(now_ns() - start) / 1e9;
    uint64_t memory_idle = settled_memory();
    open_held(half);
    uint64_t memory_half = settled_memory();
    open_held(stream_total - half);
    uint64_t memory_open = settled_memory();

    // Signs of life.
    for (unsigned i = 0; i < connection_count; i++) send_word(&connections[i], PING, 0, i);
    turn_until(&pong_count, connection_count, "connections alive");
    is_measuring = true;
    for (unsigned i = 0; i < connection_count; i++)
        for (unsigned s = 1; s <= connections[i].opened; s++) send_word(&connections[i], CREDIT, s, 1);
    for (uint64_t wait = now_ns(); token_count < stream_total;) {
        turn(1000);
        if (now_ns() - wait > 20000000000u) die("streams without a sign of life");
    }
    printf("{\"connections\":%u,\"streams\":%u,\"connect_us\":%.0f,\"connection_bytes\":%.1f,\"stream_bytes\":%.1f",
           connection_count, stream_total, connecting * 1e6 / (connection_count - first),
           (double)(int64_t)(memory_idle - memory_first) / (connection_count - first),
           (double)(int64_t)(memory_open - memory_half) / (stream_total - half));
    printf(",\"memory_bytes\":%llu,\"tokens\":%llu}\n", (unsigned long long)memory_open, (unsigned long long)token_count);
}

int main(int argc, char **argv) {
    double seconds = 2, warm_up = 0.5;
    unsigned count = 10000;
    int pid = 0;
    bool tls = false;
    const char *counter_file = NULL, *mode = argc > 1 ? argv[1] : "";
    for (int i = 2; i + 1 < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        if (!strcmp(name, "--port")) port = atoi(value);
        else if (!strcmp(name, "--pid")) pid = atoi(value);
        else if (!strcmp(name, "--connections")) connection_count = (unsigned)atoi(value);
        else if (!strcmp(name, "--streams")) streams_each = (unsigned)atoi(value);
        else if (!strcmp(name, "--seconds")) seconds = atof(value);
        else if (!strcmp(name, "--warm-up")) warm_up = atof(value);
        else if (!strcmp(name, "--count")) count = (unsigned)atoi(value);
        else if (!strcmp(name, "--tls")) tls = atoi(value) != 0;
        else if (!strcmp(name, "--counters")) counter_file = value;
        else if (!strcmp(name, "--ages")) ages = atoi(value) ? malloc(AGES * sizeof *ages) : NULL;
        else { fprintf(stderr, "error: no option %s\n", name); return 2; }
    }
    if (tls) {
        context = SSL_CTX_new(TLS_client_method());
        wire_modes(context);
        SSL_CTX_set_alpn_protos(context, alpn, sizeof alpn - 1);
    }
    observe_start(pid, counter_file);
    stream_room = strcmp(mode, "hold") ? streams_each : streams_held;
    connections = calloc(connection_count, sizeof *connections);
    nexts = calloc((size_t)connection_count * stream_room, sizeof *nexts);
    input = malloc(2 * READ);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (!strcmp(mode, "load")) load(warm_up, seconds);
    else if (!strcmp(mode, "unary")) unary(count);
    else if (!strcmp(mode, "hold")) hold(streams_each);
    else { fprintf(stderr, "error: load, unary or hold, not '%s'\n", mode); return 2; }
    fflush(stdout);
    _exit(0);  // the kernel closes ten thousand connections faster
}
