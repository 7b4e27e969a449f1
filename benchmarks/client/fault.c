/* How the program fails: one line of JSON, and exit status 1. */
#include "client.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

long long fault_stream = -1;

_Noreturn void fault(const char *format, ...) {
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);

    printf("{\"error\": \"");
    if (fault_stream >= 0) printf("stream %lld: ", fault_stream);
    for (const char *c = message; *c; c++) {
        if (*c == '"' || *c == '\\') printf("\\%c", *c);
        else if ((unsigned char)*c < ' ') printf("\\u%04x", (unsigned)*c);
        else if ((unsigned char)*c < 0x7f) putchar(*c);
        else putchar('?'); /* whatever it was: the message shall be read, not parsed */
    }
    printf("\"}\n");
    fflush(stdout);
    _exit(1);
}
