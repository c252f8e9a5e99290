/* tinyd: the second, tiny service that tests and benchmarks deploy, break and take back.
 *
 * It is in C so that two releases build in a moment, and so that nothing in unship can lean on what the
 * reference service happens to be made of. It does what unship asks of a service and no more:
 *   - `tinyd version` prints the version; `tinyd serve` serves
 *   - it takes its listener as file descriptor 3 (LISTEN_PID, LISTEN_FDS) and says READY=1 to NOTIFY_SOCKET
 *   - told to stop (SIGTERM) it finishes what it has, answers with `Connection: close` from then on, and
 *     closes idle connections late, so that a client that checks before it uses one again loses nothing
 *
 * release.h is what makes one release differ from another:
 *   VERSION         the version, which must be the tag
 *   ANSWERS         the status of ordinary answers, 0 for the right one
 *   ABORTS_AFTER_MS abort() this long after it got ready, 0 for never
 *   READY_AFTER_MS  how long it takes to get ready
 *   DRAINS          told to stop: 1 finishes what it has, 0 just ends, 2 does not listen and goes on
 *   FLAGGED         1: while the flag `greeting` is on in the file TINYD_FLAGS, ordinary answers are 500
 *
 *   GET /          200, or ANSWERS        GET /slow?ms=N   200 after N ms
 *   POST /notes    201, or ANSWERS        GET /stream      20 parts in 2 s
 *   GET /healthz   200                    GET /version     the version
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "release.h"

enum {
    REQUEST_BYTES_MAX = 16384,
    CONNECTIONS_MAX = 2000,
    SLOW_MS_MAX = 60000,
    SEND_MS_MAX = 10000,  /* a client that takes nothing for so long is given up */
    IDLE_MS_MAX = 60000,  /* an idle connection is closed after this */
    IDLE_DRAIN_MS = 1000, /* once told to stop, how long an idle client has to come back */
    LINGER_MS = 1000      /* how long the other side may take to close its end */
};

static atomic_bool stopping;
static atomic_long stopping_since_ms;
static atomic_int connections;
static int wake[2];

static long now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000L + t.tv_nsec / 1000000L;
}

static void sleep_ms(long ms) {
    struct timespec t = {ms / 1000, (ms % 1000) * 1000000L};
    while (nanosleep(&t, &t) == -1 && errno == EINTR) {
    }
}

static void on_term(int signal) {
    (void)signal;
    int saved = errno;
    if (write(wake[1], "x", 1) == -1) {
        /* The pipe is full: a wake-up is on its way already. */
    }
    errno = saved;
}

static void *abort_later(void *unused) {
    (void)unused;
    sleep_ms(ABORTS_AFTER_MS);
    fprintf(stderr, "tinyd %s: panic: the answer is not 42\n", VERSION);
    abort();
}

static int send_all(int fd, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return -1;
        bytes += sent;
        length -= (size_t)sent;
    }
    return 0;
}

static int answer(int fd, int status, const char *body, int keep) {
    char text[512];
    int length = snprintf(text, sizeof text,
                          "HTTP/1.1 %d %s\r\nserver: tinyd/%s\r\nx-instance: %d\r\n"
                          "content-type: text/plain\r\ncontent-length: %zu\r\n%s\r\n%s",
                          status, status < 400 ? "OK" : "Error", VERSION, (int)getpid(), strlen(body),
                          keep ? "" : "connection: close\r\n", body);
    return send_all(fd, text, (size_t)length);
}

static int stream(int fd) {
    char text[256];
    int length = snprintf(text, sizeof text,
                          "HTTP/1.1 200 OK\r\nserver: tinyd/%s\r\nx-instance: %d\r\n"
                          "transfer-encoding: chunked\r\nconnection: close\r\n\r\n",
                          VERSION, (int)getpid());
    if (send_all(fd, text, (size_t)length) == -1) return -1;
    for (int part = 0; part < 20; part++) {
        sleep_ms(100);
        if (send_all(fd, "5\r\ntick\n\r\n", 10) == -1) return -1;
    }
    return send_all(fd, "0\r\n\r\n", 5);
}

/* Waits for bytes on an idle connection, in short steps: the time allowed shrinks when the service is told
 * to stop. */
static int wait_for_request(int fd) {
    long since = now_ms();
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int ready = poll(&p, 1, 50);
        if (ready > 0) return 1;
        if (ready < 0 && errno != EINTR) return 0;
        if (atomic_load(&stopping) && now_ms() - atomic_load(&stopping_since_ms) > IDLE_DRAIN_MS) return 0;
        if (now_ms() - since > IDLE_MS_MAX) return 0;
    }
}

/* Reads one request, head and body, into `text`; its length, or -1 at the end of the connection. */
static int read_request(int fd, char *text) {
    int have = 0;
    for (;;) {
        if (have == 0 && !wait_for_request(fd)) return -1;
        ssize_t got = recv(fd, text + have, (size_t)(REQUEST_BYTES_MAX - 1 - have), 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return -1;
        have += (int)got;
        text[have] = 0;
        char *end = strstr(text, "\r\n\r\n");
        if (end) {
            char *field = strcasestr(text, "\r\ncontent-length:");
            long body = field && field < end ? strtol(field + 17, NULL, 10) : 0;
            if (body < 0 || body > REQUEST_BYTES_MAX) return -1;
            if (have >= (int)(end - text) + 4 + body) return have;
        }
        if (have == REQUEST_BYTES_MAX - 1) return -1;
    }
}

/* Whether the flag `greeting` is on in the file of flags, in flagd's format; read anew each time. Good enough for the
 * file of this service, and no reader of JSON. */
static int greeting_is_on(void) {
    const char *path = getenv("TINYD_FLAGS");
    FILE *file = FLAGGED && path ? fopen(path, "re") : NULL;
    if (!file) return 0;
    char text[4096];
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    const char *at = strstr(text, "\"greeting\"");
    at = at ? strstr(at, "\"defaultVariant\"") : NULL;
    at = at ? strchr(at + strlen("\"defaultVariant\""), '"') : NULL;
    return at && !strncmp(at, "\"on\"", 4);
}

/* Answers one request; whether the connection can carry another. */
static int serve_one(int fd, const char *text) {
    int keep = !strcasestr(text, "\r\nconnection: close");
    if (!strncmp(text, "GET /stream ", 12)) {
        stream(fd);
        return 0;
    }
    int status = 404;
    const char *body = "not found\n";
    if (!strncmp(text, "GET /healthz ", 13)) {
        status = 200, body = "ok\n";
    } else if (!strncmp(text, "GET /version ", 13)) {
        status = 200, body = VERSION "\n";
    } else if (!strncmp(text, "GET /slow?ms=", 13)) {
        long ms = strtol(text + 13, NULL, 10);
        sleep_ms(ms < 0 ? 0 : ms > SLOW_MS_MAX ? SLOW_MS_MAX : ms);
        status = 200, body = "late\n";
    } else if (!strncmp(text, "GET / ", 6)) {
        status = ANSWERS ? ANSWERS : greeting_is_on() ? 500 : 200, body = "hello\n";
    } else if (!strncmp(text, "POST /notes ", 12)) {
        status = ANSWERS ? ANSWERS : greeting_is_on() ? 500 : 201, body = "noted\n";
    }
    /* Looked at last: a request that took long must not promise what is no longer true. */
    keep = keep && !atomic_load(&stopping);
    return answer(fd, status, body, keep) == 0 && keep;
}

static void *serve_connection(void *argument) {
    int fd = (int)(ptrdiff_t)argument;
    struct timeval limit = {SEND_MS_MAX / 1000, 0};
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    char text[REQUEST_BYTES_MAX];
    while (read_request(fd, text) > 0 && serve_one(fd, text)) {
    }
    /* Close gently: closing with unread bytes would send a reset that can overtake the answer. */
    shutdown(fd, SHUT_WR);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    long until = now_ms() + LINGER_MS;
    while (now_ms() < until && poll(&p, 1, 100) >= 0) {
        if (p.revents && recv(fd, text, sizeof text, 0) <= 0) break;
    }
    close(fd);
    atomic_fetch_sub(&connections, 1);
    return NULL;
}

static int listener(void) {
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    if (pid && fds && atoi(pid) == (int)getpid() && atoi(fds) >= 1) return 3;
    const char *port = getenv("PORT");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    address.sin_port = htons((unsigned short)(port ? atoi(port) : 8080));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd == -1 || bind(fd, (struct sockaddr *)&address, sizeof address) == -1 || listen(fd, 1024) == -1) {
        perror("tinyd: cannot listen");
        exit(1);
    }
    return fd;
}

static void notify(const char *state) {
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || strlen(path) >= sizeof address.sun_path) return;
    strcpy(address.sun_path, path);
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (path[0] == '@') address.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd == -1 || sendto(fd, state, strlen(state), 0, (struct sockaddr *)&address, length) == -1) {
        perror("tinyd: cannot notify");
    }
    if (fd != -1) close(fd);
}

static void start(void *(*run)(void *), void *argument) {
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 128 * 1024);
    if (pthread_create(&thread, &attributes, run, argument) != 0) {
        fprintf(stderr, "tinyd: cannot start a thread\n");
        exit(1);
    }
    pthread_attr_destroy(&attributes);
}

int main(int count, char **arguments) {
    if (count == 2 && !strcmp(arguments[1], "version")) {
        puts(VERSION);
        return 0;
    }
    if (count != 2 || strcmp(arguments[1], "serve") != 0) {
        fprintf(stderr, "usage: tinyd version | serve\n");
        return 2;
    }
    if (pipe2(wake, O_CLOEXEC | O_NONBLOCK) == -1) return 1;
    struct sigaction action = {.sa_handler = on_term};
    if (DRAINS == 2) action.sa_handler = SIG_IGN;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);

    int fd = listener();
    /* Two instances share the listener: the other one may have taken the connection that poll showed. */
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    sleep_ms(READY_AFTER_MS);
    notify("READY=1");
    if (ABORTS_AFTER_MS) start(abort_later, NULL);

    struct pollfd both[2] = {{.fd = fd, .events = POLLIN}, {.fd = wake[0], .events = POLLIN}};
    for (;;) {
        if (poll(both, 2, -1) == -1) continue;
        if (both[1].revents) break;
        if (!both[0].revents) continue;
        if (atomic_load(&connections) >= CONNECTIONS_MAX) {
            sleep_ms(1); /* the rest waits in the listener */
            continue;
        }
        int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (connection == -1) continue;
        atomic_fetch_add(&connections, 1);
        start(serve_connection, (void *)(ptrdiff_t)connection);
    }
    if (!DRAINS) return 0;
    close(fd);
    atomic_store(&stopping_since_ms, now_ms());
    atomic_store(&stopping, 1);
    notify("STOPPING=1");
    while (atomic_load(&connections) > 0) sleep_ms(5);
    return 0;
}
