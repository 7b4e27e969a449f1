/* The payload of a chunk: {"n": 17, "text": "word "} or {"n": 17, "due": 123, "sent": 456}.
 *
 * Frameworks differ in the white space of their JSON, and in nothing else. */
#include "client.h"

#include <string.h>

static const char TEXT[] = "word ";
static const char ENDING[] = "{\"__actions_done\":true}";

struct cursor {
    const char *at, *end;
};

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static void skip_space(struct cursor *cursor) {
    while (cursor->at < cursor->end && is_space(*cursor->at)) cursor->at++;
}

static bool take_exactly(struct cursor *cursor, const char *word) {
    size_t length = strlen(word);
    if ((size_t)(cursor->end - cursor->at) < length || memcmp(cursor->at, word, length)) return false;
    cursor->at += length;
    return true;
}

static bool take(struct cursor *cursor, const char *word) {
    skip_space(cursor);
    return take_exactly(cursor, word);
}

static bool take_number(struct cursor *cursor, int64_t *number) {
    skip_space(cursor);
    const char *begin = cursor->at;
    int64_t value = 0;
    while (cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9' && value < INT64_MAX / 10 - 1)
        value = value * 10 + (*cursor->at++ - '0');
    *number = value;
    return cursor->at > begin;
}

static bool take_member(struct cursor *cursor, const char *name, int64_t *number) {
    return take(cursor, name) && take(cursor, ":") && take_number(cursor, number);
}

static bool take_text(struct cursor *cursor) {
    return take(cursor, "\"text\"") && take(cursor, ":") && take(cursor, "\"") &&
           take_exactly(cursor, TEXT) && take_exactly(cursor, "\"");
}

bool payload_is_ending(const char *data, size_t length) {
    struct cursor cursor = {data, data + length};
    for (const char *wanted = ENDING; *wanted; wanted++) {
        skip_space(&cursor);
        if (cursor.at == cursor.end || *cursor.at++ != *wanted) return false;
    }
    skip_space(&cursor);
    return cursor.at == cursor.end;
}

struct chunk payload_read(const char *data, size_t length) {
    struct cursor cursor = {data, data + length};
    struct chunk chunk = {0};
    int64_t n = 0;
    bool good = take(&cursor, "{") && take_member(&cursor, "\"n\"", &n) && take(&cursor, ",");
    if (good) {
        struct cursor rest = cursor;
        good = take_text(&cursor);
        if (!good) {
            cursor = rest;
            good = take_member(&cursor, "\"due\"", &chunk.due_ns) && take(&cursor, ",") &&
                   take_member(&cursor, "\"sent\"", &chunk.sent_ns) && chunk.due_ns && chunk.sent_ns;
        }
    }
    good = good && take(&cursor, "}");
    skip_space(&cursor);
    if (!good || cursor.at != cursor.end) fault("not a payload that was asked for: %.*s", (int)length, data);
    chunk.n = n;
    return chunk;
}
