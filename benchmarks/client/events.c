/* An event stream by the HTML standard, and what must stand in this one: events numbered from 0, without a gap, all
 * that were asked for, then the ending, then nothing. */
#include "client.h"

#include <string.h>

void reader_begin(struct reader *reader, long long expected, enum content content) {
    struct samples *delivery = reader->delivery, *lateness = reader->lateness;
    memset(reader, 0, sizeof *reader);
    reader->delivery = delivery;
    reader->lateness = lateness;
    reader->expected = expected;
    reader->content = content;
}

static void read_chunk(struct reader *reader, int64_t at_ns) {
    struct chunk chunk = payload_read(reader->data, reader->data_length);
    bool is_tick = chunk.sent_ns != 0;
    if (is_tick != (reader->content == TICKS)) fault("a chunk of the wrong kind");
    if (chunk.n != reader->count) fault("event %lld came where %lld was due", chunk.n, reader->count);
    if (reader->count == reader->expected) fault("an event more than the %lld asked for", reader->expected);
    if (!reader->count) reader->first_ns = at_ns;
    reader->count++;
    if (is_tick && reader->delivery) {
        samples_add(reader->delivery, at_ns - chunk.sent_ns);
        samples_add(reader->lateness, at_ns - chunk.due_ns);
    }
}

static void dispatch(struct reader *reader, int64_t at_ns) {
    if (reader->has_data) {
        reader->data_length--; /* the line feed behind the last line */
        if (reader->type[0] && strcmp(reader->type, "message")) fault("an event of type %s", reader->type);
        if (payload_is_ending(reader->data, reader->data_length)) {
            if (reader->count != reader->expected)
                fault("the ending came after %lld of %lld events", reader->count, reader->expected);
            reader->ended = true;
        } else {
            read_chunk(reader, at_ns);
        }
    }
    reader->has_data = false;
    reader->data_length = 0;
    reader->type[0] = '\0';
}

static bool is_field(const char *name, size_t length, const char *wanted) {
    return length == strlen(wanted) && !memcmp(name, wanted, length);
}

static void read_line(struct reader *reader, const char *line, size_t length, int64_t at_ns) {
    if (reader->ended) fault("bytes behind the ending");
    if (!length) {
        dispatch(reader, at_ns);
        return;
    }
    const char *colon = memchr(line, ':', length);
    size_t name = colon ? (size_t)(colon - line) : length;
    if (!name) return; /* a comment */
    const char *value = colon ? colon + 1 : line + length;
    if (value < line + length && *value == ' ') value++;
    size_t size = (size_t)(line + length - value);
    if (is_field(line, name, "data")) {
        if (reader->data_length + size + 1 > LINE_BYTES) fault("an event of more than %d bytes", LINE_BYTES);
        memcpy(reader->data + reader->data_length, value, size);
        reader->data_length += size;
        reader->data[reader->data_length++] = '\n';
        reader->has_data = true;
    } else if (is_field(line, name, "event")) {
        if (size >= TYPE_BYTES) fault("an event type of %zu bytes", size);
        memcpy(reader->type, value, size);
        reader->type[size] = '\0';
    } else if (!is_field(line, name, "id") && !is_field(line, name, "retry")) {
        fault("a field of an unknown name: %.*s", (int)name, line);
    }
}

void reader_feed(struct reader *reader, const char *bytes, size_t length, int64_t at_ns) {
    const char *end = bytes + length, *line = bytes;
    for (const char *at = bytes; at < end; at++) {
        bool was_after_cr = reader->after_cr;
        reader->after_cr = *at == '\r';
        if (*at != '\n' && *at != '\r') continue;
        size_t size = (size_t)(at - line);
        if (*at == '\n' && was_after_cr) {
            /* the other half of a CRLF */
        } else if (reader->line_length) {
            if (reader->line_length + size > LINE_BYTES) fault("a line of more than %d bytes", LINE_BYTES);
            memcpy(reader->line + reader->line_length, line, size);
            size += reader->line_length;
            reader->line_length = 0;
            read_line(reader, reader->line, size, at_ns);
        } else {
            read_line(reader, line, size, at_ns);
        }
        line = at + 1;
    }
    size_t rest = (size_t)(end - line);
    if (reader->line_length + rest > LINE_BYTES) fault("a line of more than %d bytes", LINE_BYTES);
    memcpy(reader->line + reader->line_length, line, rest);
    reader->line_length += rest;
}

void reader_end(const struct reader *reader) {
    if (!reader->ended) fault("the stream is over after %lld of %lld events, without the ending", reader->count, reader->expected);
    if (reader->line_length || reader->has_data) fault("bytes behind the ending");
}
