/* The command line. */
#include "options.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const struct option OPTIONS[] = {
    {"port", required_argument, NULL, 'p'},    {"server-pid", required_argument, NULL, 'c'},
    {"streams", required_argument, NULL, 's'}, {"total", required_argument, NULL, 't'},
    {"events", required_argument, NULL, 'e'},  {"every-us", required_argument, NULL, 'i'},
    {"start-ms", required_argument, NULL, 'a'}, {"in-step", no_argument, NULL, 'I'},
    {"beside", required_argument, NULL, 'b'},  {"http2", no_argument, NULL, '2'},
    {"pause-ms", required_argument, NULL, 'P'}, {"receive-bytes", required_argument, NULL, 'r'},
    {"timeout-s", required_argument, NULL, 'T'}, {NULL, 0, NULL, 0},
};

static long long number(const char *name, const char *text) {
    char *end;
    long long value = strtoll(text, &end, 10);
    if (*end || !*text || value < 0) fault("--%s takes a number, not %s", name, text);
    return value;
}

static void take(struct options *options, int letter, const char *name, const char *text) {
    switch (letter) {
    case 'p': options->port = (int)number(name, text); return;
    /* The clock of all CPU time that a process has used, in the kernel's numbering: see clock_getcpuclockid(3). */
    case 'c': options->server_clock = (int)(~(unsigned)number(name, text) << 3 | 2); return;
    case 's': options->streams = number(name, text); return;
    case 't': options->total = number(name, text); return;
    case 'e': options->events = number(name, text); return;
    case 'i': options->every_ns = number(name, text) * 1000; return;
    case 'a': options->start_ns = number(name, text) * 1000000; return;
    case 'b': options->beside_events = number(name, text); return;
    case 'P': options->pause_ns = number(name, text) * 1000000; return;
    case 'r': options->receive_bytes = (int)number(name, text); return;
    case 'T': options->timeout_ns = number(name, text) * 1000000000; return;
    case 'I': options->in_step = true; return;
    case '2': options->http2 = true; return;
    default: fault("unknown option");
    }
}

struct options options_of(int argc, char **argv) {
    static const char *const MODES[] = {"drain", "ticks", "hold", "cancel"};
    struct options options = {.streams = 1, .timeout_ns = (int64_t)60 * 1000000000};
    opterr = 0;
    for (int letter, index = 0; (letter = getopt_long(argc, argv, "", OPTIONS, &index)) != -1;)
        take(&options, letter, letter == '?' ? "" : OPTIONS[index].name, optarg);
    for (int mode = 0; mode < 4; mode++)
        if (optind == argc - 1 && !strcmp(argv[optind], MODES[mode])) {
            options.mode = (enum mode)mode;
            if (options.total < options.streams) options.total = options.streams;
            if (!options.port || !options.streams) fault("--port and --streams must not be 0");
            return options;
        }
    fault("give one of drain, ticks, hold, cancel, behind the options");
}
