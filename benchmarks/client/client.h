/* What the parts of the load client know of each other. Each part is one idea and one file. */
#ifndef CLIENT_H
#define CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* fault.c: the first fault ends the program: a load with a fault in it is no measurement. */
_Noreturn void fault(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern long long fault_stream; /* whose bytes are being read; -1: nobody's */

/* samples.c: a list of times in nanoseconds, and the clock they come from. */
struct samples {
    int64_t *values;
    size_t count, room;
};
int64_t now_ns(void);
int64_t cpu_ns(int clock);
void samples_add(struct samples *samples, int64_t value);
void samples_print(const char *name, const struct samples *samples);

/* payload.c: what a chunk says, checked. */
struct chunk {
    long long n;
    int64_t due_ns, sent_ns; /* of a tick; 0 in a token */
};
bool payload_is_ending(const char *data, size_t length);
struct chunk payload_read(const char *data, size_t length);

/* events.c: bytes of an event stream, cut anywhere, to numbered events and the one ending. */
enum { LINE_BYTES = 4096, TYPE_BYTES = 32 };
enum content { TOKENS, TICKS };
struct reader {
    long long expected; /* events before the ending */
    enum content content;
    long long count;
    bool ended;
    int64_t first_ns; /* when the first event was read; 0: none was */
    struct samples *delivery, *lateness;

    char line[LINE_BYTES], data[LINE_BYTES], type[TYPE_BYTES];
    size_t line_length, data_length;
    bool has_data, after_cr;
};
void reader_begin(struct reader *reader, long long expected, enum content content);
void reader_feed(struct reader *reader, const char *bytes, size_t length, int64_t at_ns);
void reader_end(const struct reader *reader);

/* http1.c: one response of HTTP/1.1 after the other on one connection. */
enum { HEAD_BYTES = 16384 };
enum http1_state { H1_HEAD, H1_SIZE, H1_CHUNK, H1_CHUNK_END, H1_TRAILERS, H1_OVER };
struct http1 {
    enum http1_state state;
    bool will_close; /* the server has said so */
    uint64_t left;   /* bytes of the chunk that are still to come */
    size_t length;
    char head[HEAD_BYTES]; /* the head, later a line of the chunked coding */
};
size_t http1_request(char *into, size_t room, const char *path);
void http1_begin(struct http1 *http1);
/* Feed bytes to the reader of the response's body; true once the response is over. */
bool http1_feed(struct http1 *http1, struct reader *reader, const char *bytes, size_t length, int64_t at_ns);

/* http2.c: many responses on one connection, whose server needs no HPACK from us. */
enum { FRAME_BYTES = 16384, FRAME_HEAD_BYTES = 9 };
struct http2_stream {
    struct reader *reader;
    bool has_head, over;
    uint32_t taken;
};
struct http2 {
    int fd;
    uint32_t taken; /* bytes of the connection's window that are to be given back */
    size_t length;
    uint8_t frame[FRAME_HEAD_BYTES + FRAME_BYTES];
    struct http2_stream *streams;
    uint32_t count;
};
void http2_begin(struct http2 *http2, int fd);
void http2_open(struct http2 *http2, const char *path, struct reader *reader);
/* Feed bytes; give how many streams have ended in them. */
uint32_t http2_feed(struct http2 *http2, const char *bytes, size_t length, int64_t at_ns);

/* sockets.c */
int socket_open(int port, int receive_bytes);
void socket_send(int fd, const void *bytes, size_t length);

#endif
