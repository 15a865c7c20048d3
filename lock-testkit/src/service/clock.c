/* A wall clock that is ahead by as many nanoseconds as the file LOCK_TESTKIT_CLOCK says: eight
   bytes, mapped, so that a change holds at once. Preloaded into a server under test.

   It asks the kernel and allocates nothing, so that it may be called from within an allocator. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int64_t ahead_ns(void) {
    static const volatile int64_t *ahead;
    const char *path;
    if (!ahead && (path = getenv("LOCK_TESTKIT_CLOCK"))) {
        int file = open(path, O_RDONLY | O_CLOEXEC);
        if (file >= 0) {
            void *page = mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
            close(file);
            if (page != MAP_FAILED) ahead = page;
        }
    }
    return ahead ? *ahead : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t ns = now->tv_sec * INT64_C(1000000000) + now->tv_nsec + ahead_ns();
        now->tv_sec = ns / 1000000000;
        now->tv_nsec = ns % 1000000000;
    }
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (now) *now = exact.tv_sec;
    return exact.tv_sec;
}
