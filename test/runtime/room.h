/* room.h - recv, memcpy and madvise of bootstrap.c, such that ASan notices when it reads memory that
 * nothing was received into. The file that includes this one defines double_recv and double_madvise.
 *
 * SPDX-License-Identifier: MIT-0 */
static ssize_t double_recv(int descriptor, void *to, size_t room, int flags);
static int double_madvise(void *from, size_t length);

#ifndef __has_feature /* which clang has */
#define __has_feature(name) 0
#endif
#if defined __SANITIZE_ADDRESS__ || __has_feature(address_sanitizer)
void __asan_poison_memory_region(const volatile void *, size_t);
void __asan_unpoison_memory_region(const volatile void *, size_t);
#else
#define __asan_poison_memory_region(at, length) (void)0
#define __asan_unpoison_memory_region(at, length) (void)0
#endif

/* What is free behind the last bytes received: to be written, and not to be read. Of a large room the
 * beginning, which whoever reads too far would read first. */
enum { POISONED_MAX = 64 * 1024 };
static struct {
    char *data;
    size_t length;
} room_left;

static void free_room(char *data, size_t length) {
    if (room_left.length)
        __asan_unpoison_memory_region(room_left.data, room_left.length);
    room_left.data = data;
    room_left.length = length < POISONED_MAX ? length : POISONED_MAX;
    if (room_left.length)
        __asan_poison_memory_region(data, room_left.length);
}

/* The runtime itself writes there. */
static void *written(void *to, size_t length) {
    if (room_left.length) {
        char *end = (char *)to + length, *limit = room_left.data + room_left.length;
        if (end > room_left.data && (char *)to < limit)
            free_room(end, end < limit ? (size_t)(limit - end) : 0);
    }
    return to;
}

/* No double of recv is asked for nothing: its 0 would be taken for the end of the connection. */
static ssize_t recv_into_some(int descriptor, char *to, size_t room, int flags) {
    if (room == 0) {
        fprintf(stderr, "recv is called with a length of 0\n");
        abort();
    }
    if (flags & MSG_PEEK)
        return double_recv(descriptor, to, room, flags);
    free_room(NULL, 0);
    ssize_t n = double_recv(descriptor, to, room, flags);
    free_room(to + (n > 0 ? n : 0), room - (n > 0 ? (size_t)n : 0));
    return n;
}

#define recv(descriptor, to, room, flags) recv_into_some(descriptor, to, room, flags)
#define memcpy(to, from, length) memcpy(written(to, length), from, length)
#define madvise(from, length, advice) (free_room(NULL, 0), double_madvise(from, length))
