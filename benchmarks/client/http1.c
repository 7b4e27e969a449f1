/* HTTP/1.1, as far as a server of event streams speaks it: a head, and a body in the chunked coding. */
#include "client.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

size_t http1_request(char *into, size_t room, const char *path) {
    int length = snprintf(into, room, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n", path);
    return (size_t)length;
}

void http1_begin(struct http1 *http1) {
    http1->state = H1_HEAD;
    http1->will_close = false;
    http1->length = 0;
    http1->left = 0;
}

/* The value of a header field, or NULL. */
static const char *header(const char *head, const char *name) {
    size_t length = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (!strncasecmp(line, name, length) && line[length] == ':') {
            line += length + 1;
            while (*line == ' ') line++;
            return line;
        }
    }
    return NULL;
}

static bool header_begins(const char *head, const char *name, const char *value) {
    const char *found = header(head, name);
    return found && !strncasecmp(found, value, strlen(value));
}

static void read_head(struct http1 *http1) {
    const char *head = http1->head;
    if (strncmp(head, "HTTP/1.1 200", 12)) fault("the answer is %.*s", (int)strcspn(head, "\r"), head);
    if (!header_begins(head, "content-type", "text/event-stream")) fault("the answer is no event stream");
    if (!header_begins(head, "transfer-encoding", "chunked")) fault("the body is not in the chunked coding");
    http1->will_close = header_begins(head, "connection", "close");
}

/* Take a line, with its CRLF, into `head`; give the bytes taken, and set `whole` once it is complete. */
static size_t take_line(struct http1 *http1, const char *bytes, size_t length, bool *whole) {
    const char *end = memchr(bytes, '\n', length);
    size_t taken = end ? (size_t)(end - bytes) + 1 : length;
    if (http1->length + taken >= HEAD_BYTES) fault("a head or line of more than %d bytes", HEAD_BYTES);
    memcpy(http1->head + http1->length, bytes, taken);
    http1->length += taken;
    http1->head[http1->length] = '\0';
    *whole = end != NULL;
    return taken;
}

static void read_size(struct http1 *http1) {
    char *end;
    if (!isxdigit((unsigned char)http1->head[0])) fault("not the size of a chunk: %s", http1->head);
    http1->left = strtoull(http1->head, &end, 16);
    if (strcmp(end, "\r\n")) fault("not the size of a chunk: %s", http1->head);
    http1->length = 0;
    http1->state = http1->left ? H1_CHUNK : H1_TRAILERS;
}

static void read_line(struct http1 *http1) {
    switch (http1->state) {
    case H1_HEAD:
        if (http1->length >= 4 && !strcmp(http1->head + http1->length - 4, "\r\n\r\n")) {
            read_head(http1);
            http1->length = 0;
            http1->state = H1_SIZE;
        }
        return;
    case H1_SIZE:
        read_size(http1);
        return;
    case H1_CHUNK_END:
    case H1_TRAILERS:
        if (strcmp(http1->head, "\r\n")) fault("not the end of a chunk: %s", http1->head);
        http1->length = 0;
        http1->state = http1->state == H1_TRAILERS ? H1_OVER : H1_SIZE;
        return;
    case H1_CHUNK:
    case H1_OVER:
        return;
    }
}

bool http1_feed(struct http1 *http1, struct reader *reader, const char *bytes, size_t length, int64_t at_ns) {
    while (length) {
        size_t taken;
        if (http1->state == H1_OVER) fault("bytes behind the response");
        if (http1->state == H1_CHUNK) {
            taken = length < http1->left ? length : (size_t)http1->left;
            reader_feed(reader, bytes, taken, at_ns);
            http1->left -= taken;
            if (!http1->left) http1->state = H1_CHUNK_END;
        } else {
            bool whole;
            taken = take_line(http1, bytes, length, &whole);
            if (whole) read_line(http1);
        }
        bytes += taken;
        length -= taken;
    }
    return http1->state == H1_OVER;
}
