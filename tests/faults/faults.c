/* Loaded before libc's own (LD_PRELOAD): of all writes, syncs, renames and locks of files below FAULTS_BELOW a share fails
 * as on a full, a failing or a busy disk, or takes long. Nothing happens before the first byte of the file FAULTS_SWITCH
 * is set: it is the share in percent.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static volatile unsigned char *percent;
static const char *below;
static size_t length;
static __thread uint64_t seed;

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("FAULTS_SWITCH");
    below = getenv("FAULTS_BELOW");
    if (!name || !below) return;
    length = strlen(below);
    int file = open(name, O_RDONLY);
    if (file < 0) return;
    void *page = mmap(NULL, 1, PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED) percent = page;
}

static unsigned chance(void) {
    if (!seed) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        seed = (uint64_t)now.tv_nsec * 2654435761u ^ (uint64_t)(uintptr_t)&seed ^ ((uint64_t)getpid() << 32);
        seed |= 1;
    }
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (unsigned)(seed % 10000);
}

/* 0: nothing; 1: it fails; 2: it is slow; 3: half of it is done */
static int fate(void) {
    if (!percent || !*percent) return 0;
    unsigned drawn = chance(), share = *percent * 100u;
    if (drawn >= share) return 0;
    return drawn % 4 == 0 ? 2 : drawn % 4 == 1 ? 3 : 1;
}

static int ours(int file) {
    char link[40], path[4096];
    if (!percent || !*percent) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    return size >= (ssize_t)length && !strncmp(path, below, length);
}

static void slow(void) {
    struct timespec wait = {0, 30 * 1000 * 1000};
    nanosleep(&wait, NULL);
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

#define MET(size, part) \
    switch (ours(file) ? fate() : 0) { \
    case 1: errno = chance() % 2 ? ENOSPC : EIO; return -1; \
    case 2: slow(); break; \
    case 3: if ((size) > 1) return part; break; \
    }

ssize_t write(int file, const void *data, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t);
    MET(size, real(file, data, size / 2))
    return real(file, data, size);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t at) {
    REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
    MET(size, real(file, data, size / 2, at))
    return real(file, data, size, at);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    MET(size, real(file, data, size / 2, at))
    return real(file, data, size, at);
}

int fsync(int file) {
    REAL(int, "fsync", int);
    MET(0, 0)
    return real(file);
}

int fdatasync(int file) {
    REAL(int, "fdatasync", int);
    MET(0, 0)
    return real(file);
}

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    if (!strncmp(to, below ? below : "\n", length) && fate() == 1) {
        errno = ENOSPC;
        return -1;
    }
    return real(from, to);
}

static int locking(int file, int order) {
    return (order == F_SETLK || order == F_OFD_SETLK) && ours(file) && fate() == 1;
}

int fcntl(int file, int order, ...) {
    REAL(int, "fcntl", int, int, ...);
    va_list list;
    va_start(list, order);
    void *given = va_arg(list, void *);
    va_end(list);
    if (locking(file, order) && ((struct flock *)given)->l_type != F_UNLCK) {
        errno = EAGAIN;
        return -1;
    }
    return real(file, order, given);
}

int fcntl64(int file, int order, ...) {
    REAL(int, "fcntl64", int, int, ...);
    va_list list;
    va_start(list, order);
    void *given = va_arg(list, void *);
    va_end(list);
    if (locking(file, order) && ((struct flock *)given)->l_type != F_UNLCK) {
        errno = EAGAIN;
        return -1;
    }
    return real(file, order, given);
}

int flock(int file, int order) {
    REAL(int, "flock", int, int);
    if ((order & LOCK_NB) && !(order & LOCK_UN) && ours(file) && fate() == 1) {
        errno = EWOULDBLOCK;
        return -1;
    }
    return real(file, order);
}
