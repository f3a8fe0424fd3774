#define _GNU_SOURCE
#include "clinux.h"

#include <pthread.h>

int cl_accept(int listener, struct sockaddr *peer, socklen_t *length) {
    return accept4(listener, peer, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int cl_peer_user(int socket, unsigned int *user) {
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    if (getsockname(socket, (struct sockaddr *)&address, &length) != 0 || address.ss_family != AF_UNIX) return -1;
    struct ucred peer;
    length = sizeof peer;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return -1;
    *user = peer.uid;
    return 0;
}

void cl_name_thread(const char *name) {
    pthread_setname_np(pthread_self(), name);
}
