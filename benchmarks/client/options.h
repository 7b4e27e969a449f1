#ifndef OPTIONS_H
#define OPTIONS_H

#include "client.h"

enum mode { DRAIN, TICKING, HOLD, CANCEL };

struct options {
    enum mode mode;
    int port;
    int server_clock;        /* of the server's CPU time; 0: not asked for */
    long long streams;       /* at once */
    long long total;         /* one after the other where more than at once */
    long long events;        /* of each stream */
    long long beside_events; /* of a burst on a connection beside the streams, again and again; 0: none */
    int64_t every_ns;        /* between ticks */
    int64_t start_ns;        /* from now until the first event, which leaves time to open; 0: events begin at once */
    int64_t pause_ns;        /* in which a stream is not read, behind its first bytes */
    int64_t timeout_ns;
    int receive_bytes; /* SO_RCVBUF; 0: the kernel's own */
    bool in_step;      /* all streams tick at the same instant, not spread over the interval */
    bool http2;
};
struct options options_of(int argc, char **argv);

#endif
