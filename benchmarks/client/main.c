/* The load client: opens streams, checks every event, and prints what it measured as one line of JSON.
 *
 * One thread and epoll, so that a time stamp stands for the moment at which the bytes could be had. */
#include "options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { READ_BYTES = 32768, PATH_BYTES = 256, MARK_NS = 50000000 };

struct connection {
    int fd;
    bool beside; /* not counted: it runs for as long as the others do */
    long long index;
    int64_t asked_ns, paused_until_ns;
    struct reader reader;
    struct http1 http1;
    struct http2 http2;
};

static struct options options;
static struct samples first, delivery, lateness, closed;
static long long asked, over, held, late, beside_events, ready_told;
static int64_t base_ns, began_ns, began_cpu_ns, began_own_ns;
static int poll_fd;

static void begin_measuring(void) {
    began_ns = now_ns();
    began_own_ns = cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
    if (options.server_clock) began_cpu_ns = cpu_ns(options.server_clock);
}

/* Where in the interval a stream ticks: anywhere, but in every run at the same place. */
static int64_t phase_of(long long index) {
    if (options.in_step) return 0;
    return (int64_t)((double)((uint32_t)index * 2654435761u) / 4294967296.0 * (double)options.every_ns);
}

static void path_of(const struct connection *connection, long long index, char *path) {
    int64_t start_ns = options.start_ns ? base_ns + options.start_ns : 0;
    if (connection->beside)
        snprintf(path, PATH_BYTES, "/burst?events=%lld&start=0", options.beside_events);
    else if (options.mode == DRAIN)
        snprintf(path, PATH_BYTES, "/burst?events=%lld&start=%" PRId64, options.events, start_ns);
    else if (options.mode == TICKING)
        snprintf(path, PATH_BYTES, "/ticks?events=%lld&start=%" PRId64 "&every=%" PRId64, options.events,
                 start_ns + phase_of(index), options.every_ns);
    else
        snprintf(path, PATH_BYTES, "/hold?id=%lld", index);
}

static void prepare_reader(struct reader *reader, bool beside) {
    static const enum content CONTENT[] = {TOKENS, TICKS, TOKENS, TOKENS};
    long long expected = options.mode == HOLD || options.mode == CANCEL ? INT64_MAX : options.events;
    reader->delivery = &delivery;
    reader->lateness = &lateness;
    reader_begin(reader, beside ? options.beside_events : expected, beside ? TOKENS : CONTENT[options.mode]);
}

static void watch(struct connection *connection, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(poll_fd, operation, connection->fd, &event)) fault("epoll_ctl: %s", strerror(errno));
}

static void open_connection(struct connection *connection) {
    connection->fd = socket_open(options.port, options.receive_bytes);
    watch(connection, EPOLL_CTL_ADD, EPOLLIN);
}

static void close_connection(struct connection *connection) {
    close(connection->fd);
    connection->fd = -1;
}

static void ask(struct connection *connection) {
    char path[PATH_BYTES], request[2 * PATH_BYTES];
    long long index = connection->beside ? -1 : asked++;
    connection->index = index;
    connection->asked_ns = now_ns();
    connection->paused_until_ns = 0;
    if (connection->fd < 0) open_connection(connection);
    path_of(connection, index, path);
    prepare_reader(&connection->reader, connection->beside);
    http1_begin(&connection->http1);
    socket_send(connection->fd, request, http1_request(request, sizeof request, path));
}

/* The response is over: ask for the next one, if there is one to ask for. */
static void next(struct connection *connection) {
    reader_end(&connection->reader);
    if (connection->beside) beside_events += connection->reader.count;
    else over++;
    if (!connection->beside && connection->reader.count)
        samples_add(&first, connection->reader.first_ns - connection->asked_ns);
    if (connection->http1.will_close) close_connection(connection);
    if (connection->beside || asked < options.total) ask(connection);
    else if (connection->fd >= 0) close_connection(connection);
}

/* What a stream that is held does with its first event: wait, or leave. */
static void hold(struct connection *connection) {
    held++;
    samples_add(&first, connection->reader.first_ns - connection->asked_ns);
    if (options.mode == HOLD) return;
    usleep(2000); /* the server shall have gone to rest */
    samples_add(&closed, now_ns());
    close_connection(connection);
    usleep(5000);
    if (asked < options.total) ask(connection);
}

static void receive(struct connection *connection) {
    static char bytes[READ_BYTES];
    fault_stream = connection->index;
    ssize_t length = read(connection->fd, bytes, sizeof bytes);
    int64_t at_ns = now_ns();
    if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (length < 0) fault("read: %s", strerror(errno));
    if (!length)
        fault("the connection ended inside the response, after %lld of %lld events", connection->reader.count,
              connection->reader.expected);
    long long count = connection->reader.count;
    if (options.http2) {
        over += http2_feed(&connection->http2, bytes, (size_t)length, at_ns);
    } else if (http1_feed(&connection->http1, &connection->reader, bytes, (size_t)length, at_ns)) {
        if (options.mode == HOLD || options.mode == CANCEL) fault("the stream ended, which it should not");
        next(connection);
    } else if (!count && connection->reader.count && options.mode >= HOLD) {
        hold(connection);
    } else if (options.pause_ns && !connection->paused_until_ns && connection->reader.count) {
        connection->paused_until_ns = at_ns + options.pause_ns;
        watch(connection, EPOLL_CTL_MOD, 0);
    }
    fault_stream = -1;
}

static bool is_over(void) {
    if (options.mode == HOLD) return false;
    return options.mode == CANCEL ? (long long)closed.count == options.total : over == options.total;
}

static int wait_ms(void) {
    bool marking = !began_ns;
    return marking || options.pause_ns ? 1 : 100;
}

static void tell_ready(void) {
    if (options.mode == HOLD && held == options.total && !ready_told++) {
        printf("{\"ready\": %lld}\n", held);
        fflush(stdout);
        while (getchar() != EOF) {} /* held until whoever started us has seen enough */
        exit(0);
    }
}

static void run(struct connection *connections, long long count) {
    struct epoll_event events[256];
    while (!is_over()) {
        int64_t now = now_ns();
        if (!began_ns && now >= base_ns + options.start_ns - MARK_NS) {
            begin_measuring();
            if (options.start_ns > MARK_NS && now >= base_ns + options.start_ns) fault("the client was kept from its clock");
            for (long long i = 0; i < count; i++) late += connections[i].http1.state == H1_HEAD;
        }
        if (now > base_ns + options.timeout_ns)
            fault("timed out with %lld of %lld streams over, %lld held", over, options.total, held);
        for (long long i = 0; options.pause_ns && i < count; i++)
            if (connections[i].fd >= 0 && connections[i].paused_until_ns && now > connections[i].paused_until_ns)
                watch(&connections[i], EPOLL_CTL_MOD, EPOLLIN);
        int ready = epoll_wait(poll_fd, events, 256, wait_ms());
        for (int i = 0; i < ready; i++) receive(events[i].data.ptr);
        tell_ready();
    }
}

static void open_http2(struct connection *connection) {
    char path[PATH_BYTES];
    struct reader *readers = calloc((size_t)options.streams, sizeof *readers);
    if (!readers) fault("out of memory");
    open_connection(connection);
    http2_begin(&connection->http2, connection->fd);
    for (; asked < options.streams; asked++) {
        prepare_reader(&readers[asked], false);
        path_of(connection, asked, path);
        http2_open(&connection->http2, path, &readers[asked]);
    }
}

static void print_result(void) {
    int64_t wall_ns = now_ns() - began_ns, own_ns = cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - began_own_ns;
    int64_t server_ns = options.server_clock ? cpu_ns(options.server_clock) - began_cpu_ns : 0;
    printf("{\"streams\": %lld, \"events\": %lld, \"beside_events\": %lld", options.total,
           options.mode == CANCEL ? held : options.total * options.events, beside_events);
    printf(", \"late\": %lld", late); /* streams whose head was not here when the measuring began */
    printf(", \"wall_ns\": %" PRId64 ", \"client_cpu_ns\": %" PRId64, wall_ns, own_ns);
    if (options.server_clock) printf(", \"server_cpu_ns\": %" PRId64, server_ns);
    samples_print("first_ns", &first);
    samples_print("delivery_ns", &delivery);
    samples_print("lateness_ns", &lateness);
    samples_print("closed_ns", &closed);
    printf("}\n");
}

int main(int argc, char **argv) {
    options = options_of(argc, argv);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    poll_fd = epoll_create1(0);
    base_ns = now_ns();
    if (!options.start_ns) begin_measuring();

    long long counted = options.http2 ? 1 : options.streams, count = counted + (options.beside_events ? 1 : 0);
    struct connection *connections = calloc((size_t)count, sizeof *connections);
    if (!connections) fault("out of memory");
    for (long long i = 0; i < count; i++) {
        connections[i].fd = -1;
        connections[i].beside = i == counted;
        if (options.http2) open_http2(&connections[i]);
        else ask(&connections[i]);
    }
    run(connections, count);
    print_result();
}
