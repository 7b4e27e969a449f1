/* HTTP/2 with prior knowledge, as far as an honest server makes it needed: windows as wide as a browser's, requests
 * without HPACK's tables, and of the answer's head the one byte that says 200. */
#include "client.h"

#include <stdlib.h>
#include <string.h>

enum frame_type { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION };
enum { END_STREAM = 0x1, ACK = 0x1, END_HEADERS = 0x4, PADDED = 0x8, PRIORITIZED = 0x20 };
enum { STREAM_WINDOW = 6 << 20, CONNECTION_WINDOW = 15 << 20, FIRST_WINDOW = 65535, MOST_STREAMS = 1000 };
enum { STATUS_200 = 0x88 }; /* HPACK: the eighth of the static table */

static void put32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static uint32_t get32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void send_frame(struct http2 *http2, enum frame_type type, int flags, uint32_t stream, const void *payload, size_t length) {
    uint8_t frame[FRAME_HEAD_BYTES + 1024];
    if (length > 1024) fault("a frame of %zu bytes to send", length);
    put32(frame, (uint32_t)length << 8 | (uint32_t)type);
    frame[4] = (uint8_t)flags;
    put32(frame + 5, stream);
    if (length) memcpy(frame + FRAME_HEAD_BYTES, payload, length);
    socket_send(http2->fd, frame, FRAME_HEAD_BYTES + length);
}

static void widen(struct http2 *http2, uint32_t stream, uint32_t by) {
    uint8_t payload[4];
    put32(payload, by);
    send_frame(http2, WINDOW_UPDATE, 0, stream, payload, sizeof payload);
}

void http2_begin(struct http2 *http2, int fd) {
    static const char PREFACE[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    memset(http2, 0, sizeof *http2);
    http2->fd = fd;
    http2->streams = calloc(MOST_STREAMS, sizeof *http2->streams);
    if (!http2->streams) fault("out of memory");
    socket_send(fd, PREFACE, sizeof PREFACE - 1);
    uint8_t settings[12] = {0, 2, 0, 0, 0, 0, /* ENABLE_PUSH 0 */ 0, 4 /* INITIAL_WINDOW_SIZE */};
    put32(settings + 8, STREAM_WINDOW);
    send_frame(http2, SETTINGS, 0, 0, settings, sizeof settings);
    widen(http2, 0, CONNECTION_WINDOW - FIRST_WINDOW);
}

/* Literal fields without indexing; the names stand in the static table. */
static size_t literal(uint8_t *at, const char *value, const uint8_t *name, size_t name_length) {
    size_t length = strlen(value);
    if (length > 126) fault("a header of %zu bytes", length);
    memcpy(at, name, name_length);
    at[name_length] = (uint8_t)length;
    memcpy(at + name_length + 1, value, length);
    return name_length + 1 + length;
}

void http2_open(struct http2 *http2, const char *path, struct reader *reader) {
    static const uint8_t PATH[] = {0x04}, AUTHORITY[] = {0x01}, ACCEPT[] = {0x0f, 0x04};
    uint8_t head[512] = {0x82, 0x86}; /* :method GET, :scheme http */
    size_t length = 2;
    if (http2->count == MOST_STREAMS) fault("more than %d streams on one connection", MOST_STREAMS);
    length += literal(head + length, path, PATH, sizeof PATH);
    length += literal(head + length, "127.0.0.1", AUTHORITY, sizeof AUTHORITY);
    length += literal(head + length, "text/event-stream", ACCEPT, sizeof ACCEPT);
    http2->streams[http2->count].reader = reader;
    send_frame(http2, HEADERS, END_STREAM | END_HEADERS, 2 * http2->count++ + 1, head, length);
}

static void take_back(struct http2 *http2, struct http2_stream *stream, uint32_t id, uint32_t length, bool last) {
    http2->taken += length;
    stream->taken += length;
    if (http2->taken > CONNECTION_WINDOW / 2) {
        widen(http2, 0, http2->taken);
        http2->taken = 0;
    }
    if (!last && stream->taken > STREAM_WINDOW / 2) {
        widen(http2, id, stream->taken);
        stream->taken = 0;
    }
}

static void read_head(struct http2_stream *stream, int flags, const uint8_t *payload, size_t length) {
    if (flags & PADDED || !(flags & END_HEADERS)) fault("a head in a form that this client cannot read");
    size_t skip = flags & PRIORITIZED ? 5 : 0;
    while (skip < length && (payload[skip] & 0xe0) == 0x20) skip++; /* the size of HPACK's table, which is of no use here */
    if (stream->has_head || skip >= length || payload[skip] != STATUS_200) fault("the answer is not 200");
    stream->has_head = true;
}

/* Read a frame of one stream; true where it ends it. */
static bool read_stream_frame(struct http2 *http2, int type, int flags, uint32_t id, const uint8_t *payload, uint32_t length, int64_t at_ns) {
    if (!(id & 1) || id / 2 >= http2->count) fault("a frame of stream %u, which nobody opened", id);
    fault_stream = id / 2;
    struct http2_stream *stream = &http2->streams[id / 2];
    if (type == WINDOW_UPDATE || type == PRIORITY) return false;
    if (type == RST_STREAM) {
        /* A server may say so behind the end, where nothing is lost any more. */
        if (!stream->over) fault("the stream was reset");
        return false;
    }
    if (stream->over) fault("a frame behind the end of the stream");
    if (type == HEADERS) {
        read_head(stream, flags, payload, length);
    } else if (type == DATA) {
        if (!stream->has_head || flags & PADDED) fault("data in a form that this client cannot read");
        reader_feed(stream->reader, (const char *)payload, length, at_ns);
        take_back(http2, stream, id, length, flags & END_STREAM);
    } else {
        fault("a frame of type %d", type);
    }
    stream->over = flags & END_STREAM;
    if (stream->over) reader_end(stream->reader);
    return stream->over;
}

static bool read_frame(struct http2 *http2, int64_t at_ns) {
    uint32_t length = get32(http2->frame) >> 8, id = get32(http2->frame + 5) & 0x7fffffff;
    int type = http2->frame[3], flags = http2->frame[4];
    const uint8_t *payload = http2->frame + FRAME_HEAD_BYTES;
    fault_stream = -1;
    if (id) return read_stream_frame(http2, type, flags, id, payload, length, at_ns);
    if (type == GOAWAY) fault("the server says goodbye, with code %u", length >= 8 ? get32(payload + 4) : 0);
    if (type == SETTINGS && !(flags & ACK)) send_frame(http2, SETTINGS, ACK, 0, NULL, 0);
    if (type == PING && !(flags & ACK)) send_frame(http2, PING, ACK, 0, payload, length);
    return false;
}

uint32_t http2_feed(struct http2 *http2, const char *bytes, size_t length, int64_t at_ns) {
    uint32_t ended = 0;
    while (length) {
        size_t wanted = FRAME_HEAD_BYTES;
        if (http2->length >= FRAME_HEAD_BYTES) wanted += get32(http2->frame) >> 8;
        if (wanted > sizeof http2->frame) fault("a frame of %zu bytes; is this HTTP/2?", wanted);
        size_t taken = wanted - http2->length < length ? wanted - http2->length : length;
        memcpy(http2->frame + http2->length, bytes, taken);
        http2->length += taken;
        bytes += taken;
        length -= taken;
        if (http2->length == FRAME_HEAD_BYTES && get32(http2->frame) >> 8) continue; /* its payload is still to come */
        if (http2->length == wanted) {
            ended += read_frame(http2, at_ns);
            http2->length = 0;
        }
    }
    return ended;
}
