// Preloaded, makes the n-th call that changes a disk fail: write, fsync, rename, link, mkdir and their kin, as far as
// they concern files below the directory in FAILING_CALLS_BELOW. The program arms it through fail_calls().
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long calls, first_failing, last_failing;
static atomic_int reason;

// From the n-th call on, `count` calls fail; n = 0 disarms. Returns how many calls there were since it was armed.
long fail_calls(long n, long count, int error) {
    const long passed = atomic_load(&calls);
    atomic_store(&first_failing, 0);
    atomic_store(&calls, 0);
    atomic_store(&reason, error);
    atomic_store(&last_failing, n + count - 1);
    atomic_store(&first_failing, n);
    return passed;
}

static int is_below(const char* path) {
    const char* const root = getenv("FAILING_CALLS_BELOW");
    return root != NULL && strncmp(path, root, strlen(root)) == 0;
}

static int is_open_below(int fd) {
    char link[64];
    char path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) {
        return 0;
    }
    path[size] = '\0';
    return is_below(path);
}

static int is_named_below(int directory, const char* path) {
    return path[0] == '/' ? is_below(path) : is_open_below(directory);
}

static int fails(int concerned) {
    const long first = atomic_load(&first_failing);
    if (first == 0 || !concerned) {
        return 0;
    }
    const long call = atomic_fetch_add(&calls, 1) + 1;
    if (call < first || call > atomic_load(&last_failing)) {
        return 0;
    }
    errno = atomic_load(&reason);
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void* bytes, size_t size) {
    return fails(is_open_below(fd)) ? -1 : REAL(write)(fd, bytes, size);
}
ssize_t pwrite(int fd, const void* bytes, size_t size, off_t at) {
    return fails(is_open_below(fd)) ? -1 : REAL(pwrite)(fd, bytes, size, at);
}
ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t at) {
    return fails(is_open_below(fd)) ? -1 : REAL(pwrite64)(fd, bytes, size, at);
}
int fsync(int fd) { return fails(is_open_below(fd)) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return fails(is_open_below(fd)) ? -1 : REAL(fdatasync)(fd); }
int rename(const char* from, const char* to) { return fails(is_below(from)) ? -1 : REAL(rename)(from, to); }
int renameat(int from_directory, const char* from, int to_directory, const char* to) {
    return fails(is_named_below(from_directory, from)) ? -1 : REAL(renameat)(from_directory, from, to_directory, to);
}
int link(const char* from, const char* to) { return fails(is_below(to)) ? -1 : REAL(link)(from, to); }
int linkat(int from_directory, const char* from, int to_directory, const char* to, int flags) {
    return fails(is_named_below(to_directory, to)) ? -1
                                                   : REAL(linkat)(from_directory, from, to_directory, to, flags);
}
int mkdir(const char* path, mode_t mode) { return fails(is_below(path)) ? -1 : REAL(mkdir)(path, mode); }
int mkdirat(int directory, const char* path, mode_t mode) {
    return fails(is_named_below(directory, path)) ? -1 : REAL(mkdirat)(directory, path, mode);
}
