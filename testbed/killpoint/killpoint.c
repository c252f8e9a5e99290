/* killpoint: a library that ends the program it is loaded into (LD_PRELOAD) at a chosen point.
 *
 * A point is a call that makes something last or tells another process something: writes to files and sockets,
 * fsyncs, renames, links, folders, modes, lengths. They are counted in the order in which they come, so the
 * unmodified program can be killed before every one of them, after it, or in the middle of a write.
 *
 *   KILLPOINT_AT    the number of the point, from 0; without it nothing is killed
 *   KILLPOINT_HOW   `before` (the default), `after`, or `half`: a write writes half of its bytes first
 *   KILLPOINT_LOG   a file that gets the name of every point, one a line
 *
 * Children do not inherit it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_long point;
static long kill_at = -1;
static char how = 'b';
static int log_fd = -1;

static ssize_t (*real_write)(int, const void *, size_t);

__attribute__((constructor)) static void begin(void) {
    real_write = dlsym(RTLD_NEXT, "write");
    const char *at = getenv("KILLPOINT_AT"), *manner = getenv("KILLPOINT_HOW"), *log = getenv("KILLPOINT_LOG");
    if (at) kill_at = atol(at);
    if (manner) how = manner[0];
    if (log) log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    unsetenv("LD_PRELOAD");
    unsetenv("KILLPOINT_AT");
    unsetenv("KILLPOINT_HOW");
    unsetenv("KILLPOINT_LOG");
}

/* Numbers the point; answers whether it is the one. */
static int reach(const char *name) {
    long number = atomic_fetch_add(&point, 1);
    if (log_fd >= 0) {
        char line[64];
        size_t length = strlen(name);
        memcpy(line, name, length);
        line[length] = '\n';
        if (real_write(log_fd, line, length + 1) < 0) abort();
    }
    if (number != kill_at) return 0;
    if (how == 'b') kill(getpid(), SIGKILL);
    return 1;
}

static void end_if(int here) {
    if (here) kill(getpid(), SIGKILL);
}

/* Terminal output and the wake-ups of an event loop are no points. */
static int lasts(int fd) {
    struct stat found;
    return fd > 2 && fd != log_fd && fstat(fd, &found) == 0 && (S_ISREG(found.st_mode) || S_ISSOCK(found.st_mode));
}

ssize_t write(int fd, const void *bytes, size_t count) {
    if (!lasts(fd)) return real_write(fd, bytes, count);
    int here = reach("write");
    ssize_t done = real_write(fd, bytes, here && how == 'h' ? count / 2 : count);
    end_if(here);
    return done;
}

#define PWRITE(name)                                                                             \
    ssize_t name(int fd, const void *bytes, size_t count, off_t offset) {                        \
        static ssize_t (*real)(int, const void *, size_t, off_t);                                \
        if (!real) real = dlsym(RTLD_NEXT, #name);                                               \
        if (!lasts(fd)) return real(fd, bytes, count, offset);                                   \
        int here = reach(#name);                                                                 \
        ssize_t done = real(fd, bytes, here && how == 'h' ? count / 2 : count, offset);          \
        end_if(here);                                                                            \
        return done;                                                                             \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

ssize_t send(int fd, const void *bytes, size_t count, int flags) {
    static ssize_t (*real)(int, const void *, size_t, int);
    if (!real) real = dlsym(RTLD_NEXT, "send");
    int here = reach("send");
    ssize_t done = real(fd, bytes, here && how == 'h' ? count / 2 : count, flags);
    end_if(here);
    return done;
}

#define CALL(name, parameters, arguments)                                                        \
    int name parameters {                                                                        \
        static int (*real) parameters;                                                           \
        if (!real) real = dlsym(RTLD_NEXT, #name);                                               \
        int here = reach(#name);                                                                 \
        int result = real arguments;                                                             \
        end_if(here);                                                                            \
        return result;                                                                           \
    }
CALL(fsync, (int fd), (fd))
CALL(fdatasync, (int fd), (fd))
CALL(rename, (const char *from, const char *to), (from, to))
CALL(unlink, (const char *path), (path))
CALL(symlink, (const char *to, const char *path), (to, path))
CALL(mkdir, (const char *path, mode_t mode), (path, mode))
CALL(rmdir, (const char *path), (path))
CALL(chmod, (const char *path, mode_t mode), (path, mode))
CALL(ftruncate, (int fd, off_t length), (fd, length))
CALL(ftruncate64, (int fd, off64_t length), (fd, length))
CALL(connect, (int fd, const struct sockaddr *to, socklen_t length), (fd, to, length))
