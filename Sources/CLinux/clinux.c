#define _GNU_SOURCE
#include "clinux.h"

#include <pthread.h>

int cl_accept(int listener, struct sockaddr *peer, socklen_t *length) {
    return accept4(listener, peer, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

void cl_name_thread(const char *name) {
    pthread_setname_np(pthread_self(), name);
}
